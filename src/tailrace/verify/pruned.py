"""A life whose file is gone, against what the ledger recorded of it: how many documents, and their checksum.

The record is of a settled prefix, `[start, offset)`: all of it was durable before it was recorded, so these documents
must be there whatever a live `run` does meanwhile. See docs/decisions/0004 for what this proves and what it cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from bson import ObjectId
from bson.binary import Binary

from tailrace.checksum import MODULUS, checksum, minus, plus
from tailrace.identity import ID_SIZE, PLACE_LIMIT, place_of, position_id
from tailrace.ingest.mongo.connection import Document
from tailrace.ingest.mongo.ledger import LedgerLife
from tailrace.ingest.mongo.proof import ID, split
from tailrace.model import Life, Reason
from tailrace.verify.lives import Lives
from tailrace.verify.look import Comparison
from tailrace.verify.patience import Patience
from tailrace.verify.report import LifeReport, LifeState
from tailrace.verify.tally import Tally, conclude

_PAGE = 20_000  # documents read in one attempt, so that each fits its time limit
_STRIDE = 1 << 28  # bytes of a file whose documents are counted in one attempt
_REJECTS = 1000  # conflicts looked at in one query


@dataclass(frozen=True, slots=True)
class _Range:
    """Places `[begin, end)` of a life."""

    prefix: bytes
    begin: int
    end: int

    def ids(self) -> Document:
        return {
            "$gte": ObjectId(position_id(self.prefix, self.begin)),
            "$lte": ObjectId(position_id(self.prefix, self.end - 1)),
        }

    def reject_ids(self) -> Document:
        """Heads only: BSON orders binaries by their length first."""
        low, high = position_id(self.prefix, self.begin), position_id(self.prefix, self.end - 1)
        return {"$gte": Binary(low + bytes(8)), "$lte": Binary(high + b"\xff" * 8)}


class PrunedLives:
    """Checks lives of one source. Reads only."""

    def __init__(self, comparison: Comparison, lives: Lives, patience: Patience, source: str) -> None:
        self._compare = comparison
        self._data = comparison.handles.data
        self._rejects = comparison.handles.rejects
        self._retrier = comparison.retrier
        self._lives = lives
        self._patience = patience
        self._source = source

    async def check(self, entry: LedgerLife) -> LifeReport:
        """Before it is called a difference the ledger is read anew and everything is counted again."""
        report = await self._judge(entry)
        while report.state is LifeState.DIFFERS and await self._patience.again():
            entry = await self._lives.get(entry.life.prefix) or entry
            report = await self._judge(entry)
        return report

    async def _judge(self, entry: LedgerLife) -> LifeReport:
        life, progress = entry.life, entry.progress
        report = LifeReport(
            path=entry.path,
            hour=life.hour,
            prefix=life.prefix,
            number=life.number,
            skipped=life.start,
        )
        if not self._compare.by_place:
            report.detail = "under content identity its documents cannot be told from those of others"
            return report
        offset = max(life.start, 0 if progress is None else progress.offset)
        recorded = Tally()
        if progress is not None and progress.offset >= life.start:
            recorded = Tally(
                documents=progress.inserted + progress.duplicates,
                rejects=progress.rejected,
                checksum=progress.checksum,
            )
        found = await self._count(life, offset, recorded)
        finished = progress is not None and progress.finished
        before = await self._number(_Range(life.prefix, 0, life.start))
        behind, rest = await self._behind(_Range(life.prefix, offset, PLACE_LIMIT))
        if finished and behind > rest and await self._lives.written(self._source):
            finished = False  # late lines, stored before they are recorded
        conclude(
            report,
            recorded,
            found,
            stray=before + (behind - rest if finished else 0),
            wrapped=self._compare.wrapped,
            known=progress is not None or life.start > 0,
        )
        report.offset, report.behind = offset, (rest if finished else behind)
        return report

    async def _count(self, life: Life, offset: int, recorded: Tally) -> Tally:
        """What is there of `[start, offset)`: another's documents, where an `id_conflict` was kept, are not ours."""
        places = _Range(life.prefix, life.start, offset)
        if places.begin == places.end:
            return Tally(checksum=0)
        deep = self._compare.deep and recorded.checksum is not None
        found = await (self._sum(places) if deep else self._plain_count(places))
        if found.rejects and (found.documents, found.rejects, found.checksum) != (
            recorded.documents,
            recorded.rejects,
            recorded.checksum if deep else None,
        ):
            await self._without_conflicts(places, found)
        return found

    async def _plain_count(self, places: _Range) -> Tally:
        return Tally(documents=await self._number(places), rejects=await self._number_of_rejects(places), checksum=None)

    async def _sum(self, places: _Range) -> Tally:
        """One pass over the documents, in constant memory."""
        found = Tally(checksum=0)
        begin = position_id(places.prefix, places.begin)
        end = position_id(places.prefix, places.end - 1)
        while True:
            query = {"_id": {"$gte": ObjectId(begin), "$lte": ObjectId(end)}}
            count, total, last = await self._retrier.call(lambda q=query: self._page(q), "reading what is stored")  # type: ignore[misc]  # bound now: the loop moves on
            found.documents += count
            found.checksum = plus(found.checksum, total)
            if count < _PAGE or last == end:
                found.rejects = await self._number_of_rejects(places)
                return found
            begin = position_id(places.prefix, place_of(last) + 1)

    async def _page(self, query: Document) -> tuple[int, int, bytes]:
        """(documents, their checksum, the last `_id`)."""
        count, total, last = 0, 0, b""
        async with self._data.find_raw_batches(query, sort=[("_id", 1)], limit=_PAGE) as batches:
            async for batch in batches:
                documents = list(split(cast("bytes", batch)))  # the driver's types say that a raw batch is a document
                if documents:
                    count, last = count + len(documents), documents[-1][ID]
                    total = (total + checksum(documents)) % MODULUS
        return count, total, last

    async def _number(self, places: _Range) -> int:
        """Counted by the server."""
        number, stride = 0, _STRIDE if places.end < PLACE_LIMIT else PLACE_LIMIT
        for begin in range(places.begin, places.end, stride):
            end = min(begin + stride, places.end)
            query = {"_id": _Range(places.prefix, begin, end).ids()}
            number += await self._retrier.call(
                lambda query=query: self._data.count_documents(query),  # type: ignore[misc]  # bound now: the loop moves on
                "counting what is stored",
            )
        return number

    async def _number_of_rejects(self, places: _Range) -> int:
        query = {"_id": places.reject_ids()}
        return await self._retrier.call(lambda: self._rejects.count_documents(query), "counting rejects")

    async def _without_conflicts(self, places: _Range, found: Tally) -> None:
        """Take another's documents out of `found`: those that stand where an `id_conflict` was kept."""
        bounds = places.reject_ids()
        while True:
            query = {"_id": bounds, "reason": Reason.ID_CONFLICT.value}
            heads = await self._retrier.call(
                lambda q=query: self._rejects.find(q, {"_id": 1}).sort("_id", 1).limit(_REJECTS).to_list(),  # type: ignore[misc]  # bound now: the loop moves on
                "looking for conflicts",
            )
            for key in dict.fromkeys(bytes(head["_id"])[:ID_SIZE] for head in heads):
                count, total, _last = await self._retrier.call(
                    lambda key=key: self._page({"_id": ObjectId(key)}),  # type: ignore[misc]  # bound now: the loop moves on
                    "looking at a conflict",
                )
                found.documents -= count
                found.checksum = minus(found.checksum, total)
            if len(heads) < _REJECTS:
                return
            bounds = {**bounds, "$gt": heads[-1]["_id"]}

    async def _behind(self, places: _Range) -> tuple[int, int]:
        """(documents behind the record, of them those that may be a torn last line which `--once` took: its entries
        lie at the offset itself, one place after the other)."""
        behind = await self._number(places)
        if not behind:
            return 0, 0
        documents = await self._retrier.call(
            lambda: self._data.find({"_id": places.ids()}, {"_id": 1}).sort("_id", 1).limit(_PAGE).to_list(),
            "looking behind the record",
        )
        rest = 0
        for document in documents:
            if place_of(document["_id"].binary) != places.begin + rest:
                break
            rest += 1
        return behind, rest
