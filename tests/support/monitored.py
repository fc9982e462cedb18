"""A world for a Monitor to look at: an instance's figures and health, a clock to turn, something to wait for."""

from __future__ import annotations

from dataclasses import dataclass, field

from tailrace.ingest.mongo.health import ServerHealth
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

    def __post_init__(self) -> None:
        self.health = ServerHealth(clock=self.clock)
        self.asked = 0
        self.monitor = Monitor(self, self._waiting, clock=self.clock)

    def _waiting(self) -> list[str]:
        self.asked += 1
        return self.waits

    def codes(self) -> list[str]:
        return [obstacle.code for obstacle in self.monitor.readiness()]
