"""Fields of a document that tailrace wrote, read back strictly: a store can be damaged, or edited by hand. Pure.

HAZARD: `bytes(5)` is five zeros and `int("7")` is 7. A life with such a fingerprint would be another life, and its
lines would be stored again; so nothing is converted here, and what is not as it was written is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson.datetime_ms import DatetimeMS


class Damaged(ValueError):
    """The field, and what it should be."""


def whole(fields: Mapping[str, Any], name: str, low: int = 0) -> int:
    """An integer of at least `low`."""
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise Damaged(f"{name} is not a whole number from {low}")
    return int(value)


def binary(fields: Mapping[str, Any], name: str, size: int | None = None) -> bytes:
    value = fields.get(name)
    if not isinstance(value, bytes) or size not in (None, len(value)):
        raise Damaged(f"{name} is not {'' if size is None else f'{size} '}bytes")
    return bytes(value)


def text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise Damaged(f"{name} is not a text")
    return value


def flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool):
        raise Damaged(f"{name} is neither true nor false")
    return value


def hour(fields: Mapping[str, Any], name: str) -> int:
    """Epoch seconds of a Date that is an hour of the years 1970 to 2106."""
    value = fields.get(name)
    since = int(value) if isinstance(value, DatetimeMS) else -1
    if not 0 <= since < 1000 << 32 or since % 3_600_000:
        raise Damaged(f"{name} is not the date of an hour")
    return since // 1000
