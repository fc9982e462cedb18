"""One look at what became of a piece of a file: stored and equal, different, kept aside, or not there.

Every read is retried without limit and safe to repeat; reads are from the primary with majority (see `proof`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from tailrace.identity import position_id
from tailrace.ingest.codec.codec import Codec
from tailrace.ingest.mongo.connection import Handles
from tailrace.ingest.mongo.proof import ID, highest_id, ranges_of
from tailrace.ingest.mongo.retrying import Retrier
from tailrace.ingest.mongo.writer import EntryOf, whole_line
from tailrace.model import Identity, Life
from tailrace.verify.collation import Collation, collate
from tailrace.verify.pieces import KeptLine, Piece

_LOOKUP = 1000  # rejects asked for in one query


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How entries of one source are compared. `ignore`: `Schema.compared(identity)`; `entry_of`: as in the writer."""

    handles: Handles
    retrier: Retrier
    codec: Codec
    entry_of: EntryOf
    identity: Identity
    ignore: frozenset[str]
    max_line_bytes: int
    deep: bool

    @property
    def by_place(self) -> bool:
        """Position identity: the ids of a file are one range, and nobody else's lie in it."""
        return self.identity is Identity.POSITION

    @property
    def wrapped(self) -> bool:
        """A line may hold several entries."""
        return self.entry_of is not whole_line


@dataclass(slots=True)
class Look:
    """Indices are those of the piece's documents. `values`: as in `Collation`, of some of the different."""

    missing: list[int]
    different: dict[int, str]
    values: dict[int, tuple[str, str]]
    absent_rejects: list[KeptLine]
    kept: int
    collation: Collation

    @property
    def absent(self) -> int:
        """Entries that are neither stored nor kept aside."""
        return len(self.missing) + len(self.absent_rejects)


class Looker:
    """The reads of one source's verification."""

    def __init__(self, comparison: Comparison) -> None:
        self._compare = comparison

    async def look(self, piece: Piece) -> Look:
        """Documents are read before rejects, as they are written: a refused document is missing, or different from
        the stored one, until its reject is there."""
        compare = self._compare
        documents = piece.documents
        order = list(range(len(documents)))
        if compare.by_place:
            prefix, span = piece.span.life.prefix, piece.span
            ranges = [(position_id(prefix, span.start), position_id(prefix, span.end - 1))]
        else:
            order.sort(key=lambda index: documents[index][ID])
            ranges = ranges_of([documents[index][ID] for index in order])
        collation = await self.collate([documents[index] for index in order], ranges)
        missing = sorted(order[at] for at in collation.missing)
        different = {order[at]: name for at, name in sorted(collation.different.items())}
        # Position identity: the document that stands at a line's place is wrong, kept aside or not.
        questionable = missing if compare.by_place else [*missing, *different]
        keys = {index: piece.keys_if_kept(index, compare.entry_of) for index in questionable}
        wanted = {key for pair in keys.values() for key in pair}
        wanted.update(key for line in piece.kept for key in (line.key, line.line_key))
        stored = await self._stored_rejects(wanted)
        aside = {index for index, pair in keys.items() if not stored.isdisjoint(pair)}
        absent = [line for line in piece.kept if stored.isdisjoint((line.key, line.line_key))]
        return Look(
            missing=[index for index in missing if index not in aside],
            different={index: name for index, name in different.items() if index not in aside},
            values={order[at]: pair for at, pair in collation.values.items()},
            absent_rejects=absent,
            kept=len(aside) + len(piece.kept) - len(absent),
            collation=collation,
        )

    async def highest_id(self, life: Life) -> bytes | None:
        """The greatest `_id` stored of this life (position identity)."""
        data = self._compare.handles.data
        return await self._compare.retrier.call(lambda: highest_id(data, life.prefix), "reading the highest _id")

    async def collate(self, ours: Sequence[bytes], ranges: Sequence[tuple[bytes, bytes]]) -> Collation:
        compare = self._compare

        def attempt() -> Awaitable[Collation]:
            return collate(compare.handles.data, ours, ranges, compare.ignore, deep=compare.deep)

        return await compare.retrier.call(attempt, "comparing with what is stored")

    async def _stored_rejects(self, keys: set[bytes]) -> set[bytes]:
        """Which of these rejects are there."""
        rejects, stored, wanted = self._compare.handles.rejects, set[bytes](), sorted(keys)
        for first in range(0, len(wanted), _LOOKUP):
            some = wanted[first : first + _LOOKUP]
            documents = await self._compare.retrier.call(
                lambda some=some: rejects.find({"_id": {"$in": some}}, {"_id": 1}).to_list(),  # type: ignore[misc]  # bound now: the loop moves on
                "looking for rejects",
            )
            stored.update(bytes(document["_id"]) for document in documents)
        return stored
