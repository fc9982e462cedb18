"""What a running tailrace is doing, at one moment, for everything that shows it: metrics, health, `/status`.

    Monitor.beats()       a task of the event loop: stamps that the loop turns, and copies the figures
    Monitor.moment()      the newest copy, from any thread
    Monitor.readiness()   ready, or why not, from any thread
    document(...)         both as the JSON of `/status`; pure

Why copies: only between two callbacks of the loop do the counters of a source add up. A thread that read them at any
other moment could see a line that is settled and still in flight, and report a loss that never happened.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tailrace import __version__
from tailrace.errors import Verdict
from tailrace.model import Outcome, Reason
from tailrace.ops.logs import redact
from tailrace.words import duration_words

FORMAT = 1
"""Version of the JSON of `/status` and `/readyz`: a field that changes its meaning or goes away makes it 2."""

BEAT = 0.5
"""Seconds between two copies: figures are at most this old. Each wakes an idle process up."""

HANG = 5.0
"""Seconds without a beat after which the loop counts as hanging. The longest that it works on end is some 100 ms."""


class Stats(Protocol):
    """The figures of one source (`ingest.stats.SourceStats`)."""

    lines_read: int
    lines_in_flight: int
    bytes_read: int
    bytes_settled: int
    entries_settled: int
    done: Outcome
    spans_settled: int
    rollovers: int
    rewritten: int
    lost_bytes: int
    files_open: int
    files_backlog: int
    lag_bytes: int
    lag_seconds: float
    file: str
    live: bool
    locked: list[str]

    def imbalance(self) -> int: ...
    def copy(self) -> Stats: ...


class Server(Protocol):
    """MongoDB as it was last seen (`ingest.health.HealthState`): one object, never changed."""

    @property
    def ok(self) -> bool: ...
    @property
    def since(self) -> float: ...
    @property
    def verdict(self) -> Verdict | None: ...
    @property
    def sentence(self) -> str: ...
    @property
    def retries(self) -> int: ...


class Health(Protocol):
    """`state` may be read by any thread (`ingest.health.ServerHealth`)."""

    @property
    def state(self) -> Server: ...


class Running(Protocol):
    """What is shown (`ingest.instance.Instance`). The keys of `stats` are `<source> -> <database>.<collection>`."""

    @property
    def stats(self) -> Mapping[str, Stats]: ...
    @property
    def health(self) -> Health: ...


@dataclass(frozen=True, slots=True)
class SourceMoment:
    """`source` alone does not name one: it may be the same in two collections."""

    source: str
    collection: str
    stats: Stats


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Figures that belong together. `uptime`, `age` (of the copy of the sources' figures), `trouble`: seconds."""

    uptime: float
    age: float
    server: Server
    trouble: float
    sources: tuple[SourceMoment, ...]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One reason not to be ready. `code` is for machines and never changes its meaning; `sentence` is for people."""

    code: str
    sentence: str


class Monitor:
    """`running` is read in the event loop only, but for its health.

    `waiting` says what the sources wait for before they can read (no sentences: nothing). It may look at the file
    system, is called by the thread that asks for the readiness, and never while the loop hangs.
    """

    def __init__(
        self,
        running: Running,
        waiting: Callable[[], list[str]] = list,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._running = running
        self._waiting = waiting
        self._clock = clock
        self._born = clock()
        self._sources: tuple[float, tuple[SourceMoment, ...]] = (self._born, ())  # replaced whole: read by any thread
        self._started = False

    def started(self) -> None:
        """Start-up is over. Call it from the event loop only: every source has figures from now on."""
        self.beat()
        self._started = True

    async def beats(self) -> None:
        """Until cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(BEAT)

    def beat(self) -> None:
        """Call it from the event loop only."""
        sources = tuple(SourceMoment(*_names(key), stats.copy()) for key, stats in self._running.stats.items())
        self._sources = (self._clock(), sources)

    def moment(self) -> Moment:
        now, server, (copied, sources) = self._clock(), self._running.health.state, self._sources
        return Moment(
            uptime=now - self._born,
            age=max(0.0, now - copied),
            server=server,
            trouble=0.0 if server.ok else max(0.0, now - server.since),
            sources=sources,
        )

    def hanging(self) -> str | None:
        """A sentence when the event loop does not turn."""
        age = self.moment().age
        if age <= HANG:
            return None
        return f"The event loop has not turned for {duration_words(age)}: nothing is read or stored meanwhile."

    def readiness(self) -> list[Obstacle]:
        """Empty: ready. The most fundamental obstacle comes first."""
        obstacles = []
        hanging = self.hanging()
        if hanging is not None:
            obstacles.append(Obstacle("loop_hangs", hanging))
        if not self._started:
            obstacles.append(Obstacle("starting", "Start-up is not over."))
        elif hanging is None:
            obstacles += [Obstacle("waiting_for_root", sentence) for sentence in self._waiting()]
        moment = self.moment()
        obstacles += [_locked(each) for each in moment.sources if each.stats.locked]
        if not moment.server.ok:
            obstacles.append(_trouble(moment))
        return obstacles


