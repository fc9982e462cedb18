"""A strict BSON reader of forty lines, written from the specification (bsonspec.org): an oracle that shares no code
with the driver, and hides nothing that the driver would (int32 or int64, a DBRef made of an object)."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple


class Element(NamedTuple):
    """`value`: of an array or document its elements; of a date milliseconds; of an id or decimal its bytes."""

    kind: str
    name: str
    value: Any


_SIZED = {0x01: ("double", "<d"), 0x09: ("date", "<q"), 0x10: ("int32", "<i"), 0x12: ("int64", "<q")}
_BYTES = {0x07: ("id", 12), 0x13: ("decimal", 16)}


def elements_of(document: bytes) -> list[Element]:
    """The elements of a whole document. AssertionError unless every byte is as the specification says."""
    found, end = _document(document, 0)
    assert end == len(document), "bytes after the document"
    return found


def _document(data: bytes, at: int) -> tuple[list[Element], int]:
    (length,) = struct.unpack_from("<i", data, at)
    end = at + length
    assert at + 5 <= end <= len(data), "a length beyond the data"
    assert data[end - 1] == 0, "no final zero"
    at += 4
    found = []
    while at < end - 1:
        kind = data[at]
        zero = data.index(b"\0", at + 1)
        name = data[at + 1 : zero].decode()
        element, at = _element(kind, name, data, zero + 1)
        found.append(element)
    assert at == end - 1, "an element runs over the end"
    return found, end


def _element(kind: int, name: str, data: bytes, at: int) -> tuple[Element, int]:
    if kind in _SIZED:
        word, form = _SIZED[kind]
        return Element(word, name, struct.unpack_from(form, data, at)[0]), at + struct.calcsize(form)
    if kind in _BYTES:
        word, size = _BYTES[kind]
        return Element(word, name, data[at : at + size]), at + size
    if kind == 0x0A:
        return Element("null", name, None), at
    if kind == 0x08:
        assert data[at] in (0, 1), "a boolean that is neither"
        return Element("bool", name, data[at] == 1), at + 1
    if kind == 0x02:
        (size,) = struct.unpack_from("<i", data, at)
        assert size > 0, "a text without its final zero"
        assert data[at + 4 + size - 1] == 0, "a text without its final zero"
        return Element("text", name, data[at + 4 : at + 4 + size - 1].decode()), at + 4 + size
    assert kind in (0x03, 0x04), f"type {kind:#x}, which no line becomes"
    inner, end = _document(data, at)
    if kind == 0x04:
        assert [element.name for element in inner] == [str(index) for index in range(len(inner))], "an array's names"
    return Element("object" if kind == 0x03 else "array", name, inner), end
