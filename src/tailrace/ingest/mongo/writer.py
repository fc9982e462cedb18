"""Stage 4: documents and rejects -> Outcome. The only stage that knows MongoDB.

When `write` or `write_long_line` returns, every entry of the span is durably inserted, proven to be stored
already, or kept aside with its bytes: the span is settled. When it raises, nothing is: RuntimeFailure stops us,
CancelledError passes at once, and the span is read and written again, which changes nothing that is stored.

If we die between two of the steps below, the next run finds what was inserted by comparing, and what was kept
aside by its `_id`:  documents -> rejects -> fence -> return.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from tailrace.checksum import checksum, minus
from tailrace.errors import EveryDocumentRefused
from tailrace.identity import place_of
from tailrace.ingest.mongo.connection import Handles
from tailrace.ingest.mongo.proof import ID, highest_id
from tailrace.ingest.mongo.rejects import RejectStore
from tailrace.ingest.mongo.retrying import Retrier
from tailrace.ingest.mongo.settling import Pace, Refusal, Settlement, Wrote
from tailrace.model import Chunk, Encoded, Life, LongLine, Offset, Outcome, Reason, Reject
from tailrace.packed import Packed
from tailrace.streams.compare import differing_field

EntryOf = Callable[[bytes, int], bytes]
"""(line without its newline, index of the entry) -> what is kept aside of that entry: the line itself when it is
bare, else the entry alone in its wrapper. The codec's job; pure."""


def whole_line(line: bytes, _index: int) -> bytes:
    """`EntryOf` for bare framing."""
    return line


class Writer:
    """One per source. Any number of spans may be written at the same time."""

    def __init__(
        self,
        handles: Handles,
        retrier: Retrier,
        *,
        fence: Callable[[], Awaitable[None]],
        ignore: frozenset[str] = frozenset(),
        entry_of: EntryOf = whole_line,
        pace: Pace | None = None,
        wrote: Wrote | None = None,
    ) -> None:
        """`fence`: `Ledger.fence`. `ignore`: `schema.compared(identity)`, fields in which copies may differ. `wrote`:
        is told of every insert command that was acknowledged."""
        self._data = handles.data
        self._retrier = retrier
        self._rejects = RejectStore(handles.rejects, retrier)
        self._fence = fence
        self._ignore = ignore
        self._entry_of = entry_of
        self._pace = pace
        self._wrote = wrote

    async def write(self, chunk: Chunk, encoded: Encoded, *, compare_first: bool) -> Outcome:
        """Settle the chunk that `encoded` was made of. `compare_first`: its documents may be there already (below
        the highest known `_id`); correct either way, ten times faster when it is right.

        Raises EveryDocumentRefused when the server refused all of at least two documents for unlisted reasons.
        """
        settlement = Settlement(self._data, self._retrier, self._ignore, pace=self._pace, wrote=self._wrote)
        repeated = 0
        if compare_first or encoded.document_lines is not None:
            refused, repeated = await self._documents(settlement, encoded.documents, compare_first=compare_first)
        else:
            refused = await self._new_documents(settlement, encoded.documents)
        if settlement.unlisted >= 2 and settlement.unlisted == len(encoded.documents):
            raise EveryDocumentRefused(
                f"MongoDB refused all {settlement.unlisted} documents of {chunk.span.life.path} from offset "
                f"{chunk.span.start}: {next(iter(refused.values())).detail}"
            )
        rejects = list(encoded.rejects)
        rejects += [self._reject(chunk, encoded, index, refusal) for index, refusal in sorted(refused.items())]
        await self._rejects.keep(chunk.span.life, rejects)
        if settlement.rests_on_read:
            await self._fence()
        outcome = Outcome(
            lines=encoded.lines,
            inserted=settlement.inserted,
            duplicates=settlement.duplicates + repeated,
            lost_reply=settlement.lost_reply,
            repeated=repeated,
        )
        outcome.checksum = minus(encoded.checksum, checksum(encoded.documents[index] for index in refused))
        for reject in rejects:
            outcome.rejects[reject.reason] = outcome.rejects.get(reject.reason, 0) + 1
        return outcome

    async def write_long_line(self, long_line: LongLine) -> Outcome:
        """Keep a line over `max_line_bytes` aside, in constant memory. Raises OSError or FileRewritten when its
        bytes are no longer there."""
        await self._rejects.keep_long_line(long_line)
        return Outcome(lines=1, rejects={Reason.TOO_LONG: 1})

    async def highest_id(self, life: Life) -> bytes | None:
        """The greatest `_id` stored of this life (position identity only), or None: compare first up to there."""
        return await self._retrier.call(lambda: highest_id(self._data, life.prefix), "reading the highest _id")

    async def _new_documents(self, settlement: Settlement, documents: Sequence[bytes]) -> dict[int, Refusal]:
        """Settle documents that have an `_id` each and are most likely not stored; the refused ones by index."""
        if not documents:
            return {}
        await settlement.insert(Packed.of(documents))
        if not settlement.refused:
            return {}
        places = {document[ID]: index for index, document in enumerate(documents)}
        return {places[key]: refusal for key, refusal in settlement.refused.items()}

    async def _documents(
        self, settlement: Settlement, documents: Sequence[bytes], *, compare_first: bool
    ) -> tuple[dict[int, Refusal], int]:
        """Settle all documents; the refused ones by index, and how many repeat one before them.

        Under content identity one span may hold an `_id` more than once. The first is settled; the others are
        compared with it when it is stored, and get their own turn when it was refused.
        """
        refused: dict[int, Refusal] = {}
        repeated = 0
        remaining = list(range(len(documents)))
        while remaining:
            first: dict[bytes, int] = {}
            later = [i for i in remaining if first.setdefault(documents[i][ID], i) != i]
            settlement.refused = {}
            await settlement.settle({key: documents[i] for key, i in first.items()}, compare_first=compare_first)
            refused.update({first[key]: refusal for key, refusal in settlement.refused.items()})
            remaining = []
            for i in later:
                key = documents[i][ID]
                if key in settlement.refused:
                    remaining.append(i)
                elif (name := differing_field(documents[first[key]], documents[i], self._ignore)) is None:
                    repeated += 1
                else:
                    refused[i] = Refusal(Reason.ID_CONFLICT, f"the document stored with this _id has another {name}")
        return refused, repeated

    def _reject(self, chunk: Chunk, encoded: Encoded, index: int, refusal: Refusal) -> Reject:
        start, entry = locate(chunk, encoded, index)
        line, end = line_at(chunk, start)
        return Reject(
            start=Offset(start),
            end=Offset(end),
            index=entry,
            reason=refusal.reason,
            detail=refusal.detail,
            data=self._entry_of(line, entry),
        )


def locate(chunk: Chunk, encoded: Encoded, index: int) -> tuple[int, int]:
    """(offset of the line's start, index of the entry in it) of the `index`-th document. Pure.

    A position id holds the sum of the two. An entry takes at least one byte of its line, so the sum lies in it.
    """
    if encoded.document_lines is not None:
        return encoded.document_lines[index]
    place = place_of(encoded.documents[index][ID])
    start = chunk.data.rfind(b"\n", 0, place - chunk.span.start) + 1 + chunk.span.start
    return start, place - start


def line_at(chunk: Chunk, start: int) -> tuple[bytes, int]:
    """The line that begins at `start`, without its newline, and the offset after its newline. Pure."""
    begin = start - chunk.span.start
    newline = chunk.data.find(b"\n", begin)
    if newline < 0:
        return chunk.data[begin:], chunk.span.end
    return chunk.data[begin:newline], chunk.span.start + newline + 1
