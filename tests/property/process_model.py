"""The real stages of one source, single-threaded, in the hands of a machine that decides what happens next.

Real: discovery, roster, entrance, follower, tailer, tracker, feeder, codec, books, ledger logic, checkpoint store. What
stands for MongoDB is `Durable`: ids and bytes that survive a crash, written when the machine says so.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import structlog
from pymongo import UpdateOne

from tailrace import identity
from tailrace.ingest import feeder as feeding
from tailrace.ingest.books import BookKeeper, BookOptions
from tailrace.ingest.codec.codec import PythonCodec
from tailrace.ingest.feeder import Feeder
from tailrace.ingest.files.hints import PollingWatcher
from tailrace.ingest.files.names import HourlyTree
from tailrace.ingest.files.reading import Reader
from tailrace.ingest.lives.entrance import Entrance, Name
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.lives.roster import Roster, RosterOptions
from tailrace.ingest.mongo.ledger import Ledger, Progress, StoredSettings
from tailrace.ingest.mongo.ledger_documents import progress_update
from tailrace.ingest.mongo.ledger_reading import LedgerReader
from tailrace.ingest.mongo.writer import Writer
from tailrace.ingest.pipeline import Pipeline, PipelineOptions, Stages
from tailrace.ingest.rests import Rests
from tailrace.ingest.state.checkpoints import Checkpoint, CheckpointStore
from tailrace.ingest.stats import SourceStats
from tailrace.ingest.tuning import Tuning
from tailrace.ingest.workers import Budget, Limits
from tailrace.model import (
    Chunk,
    Encoded,
    Framing,
    Identity,
    Life,
    LongLine,
    Numbers,
    Outcome,
    Reason,
    StartAt,
)
from tailrace.streams import schema_of

FAMILY = SOURCE = "other"
NAMESPACE = "d.other"
MAX_LINE = 300
SEAL_AFTER = 300.0
SPANS = 3
_ID = slice(9, 9 + identity.ID_SIZE)

Interlude = Callable[[], None]


@dataclass
class Durable:
    """What MongoDB would hold. `acked`: spans whose every document was acknowledged, by prefix, as a set of (start,
    end); `read`: what was delivered of each life; `rewritten`: hours whose bytes were changed by others."""

    documents: dict[bytes, bytes] = field(default_factory=dict)
    rejects: dict[bytes, bytes] = field(default_factory=dict)
    ledger: dict[Any, dict[str, Any]] = field(default_factory=dict)
    acked: dict[bytes, set[tuple[int, int]]] = field(default_factory=lambda: defaultdict(set))
    read: dict[bytes, bytes] = field(default_factory=lambda: defaultdict(bytes))
    rewritten: set[int] = field(default_factory=set)

    def highest(self, prefix: bytes) -> bytes | None:
        return max((key for key in self.documents if key[: len(prefix)] == prefix), default=None)

    def covered(self, prefix: bytes, start: int) -> int:
        """End of what is acknowledged without a gap from `start`: computed here, not by the tracker."""
        end = start
        for begin, to in sorted(self.acked[prefix]):
            if begin <= end:
                end = max(end, to)
        return end


@dataclass(eq=False)
class Flight:
    """A span in flight. `answer`: set when the machine acknowledges it."""

    piece: Chunk | LongLine
    encoded: Encoded | None
    answer: asyncio.Future[None]


class MachineWriter(Writer):
    """Writes to `Durable` when it is told to. Proves duplicates as the real one: by comparing."""

    def __init__(self, durable: Durable, interlude: Interlude) -> None:
        self._durable = durable
        self._interlude = interlude
        self.flights: list[Flight] = []
        self._at_start = {key[: identity.PREFIX_SIZE]: durable.highest(key[:7]) for key in durable.documents}

    async def write(self, chunk: Chunk, encoded: Encoded, *, compare_first: bool) -> Outcome:
        first = encoded.documents[0][_ID] if encoded.documents else None
        known = self._at_start.get(chunk.span.life.prefix)
        assert compare_first or first is None or known is None or first > known, "stored before, and not compared first"
        await self._acknowledged(chunk, encoded)
        outcome = Outcome(lines=encoded.lines)
        for document in encoded.documents:
            stored = self._durable.documents.get(document[_ID])
            if stored is not None and stored != document:
                self._conflict(chunk, document[_ID])
                outcome.rejects[Reason.ID_CONFLICT] = outcome.rejects.get(Reason.ID_CONFLICT, 0) + 1
                continue
            self._durable.documents[document[_ID]] = document
            outcome.inserted += stored is None
            outcome.duplicates += stored is not None
        for reject in encoded.rejects:
            self._keep(chunk.span.life, reject.start, reject.index, reject.data)
            outcome.rejects[reject.reason] = outcome.rejects.get(reject.reason, 0) + 1
        self._durable.acked[chunk.span.life.prefix].add((chunk.span.start, chunk.span.end))
        return outcome

    async def write_long_line(self, long_line: LongLine) -> Outcome:
        await self._acknowledged(long_line, None)
        span = long_line.span
        self._durable.acked[span.life.prefix].add((span.start, span.end))  # also when its bytes are gone: reported then
        self._keep(span.life, span.start, 0, b"".join(long_line.blocks()))
        return Outcome(lines=1, rejects={Reason.TOO_LONG: 1})

    async def highest_id(self, life: Life) -> bytes | None:
        self._interlude()
        return self._durable.highest(life.prefix)

    def put_some(self, flight: Flight, share: int) -> None:
        """Some of the documents are stored, and nobody hears of it: bit `i` of `share` says whether the i-th is."""
        for index, document in enumerate(flight.encoded.documents if flight.encoded else ()):
            if share >> index % 8 & 1:
                self._durable.documents.setdefault(document[_ID], document)

    def _conflict(self, chunk: Chunk, position: bytes) -> None:
        """Only after bytes that were in flight at a crash were rewritten: the guard ends before them. Kept aside."""
        assert chunk.span.life.hour in self._durable.rewritten, "another line is stored under this _id"
        start = identity.place_of(position) - chunk.span.start
        self._keep(chunk.span.life, identity.place_of(position), 0, chunk.data[start:].partition(b"\n")[0])

    def _keep(self, life: Life, start: int, index: int, data: bytes) -> None:
        position = identity.position_id(life.prefix, start, index)
        self._durable.rejects[identity.reject_id(position, data)] = data

    async def _acknowledged(self, piece: Chunk | LongLine, encoded: Encoded | None) -> None:
        flight = Flight(piece, encoded, asyncio.get_running_loop().create_future())
        self.flights.append(flight)
        try:
            await flight.answer
        finally:
            self.flights.remove(flight)


class MemoryReader(LedgerReader):
    """Reads the ledger's dict, page by page as from a server."""

    def __init__(self, documents: dict[Any, dict[str, Any]]) -> None:
        self._documents = documents

    async def read(
        self, query: dict[str, Any], *, limit: int = 0, fields: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        assert fields is None, "not modelled"
        bounds = query["_id"]
        keys = sorted(key for key in self._documents if isinstance(key, bytes))
        keys = [key for key in keys if key > bounds["$gt"] and self._documents[key]["source"] == query["source"]]
        return [self._documents[key] for key in (keys[:limit] if limit else keys)]


class MemoryLedger(Ledger):
    """The real ledger's logic on a dict: only what goes to the server is answered here."""

    def __init__(self, durable: Durable, interlude: Interlude) -> None:
        self._documents = durable.ledger
        self._reader = MemoryReader(durable.ledger)
        self._interlude = interlude
        self._source = SOURCE
        self._uuid = b"u" * 16

    async def claim(self) -> None:
        pass

    async def first_start(self, start_at: StartAt) -> bool:
        return "started" not in self._documents

    async def started(self) -> None:
        self._documents["started"] = {}

    async def _upsert(self, key: str | bytes, fields: dict[str, Any], doing: str) -> dict[str, Any]:
        document = self._documents.setdefault(key, {"_id": key, **fields})
        self._interlude()  # it is durable before we hear of it
        return document

    async def record(self, rows: Iterable[Progress]) -> None:
        for row in rows:
            self._apply(progress_update(row))

    def _apply(self, update: UpdateOne) -> None:
        """What the server makes of `progress_update`: `$or` over `$ne` and `$lte`, `$set`."""
        document = self._documents[update._filter["_id"]]
        wanted = [next(iter(each.items())) for each in update._filter["$or"]]
        if any(_matches(document, path, condition) for path, condition in wanted):
            document.update(cast(dict[str, Any], update._doc)["$set"])


def _matches(document: dict[str, Any], path: str, condition: dict[str, Any]) -> bool:
    value: Any = document
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    ((operator, operand),) = condition.items()
    if operator == "$ne":
        return bool(value != operand)
    assert operator == "$lte", operator
    return value is not None and bool(value <= operand)


class MachineFeeder(Feeder):
    """Its threads are ours: what happens during a read is the machine's choice as well."""

    interlude: Interlude
    most = feeding.CHUNK

    def _most(self) -> int:
        return self.most

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        result = work()
        self.interlude()
        return result


class Process:
    """One running tailrace on a tree and a state directory. `clock` is moved by the machine."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tree: HourlyTree, state: Path, durable: Durable) -> None:
        self.loop = loop
        self.tree = tree
        self.state = state
        self.durable = durable
        self.now = 1000.0
        self.pending: list[Callable[[], None]] = []
        self.stats = SourceStats()

    def start(self, max_open: int) -> None:
        self.loop.run_until_complete(self._start(max_open))

    async def _start(self, max_open: int) -> None:
        self.store = CheckpointStore.open(self.state)
        ledger = MemoryLedger(self.durable, self.interlude)
        self.writer = MachineWriter(self.durable, self.interlude)
        settings = StoredSettings(identity=Identity.POSITION, numbers=Numbers.DECIMAL, family=FAMILY)
        options = BookOptions(
            source=SOURCE,
            namespace=NAMESPACE,
            collection_uuid=b"u" * 16,
            root=self.tree.root,
            start_at=StartAt.BEGINNING,
            settings=settings,
        )
        self.books = BookKeeper(options, ledger, self.store, self.writer)
        roster_options = RosterOptions(max_open=max_open, seal_after=SEAL_AFTER)
        self.roster = Roster(roster_options, Entrance(Name(SOURCE, FAMILY), self.books), self.stats)
        codec = make_codec()
        log = structlog.get_logger("tailrace")
        self.budget = Budget(Limits(spans=SPANS, size=1 << 30))
        self.feeder = MachineFeeder(
            self.roster, codec, self.writer, self.budget, self.stats, log, max_line_bytes=MAX_LINE
        )
        self.feeder.interlude = self.interlude
        self.feeder._threads.shutdown()
        rests = Rests(self.roster, codec, self.writer, self.stats, log, max_line_bytes=MAX_LINE)
        stages = Stages(watcher=PollingWatcher(), roster=self.roster, feeder=self.feeder, books=self.books, rests=rests)
        pipeline_options = PipelineOptions(root=self.tree.root, stream=FAMILY, start_at=StartAt.BEGINNING)
        tuning = Tuning(poll_interval=1.0, seal_after=SEAL_AFTER, shutdown_grace=1.0, max_line_bytes=MAX_LINE)
        self.pipeline = Pipeline(pipeline_options, tuning, stages, self.stats)
        self.pipeline._clock = self.feeder._clock = lambda: self.now
        first = await self.pipeline._open_books()
        assert await self.pipeline._first_scan(self.tree, first)

    def interlude(self) -> None:
        """An await point: whatever else the process does may happen here."""
        if self.pending:
            self.pending.pop()()

    # -- what the pipeline's tasks do, one call at a time ----------------------------------------------------------

    def poll(self, *, full: bool = False, hinted: frozenset[str] = frozenset()) -> None:
        """One turn of `Pipeline._look`."""
        discovery = self.pipeline._discovery
        assert discovery is not None
        self.roster.hint(hinted, self.now)
        discovery.mark_hot(self.roster.hot_paths())
        self.pipeline._apply(discovery.scan(self.now, full=full, hinted=hinted))

    def hint(self, paths: frozenset[str]) -> None:
        """A hint that needs no scan when every file it names is active."""
        if not self.roster.hint(paths, self.now):
            self.poll(hinted=paths)

    def enter(self) -> bool:
        return bool(self.roster.waiting and self.loop.run_until_complete(self.roster.enter_next(self.now)))

    def readable(self) -> list[Follower]:
        if not self.budget.admits(feeding.CHUNK):
            return []
        return sorted((f for f in self.roster.followers() if f.has_work), key=lambda f: (f.hour, f.life.prefix))

    def read(self, follower: Follower, limit: int) -> None:
        """One `_read_span`: what it delivers begins where the last one of this follower ended."""
        before, begin = follower.tailer.offset, follower.tracker.read
        assert before == begin, "the tailer and the tracker disagree"
        self.feeder.most = limit
        self.loop.run_until_complete(self.feeder._read_span(follower))
        self.turn()
        if follower.tracker.read > begin:
            flight = self.writer.flights[-1]
            span = flight.piece.span
            assert (span.start, span.end) == (begin, follower.tracker.read)
            data = flight.piece.data if isinstance(flight.piece, Chunk) else b"".join(flight.piece.blocks()) + b"\n"
            self._deliver(span.life.prefix, span.start, data)

    def _deliver(self, prefix: bytes, start: int, data: bytes) -> None:
        """Spans tile: this one begins within, or just behind, what was delivered of its life before."""
        known = self.durable.read[prefix]
        assert start <= len(known), "a gap between two spans of a life"
        self.durable.read[prefix] = known[:start] + data + known[start + len(data) :]

    def delivered(self, hour: int) -> list[bytes]:
        begin = hour.to_bytes(4, "big")
        return [data for prefix, data in self.durable.read.items() if prefix.startswith(begin)]

    def turn(self) -> None:
        """Let the tasks that can go on do so."""
        for _ in range(4):
            self.loop.run_until_complete(asyncio.sleep(0))
        failure = self.feeder.failure
        if failure.done() and (error := failure.exception()) is not None:
            raise error

    def acknowledge(self, index: int) -> None:
        self.writer.flights[index].answer.set_result(None)
        self.turn()

    def flights_answered(self, index: int) -> None:
        """As `acknowledge`, from within a coroutine: the task goes on at its next turn."""
        waiting = [flight for flight in self.writer.flights if not flight.answer.done()]
        if waiting:
            waiting[index % len(waiting)].answer.set_result(None)

    def save(self) -> list[Checkpoint]:
        """One turn of `Pipeline._save`. The rows that stand in the database now."""
        self.roster.seal_idle(self.now)
        self.pipeline._note()
        self.books.save()
        return self.rows()

    def rows(self) -> list[Checkpoint]:
        return self.store.load(SOURCE, NAMESPACE)

    def report(self) -> None:
        self.loop.run_until_complete(self.books.report())

    def end(self) -> None:
        """The process is gone, with all that it held in memory."""
        for task in list(self.feeder._spans):
            task.cancel()
        self.turn()
        self.roster.close()
        self.store.close()

    # -- what the truth asks --------------------------------------------------------------------------------------

    def readers(self) -> list[Reader]:
        readers = [follower.tailer.reader for follower in self.roster.followers()]
        return readers + [h.reader for slot in self.roster.active.values() for h in slot.queue if h.reader is not None]

    def open_inodes(self) -> set[int]:
        return {reader.stat().st_ino for reader in self.readers()}


def make_codec() -> PythonCodec:
    return PythonCodec(schema_of(FAMILY), Framing.BARE, identity=Identity.POSITION, numbers=Numbers.DECIMAL)
