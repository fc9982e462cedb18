"""The two values of a field that differs, each as one short line of text. Pure.

What makes them differ stays in view: of long values the part around the first difference is shown, and of values that
read alike (1 as int32 and as int64) the types.
"""

from __future__ import annotations

import json
from typing import Any

import bson
from bson import Decimal128
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from bson.int64 import Int64

from tailrace.streams.compare import elements

WIDTH = 48
"""Characters of a value at most."""

_BEFORE = 8  # characters kept before the first difference
_ABSENT = "(no such field)"
_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
_TYPES: dict[type, str] = {int: "int32", Int64: "int64", float: "double", str: "string", Decimal128: "decimal"}


def values_of(name: str, ours: bytes, stored: bytes) -> tuple[str, str]:
    """The field's value in two documents (BSON). For people only: nothing is concluded from the text."""
    one, other = _value(name, ours), _value(name, stored)
    texts = _text(one), _text(other)
    if texts[0] == texts[1] or type(one) is not type(other):
        texts = _with_type(one, texts[0]), _with_type(other, texts[1])
    return shortened(*texts)


def shortened(one: str, other: str, width: int = WIDTH) -> tuple[str, str]:
    """Both cut to `width` around the first character in which they differ."""
    if max(len(one), len(other)) <= width:
        return one, other
    same = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    begin = max(0, min(same - _BEFORE, max(len(one), len(other)) - width + 3))
    return _window(one, begin, width), _window(other, begin, width)


def _window(text: str, begin: int, width: int) -> str:
    head = "..." if begin else ""
    rest = text[begin:]
    return head + (rest if len(head + rest) <= width else rest[: width - len(head) - 3] + "...")


def _value(name: str, document: bytes) -> Any:
    try:
        for key, element in elements(document):
            if key == name.encode():
                body = element[:1] + b"v\0" + element[1:]
                return bson.decode((len(body) + 5).to_bytes(4, "little") + body + b"\0", _OPTIONS)["v"]
    except (BSONError, ValueError):  # somebody's value that the driver cannot read
        return "(unreadable)"
    return Missing


class Missing:
    """Stands for the value of a field that is not there."""


def _text(value: Any) -> str:
    if value is Missing:
        return _ABSENT
    return (
        json.dumps(value, default=_plain, separators=(",", ":")) if isinstance(value, dict | list) else _scalar(value)
    )


def _scalar(value: Any) -> str:
    plain = _plain(value)
    return json.dumps(plain) if isinstance(value, str) or not isinstance(plain, str) else plain


def _plain(value: Any) -> Any:
    """What JSON can hold. Everything else as ASCII on one line: a terminal obeys nothing of it."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, DatetimeMS):
        return _moment(value)
    return ascii(value) if not isinstance(value, Decimal128) else str(value)


def _moment(value: DatetimeMS) -> str:
    try:
        return f"{value.as_datetime().replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
    except (OverflowError, ValueError, BSONError):  # beyond the years that Python knows
        return f"{int(value)} ms"


def _with_type(value: Any, text: str) -> str:
    kind = _TYPES.get(type(value))
    return text if kind is None else f"{kind} {text}"
