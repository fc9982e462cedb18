"""Lines and entries that must be rejected, each for exactly one reason and as exactly one reject.

An entry fault damages one entry: in a wrapped line its siblings stay good. A line fault takes a whole line (wrapped:
a line with one entry). Every fault breaks one rule only, so that the order of precedence does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tailrace.model import Reason

_PX = re.compile(r'"px":"[^"]*"')
_OID = re.compile(r'"oid":\d+')
_COIN = re.compile(r'"coin":"[^"]*"')
_BRACE = re.compile(r'\{(?="coin")')  # where the entry's own fields begin, in a trade as in a fill


@dataclass(frozen=True, slots=True)
class Fault:
    """`damage` takes an entry's text (`whole`: a line's bytes, without newline) and gives it back broken."""

    kind: str
    reason: Reason
    entry: Callable[[Random, str], str] | None = None
    line: Callable[[Random, bytes], bytes] | None = None


def _missing(rng: Random, entry: str) -> str:
    return re.sub(rf'"{rng.choice(("coin", "px", "sz"))}":"[^"]*",', "", entry, count=1)


def _wrong_type(rng: Random, entry: str) -> str:
    pattern, value = rng.choice(((_PX, '"px":12.5'), (_COIN, '"coin":7'), (_OID, '"oid":"78656316952"')))
    return pattern.sub(value, entry, count=1)


def _wide_integer(rng: Random, entry: str) -> str:
    return _OID.sub(f'"oid":{rng.choice((1 << 63, (1 << 64) + 1, 10**30))}', entry, count=1)


def _long_decimal(rng: Random, entry: str) -> str:
    digits = str(rng.randrange(10**34, 10**35))  # 35 of them: one more than Decimal128 holds
    point = rng.randrange(1, 34)
    return _PX.sub(f'"px":"{digits[:point]}.{digits[point:-1]}7"', entry, count=1)


def _reserved(rng: Random, entry: str) -> str:
    return _BRACE.sub("{" + rng.choice(('"_id":"mine",', '"time_ns":1,')), entry, count=1)


def _nul_key(_: Random, entry: str) -> str:
    return _BRACE.sub(r'{"no\\u0000te":1,', entry, count=1)


def _bad_json(rng: Random, line: bytes) -> bytes:
    cut = rng.randrange(2, len(line) - 1)
    # Cut short, or what a node leaves that died in mid-line and began anew: half a line, then a whole one.
    return line[:cut] if rng.random() < 0.5 else line[:cut] + line


def _blank(rng: Random, _: bytes) -> bytes:
    return rng.choice((b"", b"  ", b"\t"))


def _bad_utf8(rng: Random, line: bytes) -> bytes:
    return line.replace(b'"coin":"', b'"coin":"' + rng.choice((b"\xff", b"\xe6\xb8", b"\xc0\xaf", b"\xed\xa0\x80")), 1)


def _deep(rng: Random, line: bytes) -> bytes:
    levels = rng.choice((150, 1_200))
    return line.replace(b'{"coin"', b'{"deep":' + b"[" * levels + b"]" * levels + b',"coin"', 1)


def _nul_filled(_: Random, line: bytes) -> bytes:
    return b"\x00" * len(line)  # what a file system leaves after a power failure


FAULTS = (
    Fault("bad_json", Reason.JSON, line=_bad_json),
    Fault("blank", Reason.EMPTY, line=_blank),
    Fault("missing_field", Reason.MISSING, entry=_missing),
    Fault("wrong_type", Reason.TYPE, entry=_wrong_type),
    Fault("wide_integer", Reason.RANGE, entry=_wide_integer),
    Fault("long_decimal", Reason.RANGE, entry=_long_decimal),
    Fault("reserved_field", Reason.RESERVED_FIELD, entry=_reserved),
    Fault("nul_key", Reason.KEY, entry=_nul_key),
    Fault("bad_utf8", Reason.UTF8, line=_bad_utf8),
    Fault("deep", Reason.DEPTH, line=_deep),
    Fault("nul_filled", Reason.JSON, line=_nul_filled),
)


class FaultBag:
    """Draws faults so that each comes once before any comes twice: nine bad lines are of nine kinds."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._left: list[Fault] = []

    def draw(self) -> Fault:
        if not self._left:
            self._left = self._rng.sample(FAULTS, len(FAULTS))
        return self._left.pop()
