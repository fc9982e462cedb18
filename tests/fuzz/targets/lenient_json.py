"""Bytes as any Python value: JSON where they are JSON, with `{"$b": "hex"}` for bytes and `{"$d": 1}` for a date."""

from __future__ import annotations

import json
from typing import Any

from bson.datetime_ms import DatetimeMS


def value_of(data: bytes) -> Any:
    text = data.decode(errors="surrogateescape")
    try:
        return json.loads(text, object_hook=_object)
    except (ValueError, RecursionError):
        return text


def _object(found: dict[str, Any]) -> Any:
    if list(found) == ["$b"]:
        return str(found["$b"]).encode("utf-8", "surrogateescape")
    if list(found) == ["$d"] and type(found["$d"]) is int and abs(found["$d"]) < 1 << 63:
        return DatetimeMS(found["$d"])  # BSON holds an integer there, never a boolean
    return found


SCRAPS = (
    b"", b"null", b"true", b"0", b"-1", b"1", b"1.5", b"1e400", b"NaN", b"9223372036854775808", b"9" * 400, b'""',
    b'"x"', b'"5"',
    b'"\\ud800"', b"[]", b"{}", b"[1]", b"[{}]", b'[{"code":"x"}]', b'{"$b":"seven b"}', b'{"$b":""}', b'{"$d":0}',
    b'{"$d":-3600000}',
    b'{"$d":1741597200000}', b'{"$d":99999999999999}', b"\xff", b",", b":", b"{", b"}", b"[", b"]",
)  # fmt: skip
