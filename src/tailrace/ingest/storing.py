"""A span in flight, from its bytes to its settlement:  part by part [encode -> write] -> settle.

If we die anywhere here nothing of the span is settled, and it is read again: what was stored is then found equal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import zip_longest
from typing import Any, Protocol

from structlog.typing import FilteringBoundLogger

from tailrace.checksum import checksum
from tailrace.errors import FileRewritten
from tailrace.ingest.codec.codec import Codec
from tailrace.ingest.ending import end
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.mongo.proof import ID
from tailrace.ingest.mongo.writer import Writer
from tailrace.ingest.newest import Newest
from tailrace.ingest.stats import SourceStats
from tailrace.ingest.workers import Budget
from tailrace.model import Blocks, Chunk, Encoded, LongLine, Offset, Outcome, Reason, Span, blocks_joined

PART = 1 << 20
"""Bytes of a span that are encoded and stored at a time, cut after a line: some 2,500 trades, which cost 0.35 us each
of client time to send (500 at a time: 0.6)."""

SMALL = 64 * 1024
"""Bytes that are read and encoded in the loop: a thread would cost more than it frees."""

_KEPT_ASIDE_INTERVAL = 60.0  # seconds between two lines about rejects


class InThread(Protocol):
    """Runs work in a thread of the source's own."""

    def __call__(self, work: Callable[[], Any]) -> Awaitable[Any]: ...


class Storing:
    """One per source; any number of spans at the same time."""

    def __init__(
        self,
        codec: Codec,
        writer: Writer,
        budget: Budget,
        stats: SourceStats,
        log: FilteringBoundLogger,
        *,
        in_thread: InThread,
        event_time: str | None = None,
    ) -> None:
        self._codec = codec
        self._writer = writer
        self._budget = budget
        self._stats = stats
        self.newest = Newest(stats, event_time)
        self._log = log
        self._in_thread = in_thread
        self._clock: Callable[[], float] = time.monotonic
        self._panics = 0
        self._unsaid: dict[Reason, int] = {}
        self._say_again = self._say_failed_again = 0.0
        self._reject_path = ""

    async def settle(self, follower: Follower, piece: Chunk | LongLine, lines: int) -> None:
        """Encode, write, settle: returns when everything of the span is durable. Raises RuntimeFailure."""
        begun = self._clock()
        if isinstance(piece, LongLine):
            outcome, blocks = await self._settle_long_line(piece), None
            entries = outcome.entries
        else:
            outcome, entries, blocks = await self._store(follower, piece)
            follower.replaying = outcome.duplicates * 2 > entries
            self._budget.settled(self._clock() - begun, piece.span.size)
        follower.settle(piece.span, outcome, blocks)
        self._stats.settled(lines, piece.span.size, entries, outcome)
        if self._codec.panics > self._panics:
            self._codec_failed()
        if outcome.rejects:
            self._kept_aside(piece.span.life.path, outcome.rejects)

    async def _store(self, follower: Follower, chunk: Chunk) -> tuple[Outcome, int, Blocks | None]:
        """What became of a chunk, the number of its entries, its blocks. While a part is stored the next is encoded."""
        outcome, entries, ahead = Outcome(), 0, None
        blocks: list[Blocks | None] = []
        parts = parts_of(chunk, PART)
        try:
            encoded = await self._encode(parts[0])
            for part, following in zip_longest(parts, parts[1:]):
                if following is not None:
                    ahead = asyncio.ensure_future(self._encode(following))
                compare_first = _compare_first(follower, encoded)
                outcome.add(await self._writer.write(part, encoded, compare_first=compare_first))
                entries += encoded.entries
                blocks.append(encoded.blocks)
                if encoded.documents:
                    self.newest.stored(encoded.documents[-1])
                if ahead is not None and following is not None:
                    encoded = await ahead
        finally:
            if ahead is not None:
                await end([ahead])
        return outcome, entries, blocks_joined(blocks)

    def _codec_failed(self) -> None:
        if self._clock() < self._say_failed_again:  # not once a span: what is left out is in the next line's number
            return
        self._say_failed_again = self._clock() + _KEPT_ASIDE_INTERVAL
        calls, self._panics = self._codec.panics - self._panics, self._codec.panics
        self._log.error(
            "native_codec_failed",
            calls=calls,
            meaning="nothing is lost: the Python codec made these lines; a defect of tailrace, please report it",
            todo="codec = python avoids it",
        )

    def _kept_aside(self, path: str, rejects: dict[Reason, int]) -> None:
        """Said at once, then at most once a minute: a node that changes its format must not do so unheard."""
        for reason, count in rejects.items():
            self._unsaid[reason] = self._unsaid.get(reason, 0) + count
        self._reject_path = path
        self.say_kept_aside()

    def say_kept_aside(self, *, all_of_it: bool = False) -> None:
        """What was not said yet, once a minute is over; `all_of_it`: now, at the end. To be called now and then: else
        the last of a flood, most of it, would never be said."""
        if not self._unsaid or (self._clock() < self._say_again and not all_of_it):
            return
        self._say_again = self._clock() + _KEPT_ASIDE_INTERVAL
        conflict = Reason.ID_CONFLICT in self._unsaid
        (self._log.error if conflict else self._log.warning)(
            "kept_aside",
            reasons={reason.value: count for reason, count in self._unsaid.items()},
            path=self._reject_path,
            meaning="not stored as documents; their bytes are kept, the lines around them are stored",
            todo="tailrace rejects list shows them; path is the file of the latest",
        )
        self._unsaid = {}

    async def _settle_long_line(self, piece: LongLine) -> Outcome:
        try:
            return await self._writer.write_long_line(piece)
        except (OSError, FileRewritten) as error:
            self._stats.lost_bytes += piece.span.size
            self._log.error(
                "bytes_lost",
                path=piece.span.life.path,
                bytes=piece.span.size,
                why=f"a line over max_line_bytes was cut or rewritten while it was being kept aside: {error}",
                meaning="these bytes were never stored and are gone",
                todo="if a copy of the file exists, put it back under its name: it is read; find out what removed it",
            )
            return Outcome(lines=1)

    async def _encode(self, chunk: Chunk) -> Encoded:
        if len(chunk.data) <= SMALL:
            return encode(self._codec, chunk)
        encoded: Encoded = await self._in_thread(lambda: encode(self._codec, chunk))
        return encoded


def encode(codec: Codec, chunk: Chunk) -> Encoded:
    """The chunk's documents and rejects, with their checksum where the documents are this life's alone. Pure."""
    encoded = codec.encode(chunk.data, chunk.span.life.prefix, chunk.span.start)
    if encoded.document_lines is None and encoded.checksum is None:
        encoded.checksum = checksum(encoded.documents)
    return encoded


def parts_of(chunk: Chunk, size: int) -> list[Chunk]:
    """The chunk in parts of about `size` bytes, each of whole lines. Pure."""
    data, start, parts = chunk.data, 0, []
    while len(data) - start > size:
        end = data.find(b"\n", start + size) + 1 or len(data)
        parts.append((start, end))
        start = end
    if start < len(data) or not parts:
        parts.append((start, len(data)))
    if len(parts) == 1:
        return [chunk]
    begin = chunk.span.start
    return [
        Chunk(Span(chunk.span.life, Offset(begin + start), Offset(begin + end)), data[start:end])
        for start, end in parts
    ]


def _compare_first(follower: Follower, encoded: Encoded) -> bool:
    """Whether these documents are likely to be stored already."""
    if follower.replaying or not encoded.documents:
        return follower.replaying
    up_to = follower.known_up_to
    return up_to is not None and encoded.documents[0][ID] <= up_to
