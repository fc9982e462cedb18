"""Why an entry or a line is kept aside. The slow half of the codec: asked only when the fast half failed.

Clear and whole: every check of the design, one pass over the value for each reason, in the order of precedence, so that
the first fault found is the reason. It shares the schema with the fast half, and no code that reads values. The
property test holds them together: the fast half succeeds exactly when there is no fault here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from tailrace.model import Identity, Reason
from tailrace.streams.decimals import DIGIT_LIMIT, digits_of
from tailrace.streams.schema import BLOCK_FIELDS, EVENTS, WRAPPER, EntryShape, Field, Kind, Schema
from tailrace.streams.times import FORM, INT64_MAX, INT64_MIN, MILLISECOND, SECOND, nanoseconds

BLANK = b" \t\r"
"""What a blank line may hold."""


class Fault(NamedTuple):
    """A reason and where it lies. The detail is for people and no part of any promise."""

    reason: Reason
    detail: str


# A string (also one that never ends), or a run of all that numbers are made of. Possessive: linear on any bytes.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[-+.0-9eE]++', re.DOTALL)
_HUGE = re.compile(rb"-?[1-9][0-9]{19,}")
_lenient = msgspec.json.Decoder(float_hook=float)
_JSON_NAMES = {dict: "object", list: "array", str: "string", int: "integer", float: "number", bool: "boolean"}


def parse(line: bytes) -> Any:
    """The line's value when it is JSON, whatever the size of its numbers. Raises msgspec.DecodeError when not.

    A number beyond a double comes out infinite, an integer beyond int64 as some integer beyond int64.
    `line` is UTF-8 and nests at most LINE_DEPTH_LIMIT.
    """
    try:
        return _lenient.decode(line)
    except msgspec.ValidationError:  # an integer of thousands of digits, and maybe worse after it
        return _lenient.decode(_TOKEN.sub(_shortened, line))


def _shortened(token: re.Match[bytes]) -> bytes:
    return b"9223372036854775808" if _HUGE.fullmatch(token[0]) else token[0]


def names_reserved(name: str) -> bool:
    """Whether tailrace itself writes fields of such names, so that no entry may bring one."""
    return name == "_id" or name.endswith("_ns") or name in BLOCK_FIELDS


def entry_fault(entry: Any, schema: Schema, identity: Identity, carried: frozenset[str]) -> Fault | None:
    """The first fault of an entry of a line whose wrapper is sound; `carried`: unknown fields of the wrapper."""
    members, given = entry, frozenset[str]()
    if schema.shape is EntryShape.FILL:
        if not (type(entry) is list and len(entry) == 2 and type(entry[0]) is str and type(entry[1]) is dict):
            return Fault(Reason.TYPE, "the entry is not a pair of a user and an object")
        members, given = entry[1], frozenset({"user"})
    elif type(entry) is not dict:
        return Fault(Reason.TYPE, f"the entry is not an object but {_json_name(entry)}")
    taken = carried | given
    return (
        _first(Reason.MISSING, _missing(schema.fields, members))
        or _first(Reason.TYPE, _mistyped(schema.fields, members))
        or _first(Reason.RANGE, _out_of_range(schema.fields, members))
        or _first(Reason.RANGE, _huge(members))
        or _first(Reason.RANGE, _event_time(schema, identity, members))
        or _first(Reason.KEY, _zero_names(members))
        or _first(Reason.RESERVED_FIELD, (name for name in members if names_reserved(name) or name in taken))
        or _first(Reason.RESERVED_FIELD, iter(carried & given))
    )


def wrapper_fault(wrapper: Any) -> Fault | None:
    """The first fault of a wrapped line beside its entries."""
    if type(wrapper) is not dict:
        return Fault(Reason.TYPE, f"the line is not an object but {_json_name(wrapper)}")
    if EVENTS in wrapper and type(wrapper[EVENTS]) is not list:
        events = f"{EVENTS}: not an array but {_json_name(wrapper[EVENTS])}"
    else:
        events = ""
    beside = {name: value for name, value in wrapper.items() if name != EVENTS}
    return (
        _first(Reason.MISSING, _missing(WRAPPER, beside))
        or _first(Reason.MISSING, iter([] if EVENTS in wrapper else [f"{EVENTS}: missing"]))
        or _first(Reason.TYPE, _mistyped(WRAPPER, beside))
        or _first(Reason.TYPE, iter([events] if events else []))
        or _first(Reason.RANGE, _out_of_range(WRAPPER, beside))
        or _first(Reason.RANGE, _huge(beside))
        or _first(Reason.KEY, _zero_names(beside))
        or _first(Reason.RESERVED_FIELD, (n for n in beside if n not in BLOCK_FIELDS and names_reserved(n)))
    )


def _first(reason: Reason, details: Iterator[str]) -> Fault | None:
    for detail in details:
        return Fault(reason, detail)
    return None


def _json_name(value: Any) -> str:
    return _JSON_NAMES.get(type(value), "null")


def _missing(fields: tuple[Field, ...], members: dict[str, Any], path: str = "") -> Iterator[str]:
    for known in fields:
        if known.name not in members:
            if known.required:
                yield f"{path}{known.name}: missing"
            continue
        for place, inner in _objects(known, members[known.name], path):
            yield from _missing(known.fields, inner, place)


def _objects(known: Field, value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of known members that a field holds, whatever else it holds."""
    if known.kind is Kind.OBJECT and type(value) is dict:
        yield f"{path}{known.name}.", value
    elif known.kind is Kind.PAIR and type(value) is list:
        for index, element in enumerate(value):
            if type(element) is dict:
                yield f"{path}{known.name}[{index}].", element


