"""Time texts as integer nanoseconds since 1970, UTC. Whole numbers throughout: no digit is lost.

The form is `YYYY-MM-DDTHH:MM:SS`, then a point and 1 to 9 digits or nothing, then `Z` or nothing (no zone: UTC).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

FORM = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?Z?")
"""A time text, matched whole."""

SECOND = 1_000_000_000
MILLISECOND = 1_000_000

INT64_MIN = -(1 << 63)
INT64_MAX = (1 << 63) - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = 19  # characters up to the seconds
_FULL = 29  # characters with a point and nine digits


def nanoseconds(text: str) -> int:
    """Nanoseconds since 1970; the years 1677 to 2262 fit int64, others come out as they are.

    Raises ValueError for another form and for a date or clock time that does not exist (no leap seconds).
    """
    if len(text) == _FULL and text[_WHOLE] == ".":  # what every node writes since 2025
        fraction = text[_WHOLE + 1 :]
        if fraction.isdecimal() and fraction.isascii():
            return _second(text[:_WHOLE]) + int(fraction)
    match = FORM.fullmatch(text)
    if match is None:
        raise ValueError("not a time")
    return _second(text[:_WHOLE]) + int((match[7] or "").ljust(9, "0"))


@lru_cache(maxsize=4096)
def _second(text: str) -> int:
    """Nanoseconds at the start of a second: a busy stream names each second thousands of times."""
    match = FORM.fullmatch(text)
    if match is None:
        raise ValueError("not a time")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    since = datetime(year, month, day, hour, minute, second, tzinfo=UTC) - _EPOCH
    return (since.days * 86400 + since.seconds) * SECOND
