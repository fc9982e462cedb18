"""What of a running tailrace is looked at: the shapes of what `ingest` holds, for those who show it.

`ops` and `ingest` do not import each other (see the import contracts): `commands` brings them together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from tailrace.errors import Verdict
from tailrace.model import Outcome


class Histogram(Protocol):
    """Values by size (`ingest.histogram.Histogram`)."""

    @property
    def total(self) -> float: ...
    @property
    def count(self) -> int: ...
    def cumulative(self) -> Iterator[tuple[float, int]]: ...
    def percentile(self, share: float) -> float | None: ...
    def since(self, before: Self) -> Self: ...
    def copy(self) -> Self: ...


class Stats(Protocol):
    """The figures of one source (`ingest.stats.SourceStats`)."""

    stream: str
    root: str
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
    files_waiting: int
    files_following: int
    files_sealed: int
    files_unreadable: int
    newest_hour: int
    missing_hours: tuple[int, ...]
    missing_blocks: int
    newest_entry: float | None
    entry_lag: float
    checkpoint_age: float
    checkpoint_lag: int

    @property
    def write_seconds(self) -> Histogram: ...
    @property
    def write_documents(self) -> Histogram: ...
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
    """`state` may be read by any thread (`ingest.mongo.health.ServerHealth`). `retries`: by class."""

    @property
    def state(self) -> Server: ...
    @property
    def retries(self) -> Mapping[str, int]: ...


class Member(Protocol):
    """A server, as it was seen last (`ingest.mongo.topology.Member`). `round_trip`: seconds."""

    @property
    def address(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def round_trip(self) -> float | None: ...
    @property
    def error(self) -> str: ...
    @property
    def writable(self) -> bool: ...


class Facts(Protocol):
    """Of the server, found out at the start (`ingest.mongo.server.CollectionFacts`)."""

    @property
    def topology(self) -> str: ...
    @property
    def server_version(self) -> str: ...


class Workers(Protocol):
    """`ingest.instance.Workers`."""

    @property
    def busy(self) -> int: ...
    @property
    def allowed(self) -> int: ...
    @property
    def limit(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def size_limit(self) -> int: ...


class Hour(Protocol):
    """An hour file (`ingest.lives.census.Hour`)."""

    @property
    def hour(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def size(self) -> int | None: ...
    @property
    def compressed(self) -> bool: ...
    @property
    def settled(self) -> int | None: ...
    @property
    def lines(self) -> int | None: ...
    @property
    def rejected(self) -> int | None: ...


class Running(Protocol):
    """What is shown (`ingest.instance.Instance`). Keys of `stats` and `hours` are `<source> -> <collection's
    namespace>`, of `facts` the latter."""

    @property
    def stats(self) -> Mapping[str, Stats]: ...
    @property
    def health(self) -> Health: ...
    @property
    def facts(self) -> Mapping[str, Facts]: ...
    def workers(self) -> Workers: ...
    def members(self) -> Sequence[Member]: ...
    def hours(self, most: int) -> Mapping[str, Sequence[Hour]]: ...


@dataclass(frozen=True, slots=True)
class NoWorkers:
    """Before there are any."""

    busy: int = 0
    allowed: int = 0
    limit: int = 0
    size: int = 0
    size_limit: int = 0


NO_WORKERS = NoWorkers()
