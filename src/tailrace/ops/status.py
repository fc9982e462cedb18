"""What a running tailrace is doing, at one moment, for everything that shows it: metrics, health, `/status`.

    Monitor.beats()       a task of the event loop: stamps that the loop turns, and copies the figures
    Monitor.moment()      the newest copy, from any thread
    Monitor.readiness()   ready, or why not, from any thread
    Monitor.hours()       the newest hour files, asked of the event loop

What is made of it: documents (JSON), metrics, history (charts).

Why copies: only between two callbacks of the loop do the counters of a source add up. A thread that read them at any
other moment could see a line that is settled and still in flight, and report a loss that never happened.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from tailrace.errors import Verdict
from tailrace.ops.history import History
from tailrace.ops.logs import redact
from tailrace.ops.seen import NO_WORKERS, Hour, Member, Running, Server, Stats, Workers
from tailrace.words import duration_words

BEAT = 0.5
"""Seconds between two copies: figures are at most this old. Each wakes an idle process up."""

HANG = 5.0
"""Seconds without a beat after which the loop counts as hanging. The longest that it works on end is some 100 ms."""


HOURS = 72
"""Hour files of a source that are shown, the newest."""

_PATIENCE = 1.0  # seconds that the event loop has for a question


class ReloadOutcome(StrEnum):
    """What became of a reload."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    FAILED = "failed"  # of a defect of ours: some of it may be in force


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """`at`: epoch seconds. The others are sentences."""

    at: float
    outcome: ReloadOutcome
    changed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceMoment:
    """`source` alone does not name one: it may be the same in two collections."""

    source: str
    collection: str
    stats: Stats

    @property
    def name(self) -> str:
        return f"{self.source} -> {self.collection}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Figures that belong together. `uptime`, `age` (of the copy of the sources' figures), `trouble`: seconds.

    `retries`: failed attempts that were repeated, by class. `reloads`: by outcome. `codec`: the one in use.
    """

    uptime: float
    age: float
    server: Server
    trouble: float
    sources: tuple[SourceMoment, ...]
    members: tuple[Member, ...] = ()
    server_version: str = ""
    topology: str = ""
    workers: Workers = NO_WORKERS
    retries: Mapping[str, int] = field(default_factory=dict)
    reloads: Mapping[str, int] = field(default_factory=dict)
    last_reload: Reload | None = None
    codec: str = ""
    ready: bool = False


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One reason not to be ready. `code` is for machines and never changes its meaning; `sentence` is for people."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class _Copy:
    """`at`: monotonic seconds."""

    at: float
    sources: tuple[SourceMoment, ...] = ()
    members: tuple[Member, ...] = ()
    server_version: str = ""
    topology: str = ""
    workers: Workers = NO_WORKERS
    retries: Mapping[str, int] = field(default_factory=dict)


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
        codec: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._running = running
        self._waiting = waiting
        self._clock = clock
        self._born = clock()
        self._copy = _Copy(self._born)  # replaced whole: read by any thread
        self._started = False
        self._codec = codec
        self._reloads: Counter[str] = Counter()
        self._last_reload: Reload | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.history = History()

    def started(self) -> None:
        """Start-up is over. Call it from the event loop only: every source has figures from now on."""
        self.beat()
        self._started = True

    async def beats(self) -> None:
        """Until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            self.beat()
            await asyncio.sleep(BEAT)

    def beat(self) -> None:
        """Call it from the event loop only."""
        running, now = self._running, self._clock()
        sources = tuple(SourceMoment(*_names(key), stats.copy()) for key, stats in running.stats.items())
        facts = next(iter(running.facts.values()), None)
        self._copy = _Copy(
            now,
            sources,
            tuple(running.members()),
            "" if facts is None else facts.server_version,
            "" if facts is None else facts.topology,
            running.workers(),
            dict(running.health.retries),
        )
        self.history.take(now, time.time(), sources)

    def reloaded(self, reload: Reload) -> None:
        """A reload is over. Call it from the event loop only."""
        self._reloads[reload.outcome.value] += 1
        self._last_reload = reload

    def moment(self) -> Moment:
        """`ready` is what `readiness` says, but for the sources' trees."""
        now, server, copy = self._clock(), self._running.health.state, self._copy
        age = max(0.0, now - copy.at)
        locked = any(each.stats.locked for each in copy.sources)
        return Moment(
            uptime=now - self._born,
            age=age,
            server=server,
            trouble=0.0 if server.ok else max(0.0, now - server.since),
            sources=copy.sources,
            members=copy.members,
            server_version=copy.server_version,
            topology=copy.topology,
            workers=copy.workers,
            retries=copy.retries,
            reloads=dict(self._reloads),
            last_reload=self._last_reload,
            codec=self._codec,
            ready=self._started and server.ok and age <= HANG and not locked and bool(copy.sources),
        )

    def hours(self) -> Mapping[str, Sequence[Hour]] | None:
        """The newest hour files of each source; None while the event loop does not answer. From any other thread."""
        loop, answer = self._loop, Future[Mapping[str, Sequence[Hour]]]()
        if loop is None:
            return None

        def look() -> None:
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(self._running.hours(HOURS))
                except Exception as error:  # noqa: BLE001  whoever asked hears of it, the event loop does not
                    answer.set_exception(error)

        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(look)
            with suppress(TookTooLong):
                return answer.result(_PATIENCE)
            answer.cancel()
        return None

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
        if self._started and not moment.sources:
            obstacles.append(_NO_SOURCE)
        obstacles += [_locked(each) for each in moment.sources if each.stats.locked]
        if not moment.server.ok:
            obstacles.append(_trouble(moment))
        return obstacles


_NO_SOURCE = Obstacle(
    "no_source",
    "No source is followed: a reload removed all that were, and what it added did not start. Nothing is stored until "
    "a reload adds one; the log says what to mend.",
)


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
