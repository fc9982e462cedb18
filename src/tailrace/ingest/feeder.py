"""The loop of one source: choose a file, read a span, put it in flight, settle it.

    enter a file that waits -> choose -> read -> [(encode -> write)... -> settle] each span a task of its own

Nothing is read that is not admitted (`workers.Budget`): when MongoDB is slow or gone this loop stands, nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import zip_longest
from typing import Any

from structlog.typing import FilteringBoundLogger

from tailrace.checksum import checksum
from tailrace.errors import FileRewritten
from tailrace.identity import ID_SIZE
from tailrace.ingest.codec.codec import Codec
from tailrace.ingest.ending import end
from tailrace.ingest.files.reading import UnreadableFile
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.lives.roster import Roster
from tailrace.ingest.lives.schedule import choose
from tailrace.ingest.mongo.writer import Writer
from tailrace.ingest.stats import SourceStats
from tailrace.ingest.workers import Budget, encoders
from tailrace.model import Chunk, Encoded, LongLine, Offset, Outcome, Reason, Span

CHUNK = 1 << 21
"""Bytes that one span holds at most, unless one line is longer: what is done once a span costs little beside it."""

PART = 1 << 20
"""Bytes of a span that are encoded and stored at a time, cut after a line: some 2,500 trades, which cost 0.35 us each
of client time to send (500 at a time: 0.6)."""

_SMALL = 64 * 1024  # bytes that are read and encoded in the loop: a thread would cost more than it frees
_SPACING = 0.010  # seconds between two spans of a file that has little to read: a hundred writes a second at most
_AHEAD = 2  # so many more go at once: what comes now and then does not wait for what came just before it
_KEPT_ASIDE_INTERVAL = 60.0  # seconds between two lines about rejects
_DOCUMENT_ID = slice(9, 9 + ID_SIZE)  # of a BSON document whose first element is `_id`


class Feeder:
    """Reads what the roster has and sees it settled. `run` is ended by cancelling it, then `drain`.

    `work`: set by whoever changes something that may be read. `moved`: set when a span has settled. `caught_up`: set
    when there was nothing to read and nothing in flight. `failure`: its exception is the first that a span ended with;
    nothing else ends it.
    """

    def __init__(
        self,
        roster: Roster,
        codec: Codec,
        writer: Writer,
        budget: Budget,
        stats: SourceStats,
        log: FilteringBoundLogger,
        *,
        max_line_bytes: int,
        once: bool = False,
    ) -> None:
        """`log`: bound to the source. `once`: what is caught up with is all there will be."""
        self._roster = roster
        self._codec = codec
        self._writer = writer
        self._budget = budget
        self._stats = stats
        self._max_line_bytes = max_line_bytes
        limits = budget.limits
        self._chunk = max(_SMALL, min(CHUNK, limits.size // limits.spans))  # so that all workers fit the budget
        self._clock: Callable[[], float] = time.monotonic
        self._spans: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(encoders(), thread_name_prefix="tailrace")
        self._log = log
        self._once = once
        self._unsaid: dict[Reason, int] = {}
        self._say_again = 0.0
        self.work = asyncio.Event()
        roster.wake = self.work.set
        self.moved = asyncio.Event()
        self.caught_up = asyncio.Event()
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """The loop: enter a file that waits, read a span of the file whose turn it is, put it in flight."""
        turn = 0
        while True:
            self.work.clear()
            entered = self._roster.waiting and await self._roster.enter_next(self._clock())
            now = self._clock()
            follower = choose((f for f in self._roster.followers() if f.not_before <= now), turn)
            if follower is not None:
                turn += 1
                await self._read_span(follower)
            elif not entered:
                await self._wait_for_work(now)

    async def _wait_for_work(self, now: float) -> None:
        """Until something changes, or a file that was read a moment ago may be read again."""
        later = [follower.not_before for follower in self._roster.followers() if follower.dirty]
        if not later and not self._spans and not self._roster.placing:
            self.is_live()
            self.caught_up.set()
        if not self._spans:
            self._budget.caught_up()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(later) - now if later else None):
                await self.work.wait()

    def is_live(self) -> None:
        """All that was there at the start is settled; said once."""
        if self._stats.live:
            return
        self._stats.live = True
        if self._once:
            self._log.info("caught_up")
        else:
            self._log.info("live", meaning="everything that was there is stored; new lines are stored as they come")

    async def _read_span(self, follower: Follower) -> None:
        await self._budget.room(self._chunk)
        self._budget.take(self._chunk)
        size = self._chunk
        try:
            piece = await self._next_piece(follower)
            if piece is not None:
                self._budget.give_back(size)
                size = piece.span.size if isinstance(piece, Chunk) else self._chunk  # a long line is never held whole
                self._budget.take(size)
        except FileRewritten:
            self._roster.rewritten(follower)
            piece = None
        except (UnreadableFile, OSError) as error:
            self._roster.unreadable(follower, error)
            piece = None
        except BaseException:
            self._budget.give_back(size)  # cancelled: the budget is the process's, and may outlive this source's run
            raise
        else:
            if piece is None:
                self._roster.at_end(follower)
        if piece is None:
            self._budget.give_back(size)
            return
        if piece.span.size < _SMALL:
            follower.pace(self._clock(), _SPACING, _AHEAD)
        follower.begin(piece)
        lines = piece.data.count(b"\n") if isinstance(piece, Chunk) else 1
        self._stats.read(lines, piece.span.size)
        self._stats.file = follower.file.path
        self._start(self._settle(follower, piece, lines), size)

    async def _next_piece(self, follower: Follower) -> Chunk | LongLine | None:
        # Before the read: a hint that comes meanwhile sets it again. HAZARD: a follower that is neither dirty nor being
        # read looks idle, and its file could be sealed, and closed, under the thread that reads it.
        follower.dirty, follower.reading = False, True
        tailer, limit = follower.tailer, self._max_line_bytes
        try:
            if not follower.file.compression and tailer.backlog_bytes < _SMALL:
                piece = tailer.next_chunk(self._chunk, limit)
            else:
                piece = await self._in_thread(lambda: tailer.next_chunk(self._chunk, limit))
        finally:
            follower.reading = False
        if piece is not None:
            follower.dirty = True
        return piece

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        """HAZARD: a cancelled caller leaves the thread running; `drain` waits for it before descriptors are closed."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    # -- a span in flight --------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None], size: int) -> None:
        task = asyncio.create_task(work)
        self._spans.add(task)
        task.add_done_callback(lambda done: self._ended(done, size))

    def _ended(self, task: asyncio.Task[None], size: int) -> None:
        self._spans.discard(task)
        self.moved.set()
        self._budget.give_back(size)
        self.work.set()
        if not task.cancelled() and (error := task.exception()) is not None and not self.failure.done():
            self.failure.set_exception(error)

    async def _settle(self, follower: Follower, piece: Chunk | LongLine, lines: int) -> None:
        """Encode, write, settle: returns when everything of the span is durable. Raises RuntimeFailure."""
        begun = self._clock()
        if isinstance(piece, LongLine):
            outcome = await self._settle_long_line(piece)
            entries = outcome.entries
        else:
            outcome, entries = await self._store(follower, piece)
            follower.replaying = outcome.duplicates * 2 > entries
            self._budget.settled(self._clock() - begun, piece.span.size)
        follower.settle(piece.span, outcome)
        self._stats.settled(lines, piece.span.size, entries, outcome)
        if outcome.rejects:
            self._kept_aside(piece.span.life.path, outcome.rejects)

    async def _store(self, follower: Follower, chunk: Chunk) -> tuple[Outcome, int]:
        """What became of a chunk, and the number of its entries. While a part is being stored the next is encoded."""
        outcome, entries, ahead = Outcome(), 0, None
        parts = parts_of(chunk, PART)
        try:
            encoded = await self._encode(parts[0])
            for part, following in zip_longest(parts, parts[1:]):
                if following is not None:
                    ahead = asyncio.ensure_future(self._encode(following))
                compare_first = _compare_first(follower, encoded)
                outcome.add(await self._writer.write(part, encoded, compare_first=compare_first))
                entries += encoded.entries
                if ahead is not None and following is not None:
                    encoded = await ahead
        finally:
            if ahead is not None:
                await end([ahead])
        return outcome, entries

    def _kept_aside(self, path: str, rejects: dict[Reason, int]) -> None:
        """Said at once, then at most once a minute: a node that changes its format must not do so unheard."""
        for reason, count in rejects.items():
            self._unsaid[reason] = self._unsaid.get(reason, 0) + count
        if self._clock() < self._say_again:
            return
        self._say_again = self._clock() + _KEPT_ASIDE_INTERVAL
        conflict = Reason.ID_CONFLICT in self._unsaid
        (self._log.error if conflict else self._log.warning)(
            "kept_aside",
            reasons={reason.value: count for reason, count in self._unsaid.items()},
            path=path,
            meaning="not stored as documents; their bytes are kept, the lines around them are stored",
            see="tailrace rejects list",
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
                why=str(error),
                meaning="a line over max_line_bytes was cut or rewritten while it was being kept aside",
            )
            return Outcome(lines=1)

    async def _encode(self, chunk: Chunk) -> Encoded:
        if len(chunk.data) <= _SMALL:
            return encode(self._codec, chunk)
        encoded: Encoded = await self._in_thread(lambda: encode(self._codec, chunk))
        return encoded

    # -- the end -----------------------------------------------------------------------------------------------

    async def drain(self, grace: float) -> int:
        """Wait for what is in flight, at most `grace` seconds; the number of spans that were abandoned.

        Whatever happens meanwhile, no thread of ours runs and no span is in flight when this ends.
        """
        try:
            if self._spans:
                await asyncio.wait(self._spans, timeout=grace)
            left = [task for task in self._spans if not task.done()]
            await end(left)
            return len(left)
        finally:
            for task in self._spans:
                task.cancel()
            self._threads.shutdown(wait=True)
            if self.failure.done():
                self.failure.exception()  # seen: `run` raised it, or a restart meets it again


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
    return up_to is not None and encoded.documents[0][_DOCUMENT_ID] <= up_to
