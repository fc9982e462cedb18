"""Durations and sizes with units: text -> number and back. Pure.

    500ms  5m  1h30m  1.5s        seconds, as a float       ms, s, m, h, d
    64MiB  10MB  1.5GiB  512B     bytes, as an int          B, kB, MB, GB, TB (1000) and KiB, MiB, GiB, TiB (1024)

A bare number is refused, since it would be milliseconds to one reader and seconds to another; 0 needs no unit.
"""

from __future__ import annotations

import re
from decimal import Decimal

_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,9})?"
_BARE = re.compile(rf"[+-]?{_NUMBER}", re.ASCII)
_PART = re.compile(rf"({_NUMBER}) ?(ms|s|m|h|d)", re.ASCII)
_DURATION = re.compile(rf"(?:{_NUMBER} ?(?:ms|s|m|h|d) ?)+", re.ASCII)
_SIZE = re.compile(rf"({_NUMBER}) ?([A-Za-z]+)", re.ASCII)

_SECONDS = {
    "d": Decimal(86400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}  # largest first: `format_duration` walks it
_BYTES = {
    "TiB": 1 << 40,
    "GiB": 1 << 30,
    "MiB": 1 << 20,
    "KiB": 1 << 10,
    "TB": 10**12,
    "GB": 10**9,
    "MB": 10**6,
    "kB": 10**3,
    "B": 1,
}
_BYTES_BY_LOWER = {unit.lower(): size for unit, size in _BYTES.items()}


class UnitMissing(ValueError):
    """A bare number: what was meant cannot be told."""


def parse_duration(text: str) -> float:
    """Seconds. Raises UnitMissing for a bare number, ValueError for anything else that is no duration."""
    text = text.strip()
    if _BARE.fullmatch(text):
        if Decimal(text) == 0:
            return 0.0
        raise UnitMissing(text)
    if not _DURATION.fullmatch(text):
        raise ValueError(text)
    parts = _PART.findall(text)
    units = [list(_SECONDS).index(unit) for _, unit in parts]
    if units != sorted(set(units)):  # `5s1h` and `1s1s` are slips, not sums
        raise ValueError(text)
    return float(sum(Decimal(number) * _SECONDS[unit] for number, unit in parts))


def parse_size(text: str) -> int:
    """Bytes, a fraction of one cut off. Units in any case. Raises as `parse_duration` does."""
    text = text.strip()
    if _BARE.fullmatch(text):
        if Decimal(text) == 0:
            return 0
        raise UnitMissing(text)
    match = _SIZE.fullmatch(text)
    if match is None or match[2].lower() not in _BYTES_BY_LOWER:
        raise ValueError(text)
    return int(Decimal(match[1]) * _BYTES_BY_LOWER[match[2].lower()])


def format_duration(seconds: float) -> str:
    """What `parse_duration` reads as the same number of milliseconds: `1h30m`, `500ms`, `0`."""
    rest = round(Decimal(repr(seconds)), 3)
    if rest == 0:
        return "0"
    text = ""
    for unit, size in _SECONDS.items():
        count, rest = divmod(rest, size)
        if count:
            text += f"{int(count)}{unit}"
    return text


def format_size(size: int) -> str:
    """What `parse_size` reads as the same number: the largest unit that divides it, `64MiB`, `10MB`, `1023B`."""
    if size == 0:
        return "0"
    number, unit = min((size // factor, unit) for unit, factor in _BYTES.items() if size % factor == 0)
    return f"{number}{unit}"
