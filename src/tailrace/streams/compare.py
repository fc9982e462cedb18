"""Is the stored document the one that we would write? Compared as bytes, field by field of the top level.

Bytes and not values: 1.10 and 1.1, int32 and int64, -0.0 and 0.0 are different documents. Fields that only the
stored document has are somebody else's and say nothing. The walk knows the sizes of all BSON types
(bsonspec.org, version 1.1), also those that tailrace never writes: anybody may have added a field.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

_int32 = Struct("<i").unpack_from

_FIXED = {
    0x01: 8,  # double
    0x06: 0,  # undefined (deprecated)
    0x07: 12,  # ObjectId
    0x08: 1,  # bool
    0x09: 8,  # date
    0x0A: 0,  # null
    0x10: 4,  # int32
    0x11: 8,  # timestamp
    0x12: 8,  # int64
    0x13: 16,  # decimal128
    0x7F: 0,  # max key
    0xFF: 0,  # min key
}
_SIZED = {
    # Bytes that a value takes beyond its leading int32 length.
    0x02: 4,  # string
    0x03: 0,  # document: its length counts itself
    0x04: 0,  # array, likewise
    0x05: 5,  # binary: a subtype byte
    0x0C: 16,  # DBPointer (deprecated): a string and an ObjectId
    0x0D: 4,  # code
    0x0E: 4,  # symbol (deprecated)
    0x0F: 0,  # code with scope: its length counts itself
}
_REGEX = 0x0B


def differing_field(ours: bytes, stored: bytes, ignore: frozenset[str] = frozenset()) -> str | None:
    """The first top-level field of `ours` whose type or value `stored` has otherwise or not at all.

    None: they agree but for fields in `ignore`. Raises ValueError when either is not whole BSON.
    """
    if ours == stored:
        return None
    theirs = dict(elements(stored))
    for name, element in elements(ours):
        if theirs.get(name) != element and name.decode() not in ignore:
            return name.decode()
    return None


def elements(document: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and raw element (type byte and value) of each top-level field, in order."""
    end = len(document) - 1
    if end < 4 or _int32(document)[0] != len(document) or document[end]:
        raise ValueError("not a whole BSON document")
    at = 4
    while at < end:
        kind = document[at]
        name_end = document.index(0, at + 1)
        start = name_end + 1
        stop = start + _size(document, kind, start)
        if not start <= stop <= end:
            raise ValueError("not a whole BSON document")
        yield document[at + 1 : name_end], document[at : at + 1] + document[start:stop]
        at = stop


def _size(document: bytes, kind: int, start: int) -> int:
    if (size := _FIXED.get(kind)) is not None:
        return size
    if (beyond := _SIZED.get(kind)) is not None:
        if start + 4 > len(document):
            raise ValueError("not a whole BSON document")
        size = int(_int32(document, start)[0]) + beyond
        if size < 4:
            raise ValueError("not a whole BSON document")
        return size
    if kind == _REGEX:  # two zero-terminated strings
        return document.index(0, document.index(0, start) + 1) + 1 - start
    raise ValueError(f"unknown BSON type 0x{kind:02x}")