def _mistyped(fields: tuple[Field, ...], members: dict[str, Any], path: str = "") -> Iterator[str]:
    for known in fields:
        if known.name not in members:
            continue
        value = members[known.name]
        if value is None and not known.required:
            continue
        if not _is_of(known.kind, value):
            yield f"{path}{known.name}: not {known.kind.replace('_', ' ')} but {_json_name(value)}"
        for place, inner in _objects(known, value, path):
            yield from _mistyped(known.fields, inner, place)


def _is_of(kind: Kind, value: Any) -> bool:
    match kind:
        case Kind.TEXT:
            return type(value) is str
        case Kind.INTEGER | Kind.MILLIS:
            return type(value) is int
        case Kind.BOOLEAN:
            return type(value) is bool
        case Kind.DECIMAL:
            return type(value) is str and digits_of(value) is not None
        case Kind.TIME:
            return type(value) is str and FORM.fullmatch(value) is not None
        case Kind.TEXT_OR_OBJECT:
            return type(value) in (str, dict)
        case Kind.OBJECT:
            return type(value) is dict
        case Kind.PAIR:
            return type(value) is list and len(value) == 2 and all(type(element) is dict for element in value)


def _out_of_range(fields: tuple[Field, ...], members: dict[str, Any], path: str = "") -> Iterator[str]:
    """Texts of the right form that say what cannot be. Asked when all types are right."""
    for known in fields:
        value = members.get(known.name)
        if value is None:
            continue
        if known.kind is Kind.DECIMAL and (digits_of(value) or 0) > DIGIT_LIMIT:
            yield f"{path}{known.name}: over {DIGIT_LIMIT} digits"
        elif known.kind is Kind.TIME and not _exists(value):
            yield f"{path}{known.name}: no such time, or not in the years 1677 to 2262"
        elif known.kind is Kind.MILLIS and not INT64_MIN <= value * MILLISECOND <= INT64_MAX:
            yield f"{path}{known.name}: not in the years 1677 to 2262"
        for place, inner in _objects(known, value, path):
            yield from _out_of_range(known.fields, inner, place)


def _exists(text: str) -> bool:
    match = FORM.fullmatch(text)
    if match is None:
        return False
    try:
        datetime(*(int(part) for part in match.groups()[:6]))  # type: ignore[arg-type]  # noqa: DTZ001  # six parts, UTC
    except ValueError:
        return False
    return INT64_MIN <= nanoseconds(text) <= INT64_MAX


def _huge(value: Any, path: str = "") -> Iterator[str]:
    """Numbers that no BSON number holds, however deep."""
    if type(value) is dict:
        for name, inner in value.items():
            yield from _huge(inner, f"{path}.{name}" if path else name)
    elif type(value) is list:
        for index, inner in enumerate(value):
            yield from _huge(inner, f"{path}[{index}]")
    elif type(value) is int and not INT64_MIN <= value <= INT64_MAX:
        yield f"{path}: an integer over 64 bits"
    elif type(value) is float and math.isinf(value):
        yield f"{path}: a number over the range of a double"


def _event_time(schema: Schema, identity: Identity, members: dict[str, Any]) -> Iterator[str]:
    """Content identity has four bytes for the seconds of the event."""
    if identity is Identity.CONTENT and schema.event_time is not None:
        value = members[schema.event_time]
        seconds = value // 1000 if type(value) is int else nanoseconds(value) // SECOND
        if not 0 <= seconds < 1 << 32:
            yield f"{schema.event_time}: not in the years 1970 to 2106"


def _zero_names(value: Any) -> Iterator[str]:
    if type(value) is dict:
        for name, inner in value.items():
            if "\0" in name:
                yield f"{name!a}: a zero byte in a field name"
            yield from _zero_names(inner)
    elif type(value) is list:
        for inner in value:
            yield from _zero_names(inner)
