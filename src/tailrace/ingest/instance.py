"""One running tailrace: the settings' sources, on one state directory and one MongoDB.

    lock the state -> (embedded mongod) -> connect -> prepare each source -> follow all -> close
                                                          reload: other limits, sources added and removed

Used by `run` and by the demo. Everything that is opened here is closed here, in the opposite order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from tailrace.config import Settings
from tailrace.config.reloading import changes, name_of
from tailrace.config.sources import SourceSettings
from tailrace.embedded import EmbeddedMongod
from tailrace.errors import TailraceError
from tailrace.ingest.ending import end, unless
from tailrace.ingest.following import Following, Shared
from tailrace.ingest.lives.census import Hour
from tailrace.ingest.mongo.health import ServerHealth
from tailrace.ingest.mongo.retrying import Retrier
from tailrace.ingest.mongo.server import CollectionFacts, connect
from tailrace.ingest.mongo.topology import Member, members_of
from tailrace.ingest.reloaded import NotStarted, Reloaded
from tailrace.ingest.state.checkpoints import CheckpointStore
from tailrace.ingest.stats import SourceStats
from tailrace.ingest.wiring import limits, retry_options, server_options
from tailrace.ingest.workers import Budget

log = structlog.get_logger("tailrace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Spans in flight now, allowed now, and at most; bytes in flight now, and at most."""

    busy: int = 0
    allowed: int = 0
    limit: int = 0
    size: int = 0
    size_limit: int = 0


