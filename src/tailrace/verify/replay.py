"""Rejects decoded again with today's codec, at their place: stored, already there, or still rejected.

For each reject: durable document(s) -> fence if a proof rests on a read -> delete the reject (head, then parts).
If we die between two of these, the reject is still there and the next replay finds its document equal: nothing is
lost and nothing doubled. What is still bad is not touched. A live `run` may be at work: both write by the same `_id`s.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from tailrace.errors import EveryDocumentRefused, RuntimeFailure
from tailrace.identity import position_id, reject_id
from tailrace.ingest.codec.codec import Codec
from tailrace.ingest.mongo.connection import Handles
from tailrace.ingest.mongo.ledger import Ledger
from tailrace.ingest.mongo.proof import ID, prove
from tailrace.ingest.mongo.reject_queries import RejectHead, RejectReader
from tailrace.ingest.mongo.retrying import Retrier
from tailrace.ingest.mongo.settling import Settlement
from tailrace.ingest.mongo.writer import EntryOf, Writer
from tailrace.model import Chunk, Encoded, Life, Offset, Reason, Span

_BATCH_DOCUMENTS = 500
_BATCH_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How the rejects of one stream are decoded. `entry_of`, `ignore`: as the writer's."""

    codec: Codec
    entry_of: EntryOf
    ignore: frozenset[str]


@dataclass(slots=True)
class Replayed:
    """`rejects` that were looked at; entries by what became of them. With a dry run nothing did, `stored` would be.

    `gone`: rejects that somebody else replayed meanwhile. `reasons`: why the rest is still rejected.
    """

    rejects: int = 0
    stored: int = 0
    already: int = 0
    still: int = 0
    gone: int = 0
    reasons: dict[Reason, int] = field(default_factory=dict)

    def add(self, other: Replayed) -> None:
        self.rejects += other.rejects
        self.stored += other.stored
        self.already += other.already
        self.gone += other.gone
        for reason, count in other.reasons.items():
            self.stays(reason, count)

    def stays(self, reason: Reason, count: int = 1) -> None:
        self.still += count
        self.reasons[reason] = self.reasons.get(reason, 0) + count


@dataclass(frozen=True, slots=True)
class _Ready:
    """A reject that has become one document."""

    head: RejectHead
    document: bytes


