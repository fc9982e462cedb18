"""What of our documents does the collection hold? Proven by reading, never assumed (invariant 4).

Reads come from the primary with read concern majority, whatever the URI says: a default read has shown documents
that a failover then rolled back. Ranges of `_id`, never `$in`, which scans a clustered collection whole. Raw
batches are walked and compared as bytes; memory is one batch of the cursor.

A proof says what a majority holds in memory, not what is in the journal: see the hazard in `ledger.Ledger.fence`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

from bson import ObjectId
from pymongo import ReadPreference
from pymongo.asynchronous.cursor import AsyncRawBatchCursor
from pymongo.read_concern import ReadConcern

from tailrace.identity import PREFIX_SIZE
from tailrace.ingest.mongo.connection import Collection
from tailrace.streams.compare import differing_field

ID = slice(9, 21)
"""Where the 12 bytes of `_id` lie in a document: after its length (4), the type (1) and the name "_id\\0" (4)."""

CONTENT_GAP = 60
"""Seconds. Content ids further apart than this are read as two ranges: what others stored in between is not read.
A smaller gap makes more round trips where a market is quiet, a larger one reads more of the others' documents."""

_length = Struct("<i").unpack_from
_MAJORITY = ReadConcern("majority")


@dataclass(slots=True)
class Proof:
    """Every document of the question is in exactly one of the three. `different`: the first differing field."""

    equal: set[bytes] = field(default_factory=set)
    different: dict[bytes, str] = field(default_factory=dict)
    absent: dict[bytes, bytes] = field(default_factory=dict)


def ranges_of(ids: Sequence[bytes], *, gap: int = CONTENT_GAP) -> list[tuple[bytes, bytes]]:
    """Inclusive ranges that cover the ascending `ids`. Pure.

    One range while the hour or event second (bytes 0..3) of neighbours is at most `gap` apart, and so one for
    the position ids of one life.
    """
    ranges: list[tuple[bytes, bytes]] = []
    begin = last = None
    for current in ids:
        if begin is None or last is None:
            begin = current
        elif _seconds(current) - _seconds(last) > gap:
            ranges.append((begin, last))
            begin = current
        last = current
    if begin is not None and last is not None:
        ranges.append((begin, last))
    return ranges


async def prove(collection: Collection, ours: Mapping[bytes, bytes], ignore: frozenset[str]) -> Proof:
    """Classify each of our documents (bytes by id). Raises what the driver raises; safe to repeat.

    `ignore`: fields in which the stored document may differ (`Schema.compared`).
    """
    proof = Proof(absent=dict(ours))
    for begin, end in ranges_of(sorted(ours)):
        async with raw_range(collection, begin, end) as batches:
            async for batch in batches:
                for document in split(batch):
                    _classify(proof, document, ignore)
    return proof


def _classify(proof: Proof, document: bytes, ignore: frozenset[str]) -> None:
    key = document[ID]
    mine = proof.absent.pop(key, None)
    if mine is None:
        return  # somebody else's
    different = None if mine == document else differing_field(mine, document, ignore)
    if different is None:
        proof.equal.add(key)
    else:
        proof.different[key] = different


def raw_range(collection: Collection, begin: bytes, end: bytes) -> AsyncRawBatchCursor[Any]:
    """Raw batches (see `split`) of the documents with `begin <= _id <= end`, in order of `_id`. Use `async with`."""
    majority = collection.with_options(read_preference=ReadPreference.PRIMARY, read_concern=_MAJORITY)
    query = {"_id": {"$gte": ObjectId(begin), "$lte": ObjectId(end)}}
    # The driver's types say documents; what comes is bytes (PyMongo: AsyncRawBatchCursor).
    return majority.find_raw_batches(query, sort=[("_id", 1)])


def split(batch: bytes) -> Iterator[bytes]:
    """The documents of a raw batch."""
    at = 0
    while at < len(batch):
        end = at + _length(batch, at)[0]
        yield batch[at:end]
        at = end


async def highest_id(collection: Collection, prefix: bytes) -> bytes | None:
    """The greatest position id that is stored of a life, or None."""
    room = 12 - PREFIX_SIZE
    query = {"_id": {"$gte": ObjectId(prefix + bytes(room)), "$lte": ObjectId(prefix + b"\xff" * room)}}
    majority = collection.with_options(read_preference=ReadPreference.PRIMARY, read_concern=_MAJORITY)
    document = await majority.find_one(query, {"_id": 1}, sort=[("_id", -1)])
    if document is None:
        return None
    found: ObjectId = document["_id"]
    return found.binary


def _seconds(key: bytes) -> int:
    return int.from_bytes(key[:4], "big")
