"""One source of an instance, from its preparation to its end.

prepare: codec -> collections -> ledger, writer, books, roster, feeder -> pipeline
run:     the pipeline; when a collection is dropped under it, prepared anew
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from tailrace.config import Settings
from tailrace.config.sources import SourceSettings
from tailrace.errors import CollectionsDropped, ServerRefusesUs
from tailrace.ingest.blocks import BlockGaps
from tailrace.ingest.books import BookKeeper
from tailrace.ingest.ending import unless
from tailrace.ingest.feeder import Feeder
from tailrace.ingest.files.hints import WatchMode
from tailrace.ingest.files.watch import watcher
from tailrace.ingest.lasting import Lasting
from tailrace.ingest.lives.census import Hour
from tailrace.ingest.lives.entrance import Entrance, Name
from tailrace.ingest.lives.roster import Roster, RosterOptions
from tailrace.ingest.mongo.connection import Client
from tailrace.ingest.mongo.ledger import Ledger
from tailrace.ingest.mongo.retrying import Retrier
from tailrace.ingest.mongo.server import CollectionFacts, handles, prepare
from tailrace.ingest.mongo.writer import Writer, whole_line
from tailrace.ingest.pipeline import Pipeline, Stages
from tailrace.ingest.rests import Rests
from tailrace.ingest.state.checkpoints import CheckpointStore
from tailrace.ingest.stats import SourceStats
from tailrace.ingest.wiring import (
    Former,
    book_options,
    entry_alone,
    event_time_of,
    indexes_of,
    make_codec,
    max_open,
    pipeline_options,
    server_options,
    tuning,
)
from tailrace.ingest.workers import Budget
from tailrace.streams import schema_of

_LOOK_AGAIN = 2.0  # seconds between attempts to begin anew while MongoDB does not let us

log = structlog.get_logger("tailrace")


@dataclass(slots=True, kw_only=True)
class Shared:
    """What all sources of a process use together. `settings` are replaced whole by a reload. `uri`: the setting, or
    that of the embedded mongod."""

    settings: Settings
    client: Client
    uri: str
    retrier: Retrier
    store: CheckpointStore
    budget: Budget


class Following:
    """Prepared, then run until `stop` is set. `facts`: of its collection, once prepared. Used once."""

    def __init__(self, shared: Shared, source: SourceSettings, *, once: bool = False) -> None:
        self.source = source
        self.stop = asyncio.Event()
        self.stats = SourceStats(stream=source.stream, root=str(source.directory))
        self.facts: CollectionFacts | None = None
        self._shared = shared
        self._once = once
        self._pipeline: Pipeline | None = None

    async def prepare(self) -> None:
        """Raises ConfigurationError, also where the state directory knows these files under another name. Nothing is
        read yet; collections that were not there are."""
        self._pipeline = await self._make(Former())
        assert self.facts is not None
        books = book_options(self.source, self.facts)
        self._shared.store.must_be_free(books.source, books.namespace, books.collection_uuid, books.root)

    async def run(self, ready: Callable[[], None]) -> None:
        """`ready` is called once its start is over. Raises ConfigurationError before, RuntimeFailure later."""
        pipeline = self._pipeline
        assert pipeline is not None
        while True:
            try:
                await pipeline.run(self.stop, ready)
            except CollectionsDropped as dropped:
                log.error(
                    "collection_dropped",
                    source=self.source.source,
                    collections=[f"{self.source.database}.{name}" for name in dropped.names],
                    meaning="dropped, renamed or made anew while in use: it is made again where it is absent, and what "
                    "the files still hold is stored again",
                    todo="find out who did it; documents of files that are gone from disk are lost",
                )
                former = Former(lives=pipeline.lives, begun=pipeline.begun, dropped=frozenset(dropped.names))
            else:
                return
            again = await unless(self.stop, self._begin_anew(former))
            if again is None:
                await pipeline.give_back()
                return
            self._pipeline, pipeline, ready = again, again, _ready_before

    def tune(self) -> None:
        """Take over what may change live of the shared settings."""
        if self._pipeline is not None:
            self._pipeline.tune(tuning(self._shared.settings))

    def hours(self, most: int) -> list[Hour]:
        """The newest hour files, oldest first."""
        return self._pipeline.hours(most) if self._pipeline is not None else []

    async def _begin_anew(self, former: Former) -> Pipeline:
        """As at the start, but a server that is away, or refuses us, is waited for, and is in trouble meanwhile."""
        waits, retrier = Lasting(), self._shared.retrier
        self.stats.begin_anew()
        with retrier.attempts(f"preparing {self.source.namespace} anew") as attempts:
            while True:
                try:
                    pipeline = await self._make(former)
                except ServerRefusesUs as error:
                    # HAZARD: nobody else may have anything to do with MongoDB now, and so notice that it fails.
                    retrier.health.failed(attempts, error.verdict, str(error), error.kind)
                    now = time.monotonic()
                    if waits.met(now):
                        log.warning(
                            "waiting_for_mongodb",
                            source=self.source.source,
                            why=str(error),
                            for_s=waits.for_s(now),
                            meaning="nothing of this source is read, and nothing is lost: its lines wait in their "
                            "files",
                            todo="mend what why says on the server",
                        )
                    await asyncio.sleep(_LOOK_AGAIN)
                else:
                    if (after := waits.over(time.monotonic())) is not None:
                        name = self.source.source
                        log.info("mongodb_lets_us", source=name, after_s=after, meaning="it is read again")
                    pipeline.tune(tuning(self._shared.settings))  # what was reloaded meanwhile
                    return pipeline

    async def _make(self, former: Former) -> Pipeline:
        source, shared = self.source, self._shared
        settings, client, retrier = shared.settings, shared.client, shared.retrier
        codec = make_codec(source, settings.codec)  # refuses what cannot be had, before anything is created
        options = server_options(settings, source, shared.uri)
        dropped = source.collection in former.dropped
        facts = await prepare(client, options, indexes=indexes_of(source), clustered=source.clustered, dropped=dropped)
        self.facts = facts
        for warning in facts.warnings:
            log.warning("collection", note=warning, meaning="it works so; note says what is given up")
        ours = handles(client, options)
        ledger = Ledger(
            ours,
            retrier,
            source=source.source,
            instance=shared.store.instance,
            collection_uuid=facts.uuid,
            bound=facts.uuids,
        )
        stats = self.stats
        writer = Writer(
            ours,
            retrier,
            fence=ledger.fence,
            ignore=schema_of(source.family).compared(source.identity),
            entry_of=entry_alone if source.framing.wrapped else whole_line,
            pace=shared.budget,
            wrote=stats.wrote,
        )
        books = BookKeeper(book_options(source, facts, former), ledger, shared.store, writer)
        roster = Roster(
            RosterOptions(max_open=max_open(len(settings.sources)), seal_after=settings.seal_after, once=self._once),
            Entrance(Name(source.source, source.family), books, BlockGaps() if source.framing.wrapped else None),
            stats,
        )
        bound = log.bind(source=source.source, collection=source.namespace)
        longest = settings.max_line_bytes
        feeder = Feeder(
            roster,
            codec,
            writer,
            shared.budget,
            stats,
            bound,
            max_line_bytes=longest,
            once=self._once,
            event_time=event_time_of(source),
        )
        rests = Rests(roster, codec, writer, stats, bound, max_line_bytes=longest)
        hints = watcher(WatchMode(settings.watch.value))
        stages = Stages(watcher=hints, roster=roster, feeder=feeder, books=books, rests=rests)
        return Pipeline(pipeline_options(source, once=self._once), tuning(settings), stages, stats)


def _ready_before() -> None:
    """For a source that begins anew: that it is ready was said before."""
