"""Any bytes through both codecs: the native one makes what the reference makes, byte for byte, with the same reasons.

Input: as for `codec`, whose target holds the reference to its promises.
"""

from __future__ import annotations

from tests.fuzz.target import Target
from tests.fuzz.targets import codec
from tests.support.codecs import equal


def check(data: bytes) -> None:
    head, chunk = data[:3].ljust(3, b"\0"), data[3:]
    equal(codec.SUBJECTS[head[0] % len(codec.SUBJECTS)], chunk, codec.BASES[head[1] % len(codec.BASES)])


_ODD = (
    b"\\u00e9", b"\\u0041", b'"\\u0061":', b"\\/", b"\\b\\f\\n\\r\\t", b"\\ud83d", b"\\udc00\\ud83d", b"\\u12", b"\\x",
    b"\xc3\xa9", b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xe2\x80", b"\x7f", b"\x1f", b"1.7976931348623157e308",
    b"1.7976931348623159e308", b"5e-324", b"2e-324", b"9007199254740993.0", b"0.1e-1", b"1E+2", b"1e", b"1.", b"-",
    b"123456789012345678901234567890.5", b"0e999999", b"-0e0", b"18446744073709551615", b"9223372036854775808.0",
    b',"coin":"B"', b'"px":"2","px":"1",', b'"local_time":"2026-05-05T17:39:13.394308154",',
    b'"events":[],"events":[],', b'],"z":1,"events":[', b'"z":[1],', b'"z":1,"z":2,', b'"coin":1,', b" \t\r ",
    b'"10000-01-01T00:00:00"',
    b'"2000-02-29T23:59:59.1Z"', b'"1900-02-29T00:00:00"', b'"1677-09-21T00:12:43.145224193"',
)  # fmt: skip

TARGET = Target(name="native", check=check, seeds=codec.TARGET.seeds, scraps=codec.SCRAPS + _ODD)