class Replay:
    """Of one collection. `handles` write with majority. Used once, by one task."""

    def __init__(
        self,
        handles: Handles,
        retrier: Retrier,
        decoding_of: Callable[[RejectHead], Decoding],
        *,
        max_line_bytes: int,
        dry_run: bool,
    ) -> None:
        self.done = Replayed()
        self._handles = handles
        self._retrier = retrier
        self._reader = RejectReader(handles.rejects, retrier)
        self._decoding_of = decoding_of
        self._max_line_bytes = max_line_bytes
        self._dry_run = dry_run
        self._ready: dict[bytes, _Ready] = {}  # by `_id` of the document
        self._size = 0  # bytes of its documents
        self._decoding: Decoding | None = None  # of all that is in _ready

    async def run(self, heads: AsyncIterator[RejectHead]) -> Replayed:
        """Raises RuntimeFailure; what was done before it is done."""
        async for head in heads:
            await self._one(head)
        await self._flush()
        return self.done

    async def _one(self, head: RejectHead) -> None:
        self.done.rejects += 1
        if head.size > self._max_line_bytes:
            self.done.stays(Reason.TOO_LONG)
            return
        decoding = self._decoding_of(head)
        data = await self._bytes_of(head)
        if data is None:
            self.done.gone += 1
            return
        encoded = await asyncio.to_thread(decoding.codec.encode, data, head.prefix, head.start + head.index)
        same = [x for x in encoded.rejects if self._key(head, x.start + x.index, x.data) == head.key]
        if same:
            self.done.stays(same[0].reason)
        elif encoded.entries == 1 and encoded.documents:
            await self._add(_Ready(head, encoded.documents[0]), decoding)
        elif self._dry_run:
            await self._would_store(encoded, decoding)
        else:
            await self._line(head, data, encoded, decoding)

    def _key(self, head: RejectHead, place: int, data: bytes) -> bytes:
        return reject_id(position_id(head.prefix, place), data)

    async def _bytes_of(self, head: RejectHead) -> bytes | None:
        """None: the reject is not there any more."""
        try:
            return b"".join([part async for part in self._reader.load_bytes(head)])
        except RuntimeFailure:
            if await self._reader.get(head.key) is None:
                return None
            raise

    async def _add(self, ready: _Ready, decoding: Decoding) -> None:
        key = ready.document[ID]
        # Under content identity two rejects may be one event: each gets its own turn.
        if key in self._ready or decoding is not self._decoding:
            await self._flush()
        self._decoding = decoding
        self._ready[key] = ready
        self._size += len(ready.document)
        if len(self._ready) >= _BATCH_DOCUMENTS or self._size >= _BATCH_BYTES:
            await self._flush()

    async def _flush(self) -> None:
        """Settle what is ready, then delete the rejects of what is durable."""
        ready, decoding = self._ready, self._decoding
        self._ready, self._size = {}, 0
        if not ready or decoding is None:
            return
        documents = {key: each.document for key, each in ready.items()}
        if self._dry_run:
            await self._would_settle(documents, decoding)
            return
        # Not compared first: rejects lie far apart, and a comparison reads all that lies between them.
        settlement = Settlement(self._handles.data, self._retrier, decoding.ignore)
        await settlement.settle(documents, compare_first=False)
        if settlement.rests_on_read:
            await self._fence(next(iter(ready.values())).head)
        await self._reader.delete([each.head for key, each in ready.items() if key not in settlement.refused])
        self.done.stored += settlement.inserted
        self.done.already += settlement.duplicates
        for refusal in settlement.refused.values():
            self.done.stays(refusal.reason)

    async def _line(self, head: RejectHead, data: bytes, encoded: Encoded, decoding: Decoding) -> None:
        """A whole wrapped line that can be read now: its entries are stored, or kept aside one by one."""
        ledger = self._ledger(head)
        writer = Writer(
            self._handles, self._retrier, fence=ledger.fence, ignore=decoding.ignore, entry_of=decoding.entry_of
        )
        newline = b"\n" if head.end - head.start > len(data) else b""
        chunk = Chunk(Span(_life_of(head), Offset(head.start), Offset(head.end)), data + newline)
        try:
            outcome = await writer.write(chunk, encoded, compare_first=False)
        except EveryDocumentRefused:
            self.done.stays(Reason.SERVER_REFUSED, encoded.entries)
            return
        await self._reader.delete([head])
        self.done.stored += outcome.inserted
        self.done.already += outcome.duplicates
        for reason, count in outcome.rejects.items():
            self.done.stays(reason, count)

    async def _would_store(self, encoded: Encoded, decoding: Decoding) -> None:
        for reject in encoded.rejects:
            self.done.stays(reject.reason)
        await self._would_settle({document[ID]: document for document in encoded.documents}, decoding)

    async def _would_settle(self, documents: dict[bytes, bytes], decoding: Decoding) -> None:
        proof = await self._retrier.call(
            lambda: prove(self._handles.data, documents, decoding.ignore), "comparing with what is stored"
        )
        self.done.stored += len(proof.absent)
        self.done.already += len(proof.equal)
        if proof.different:
            self.done.stays(Reason.ID_CONFLICT, len(proof.different))

    async def _fence(self, head: RejectHead) -> None:
        """HAZARD: a reject deleted on the word of a read alone would be lost with a mongod killed a moment later."""
        await self._ledger(head).fence()

    def _ledger(self, head: RejectHead) -> Ledger:
        return Ledger(self._handles, self._retrier, source=head.source, instance="replay", collection_uuid=b"")


def _life_of(head: RejectHead) -> Life:
    """The life of a reject, as far as its prefix tells: what a span and its rejects are named by."""
    return Life(
        source=head.source,
        family=head.family,
        path=head.path,
        hour=head.hour,
        number=0,
        salt=0,
        fingerprint=head.prefix[4:] + bytes(29),
        start=Offset(0),
    )
