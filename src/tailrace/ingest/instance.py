"""One running tailrace: the settings' sources, wired to one state directory and one MongoDB.

    lock the state -> (embedded mongod) -> connect -> prepare each collection -> one pipeline per source -> close

Used by `run` and by the demo. Everything that is opened here is closed here, in the opposite order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import structlog

from tailrace.config import Settings
from tailrace.config.sources import SourceSettings
from tailrace.embedded import EmbeddedMongod
from tailrace.errors import CollectionsDropped, ServerRefusesUs
from tailrace.ingest.books import BookKeeper
from tailrace.ingest.ending import end, unless
from tailrace.ingest.feeder import Feeder
from tailrace.ingest.files.hints import WatchMode
from tailrace.ingest.files.watch import watcher
from tailrace.ingest.lives.entrance import Entrance, Name
from tailrace.ingest.lives.roster import Roster, RosterOptions
from tailrace.ingest.mongo.connection import Client
from tailrace.ingest.mongo.health import ServerHealth
from tailrace.ingest.mongo.ledger import Ledger
from tailrace.ingest.mongo.retrying import Retrier, RetryOptions
from tailrace.ingest.mongo.server import CollectionFacts, connect, handles, prepare
from tailrace.ingest.mongo.writer import Writer, whole_line
from tailrace.ingest.pipeline import Pipeline, Stages
from tailrace.ingest.rests import Rests
from tailrace.ingest.state.checkpoints import CheckpointStore
from tailrace.ingest.stats import SourceStats
from tailrace.ingest.wiring import (
    Former,
    book_options,
    entry_alone,
    indexes_of,
    make_codec,
    max_open,
    pipeline_options,
    server_options,
)
from tailrace.ingest.workers import Budget, Limits
from tailrace.streams import schema_of

_LOOK_AGAIN = 2.0  # seconds between attempts to begin anew while MongoDB does not let us

log = structlog.get_logger("tailrace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all sources of a process use together."""

    client: Client
    uri: str
    retrier: Retrier
    store: CheckpointStore
    budget: Budget


