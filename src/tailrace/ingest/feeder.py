"""The loop of one source: choose a file, read a span, put it in flight, settle it.

    enter a file that waits -> choose -> read -> [storing: encode -> write -> settle] each span a task of its own

Nothing is read that is not admitted (`workers.Budget`): when MongoDB is slow or gone this loop stands, nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from structlog.typing import FilteringBoundLogger

from tailrace.errors import FileRewritten
from tailrace.ingest import storing
from tailrace.ingest.codec.codec import Codec
from tailrace.ingest.ending import end
from tailrace.ingest.files.reading import UnreadableFile
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.lives.roster import Roster
from tailrace.ingest.lives.schedule import choose
from tailrace.ingest.mongo.writer import Writer
from tailrace.ingest.stats import SourceStats
from tailrace.ingest.workers import Budget, encoders
from tailrace.model import Chunk, LongLine

CHUNK = 1 << 21
"""Bytes that one span holds at most, unless one line is longer: what is done once a span costs little beside it."""

_SPACING = 0.010  # seconds between two spans of a file that has little to read: a hundred writes a second at most
_AHEAD = 2  # so many more go at once: what comes now and then does not wait for what came just before it


class Feeder:
    """Reads what the roster has and sees it settled. `run` is ended by cancelling it, then `drain`.

    `work`: set by whoever changes something that may be read. `moved`: set when a span is put in flight or has settled.
    `caught_up`: set when there was nothing to read and nothing in flight. `failure`: its exception is the first that a
    span ended with; nothing else ends it. `max_line_bytes` and the budget's limits may change at any time.
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
        event_time: str | None = None,
    ) -> None:
        """`log`: bound to the source. `once`: what is caught up with is all there will be. `event_time`: the field of a
        document that says when its event was."""
        self._roster = roster
        self._codec = codec
        self._budget = budget
        self._stats = stats
        self.max_line_bytes = max_line_bytes
        self._clock: Callable[[], float] = time.monotonic
        self._spans: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(encoders(), thread_name_prefix="tailrace")
        self._log = log
        self._once = once
        self._storing = storing.Storing(
            codec, writer, budget, stats, log, in_thread=self._in_thread, event_time=event_time
        )
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

    def say_kept_aside(self, *, all_of_it: bool = False) -> None:
        self._storing.say_kept_aside(all_of_it=all_of_it)

    def look_at_newest(self) -> None:
        """The newest entry of what was stored since the last call is in the figures from now on."""
        self._storing.newest.look()

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
        most = self._most()
        await self._budget.room(most, lambda: not self._spans)
        self._budget.take(most)
        size = most
        try:
            piece = await self._next_piece(follower, most)
            if piece is not None:
                self._budget.give_back(size)
                size = piece.span.size if isinstance(piece, Chunk) else most  # a long line is never held whole
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
        if piece.span.size < storing.SMALL:
            follower.pace(self._clock(), _SPACING, _AHEAD)
        follower.begin(piece)
        lines = self._codec.newlines(piece.data) if isinstance(piece, Chunk) else 1
        self._stats.read(lines, piece.span.size)
        self._stats.file = follower.file.path
        self._start(self._storing.settle(follower, piece, lines), size)

    def _most(self) -> int:
        """Bytes that a span is read with: so many that all workers fit the budget."""
        limits = self._budget.limits
        return max(storing.SMALL, min(CHUNK, limits.size // limits.spans))

    async def _next_piece(self, follower: Follower, most: int) -> Chunk | LongLine | None:
        # Before the read: a hint that comes meanwhile sets it again. HAZARD: a follower that is neither dirty nor being
        # read looks idle, and its file could be sealed, and closed, under the thread that reads it.
        follower.dirty, follower.reading = False, True
        tailer, limit = follower.tailer, self.max_line_bytes
        try:
            if not follower.file.compression and tailer.backlog_bytes < storing.SMALL:
                piece = tailer.next_chunk(most, limit)
            else:
                piece = await self._in_thread(lambda: tailer.next_chunk(most, limit))
        finally:
            follower.reading = False
        if piece is not None:
            follower.dirty = True
        return piece

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        """HAZARD: a cancelled caller leaves the thread running; `drain` waits for it before descriptors are closed."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    # -- a span in flight --------------------------------------------------------------------------------------

    @property
    def at_rest(self) -> bool:
        """Nothing is in flight, and no file is known to hold anything unread."""
        return not (self._spans or self._roster.waiting or any(each.dirty for each in self._roster.followers()))

    def _start(self, work: Coroutine[Any, Any, None], size: int) -> None:
        task = asyncio.create_task(work)
        self._spans.add(task)
        self.moved.set()
        task.add_done_callback(lambda done: self._ended(done, size))

    def _ended(self, task: asyncio.Task[None], size: int) -> None:
        self._spans.discard(task)
        self.moved.set()
        self._budget.give_back(size)
        self.work.set()
        if not task.cancelled() and (error := task.exception()) is not None and not self.failure.done():
            self.failure.set_exception(error)

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
