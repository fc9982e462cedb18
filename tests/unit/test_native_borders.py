"""The native codec at the borders of what is stored: times, decimals, integers, escapes and bytes, each against the
reference. What random tests would hit too seldom."""

from __future__ import annotations

from tests.support.codecs import equal, needs_native
from tests.unit.test_codec import ENA, FILL, wrapped

from tailrace.model import Framing, Identity, Numbers

pytestmark = needs_native

TRADES = ("node_trades", Framing.BARE, Identity.POSITION, Numbers.DECIMAL)
UNTYPED = ("misc_events", Framing.BARE, Identity.POSITION, Numbers.DECIMAL)

DAYS = ["2024-02-29", "2025-02-29", "1900-02-29", "2000-02-29", "2100-02-29", "2025-02-28", "2024-02-30", "2025-04-31"]
DAYS += ["2025-04-30", "2025-12-31", "2025-12-32", "2025-00-10", "2025-13-10", "2025-01-00", "0000-01-01", "0001-01-01"]
DAYS += ["1970-01-01", "1969-12-31", "1677-09-20", "1677-09-22", "2262-04-11", "2262-04-12", "9999-12-31", "2025-03-01"]
CLOCKS = ["00:00:00", "23:59:59", "24:00:00", "23:60:00", "23:59:60", "12:30:30.5", "12:30:30.123456789", "12:30:30."]
CLOCKS += [
    "12:30:30.1234567890",
    "12:30:30Z",
    "12:30:30.07Z",
    "12:30:30ZZ",
    "12:30:30z",
    "12:30",
    "12:30:3",
    "12:30:30+00",
]
BORDERS = ["1677-09-21T00:12:43.145224192", "1677-09-21T00:12:43.145224191", "1677-09-21T00:12:43.145224193"]
BORDERS += [
    "2262-04-11T23:47:16.854775807",
    "2262-04-11T23:47:16.854775808",
    "2106-02-07T06:28:15",
    "2106-02-07T06:28:16",
]
BORDERS += [
    "2025-03-10t11:24:42",
    "2025-03-10 11:24:42",
    "2025-3-10T11:24:42",
    "+025-03-10T11:24:42",
    "2025-03-10T11:24:42\\u002e5",
]


def test_times_at_the_borders() -> None:
    """Every day and clock time that exists, and none that does not; what is neither is not made natively."""
    texts = [f"{day}T00:00:00" for day in DAYS] + [f"2025-03-10T{clock}" for clock in CLOCKS] + BORDERS
    lines = [ENA.replace(b"2025-03-10T11:24:42.070019819", text.encode()) for text in texts]
    blocks = [wrapped(ENA).replace(b"2026-05-05T17:39:13.394308154", text.encode()) for text in texts]
    for identity in Identity:
        stored = [equal(("node_trades", Framing.BARE, identity, Numbers.DECIMAL), line).documents for line in lines]
        assert 10 < sum(map(len, stored)) < len(lines) - 15, "precondition: many of both"
        for line in blocks:
            equal(("node_trades", Framing.BY_BLOCK, identity, Numbers.DECIMAL), line)


WHOLE = [
    "0",
    "00",
    "7",
    "-7",
    "-0",
    "9" * 18,
    "9" * 19,
    "9" * 20,
    "1" + "0" * 33,
    "9" * 34,
    "0" * 34,
    "9" * 35,
    "0" * 35,
]
PARTS = ["", ".", ".0", ".5", ".00000001", "." + "9" * 14, "." + "9" * 15, "." + "0" * 33, "." + "3" * 34]
ODD = [
    "",
    "-",
    "+1",
    ".5",
    "-.5",
    "1e5",
    "1E5",
    "NaN",
    "Infinity",
    " 1",
    "1 ",
    "1_0",
    "0x1",
    "--1",
    "1..2",
    "1.2.3",
    "١",
    "1\\u0030",
]


def test_decimals_at_the_borders() -> None:
    """Up to 34 digits, with their sign, their zeros and their scale, in each of the three forms."""
    texts = [whole + part for whole in WHOLE for part in PARTS] + ODD
    for numbers in Numbers:
        subject = ("node_trades", Framing.BARE, Identity.POSITION, numbers)
        stored = [equal(subject, ENA.replace(b"0.4511", text.encode())).documents for text in texts]
        assert 40 < sum(map(len, stored)) < len(texts) - 30, "precondition: many of both"


INTEGERS = [
    "0",
    "-0",
    "00",
    "01",
    "-01",
    "-",
    "+1",
    "1.0",
    "1e2",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
]
INTEGERS += ["9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809"]
INTEGERS += [
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999",
    "9" * 400,
    "9223372036854",
    "9223372036855",
]
INTEGERS += [
    "-9223372036854",
    "-9223372036855",
    "4294967296000",
    "4294967295999",
    "-1",
    "-1000",
    "true",
    "null",
    '"1"',
    "[1]",
    "{}",
]


def test_integers_at_the_borders() -> None:
    """int32, int64, or the reference's reason; in a known field, as milliseconds, and where no schema knows it."""
    for text in INTEGERS:
        value = text.encode()
        equal(UNTYPED, b'{"a":%b,"b":[%b]}' % (value, value))
        for identity in Identity:
            equal(("node_trades", Framing.BARE, identity, Numbers.DECIMAL), ENA.replace(b"78656316952", value))
            fills = ("node_fills", Framing.BARE, identity, Numbers.DECIMAL)
            equal(fills, FILL.replace(b"1778002753024", value))
            equal(fills, FILL.replace(b"412036451245", value))


ESCAPES = r"""
\ud800\ue000 \ud800\udbff \ud800\udc00 \udbff\udfff \udbff\udc00 \ud83d\ude00 \ud83d \ude00 \udfff \ud800\u0041 \ud800\n
\ud800n \ud7ff \ue000 \uffff \u0000 \u00e9 \uD83D\uDE00 \u12 \u \u+041 \u-041 \b \f \n \r \t \v \a \0 \x41 \' \/ \U0041
\u{41} \uFFFG \u004 \ud800\u \ud800\uD \ud800\ \" \\ \ \\\ \\\\
"""
BYTES = """
c3a9 c080 c1bf e0a080 e09fbf eda080 ed9fbf eebfbf f0908080 f08fbfbf f48fbfbf f4908080 f5808080 80 bf c3 e282 f09f98
ff fe 7f 1f 00 09 0d 20 21 22
"""


def test_escapes_and_bytes_at_the_borders() -> None:
    """In names and texts, at any place in a word of eight bytes; refused is what the reference refuses."""
    stored = []
    for text in [escape.encode() for escape in ESCAPES.split()] + [bytes.fromhex(byte) for byte in BYTES.split()]:
        for before in range(9):
            whole = b"x" * before + text + b"y" * (before % 3)
            stored.append(len(equal(UNTYPED, b'{"a":"%b"}' % whole).documents))
            equal(UNTYPED, b'{"a":"%b","o":{"%b":["%b"]}}' % (whole, whole, whole))
            equal(UNTYPED, b'{"%b":1}' % whole)
        equal(TRADES, ENA.replace(b'"ENA"', b'"%b"' % text))
    assert 100 < sum(stored) < len(stored) - 100, "precondition: many of both"
