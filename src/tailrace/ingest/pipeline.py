"""One source, end to end. The arrow:

    open the books -> find the tree -> first scan                              starting
        look    hints and scans -> the roster of files                     discovery, watch
        feed    choose a file -> read a span -> put it in flight           schedule, tailer, workers
                    encode -> write -> settle                              codec, writer, tracker
        save    settled prefixes -> local state; seal; lag                 checkpoints, measuring
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
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from tailrace.errors import CollectionsDropped, TailraceError
from tailrace.ingest.books import BookKeeper
from tailrace.ingest.ending import beside, end, unless, within
from tailrace.ingest.feeder import Feeder
from tailrace.ingest.files.discovery import Discovery, Scan
from tailrace.ingest.files.hints import Watcher
from tailrace.ingest.files.names import HourlyTree
from tailrace.ingest.lives.census import Hour
from tailrace.ingest.lives.roster import Roster
from tailrace.ingest.measuring import Measuring
from tailrace.ingest.mongo.ledger import RENEW_INTERVAL
from tailrace.ingest.rests import Rests
from tailrace.ingest.starting import find_tree, list_tree, say_what_waits, skip_what_there_is
from tailrace.ingest.stats import SourceStats
from tailrace.ingest.tuning import Tuning
from tailrace.model import Life, StartAt

_LOOK_SPACING = 0.005  # seconds in which hints are gathered
_SAVE_INTERVAL = 0.25
_IDLE_INTERVAL = 1.0  # seconds between two looks at what is idle: files to seal, lag of files that cannot be read
_REPORT_INTERVAL = 30.0
_CHECK_INTERVAL = 1.0  # seconds between looks whether a collection was dropped: what is written meanwhile is read again
_GOODBYE = 1.0  # seconds for the ledger at the end, however long the drain took


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """`once`: end when all that was there is settled."""

    root: str
    stream: str
    start_at: StartAt
    once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """What a pipeline is wired from."""

    watcher: Watcher
    roster: Roster
    feeder: Feeder
    books: BookKeeper
    rests: Rests


class Pipeline:
    """Follows one source from `run` until it is told to stop. Used once. `begun`: its first start is over."""

    def __init__(self, options: PipelineOptions, tuning: Tuning, stages: Stages, stats: SourceStats) -> None:
        self._options = options
        self._tuning = tuning
        self._watcher = stages.watcher
        self._roster = stages.roster
        self._feeder = stages.feeder
        self._books = stages.books
        self._rests = stages.rests
        self.stats = stats
        self._discovery: Discovery | None = None
        self._clock: Callable[[], float] = time.monotonic
        self._claiming = self._claimed = False
        self.begun = False
        named = self._books.options
        self._log = structlog.get_logger("tailrace").bind(source=named.source, collection=named.namespace)
        self._measuring = Measuring(self._roster, self._feeder, self._books, stats, self._log, once=options.once)

    @property
    def lives(self) -> tuple[Life, ...]:
        """All that this source has entered or found in the ledger."""
        return tuple(self._books.lives.values())

    def hours(self, most: int) -> list[Hour]:
        """The newest hour files, oldest first."""
        return self._roster.census.hours(most, live=self.stats.live)

    def tune(self, tuning: Tuning) -> None:
        """Other settings from now on."""
        self._tuning = tuning
        self._watcher.wake()  # the next look may be due already
        self._roster.seal_after(tuning.seal_after)
        self._feeder.max_line_bytes = self._rests.max_line_bytes = tuning.max_line_bytes

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Until `stop` is set, or with `once` until caught up. `ready` is called when start-up is over.

        Raises ConfigurationError while starting, RuntimeFailure later; CollectionsDropped when a collection was dropped
        under us: a new pipeline then begins anew, told of `lives`. Nothing read is lost by any.
        """
        try:
            async with self._watcher:
                await self._start_and_follow(stop, ready)
        except CollectionsDropped:
            # Progress in what was dropped is void; the lease stays with this process, or `give_back` is called.
            self._claiming = self._claimed = False
            raise
        finally:
            await self._drain()

    async def _start_and_follow(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        self._claiming = True  # before: what is refused, or broken off, after the claim must not hold the name
        first_start = await unless(stop, self._open_books())
        if first_start is None:
            return
        self._claimed = True
        ready()
        report = asyncio.create_task(self._report())  # from here on: the lease must not expire while a root is awaited
        try:
            if await beside(report, self._look_first(stop, first_start)):
                await self._follow(stop, report)
        finally:
            await end([report])

    async def _look_first(self, stop: asyncio.Event, first_start: bool) -> bool:
        """Whether there is a tree to follow; False when told to stop before."""
        options, log = self._options, self._log
        tree = await find_tree(
            options.root,
            options.stream,
            self._watcher,
            stop,
            log,
            poll_interval=lambda: self._tuning.poll_interval,
            once=options.once,
        )
        return tree is not None and bool(await unless(stop, self._first_scan(tree, first_start)))

    # -- start-up ----------------------------------------------------------------------------------------------

    async def _open_books(self) -> bool:
        known, rows, first = await self._books.open()
        self._roster.remember(known, rows)
        self.begun = not first
        return first

    async def _first_scan(self, tree: HourlyTree, first_start: bool) -> bool:
        self._books.root_found(tree.directory)
        self._discovery = Discovery(tree)
        options = self._options
        scan = await list_tree(
            self._discovery,
            self._watcher,
            self._clock,
            self.stats,
            poll_interval=lambda: self._tuning.poll_interval,
            once=options.once,
        )
        if first_start:
            if options.start_at is StartAt.END:
                skipped = await skip_what_there_is(self._books, scan.files.values(), self._log)
                self._roster.remember(skipped, [])
            await self._books.ledger.started()
            self.begun = True
        self._apply(scan)
        self._roster.first_scan_done()
        unread = self._roster.backlog(self._clock())
        say_what_waits(unread.files, unread.size, self._log)
        return True

    # -- following ---------------------------------------------------------------------------------------------

    async def _follow(self, stop: asyncio.Event, report: asyncio.Task[None]) -> None:
        feeder = self._feeder
        jobs: list[Coroutine[Any, Any, Any]] = [feeder.run(), self._save(), stop.wait()]
        jobs.append(feeder.caught_up.wait() if self._options.once else self._look())
        tasks: list[asyncio.Future[Any]] = [asyncio.create_task(job) for job in jobs]
        try:
            done, _ = await asyncio.wait([*tasks, report, feeder.failure], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(tasks)
        errors = [error for ended in done if (error := ended.exception()) is not None]
        for error in sorted(errors, key=lambda each: not isinstance(each, CollectionsDropped)):
            if not isinstance(error, CollectionsDropped):  # whatever else failed then may have failed of it
                self._log.error(
                    "failing",
                    error=str(error),
                    meaning="nothing is lost: what is in flight is stored first, then run ends; a start goes on there",
                    todo="mend what error says, then start it again",
                )
            raise error
        if self._options.once and not stop.is_set():
            await unless(stop, self._rests.take())
            self._roster.must_be_complete()
            await unless(stop, self._books.ledger.still_there())

    async def _look(self) -> None:
        """Hints wake the scan early; the periodic one is the truth."""
        assert self._discovery is not None
        scanned = self._clock()
        self._watcher.follow([self._discovery.tree.hourly], self._discovery.hot_folders)
        while True:
            due = scanned + self._tuning.poll_interval
            hint = await self._watcher.wait(max(0.001, due - self._clock()))
            now = self._clock()
            known = self._roster.hint(hint.paths, now)
            if hint.folders or hint.everything or now >= due or not known:
                self._discovery.mark_hot(self._roster.hot_paths())
                self._apply(self._discovery.scan(now, full=hint.everything, hinted=hint.paths | hint.folders))
                self._watcher.follow([self._discovery.tree.hourly], self._discovery.hot_folders)
                scanned = now
            if hint:
                self._feeder.work.set()
                await asyncio.sleep(_LOOK_SPACING)

    def _apply(self, scan: Scan) -> None:
        now = self._clock()
        self._roster.unlisted(scan.unlisted)
        for file in scan.vanished:
            self._roster.gone(file)
        for file in (*scan.appeared, *scan.changed):
            self._roster.seen(file, now)
        self._roster.hold(now)
        self.stats.locked = self._roster.locked() if scan.present else scan.locked
        if scan.vanished or scan.appeared or scan.changed or self._roster.waiting:
            self._feeder.work.set()

    # -- books -------------------------------------------------------------------------------------------------

    async def _save(self) -> None:
        feeder = self._feeder
        while True:
            if feeder.at_rest:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_IDLE_INTERVAL):
                        await feeder.moved.wait()
            if not feeder.at_rest or feeder.moved.is_set():
                await asyncio.sleep(_SAVE_INTERVAL)
            feeder.moved.clear()
            now = self._clock()
            self._roster.seal_idle(now)
            self._note()
            self._books.save()
            self._feeder.say_kept_aside()
            self._measuring.measure(now)

    def _note(self) -> None:
        self._books.note(self._roster.take_rows(), self._roster.take_other_rows(), self._clock())

    async def _report(self) -> None:
        ledger = self._books.ledger
        renewed = reported = self._clock()
        settled, busy = self.stats.spans_settled, True
        while True:
            await asyncio.sleep(
                _CHECK_INTERVAL if busy else max(_CHECK_INTERVAL, renewed + RENEW_INTERVAL - self._clock())
            )
            renew, busy = self._clock() - renewed >= RENEW_INTERVAL, settled != self.stats.spans_settled
            if renew or busy:
                settled = self.stats.spans_settled
                await ledger.still_there()
            if renew:
                renewed = self._clock()
                await ledger.renew()
            if self._clock() - reported >= _REPORT_INTERVAL:
                reported = self._clock()
                await self._books.report()

    # -- the end -----------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Nothing is read any more. What does not settle in time is read again at the next start.

        The local half is done even if we are cancelled meanwhile: it awaits nothing.
        """
        deadline = self._clock() + self._tuning.shutdown_grace
        try:
            left = await self._feeder.drain(self._tuning.shutdown_grace)
            if left:
                self._log.warning("spans_abandoned", spans=left, meaning="not settled in time; read at the next start")
        finally:
            self._note()
            self._books.save()
            self._feeder.say_kept_aside(all_of_it=True)
            self._measuring.measure(self._clock())
            self._roster.close()
        if self._claimed:
            await self._say_goodbye(max(_GOODBYE, deadline - self._clock()))
        elif self._claiming:
            await self.give_back()

    async def give_back(self) -> None:
        """The lease, if it is ours, so that nobody waits for it; in a second at most."""
        with suppress(TailraceError, TimeoutError):
            await within(_GOODBYE, self._books.ledger.release())

    async def _say_goodbye(self, patience: float) -> None:
        """Progress and lease, in at most `patience` seconds: MongoDB being away must not change how we end."""
        try:
            await within(patience, self._last_words())
        except (TailraceError, TimeoutError) as error:
            why = str(error) or "MongoDB did not answer in time"
            self._log.info(
                "ledger_not_updated", why=why, meaning="nothing is lost: the checkpoints are in the state directory"
            )

    async def _last_words(self) -> None:
        await self._books.report()
        await self._books.ledger.release()
