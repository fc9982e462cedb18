"""JSON values -> BSON elements, by a schema's fields. The fast half of the codec.

A writer takes a value and gives its whole element: type byte, name, bytes (for a time: two elements). It raises
whatever comes first on a value that is not as the schema says; the caller then asks `faults` for the reason.
What no schema knows goes through the driver's own encoder, whose choice of types is the rule everywhere:
int32 when it fits, else int64; double; bool; null; string; array; document.

The shape of an object (its names, in order) is judged once and remembered, its values each time: names cost
next to nothing in a stream whose lines look alike.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import call
from struct import Struct
from typing import Any

import bson

from tailrace.model import Numbers
from tailrace.streams.decimals import DIGIT_LIMIT, decimal128, digits_of
from tailrace.streams.schema import Field, Kind
from tailrace.streams.times import MILLISECOND, nanoseconds

Writer = Callable[[Any], bytes]

_int32 = Struct("<i").pack
_int64 = Struct("<q").pack
_double = Struct("<d").pack

_SHAPES = 1024  # remembered per object of a schema; dropped all together when there are more
_SHAPE_SIZE = 4096  # characters of names beyond which a shape is not worth remembering


class Unfit(Exception):
    """The value is not as the schema says. Says no more: the reason is asked for elsewhere."""


class ObjectWriter:
    """Writes the members of one object. `reserved` tells which names it must not have."""

    __slots__ = ("_known", "_plans", "_required", "_reserved")

    def __init__(self, fields: tuple[Field, ...], numbers: Numbers, reserved: Callable[[str], bool]) -> None:
        self._known = {known.name: writer_of(known, numbers) for known in fields}
        self._required = frozenset(known.name for known in fields if known.required)
        self._reserved = reserved
        self._plans: dict[tuple[str, ...], tuple[Writer, ...]] = {}

    def body(self, members: dict[str, Any]) -> bytes:
        """The elements of all members, in order. Raises any exception when there is something wrong."""
        plan = self._plans.get(tuple(members))
        if plan is None:
            plan = self._plan(members)
        if not self._known:
            return bson.encode(members)[4:-1]
        return b"".join(map(call, plan, members.values()))

    def _plan(self, members: dict[str, Any]) -> tuple[Writer, ...]:
        if type(members) is not dict or not self._required <= members.keys():
            raise Unfit
        if any("\0" in name or self._reserved(name) for name in members):
            raise Unfit
        plan = tuple(self._known.get(name) or as_it_is(name) for name in members)
        if sum(map(len, members)) <= _SHAPE_SIZE:
            if len(self._plans) >= _SHAPES:
                self._plans.clear()
            self._plans[tuple(members)] = plan
        return plan


def as_it_is(name: str) -> Writer:
    """For a member that no schema knows."""

    def write(value: Any) -> bytes:
        return bson.encode({name: value})[4:-1]

    return write


def writer_of(known: Field, numbers: Numbers) -> Writer:
    name = known.name
    null = b"" if known.required else _head(0x0A, name)  # what null becomes; empty: it is refused
    match known.kind:
        case Kind.TEXT:
            return _text(name, null)
        case Kind.INTEGER:
            return _integer(name, null)
        case Kind.BOOLEAN:
            return _boolean(name, null)
        case Kind.DECIMAL:
            return _DECIMALS[numbers](name, null)
        case Kind.TIME:
            return _time(name, null, nanoseconds)
        case Kind.MILLIS:
            return _time(name, null, _nanoseconds_of_millis)
        case Kind.TEXT_OR_OBJECT:
            return _text_or_object(name, null)
        case Kind.OBJECT:
            return _object(known, null, numbers)
        case Kind.PAIR:
            return _pair(known, null, numbers)


def _head(kind: int, name: str) -> bytes:
    return bytes((kind,)) + name.encode() + b"\0"


def _text(name: str, null: bytes) -> Writer:
    head = _head(0x02, name)
    heads = tuple(head + _int32(size) for size in range(256))  # ready made up to a length

    def write(value: Any) -> bytes:
        if value is None and null:
            return null
        raw: bytes = value.encode()  # of all that JSON can hold only a string has it
        size = len(raw) + 1
        return (heads[size] if size < 256 else head + _int32(size)) + raw + b"\0"

    return write


def _integer(name: str, null: bytes) -> Writer:
    short, long = _head(0x10, name), _head(0x12, name)

    def write(value: Any) -> bytes:
        if value is None and null:
            return null
        if type(value) is not int:  # a bool is an int to `pack`
            raise Unfit
        if -0x80000000 <= value <= 0x7FFFFFFF:
            return short + _int32(value)
        return long + _int64(value)

    return write


def _boolean(name: str, null: bytes) -> Writer:
    forms = {True: _head(0x08, name) + b"\1", False: _head(0x08, name) + b"\0"}

    def write(value: Any) -> bytes:
        if value is None and null:
            return null
        if type(value) is not bool:  # 1 and 1.0 are equal to True
            raise Unfit
        return forms[value]

    return write


def _decimal(name: str, null: bytes) -> Writer:
    head = _head(0x13, name)

    def write(value: Any) -> bytes:
        if value is None and null:
            return null
        return head + decimal128(value)

    return write


def _decimal_as_double(name: str, null: bytes) -> Writer:
    head = _head(0x01, name)

    def write(value: Any) -> bytes:
        if value is None and null:
            return null
        return head + _double(float(_checked(value)))

    return write


def _decimal_as_text(name: str, null: bytes) -> Writer:
    text = _text(name, null)

    def write(value: Any) -> bytes:
        return text(value if value is None else _checked(value))

    return write


_DECIMALS: dict[Numbers, Callable[[str, bytes], Writer]] = {
    Numbers.DECIMAL: _decimal,
    Numbers.DOUBLE: _decimal_as_double,
    Numbers.STRING: _decimal_as_text,
}


def _checked(value: Any) -> str:
    digits = digits_of(value)
    if digits is None or digits > DIGIT_LIMIT:
        raise Unfit
    return str(value)


def _time(name: str, null: bytes, read: Callable[[Any], int]) -> Writer:
    date, count = _head(0x09, name), _head(0x12, name + "_ns")
    pack = Struct(f"<{len(date)}sq{len(count)}sq").pack

    def write(value: Any) -> bytes:
        if value is None and null:
            return null
        since = read(value)
        return pack(date, since // MILLISECOND, count, since)  # floored, also before 1970

    return write


def _nanoseconds_of_millis(value: Any) -> int:
    if type(value) is not int:
        raise Unfit
    return value * MILLISECOND


def _text_or_object(name: str, null: bytes) -> Writer:
    text, other = _text(name, null), as_it_is(name)

    def write(value: Any) -> bytes:
        if type(value) is dict:
            return other(value)
        return text(value)

    return write


def _object(known: Field, null: bytes, numbers: Numbers) -> Writer:
    head = _head(0x03, known.name)
    members = ObjectWriter(known.fields, numbers, _nothing_reserved)

    def write(value: Any) -> bytes:
        if value is None and null:
            return null
        body = members.body(value)
        return head + _int32(len(body) + 5) + body + b"\0"

    return write


def _pair(known: Field, null: bytes, numbers: Numbers) -> Writer:
    head = _head(0x04, known.name)
    body = ObjectWriter(known.fields, numbers, _nothing_reserved).body

    def write(value: Any) -> bytes:
        if value is None and null:
            return null
        if type(value) is not list:
            raise Unfit
        first, second = value
        one, two = body(first), body(second)
        return b"".join(
            (head, _int32(len(one) + len(two) + 21),
             b"\x030\0", _int32(len(one) + 5), one, b"\0",
             b"\x031\0", _int32(len(two) + 5), two, b"\0\0"),
        )  # fmt: skip

    return write


def _nothing_reserved(_name: str) -> bool:
    return False
