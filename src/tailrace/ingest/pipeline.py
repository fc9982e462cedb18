"""One source, end to end. The arrow:

    open the books -> find the tree -> first scan
        look    hints and scans -> the roster of files                     discovery, watch
        feed    choose a file -> read a span -> put it in flight           schedule, tailer, workers
                    encode -> write -> settle                              codec, writer, tracker
        save    settled prefixes -> local state; seal; lag                 checkpoints
        report  lease and progress -> ledger                               ledger
    drain: stop reading -> wait for what is in flight -> save -> report -> release

`look`, `feed`, `save` and `report` are tasks of one event loop; each span in flight is a task of its own. When
MongoDB is away, `feed` stands (nothing is admitted) and `report` waits; `look` and `save` go on. When any of them
fails, all stop, what is in flight is drained, and `run` raises: a restart continues where the settled prefix ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from tailrace.errors import ConfigurationError, FileRewritten, TailraceError
from tailrace.identity import ID_SIZE
from tailrace.ingest.books import BookKeeper
from tailrace.ingest.codec.codec import Codec
from tailrace.ingest.files.discovery import Discovery, Scan
from tailrace.ingest.files.names import HourlyTree, candidates, locate
from tailrace.ingest.files.reading import UnreadableFile
from tailrace.ingest.files.watch import Watcher
from tailrace.ingest.lives.first_start import lives_at_end, skip_what_is_there
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.lives.roster import Roster
from tailrace.ingest.lives.schedule import choose
from tailrace.ingest.mongo.ledger import RENEW_INTERVAL
from tailrace.ingest.mongo.writer import Writer
from tailrace.ingest.stats import SourceStats
from tailrace.ingest.workers import Budget
from tailrace.model import Chunk, Encoded, LongLine, Outcome, StartAt

CHUNK = 1 << 20
"""Bytes that one span holds at most, unless one line is longer. Large enough that a span's fixed cost (a round trip) is
small beside its content, small enough that four of them do not hold the loop up."""

_SMALL = 64 * 1024  # bytes that are read and encoded in the loop: a thread would cost more than it frees
_SPACING = 0.010  # seconds between two spans of a file that has little to read: a hundred writes a second at most
_LOOK_SPACING = 0.005  # seconds in which hints are gathered
_CATCH_UP_RATE = 20e6  # bytes a second, for a first guess of how long catching up takes
_SAVE_INTERVAL = 0.25
_REPORT_INTERVAL = 30.0
_DOCUMENT_ID = slice(9, 9 + ID_SIZE)  # of a BSON document whose first element is `_id`

T = TypeVar("T")

log = structlog.get_logger("tailrace")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """`poll_interval`, `shutdown_grace`: seconds. `once`: end when all that was there is settled."""

    root: str
    stream: str
    start_at: StartAt
    poll_interval: float
    max_line_bytes: int
    shutdown_grace: float
    once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """What a pipeline is wired from."""

    watcher: Watcher
    roster: Roster
    codec: Codec
    writer: Writer
    books: BookKeeper
    budget: Budget


class Pipeline:
    """Follows one source from `run` until it is told to stop. Used once."""

    def __init__(self, options: PipelineOptions, stages: Stages, stats: SourceStats) -> None:
        self._options = options
        self._watcher = stages.watcher
        self._roster = stages.roster
        self._codec = stages.codec
        self._writer = stages.writer
        self._books = stages.books
        self._budget = stages.budget
        self.stats = stats
        self._discovery: Discovery | None = None
        self._clock: Callable[[], float] = time.monotonic
        self._work = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._spans: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] | None = None
        self._claimed = False
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="tailrace")
        self._log = log.bind(source=self._books.options.source, collection=self._books.options.namespace)

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Until `stop` is set, or with `once` until caught up. `ready` is called when start-up is over.

        Raises ConfigurationError while starting, RuntimeFailure later. Nothing read is lost by either.
        """
        self._failure = asyncio.get_running_loop().create_future()
        try:
            async with self._watcher:
                await self._start_and_follow(stop, ready)
        finally:
            await self._drain()

    async def _start_and_follow(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        first_start = await _unless(stop, self._open_books())
        if first_start is None:
            return
        self._claimed = True
        ready()
        tree = await self._find_tree(stop)
        if tree is not None and await _unless(stop, self._first_scan(tree, first_start)):
            await self._follow(stop)

    # -- start-up ----------------------------------------------------------------------------------------------

    async def _open_books(self) -> bool:
        known, rows, first = await self._books.open()
        self._roster.remember(known, rows)
        return first

    async def _find_tree(self, stop: asyncio.Event) -> HourlyTree | None:
        """The stream's tree; waits until it exists. None when told to stop meanwhile."""
        options, waiting = self._options, False
        while not stop.is_set():
            tree = locate(options.root, options.stream)
            if tree is not None:
                return tree
            if options.once:
                raise ConfigurationError(f"root: there is no {options.stream} stream below {options.root} to read once")
            if not waiting:
                self._log.warning(
                    "waiting_for_root", root=options.root, stream=options.stream, meaning="nothing to read yet"
                )
            waiting = True
            self._watcher.follow([candidate.hourly for candidate in candidates(options.root, options.stream)])
            await _first_of(stop.wait(), self._watcher.wait(options.poll_interval))
        return None

    async def _first_scan(self, tree: HourlyTree, first_start: bool) -> bool:
        self._discovery = Discovery(tree)
        scan = self._discovery.scan(self._clock(), full=True)
        if first_start:
            if self._options.start_at is StartAt.END:
                await self._skip(scan)
            await self._books.ledger.started()
        self._apply(scan)
        self._roster.first_scan_done()
        files, size = self._roster.backlog()
        if size:
            self._log.info("catching_up", files=files, bytes=size, about_s=max(1, round(size / _CATCH_UP_RATE)))
        return True

    async def _skip(self, scan: Scan) -> None:
        books = self._books
        options = books.options
        lives = await asyncio.to_thread(
            lambda: list(lives_at_end(scan.files.values(), options.source, options.settings.family))
        )
        skipped = await skip_what_is_there(books.ledger, lives)
        self._log.info(
            "skipped_by_choice", files=len(lives), bytes=skipped, why="start_at = end, first start of this source"
        )
        self._roster.remember(await books.known([]), [])

    # -- following ---------------------------------------------------------------------------------------------

    async def _follow(self, stop: asyncio.Event) -> None:
        assert self._failure is not None
        jobs: list[Coroutine[Any, Any, Any]] = [self._feed(), self._save(), self._report()]
        jobs.append(self._caught_up.wait() if self._options.once else self._look())
        tasks: list[asyncio.Future[Any]] = [asyncio.create_task(job) for job in (*jobs, stop.wait())]
        try:
            done, _ = await asyncio.wait([*tasks, self._failure], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for ended in done:
            ended.result()
        if self._options.once and not stop.is_set():
            await self._take_rests()

    async def _look(self) -> None:
        """Hints wake the scan early; the periodic one is the truth."""
        assert self._discovery is not None
        scanned = self._clock()
        self._watcher.follow([self._discovery.tree.hourly], self._discovery.hot_folders)
        while True:
            due = scanned + self._options.poll_interval
            hint = await self._watcher.wait(max(0.001, due - self._clock()))
            now = self._clock()
            known = self._roster.hint(hint.paths, now)
            if hint.folders or hint.everything or now >= due or not known:
                self._discovery.mark_hot(self._roster.hot_paths())
                self._apply(self._discovery.scan(now, full=hint.everything, hinted=hint.paths | hint.folders))
                self._watcher.follow([self._discovery.tree.hourly], self._discovery.hot_folders)
                scanned = now
            self._work.set()
            await asyncio.sleep(_LOOK_SPACING)

    def _apply(self, scan: Scan) -> None:
        now = self._clock()
        for file in scan.vanished:
            self._roster.gone(file)
        for file in (*scan.appeared, *scan.changed):
            self._roster.seen(file, now)
        self._roster.hold()
        self._work.set()

    async def _feed(self) -> None:
        """The loop: enter a file that waits, read a span of the file whose turn it is, put it in flight."""
        turn = 0
        while True:
            self._work.clear()
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
        if not later and not self._spans:
            if not self.stats.live:
                self._log.info("live", meaning="everything that was there is stored; new lines are stored as they come")
            self.stats.live = True
            self._caught_up.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(later) - now if later else None):
                await self._work.wait()

    async def _read_span(self, follower: Follower) -> None:
        await self._budget.room(CHUNK)
        self._budget.take(CHUNK)
        size = CHUNK
        try:
            piece = await self._next_piece(follower)
            if piece is not None:
                self._budget.give_back(size)
                size = piece.span.size if isinstance(piece, Chunk) else CHUNK  # a long line is never held whole
                self._budget.take(size)
        except FileRewritten:
            self._roster.rewritten(follower)
            piece = None
        except (UnreadableFile, OSError) as error:
            self._roster.unreadable(follower, error)
            piece = None
        else:
            if piece is None:
                self._roster.at_end(follower)
        if piece is None:
            self._budget.give_back(size)
            return
        if piece.span.size < _SMALL:
            follower.not_before = self._clock() + _SPACING
        follower.begin(piece)
        lines = piece.data.count(b"\n") if isinstance(piece, Chunk) else 1
        self.stats.read(lines, piece.span.size)
        self.stats.file = follower.file.path
        self._start(self._settle(follower, piece, lines), size)

    async def _next_piece(self, follower: Follower) -> Chunk | LongLine | None:
        follower.dirty = False  # before the read: a hint that comes meanwhile sets it again
        tailer, limit = follower.tailer, self._options.max_line_bytes
        if not follower.file.compression and tailer.backlog_bytes < _SMALL:
            piece = tailer.next_chunk(CHUNK, limit)
        else:
            piece = await self._in_thread(lambda: tailer.next_chunk(CHUNK, limit))
        if piece is not None:
            follower.dirty = True
        return piece

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        """HAZARD: a cancelled caller leaves the thread running; `_drain` waits for it before descriptors are closed."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    # -- a span in flight --------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None], size: int) -> None:
        task = asyncio.create_task(work)
        self._spans.add(task)
        task.add_done_callback(lambda done: self._ended(done, size))

    def _ended(self, task: asyncio.Task[None], size: int) -> None:
        self._spans.discard(task)
        self._budget.give_back(size)
        self._work.set()
        assert self._failure is not None
        if not task.cancelled() and (error := task.exception()) is not None and not self._failure.done():
            self._failure.set_exception(error)

    async def _settle(self, follower: Follower, piece: Chunk | LongLine, lines: int) -> None:
        """Encode, write, settle: returns when everything of the span is durable. Raises RuntimeFailure."""
        if isinstance(piece, LongLine):
            outcome = await self._settle_long_line(piece)
            entries = outcome.entries
        else:
            encoded = await self._encode(piece)
            outcome = await self._writer.write(piece, encoded, compare_first=_compare_first(follower, encoded))
            entries = encoded.entries
            follower.replaying = outcome.duplicates * 2 > entries
        follower.settle(piece.span, outcome)
        self.stats.settled(lines, piece.span.size, entries, outcome)

    async def _settle_long_line(self, piece: LongLine) -> Outcome:
        try:
            return await self._writer.write_long_line(piece)
        except (OSError, FileRewritten) as error:
            self.stats.lost_bytes += piece.span.size
            self._log.error(
                "bytes_lost",
                path=piece.span.life.path,
                bytes=piece.span.size,
                why=str(error),
                meaning="a line over max_line_bytes was cut or rewritten while it was being kept aside",
            )
            return Outcome(lines=1)

    async def _encode(self, chunk: Chunk) -> Encoded:
        span = chunk.span
        if len(chunk.data) <= _SMALL:
            return self._codec.encode(chunk.data, span.life.prefix, span.start)
        encoded: Encoded = await self._in_thread(lambda: self._codec.encode(chunk.data, span.life.prefix, span.start))
        return encoded

    # -- books -------------------------------------------------------------------------------------------------

    async def _save(self) -> None:
        while True:
            await asyncio.sleep(_SAVE_INTERVAL)
            now = self._clock()
            self._roster.seal_idle(now)
            self._note()
            self._books.save()
            self._measure(now)

    def _note(self) -> None:
        self._books.note(self._roster.take_rows(), self._roster.take_other_rows())

    def _measure(self, now: float) -> None:
        stats, lags = (
            self.stats,
            [follower.lag(now) for follower in [*self._roster.followers(), *self._roster.retiring]],
        )
        stats.lag_bytes = sum(size for size, _age in lags)
        stats.lag_seconds = max((age for _size, age in lags), default=0.0)
        stats.files_open = self._roster.open_files
        stats.files_backlog, _ = self._roster.backlog()

    async def _report(self) -> None:
        reported = self._clock()
        while True:
            await asyncio.sleep(RENEW_INTERVAL)
            await self._books.ledger.renew()
            if self._clock() - reported >= _REPORT_INTERVAL:
                reported = self._clock()
                await self._books.report()

    # -- the end -----------------------------------------------------------------------------------------------

    async def _take_rests(self) -> None:
        """`--once`: an unterminated rest that is a whole entry is stored; no checkpoint covers it, so the newline that
        comes later changes nothing. Others are reported."""
        for follower in self._roster.followers():
            chunk = follower.tailer.take_rest(self._options.max_line_bytes)
            if chunk is not None:
                encoded = self._codec.encode(chunk.data, chunk.span.life.prefix, chunk.span.start)
                if encoded.documents and not encoded.rejects:
                    outcome = await self._writer.write(chunk, encoded, compare_first=True)
                    self.stats.read(1, 0)
                    self.stats.settled(1, 0, encoded.entries, outcome)
                    continue
            if chunk is not None or follower.tailer.torn:
                size = len(chunk.data) if chunk is not None else follower.tailer.torn
                self._log.warning("torn_rest", path=follower.file.path, bytes=size, meaning="waits for its newline")
        for path in self._roster.headless():
            self._log.warning("torn_rest", path=path, meaning="its first line waits for its newline")

    async def _drain(self) -> None:
        """Nothing is read any more. What does not settle in time is read again at the next start.

        The local half is done even if we are cancelled meanwhile: it awaits nothing.
        """
        deadline = self._clock() + self._options.shutdown_grace
        try:
            if self._spans:
                await asyncio.wait(self._spans, timeout=self._options.shutdown_grace)
            await self._abandon()
        finally:
            for task in self._spans:
                task.cancel()
            self._threads.shutdown(wait=True)
            self._note()
            self._books.save()
            self._measure(self._clock())
            self._roster.close()
        if self._claimed:
            await self._say_goodbye(max(1.0, deadline - self._clock()))

    async def _abandon(self) -> None:
        left = [task for task in self._spans if not task.done()]
        if left:
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            self._log.warning(
                "spans_abandoned", spans=len(left), meaning="not settled in time; read again at the next start"
            )

    async def _say_goodbye(self, patience: float) -> None:
        """Progress and lease, in at most `patience` seconds: MongoDB being away must not change how we end."""
        try:
            async with asyncio.timeout(patience):
                await self._books.report()
                await self._books.ledger.release()
        except (TailraceError, TimeoutError) as error:
            why = str(error) or "MongoDB did not answer in time"
            self._log.info(
                "ledger_not_updated", why=why, meaning="nothing is lost: the checkpoints are in the state directory"
            )


def _compare_first(follower: Follower, encoded: Encoded) -> bool:
    """Whether these documents are likely to be stored already."""
    if follower.replaying or not encoded.documents:
        return follower.replaying
    up_to = follower.known_up_to
    return up_to is not None and encoded.documents[0][_DOCUMENT_ID] <= up_to


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`, or None when told to stop before: a start that waits for MongoDB can be ended."""
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for each in (task, stopping):
            each.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)


async def _first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