def _locked(source: SourceMoment) -> Obstacle:
    first, *others = source.stats.locked
    more = f" and {len(others)} more" if others else ""
    return Obstacle(
        "unreadable", f"{first}{more} cannot be read: give this user the right to read it; nothing of it is stored yet."
    )


def _trouble(moment: Moment) -> Obstacle:
    server, lasting = moment.server, duration_words(moment.trouble)
    if server.verdict is Verdict.OPERATOR:
        sentence = f"MongoDB has refused us for {lasting}, and only an operator can mend it: {server.sentence}"
        return Obstacle("mongodb_refuses", redact(sentence))
    return Obstacle("mongodb_trouble", redact(f"MongoDB has been in trouble for {lasting}: {server.sentence}"))


def _names(key: str) -> tuple[str, str]:
    source, _arrow, collection = key.rpartition(" -> ")
    return source, collection


# -- for machines ----------------------------------------------------------------------------------------------------


def readiness_document(obstacles: list[Obstacle]) -> dict[str, Any]:
    """The JSON of `/readyz`."""
    why = [{"code": obstacle.code, "sentence": obstacle.sentence} for obstacle in obstacles]
    return {"format": FORMAT, "ready": not why, "why": why}


def document(moment: Moment, obstacles: list[Obstacle]) -> dict[str, Any]:
    """The JSON of `/status`: names end in their unit, `_s` is seconds. Nothing secret is in it."""
    server = moment.server
    return {
        **readiness_document(obstacles),
        "version": __version__,
        "uptime_s": round(moment.uptime, 3),
        "figures_age_s": round(moment.age, 3),
        "server": {
            "ok": server.ok,
            "trouble_s": round(moment.trouble, 3),
            "verdict": None if server.verdict is None else server.verdict.value,
            "sentence": redact(server.sentence),
            "retries": server.retries,
        },
        "sources": [_source_document(source) for source in moment.sources],
    }


def _source_document(source: SourceMoment) -> dict[str, Any]:
    stats, done = source.stats, source.stats.done
    return {
        "source": source.source,
        "collection": source.collection,
        "live": stats.live,
        "file": stats.file,
        "lines": {"read": stats.lines_read, "settled": done.lines, "in_flight": stats.lines_in_flight},
        "bytes": {
            "read": stats.bytes_read,
            "settled": stats.bytes_settled,
            "in_flight": stats.bytes_read - stats.bytes_settled,
            "lost": stats.lost_bytes,
        },
        "entries": {
            "settled": stats.entries_settled,
            "inserted": done.inserted,
            "duplicates": done.duplicates,
            "rejected": done.rejected,
            "rejects": {reason.value: done.rejects.get(reason, 0) for reason in Reason},
        },
        "lag": {"bytes": stats.lag_bytes, "seconds": round(stats.lag_seconds, 3)},
        "files": {
            "open": stats.files_open,
            "backlog": stats.files_backlog,
            "rewritten": stats.rewritten,
            "locked": len(stats.locked),
        },
        "spans_settled": stats.spans_settled,
        "rollovers": stats.rollovers,
        "unaccounted": stats.imbalance(),
    }
