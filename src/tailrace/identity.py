"""Identity: entry -> `_id`. Pure functions; known-answer tests hold every byte (design: Identity).

A position id is 12 bytes, a BSON ObjectId:

    0..3   hour of the file, epoch seconds UTC, big endian
    4..6   the first 24 bits of the life's fingerprint
    7..11  offset of the line's start in the uncompressed file + index of the entry in its line

An entry takes at least one byte of its line, so offset + index never reaches the next line. Five bytes of
place limit one life to 1 TiB. A content id has the event's epoch seconds in bytes 0..3 and 64 bits of
blake2b over the key fields in 4..11.

Changing any function here changes what is stored: raise `model.SCHEMA_VERSION`.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

HEAD_LIMIT = 64 * 1024
"""At most this many leading bytes of a file enter its fingerprint."""

PLACE_LIMIT = 1 << 40
"""Bytes that one life of a file can hold: places are five bytes."""

PREFIX_SIZE = 7
ID_SIZE = 12

_BLANK = b" \t\r\n"  # JSON's white space: what makes a line blank


def head_of(data: bytes, *, final: bool = False) -> bytes | None:
    """The leading lines of a file up to and including the first non-blank one, without its terminator.

    `data` is the beginning of the file, `HEAD_LIMIT` bytes of it suffice. None when they are not there yet;
    with `final` an unterminated first line counts as whole (`--once`, `backfill`: the newline that arrives
    later changes nothing).
    """
    data = data[:HEAD_LIMIT]
    first = len(data) - len(data.lstrip(_BLANK))
    if first == len(data):
        return data if len(data) == HEAD_LIMIT else None
    end = data.find(b"\n", first)
    if end >= 0:
        return data[:end]
    return data if final or len(data) == HEAD_LIMIT else None


def fingerprint(*, source: str, family: str, life: int, salt: int, head: bytes) -> bytes:
    """32 bytes of blake2b over the length-prefixed parts; `head` comes from `head_of`."""
    parts = (source.encode(), family.encode(), b"%d" % life, b"%d" % salt, head)
    return blake2b(_framed(parts), digest_size=32, person=b"tailrace life").digest()


def position_id(prefix: bytes, offset: int, index: int = 0) -> bytes:
    """`prefix`: the life's 7 bytes; `offset`: of the line's start, in bytes; `index`: of the entry in its line.

    Raises OverflowError past `PLACE_LIMIT`.
    """
    return prefix + (offset + index).to_bytes(5, "big")


def place_of(position: bytes) -> int:
    """Offset + index, from a position id."""
    return int.from_bytes(position[PREFIX_SIZE:ID_SIZE], "big")


def content_id(seconds: int, key: Iterable[str | int]) -> bytes:
    """`seconds`: the event's time, whole epoch seconds UTC, 0 <= seconds < 2**32 (else OverflowError).

    `key`: the stream's key fields in the schema's order; integers enter as decimal digits. Length-prefixed,
    so that no two keys run together.
    """
    parts = [part.encode() if isinstance(part, str) else b"%d" % part for part in key]
    return seconds.to_bytes(4, "big") + blake2b(_framed(parts), digest_size=8).digest()


def reject_id(position: bytes, data: bytes) -> bytes:
    """20 bytes: the position id of the line (or entry) and 8 bytes of blake2b of what is kept aside.

    The same reject again has the same `_id`: storing it twice is a no-op. Both identity modes.
    """
    return position + blake2b(data, digest_size=8).digest()


def _framed(parts: Iterable[bytes]) -> bytes:
    return b"".join(b"%d:%b," % (len(part), part) for part in parts)
