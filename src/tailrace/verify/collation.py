"""Ours and the stored documents, both in order of `_id`, side by side in one pass (see `proof` for how reads are made).

Memory: our documents twice, and one batch of the cursor, whatever lies in the collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import cast

from bson import ObjectId
from pymongo.asynchronous.cursor import AsyncRawBatchCursor

from tailrace.ingest.mongo.connection import Collection, Document
from tailrace.ingest.mongo.proof import ID, raw_range, split
from tailrace.streams.compare import differing_field
from tailrace.verify.values import values_of

_KEPT = 8  # ids of extra documents, and pairs of values, that are remembered


@dataclass(slots=True)
class Collation:
    """`missing`, `different` (with the first differing field): indices of ours. What is in neither is stored and equal.

    `values`: of the first that differ, our value and the stored one as text. `extra` counts documents in the ranges
    that are not ours, `extra_ids` are the first of them.
    """

    missing: list[int] = field(default_factory=list)
    different: dict[int, str] = field(default_factory=dict)
    values: dict[int, tuple[str, str]] = field(default_factory=dict)
    extra: int = 0
    extra_ids: list[bytes] = field(default_factory=list)


class Merge:
    """The pass itself, without I/O. `ours`: BSON in order of `_id`; the same `_id` may come several times
    (content identity), then each is compared. `feed` whole documents in order, then `finish`."""

    def __init__(self, ours: Sequence[bytes], ignore: frozenset[str]) -> None:
        self._ours = ours
        self._ignore = ignore
        ids = [document[ID] for document in ours]
        # A repeated id stands once in the collection: its bytes would not continue ours.
        self._joined = b"" if any(a == b for a, b in pairwise(ids)) else b"".join(ours)
        self._equal_to = 0  # in _joined: all before it was fed byte for byte
        self._next = 0  # index of the first of ours that is not settled; `_at` is its place in _joined
        self._at = 0
        self._result = Collation()

    def feed(self, batch: bytes) -> None:
        """A batch that continues ours byte for byte costs one comparison, and no document is looked at."""
        if batch and self._joined.startswith(batch, self._equal_to):
            self._equal_to += len(batch)
            return
        while self._at < self._equal_to:
            self._advance()
        for document in split(batch):
            self._one(document)
        self._equal_to = self._at

    def finish(self) -> Collation:
        while self._at < self._equal_to:
            self._advance()
        self._result.missing += range(self._next, len(self._ours))
        return self._result

    def _one(self, document: bytes) -> None:
        ours, key, result = self._ours, document[ID], self._result
        while self._next < len(ours) and ours[self._next][ID] < key:
            result.missing.append(self._next)
            self._advance()
        if self._next == len(ours) or ours[self._next][ID] != key:
            result.extra += 1
            if len(result.extra_ids) < _KEPT:
                result.extra_ids.append(key)
            return
        while self._next < len(ours) and ours[self._next][ID] == key:
            name = differing_field(ours[self._next], document, self._ignore)
            if name is not None:
                result.different[self._next] = name
                if len(result.values) < _KEPT:
                    result.values[self._next] = values_of(name, ours[self._next], document)
            self._advance()

    def _advance(self) -> None:
        self._at += len(self._ours[self._next])
        self._next += 1


async def collate(
    collection: Collection,
    ours: Sequence[bytes],
    ranges: Iterable[tuple[bytes, bytes]],
    ignore: frozenset[str],
    *,
    deep: bool = True,
) -> Collation:
    """Compare `ours` (ascending `_id`) with what lies in `ranges` (inclusive, ascending, disjoint, covering ours).

    Not `deep`: only ids are read and compared. Raises what the driver raises; safe to repeat.
    """
    merge = Merge(ours if deep else [_stub(document) for document in ours], ignore)
    for begin, end in ranges:
        async with (raw_range if deep else _raw_ids)(collection, begin, end) as batches:
            async for batch in batches:
                merge.feed(cast("bytes", batch))  # the driver's types say that a raw batch is a document
    return merge.finish()


def _stub(document: bytes) -> bytes:
    """The document with no field but its `_id`, as a projection returns it."""
    return b"\x16\0\0\0\x07_id\0" + document[ID] + b"\0"


def _raw_ids(collection: Collection, begin: bytes, end: bytes) -> AsyncRawBatchCursor[Document]:
    query = {"_id": {"$gte": ObjectId(begin), "$lte": ObjectId(end)}}
    return collection.find_raw_batches(query, {"_id": 1}, sort=[("_id", 1)])
