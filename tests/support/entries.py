"""A line's entry and the document that stands for it, made comparable without tailrace: for `counting`.

    {"time": "2025-03-10T09:24:05.070019819", "px": "0.10", ...}  --+
    {time: Date, time_ns: Int64, px: Decimal128, ...}             --+--> the same key

Every field counts, and every digit.
"""

from __future__ import annotations

import calendar
import json
from functools import lru_cache
from typing import Any

from bson import Decimal128

Document = dict[str, Any]

_TIMES = ("time",)  # of node_trades and node_fills, the streams that the simulator writes
_BLOCK = ("block_number", "block_time", "block_time_ns", "local_time", "local_time_ns")


def of_line(entry: Any) -> Any:
    """An entry as comparable as `of_document`'s: its times in nanoseconds, a fill with its user."""
    if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], dict):
        entry = {"user": entry[0], **entry[1]}
    if isinstance(entry, dict):
        for name in _TIMES:
            if name in entry:
                entry = {**entry, name: _nanoseconds(entry[name])}
    return entry


def _nanoseconds(value: Any) -> Any:
    """`2025-03-10T09:24:05.070019819` (UTC), or epoch milliseconds. What is neither stays as it is."""
    if isinstance(value, int):
        return value * 1_000_000
    try:
        second, _point, fraction = value.removesuffix("Z").partition(".")
        return _second(second) * 1_000_000_000 + int(f"{fraction:0<9}")
    except (AttributeError, ValueError):
        return value


@lru_cache(maxsize=4096)
def _second(text: str) -> int:
    day, _t, clock = text.partition("T")
    year, month, date = map(int, day.split("-"))
    hour, minute, second = map(int, clock.split(":"))
    return calendar.timegm((year, month, date, hour, minute, second))


def of_document(document: Document) -> Document:
    entry: Document = {}
    for name, value in document.items():
        if name == "_id" or name in _BLOCK or (name.endswith("_ns") and name[:-3] in document):
            continue
        nanoseconds = document.get(f"{name}_ns")
        if nanoseconds is None:
            entry[name] = value
        else:  # a Date that is not the floored milliseconds of its nanoseconds is no copy of the line
            entry[name] = nanoseconds if int(value) == nanoseconds // 1_000_000 else f"{int(value)} and {nanoseconds}"
    return entry


def key_of(entry: Any) -> int:
    """Equal entries have equal keys, whatever the order of their fields. 64 bits: of a billion pairs none collides."""
    return hash(_encode(entry))


def _plain(value: Any) -> Any:
    """A decimal with exactly its digits, as the line has it (`1E-8` is `0.00000001`)."""
    if isinstance(value, Decimal128):
        return format(value.to_decimal(), "f")
    return f"{type(value).__name__} {value!r}"  # equal to nothing that a line can hold


_encode = json.JSONEncoder(sort_keys=True, default=_plain).encode
