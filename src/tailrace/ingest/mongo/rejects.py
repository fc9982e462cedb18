"""`<collection>.rejects`: what could not become a document, kept aside whole with its reason.

    _id: <20 bytes>                      head: source, file, place, reason, detail, and the first part of the bytes
    _id: <20 bytes> <4-byte number >= 1>  further parts, of at most 8 MiB before compression: {reject, part, bytes}

Parts are stored first and the head last, so a head proves its parts: if we die between, the parts lie there
unseen until the line is read again and finds them equal. Deleting goes the other way round. The `_id` is a function
of place and bytes (`identity.reject_id`): storing the same reject again changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import zstandard
from bson import Int64
from pymongo import ReplaceOne

from tailrace.errors import FileRewritten
from tailrace.identity import position_id, reject_id
from tailrace.ingest.mongo.connection import Collection, Document, hour_date
from tailrace.ingest.mongo.replies import DETAIL_LIMIT
from tailrace.ingest.mongo.retrying import Retrier
from tailrace.model import Life, LongLine, Reason, Reject

PART_SIZE = 8 * 1024 * 1024
"""Bytes of a part before compression: what does not compress still fits a document of 16 MiB."""

_LEVEL = 3  # zstd's default: JSON shrinks to a quarter, at hundreds of MB a second
_BATCH_DOCUMENTS = 1_000
_BATCH_BYTES = 16 * 1024 * 1024


class RejectStore:
    """Writes rejects of one collection; retries without limit."""

    def __init__(self, rejects: Collection, retrier: Retrier) -> None:
        self._collection = rejects
        self._retrier = retrier

    async def keep(self, life: Life, rejects: Sequence[Reject]) -> None:
        """Durable, every one of them, when it returns."""
        for batch in _batches(rejects):
            heads = []
            for reject in batch:
                parts = [reject.data[at : at + PART_SIZE] for at in range(0, len(reject.data), PART_SIZE)] or [b""]
                key = reject_id(position_id(life.prefix, reject.start, reject.index), reject.data)
                for number, part in enumerate(parts[1:], start=1):
                    await self._put([part_document(key, number, await asyncio.to_thread(_compress, part))])
                heads.append((key, reject, len(parts), parts[0]))
            documents = await asyncio.to_thread(
                lambda heads=heads: [  # type: ignore[misc]  # bound now: the loop moves on
                    head_document(key, life, reject, size=len(reject.data), parts=count, packed=_compress(first))
                    for key, reject, count, first in heads
                ]
            )
            await self._put(documents)

    async def keep_long_line(self, line: LongLine) -> None:
        """Reads the line twice: once for its `_id` and size, once for its parts; two parts are in memory at most.

        Raises OSError or FileRewritten when the bytes are gone or changed between the two.
        """
        digest, size = await asyncio.to_thread(_digest, line.blocks())
        life, span = line.span.life, line.span
        key = position_id(life.prefix, span.start) + digest
        count = max(1, -(-size // PART_SIZE))
        reject = Reject(
            start=span.start,
            end=span.end,
            index=0,
            reason=Reason.TOO_LONG,
            detail=f"{size} bytes in one line (setting max_line_bytes)",
            data=b"",
        )
        again = blake2b(digest_size=8)
        packed_first = b""
        parts = _parts(line.blocks())
        for number in range(count):
            part = await asyncio.to_thread(next, parts, b"")
            again.update(part)
            packed = await asyncio.to_thread(_compress, part)
            if number == 0:
                packed_first = packed
            else:
                await self._put([part_document(key, number, packed)])
        if again.digest() != digest or await asyncio.to_thread(next, parts, None) is not None:
            raise FileRewritten(f"{life.path} changed while its line at offset {span.start} was kept aside")
        await self._put([head_document(key, life, reject, size=size, parts=count, packed=packed_first)])

    async def _put(self, documents: list[Document]) -> None:
        """Replace or insert by `_id`. Acknowledged with the configured concern also where nothing changed, so a
        reject that is there already is durable when this returns."""
        requests = [ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in documents]
        await self._retrier.call(lambda: self._collection.bulk_write(requests, ordered=False), "keeping rejects aside")


def head_document(key: bytes, life: Life, reject: Reject, *, size: int, parts: int, packed: bytes) -> Document:
    """`packed`: the first part, compressed. `size`: bytes of the whole, uncompressed."""
    return {
        "_id": key,
        "source": life.source,
        "family": life.family,
        "path": life.path,
        "hour": hour_date(life.hour),
        "prefix": life.prefix,
        "start": Int64(reject.start),
        "end": Int64(reject.end),
        "index": reject.index,
        "reason": reject.reason.value,
        "detail": reject.detail[:DETAIL_LIMIT],
        "size": Int64(size),
        "encoding": "zstd",
        "parts": parts,
        "bytes": packed,
    }


def part_document(key: bytes, number: int, packed: bytes) -> Document:
    """Part `number` (from 1) of the reject `key`."""
    return {"_id": part_id(key, number), "reject": key, "part": number, "bytes": packed}


def part_id(key: bytes, number: int) -> bytes:
    return key + number.to_bytes(4, "big")


def unpack(packed: bytes) -> bytes:
    """The bytes of one part. Raises zstandard.ZstdError when they are not what we stored."""
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=PART_SIZE)


def _compress(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=_LEVEL).compress(data)


def _digest(blocks: Iterator[bytes]) -> tuple[bytes, int]:
    digest = blake2b(digest_size=8)  # as identity.reject_id, over a line that is never in memory whole
    size = 0
    for block in blocks:
        digest.update(block)
        size += len(block)
    return digest.digest(), size


def _parts(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Blocks of any sizes, cut anew at PART_SIZE."""
    kept = bytearray()
    for block in blocks:
        kept += block
        while len(kept) >= PART_SIZE:
            yield bytes(kept[:PART_SIZE])
            del kept[:PART_SIZE]
    if kept:
        yield bytes(kept)


def _batches(rejects: Sequence[Reject]) -> Iterator[list[Reject]]:
    batch: list[Reject] = []
    size = 0
    for reject in rejects:
        weight = min(len(reject.data), PART_SIZE)
        if batch and (len(batch) == _BATCH_DOCUMENTS or size + weight > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(reject)
        size += weight
    if batch:
        yield batch