@dataclass(slots=True)
class Instance:
    """`stats`, `health` are filled while it runs, for views. Used once."""

    settings: Settings
    once: bool = False
    stats: dict[str, SourceStats] = field(default_factory=dict)
    health: ServerHealth = field(init=False)
    facts: dict[str, CollectionFacts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.health = ServerHealth(in_flight_limit=self.settings.max_in_flight_bytes)

    async def run(self, stop: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Until `stop` is set (or caught up, with `once`). `ready` is called once all sources have started.

        Raises ConfigurationError at start-up, RuntimeFailure later; either way everything is closed first.
        """
        settings = self.settings
        async with AsyncExitStack() as stack:
            store = stack.enter_context(CheckpointStore.open(settings.state_dir))
            for sentence in store.warnings:
                log.warning("state_directory", note=sentence)
            uri = settings.connection_string
            if settings.embedded:
                mongod = EmbeddedMongod(settings.state_dir)
                stack.push_async_callback(mongod.stop)
                uri = await mongod.start()
            client = connect(server_options(settings, settings.sources[0], uri))
            stack.push_async_callback(client.close)
            retrier = Retrier(
                self.health,
                RetryOptions(timeout=settings.write_timeout, cap=settings.retry_max_delay),
                starting=True,
            )
            budget = Budget(
                Limits(spans=settings.max_workers, size=settings.max_in_flight_bytes), sources=len(settings.sources)
            )
            shared = Shared(client=client, uri=uri, retrier=retrier, store=store, budget=budget)
            pipelines = await unless(stop, self._pipelines(shared))
            if pipelines is None:
                return
            waiting = len(pipelines)

            def one_is_ready() -> None:
                nonlocal waiting
                waiting -= 1
                if not waiting:
                    retrier.starting = False
                    ready()

            sources = zip(self.settings.sources, pipelines, strict=True)
            await _all([self._follow(shared, *each, stop, one_is_ready) for each in sources], stop)

    async def _pipelines(self, shared: Shared) -> list[Pipeline]:
        return [await self._pipeline(shared, source, Former()) for source in self.settings.sources]

    async def _follow(
        self,
        shared: Shared,
        source: SourceSettings,
        pipeline: Pipeline,
        stop: asyncio.Event,
        ready: Callable[[], None],
    ) -> None:
        """Run the pipeline; when a collection is dropped under it, begin anew with what is there then."""
        while True:
            try:
                await pipeline.run(stop, ready)
            except CollectionsDropped as dropped:
                log.error(
                    "collection_dropped",
                    source=source.source,
                    collections=[f"{source.database}.{name}" for name in dropped.names],
                    meaning="dropped, renamed or made anew while in use: it is made again where it is absent, and what "
                    "the files still hold is stored again",
                )
                former = Former(lives=pipeline.lives, begun=pipeline.begun, dropped=frozenset(dropped.names))
            else:
                return
            again = await unless(stop, self._begin_anew(shared, source, former))
            if again is None:
                return
            pipeline, ready = again, _ready_before

    async def _begin_anew(self, shared: Shared, source: SourceSettings, former: Former) -> Pipeline:
        """As at the start, but a server that is away, or refuses us, is waited for."""
        said = False
        while True:
            try:
                return await self._pipeline(shared, source, former)
            except ServerRefusesUs as error:
                if not said:
                    log.warning("waiting_for_mongodb", source=source.source, why=str(error), meaning="nothing is read")
                said = True
                await asyncio.sleep(_LOOK_AGAIN)

    async def _pipeline(self, shared: Shared, source: SourceSettings, former: Former) -> Pipeline:
        settings, client, retrier = self.settings, shared.client, shared.retrier
        codec = make_codec(source, settings.codec)  # refuses what cannot be had, before anything is created
        options = server_options(settings, source, shared.uri)
        dropped = source.collection in former.dropped
        facts = await prepare(client, options, indexes=indexes_of(source), clustered=source.clustered, dropped=dropped)
        self.facts[source.namespace] = facts
        for warning in facts.warnings:
            log.warning("collection", note=warning)
        ours = handles(client, options)
        ledger = Ledger(
            ours,
            retrier,
            source=source.source,
            instance=shared.store.instance,
            collection_uuid=facts.uuid,
            bound=facts.uuids,
        )
        writer = Writer(
            ours,
            retrier,
            fence=ledger.fence,
            ignore=schema_of(source.family).compared(source.identity),
            entry_of=entry_alone if source.framing.wrapped else whole_line,
            pace=shared.budget,
        )
        books = BookKeeper(book_options(source, facts, former), ledger, shared.store, writer)
        stats = self.stats.setdefault(f"{source.source} -> {source.namespace}", SourceStats())
        stats.live = False
        roster = Roster(
            RosterOptions(max_open=max_open(len(settings.sources)), seal_after=settings.seal_after, once=self.once),
            Entrance(Name(source.source, source.family), books),
            stats,
        )
        bound = log.bind(source=source.source, collection=source.namespace)
        longest = settings.max_line_bytes
        feeder = Feeder(roster, codec, writer, shared.budget, stats, bound, max_line_bytes=longest, once=self.once)
        rests = Rests(roster, codec, writer, stats, bound, max_line_bytes=longest)
        hints = watcher(WatchMode(settings.watch.value))
        stages = Stages(watcher=hints, roster=roster, feeder=feeder, books=books, rests=rests)
        return Pipeline(pipeline_options(settings, source, once=self.once), stages, stats)


def _ready_before() -> None:
    """For a source that begins anew: that it is ready was said before."""


async def _all(runs: list[Coroutine[Any, Any, None]], stop: asyncio.Event) -> None:
    """Run them side by side. When one fails the others are told to stop, drain, and the failure is raised."""
    tasks = [asyncio.create_task(run) for run in runs]
    try:
        _done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    except asyncio.CancelledError:
        await end(tasks)
        raise
    if pending:
        stop.set()
        await asyncio.wait(pending)
    for task in tasks:
        task.result()
