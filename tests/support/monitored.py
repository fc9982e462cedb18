"""A world for a Monitor to look at: an instance's figures and health, a clock to turn, something to wait for."""

from __future__ import annotations

from dataclasses import dataclass, field

from tailrace.ingest.instance import Workers
from tailrace.ingest.lives.census import Hour
from tailrace.ingest.mongo.health import ServerHealth
from tailrace.ingest.mongo.server import CollectionFacts
from tailrace.ingest.mongo.topology import Member
from tailrace.ingest.stats import SourceStats
from tailrace.ops.status import Monitor


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """What a Monitor looks at: an instance with one source, its clock, what it waits for."""

    clock: Clock = field(default_factory=Clock)
    stats: dict[str, SourceStats] = field(default_factory=lambda: {"tokyo -> db.trades": SourceStats()})
    waits: list[str] = field(default_factory=list)
    facts: dict[str, CollectionFacts] = field(default_factory=dict)
    servers: tuple[Member, ...] = ()
    files: dict[str, list[Hour]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.health = ServerHealth(clock=self.clock)
        self.asked = 0
        self.monitor = Monitor(self, self._waiting, clock=self.clock)

    def workers(self) -> Workers:
        return Workers(busy=1, allowed=2, limit=16, size=100, size_limit=1000)

    def members(self) -> tuple[Member, ...]:
        return self.servers

    def hours(self, most: int) -> dict[str, list[Hour]]:
        return {name: hours[-most:] for name, hours in self.files.items()}

    def _waiting(self) -> list[str]:
        self.asked += 1
        return self.waits

    def codes(self) -> list[str]:
        return [obstacle.code for obstacle in self.monitor.readiness()]
