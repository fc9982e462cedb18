"""Reading rejects back: what `tailrace rejects list | show | replay` is made of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from pymongo import DESCENDING

from tailrace.errors import RuntimeFailure
from tailrace.ingest.mongo.connection import Collection, Document, hour_date, seconds_of
from tailrace.ingest.mongo.rejects import part_id, unpack
from tailrace.ingest.mongo.retrying import Retrier
from tailrace.model import Offset, Reason, Reject


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectHead:
    """One reject without its bytes. `hour` in epoch seconds; `size`: bytes, uncompressed; `parts` >= 1."""

    key: bytes
    source: str
    family: str
    path: str
    hour: int
    prefix: bytes
    start: int
    end: int
    index: int
    reason: Reason
    detail: str
    size: int
    parts: int

    def reject(self, data: bytes) -> Reject:
        return Reject(
            start=Offset(self.start),
            end=Offset(self.end),
            index=self.index,
            reason=self.reason,
            detail=self.detail,
            data=data,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectFilter:
    """All that are given must hold. `since`: hour of the file in epoch seconds, inclusive."""

    reasons: frozenset[Reason] = frozenset()
    since: int | None = None
    path: str | None = None
    source: str | None = None

    def query(self) -> Document:
        query: Document = {"reject": {"$exists": False}}  # heads, not parts
        if self.reasons:
            query["reason"] = {"$in": sorted(reason.value for reason in self.reasons)}
        if self.since is not None:
            query["hour"] = {"$gte": hour_date(self.since)}
        if self.path is not None:
            query["path"] = self.path
        if self.source is not None:
            query["source"] = self.source
        return query


class RejectReader:
    """Reads `handles.rejects`; every single read is retried, a listing that breaks in its middle goes on."""

    def __init__(self, rejects: Collection, retrier: Retrier) -> None:
        self._collection = rejects
        self._retrier = retrier

    async def find(self, which: RejectFilter, *, limit: int = 0, page: int = 500) -> AsyncIterator[RejectHead]:
        """Heads in order of place (hour, file, offset); `limit` 0 is all of them."""
        query = which.query()
        after = b""
        given = 0
        while True:
            size = page if not limit else min(page, limit - given)
            documents = await self._page({**query, "_id": {"$gt": after, "$lt": b"\xff" * 24}}, size)
            for document in documents:
                yield _head(document)
            given += len(documents)
            if len(documents) < size or given == limit:
                return
            after = bytes(documents[-1]["_id"])

    async def counts(self, which: RejectFilter) -> dict[Reason, int]:
        """How many by reason, the most frequent first."""
        pipeline: list[Document] = [
            {"$match": which.query()},
            {"$group": {"_id": "$reason", "count": {"$sum": 1}}},
            {"$sort": {"count": DESCENDING, "_id": 1}},
        ]

        async def attempt() -> list[Document]:
            return await (await self._collection.aggregate(pipeline)).to_list()

        rows = await self._retrier.call(attempt, "counting rejects")
        return {Reason(row["_id"]): int(row["count"]) for row in rows}

    async def get(self, key: bytes) -> RejectHead | None:
        """By the whole 20-byte `_id`."""
        documents = await self._page({"_id": key}, 1)
        return _head(documents[0]) if documents else None

    async def load_bytes(self, head: RejectHead) -> AsyncIterator[bytes]:
        """The kept bytes, part after part. Raises RuntimeFailure when a part is missing: somebody deleted it."""
        for number in range(head.parts):
            key = head.key if number == 0 else part_id(head.key, number)

            async def attempt(key: bytes = key) -> Document | None:
                return await self._collection.find_one({"_id": key}, {"bytes": 1})

            document = await self._retrier.call(attempt, "reading a reject")
            if document is None:
                raise RuntimeFailure(f"part {number} of reject {head.key.hex()} is missing: it was deleted")
            yield unpack(bytes(document["bytes"]))

    async def delete(self, heads: Iterable[RejectHead]) -> None:
        """Heads first, then parts: what is cut short leaves parts that nobody sees, never a head without bytes."""
        gone = list(heads)
        keys = [head.key for head in gone]
        parts = [part_id(head.key, number) for head in gone for number in range(1, head.parts)]
        for batch in (keys, parts):
            for first in range(0, len(batch), 1000):
                some = batch[first : first + 1000]
                await self._retrier.call(
                    lambda some=some: self._collection.delete_many({"_id": {"$in": some}}),  # type: ignore[misc]  # bound now
                    "deleting rejects",
                )

    async def _page(self, query: Document, size: int) -> list[Document]:
        return await self._retrier.call(
            lambda: self._collection.find(query, {"bytes": 0}).sort("_id", 1).limit(size).to_list(), "listing rejects"
        )


def _head(document: Document) -> RejectHead:
    return RejectHead(
        key=bytes(document["_id"]),
        source=document["source"],
        family=document["family"],
        path=document["path"],
        hour=seconds_of(document["hour"]),
        prefix=bytes(document["prefix"]),
        start=int(document["start"]),
        end=int(document["end"]),
        index=int(document["index"]),
        reason=Reason(document["reason"]),
        detail=document["detail"],
        size=int(document["size"]),
        parts=int(document["parts"]),
    )