@dataclass(slots=True)
class Instance:
    """`stats`, `health`, `facts` are filled while it runs, for views; all is used from one event loop. Used once."""

    settings: Settings
    once: bool = False
    stats: dict[str, SourceStats] = field(default_factory=dict)
    health: ServerHealth = field(init=False)
    facts: dict[str, CollectionFacts] = field(default_factory=dict)
    _shared: Shared | None = None
    _followed: dict[str, Following] = field(default_factory=dict)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)
    _stop: asyncio.Event | None = None
    _reloading: bool = False

    def __post_init__(self) -> None:
        self.health = ServerHealth(in_flight_limit=self.settings.max_in_flight_bytes)

    async def run(self, stop: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Until `stop` is set (or caught up, with `once`). `ready` is called once all sources have started.

        Raises ConfigurationError at start-up, RuntimeFailure later; either way everything is closed first.
        """
        async with AsyncExitStack() as stack:
            shared = await self._open(stack)
            first = [Following(shared, source, once=self.once) for source in self.settings.sources]
            if await unless(stop, self._prepare(first)) is None:
                return
            waiting = {name_of(each.source) for each in first}

            def is_ready(name: str) -> None:
                waiting.discard(name)
                if not waiting and shared.retrier.starting:
                    shared.retrier.starting = False
                    self._shared, self._stop = shared, stop
                    ready()

            try:
                for each in first:
                    _ = self._start(each, each.run(partial(is_ready, name_of(each.source))))
                await self._until_the_end(stop)
            finally:
                self._shared = None
                await end(list(self._tasks.values()))

    async def _open(self, stack: AsyncExitStack) -> Shared:
        settings = self.settings
        store = stack.enter_context(CheckpointStore.open(settings.state_dir))
        for sentence in store.warnings:
            log.warning("state_directory", note=sentence, meaning="nothing is lost by it; what is in it may be read")
        uri = settings.connection_string
        if settings.embedded:
            mongod = EmbeddedMongod(settings.state_dir)
            stack.push_async_callback(mongod.stop)
            uri = await mongod.start()
        client = connect(server_options(settings, settings.sources[0], uri))
        stack.push_async_callback(client.close)
        return Shared(
            settings=settings,
            client=client,
            uri=uri,
            retrier=Retrier(self.health, retry_options(settings), starting=True),
            store=store,
            budget=Budget(limits(settings), sources=len(settings.sources)),
        )

    # -- the sources -------------------------------------------------------------------------------------------

    async def _prepare(self, sources: list[Following]) -> bool:
        for each in sources:
            await each.prepare()
            self._show(each)
        return True

    def _show(self, source: Following) -> None:
        self.stats[name_of(source.source)] = source.stats
        if source.facts is not None:
            self.facts[source.source.namespace] = source.facts

    def _hide(self, source: SourceSettings) -> None:
        self.stats.pop(name_of(source), None)
        if not any(each.source.namespace == source.namespace for each in self._followed.values()):
            self.facts.pop(source.namespace, None)

    def _start(self, source: Following, run: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        name = name_of(source.source)
        self._followed[name] = source
        task = self._tasks[name] = asyncio.create_task(run)
        task.add_done_callback(lambda _ended: self._moved.set())
        return task

    async def _until_the_end(self, stop: asyncio.Event) -> None:
        """Until all have ended: told to stop, or caught up with `once`. When one fails the others are told to stop,
        drain, and the failure is raised.

        HAZARD: that none is followed is no end. A reload may have removed the only one, and what it added may not have
        started: ended with exit 0, the process would not be started again by anybody.
        """
        failures: list[BaseException] = []
        passing_on = asyncio.create_task(self._pass_on(stop))
        try:
            while self._tasks or self._reloading or not (self.once or stop.is_set()):
                await self._moved.wait()
                self._moved.clear()
                for name, task in [item for item in self._tasks.items() if item[1].done()]:
                    del self._tasks[name], self._followed[name]
                    error = task.exception()
                    if error is not None:
                        failures.append(error)
                        stop.set()
        finally:
            await end([passing_on])
        if failures:
            raise failures[0]

    async def _pass_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        for source in self._followed.values():
            source.stop.set()
        self._moved.set()  # there may be none

    # -- other settings ----------------------------------------------------------------------------------------

    async def reload(self, then: Settings, again: asyncio.Event | None = None) -> Reloaded:
        """Take over what may change of `then`, which is valid. Returns when what was removed has drained and what was
        added has started. One at a time; `again` is set when another one waits, which may be to remove what this one
        waits for.

        What is added is prepared first: where that fails nothing has changed. Cancelled: the process is to end.
        """
        shared, stop = self._shared, self._stop
        if shared is None or stop is None or stop.is_set() or self.once:
            return Reloaded(broken_off=("tailrace is starting or stopping: try again",), refused=True)
        found = changes(self.settings, then)
        added = [Following(shared, source) for source in found.added]
        try:
            for each in added:
                await each.prepare()
        except TailraceError as error:
            return Reloaded(problems=(str(error),), refused=True)
        if stop.is_set():
            return Reloaded(broken_off=("tailrace is stopping",), refused=True)
        self._reloading = True
        try:
            self._take_over(shared, found.settings)
            await self._remove(found.removed)
            not_started = {
                name_of(each.source): failed
                for each in added
                if (failed := await self._add(each, stop, again or asyncio.Event()))
            }
        finally:
            self._reloading = False
            self._moved.set()
            # Those that are followed, whatever has failed: the next reload may add the others.
            there = tuple(each.source for name, each in self._followed.items() if name in self.stats)
            self.settings = shared.settings = self.settings.model_copy(update={"sources": there})
        not_added = {f"source {name} added" for name in not_started}
        changed = tuple(each for each in found.changed if each not in not_added)
        return Reloaded.of(changed, found.left, not_started.values())

    def _take_over(self, shared: Shared, settings: Settings) -> None:
        self.settings = shared.settings = settings
        shared.retrier.options = retry_options(settings)
        shared.budget.change(limits(settings), sources=len(settings.sources))
        self.health.limit(settings.max_in_flight_bytes)
        for source in self._followed.values():
            source.tune()

    async def _remove(self, sources: tuple[SourceSettings, ...]) -> None:
        names = {name_of(source): source for source in sources}
        leaving = {name: self._tasks[name] for name in names if name in self._tasks}
        for name in leaving:
            self._followed[name].stop.set()
        if leaving:
            await asyncio.wait(leaving.values())
        for name, source in names.items():
            stats = self.stats.get(name)
            if stats is not None:
                log.info("stopped", source=name, **stats.figures(), bytes_lost=stats.lost_bytes)
            self._hide(source)

    async def _add(self, source: Following, stop: asyncio.Event, again: asyncio.Event) -> NotStarted | None:
        """None when it has started. When it has not, the others go on without it."""
        started = asyncio.Event()
        failures: list[TailraceError] = []
        name = name_of(source.source)
        if stop.is_set():  # HAZARD: `_pass_on` has told those that were there
            return NotStarted(f"source {name} did not start: tailrace is stopping")
        source.tune()  # it was prepared with the former settings

        async def run() -> None:
            try:
                await source.run(started.set)
            except TailraceError as error:
                if started.is_set():
                    raise
                failures.append(error)

        self._show(source)
        task = self._start(source, run())
        waiting, other = asyncio.create_task(started.wait()), asyncio.create_task(again.wait())
        try:
            await asyncio.wait([task, waiting, other], return_when=asyncio.FIRST_COMPLETED)
            if not started.is_set():  # it failed, or the next reload is to decide about it
                source.stop.set()
                await asyncio.wait([task])
        finally:
            await end([waiting, other])
        if started.is_set():
            return None
        self._hide(source.source)
        if failures:
            return NotStarted(f"source {name} did not start: {failures[0]}", wrong=True)
        return NotStarted(f"source {name} was still waiting when tailrace was told to stop, or to reload again")

    # -- for those who look ------------------------------------------------------------------------------------

    def workers(self) -> Workers:
        if self._shared is None:
            return Workers(limit=self.settings.max_workers, size_limit=self.settings.max_in_flight_bytes)
        budget = self._shared.budget
        return Workers(
            busy=budget.spans,
            allowed=budget.workers,
            limit=budget.limits.spans,
            size=budget.size,
            size_limit=budget.limits.size,
        )

    def members(self) -> tuple[Member, ...]:
        """The servers, as the driver saw them last."""
        return () if self._shared is None else members_of(self._shared.client)

    def hours(self, most: int) -> dict[str, list[Hour]]:
        """The newest hour files of each source, oldest first."""
        return {name: source.hours(most) for name, source in self._followed.items()}
