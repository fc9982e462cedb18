"""A checkpoint and its form as a row of the state database. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from operator import attrgetter
from types import NoneType
from typing import Any

from tailrace.identity import PREFIX_SIZE
from tailrace.model import Offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where one life may be resumed, and the file as it was last seen.

    Invariant: every entry of `[start, offset)` is durably in MongoDB, and the counts are those of that range.
    `checksum`: of the documents of that range, None where a version without it began to count (`model.Totals`).
    `guard`: digest of the bytes before `offset`, opaque here. `size`: bytes on disk. `finished`: sealed, read to its
    end. Other fields as in `model.Life` and `model.SourceFile`.
    """

    prefix: bytes
    fingerprint: bytes
    source: str
    path: str
    hour: int
    number: int
    salt: int
    start: Offset
    offset: Offset
    guard: bytes
    device: int
    inode: int
    size: int
    mtime_ns: int
    finished: bool
    compression: str
    lines: int
    inserted: int
    duplicates: int
    rejected: int
    checksum: int | None

    def __post_init__(self) -> None:
        if len(self.prefix) != PREFIX_SIZE or not 0 <= self.start <= self.offset:
            raise ValueError(f"not a checkpoint: {self}")


FIELDS = tuple(field.name for field in fields(Checkpoint))
"""The columns of a checkpoint, in the order of `row_of`; the namespace comes before them, the row's digest after."""

_UNSIGNED = ("device", "inode")  # 64 bits each, which SQLite has only signed: kept as two's complement
_FINISHED = FIELDS.index("finished")
_TYPES = {
    field.name: {"bytes": (bytes,), "str": (str,), "int | None": (int, NoneType)}.get(str(field.type), (int,))
    for field in fields(Checkpoint)
}
_values = attrgetter(*FIELDS)  # astuple copies deeply: 45 us a row


def row_of(namespace: str, checkpoint: Checkpoint) -> tuple[object, ...]:
    """(namespace, *FIELDS, digest)."""
    values: list[Any] = list(_values(checkpoint))
    for name in _UNSIGNED:
        index = FIELDS.index(name)
        values[index] = int.from_bytes(values[index].to_bytes(8, "big"), "big", signed=True)
    values[_FINISHED] = int(checkpoint.finished)
    return namespace, *values, _digest((namespace, *values))


def checkpoint_of(row: Sequence[Any]) -> Checkpoint:
    """The inverse of `row_of`. ValueError when the row differs in any bit from what was written."""
    *written, digest = row
    named = dict(zip(FIELDS, written[1:], strict=True))
    if digest != _digest(written):
        raise ValueError(f"the row of {named['path']!r} differs from what was written")
    # The digest is of what the values print as: 5 and "5" have one. SQLite keeps any type in any column.
    if not all(isinstance(value, _TYPES[name]) for name, value in named.items()):
        raise ValueError(f"the row of {named['path']!r} holds a value of a type that was not written")
    for name in _UNSIGNED:
        named[name] %= 1 << 64
    named["finished"] = bool(named["finished"])
    return Checkpoint(**named)


def with_checksum(row: Sequence[Any]) -> tuple[object, ...]:
    """A row of version 1, which had no `checksum`, as a row of version 2. ValueError as `checkpoint_of`."""
    *written, digest = row
    if len(written) != len(FIELDS) or digest != _digest(written):
        raise ValueError(f"the row of {written[1 + FIELDS.index('path')]!r} differs from what was written")
    values = (*written, None)
    return *values, _digest(values)


def _digest(values: Sequence[object]) -> bytes:
    """8 bytes of blake2b over the length-prefixed values."""
    digest = blake2b(digest_size=8, person=b"tailrace row")
    for value in values:
        part = value if isinstance(value, bytes) else str(value).encode()
        digest.update(b"%d:%b," % (len(part), part))
    return digest.digest()
