"""What to simulate. A `Plan` that exists is sound: every field was checked when it was made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tailrace.errors import UsageError
from tailrace.model import Framing

FAMILIES = ("node_trades", "node_fills")

FIRST_START = 1_704_067_200  # 2024-01-01: block numbers and oids are extrapolated from real ones, and end before this
LAST_START = 4_000_000_000  # 2096: times must fit the 32-bit seconds of an id, days of simulation included

TARGET_RATE = 2_778.0
"""Entries a second: the product's target, 10 million an hour (domain: Volume). What a market holds at full speed."""

BLOCK_SECONDS = 0.083
"""Mean time between blocks: 66 to 100 ms (seen: 12.67 blocks a second between June 2025 and May 2026)."""

MIN_ENTRIES_PER_BLOCK = 3.0
"""A thinner market (low rate, fast clock) gets slower blocks, or nearly all of its lines would be empty blocks."""

MAX_BLOCK_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run of a simulated node.

    `rate`: entries a second of wall time, None writes as fast as it goes. `speed`: seconds of the node's clock per
    second of wall time. `start`: the node's clock at the beginning, epoch seconds UTC. `entries`, `duration` (seconds
    at the given pace; sooner at full speed) and `hours` (of the node's clock) are limits, the first one reached ends
    the run; without any it goes on until stopped. `bad`: share of entries that must be rejected. `buffer`: mean
    seconds at the given pace between two writes; 0 writes every block at once, in whole lines, as the node does with
    `--disable-output-file-buffering`. Raises UsageError.
    """

    root: Path
    stream: str = "node_trades"
    framing: Framing = Framing.BARE
    rate: float | None = 2_800.0
    speed: float = 1.0
    start: int = 1_741_642_200  # 2025-03-10T21:30:00Z: the day rolls over two and a half hours later
    entries: int | None = None
    duration: float | None = None
    hours: float | None = None
    bad: float = 0.0
    seed: int = 0
    buffer: float = 0.05

    def __post_init__(self) -> None:
        if self.stream not in FAMILIES:
            raise UsageError(f"stream {self.stream!r} cannot be simulated; it is one of {', '.join(FAMILIES)}")
        for name in ("rate", "speed", "entries", "duration", "hours"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} is {value}; it must be more than 0")
        if not 0 <= self.bad < 1:
            raise UsageError(f"bad is {self.bad}; it is a share of the entries, from 0 to less than 1")
        if not (math.isfinite(self.buffer) and 0 <= self.buffer <= 60):
            raise UsageError(f"buffer is {self.buffer} s; it must be from 0 to 60 s")
        if not FIRST_START <= self.start <= LAST_START:
            raise UsageError(f"start is {self.start}; it must lie between the years 2024 and 2096")

    @property
    def directory(self) -> Path:
        """Where the hour files go: `<root>/<stream><suffix>/hourly`."""
        return self.root / f"{self.stream}{self.framing}" / "hourly"

    @property
    def density(self) -> float:
        """Entries per second of the node's clock. Independent of the pace when only `rate` is lifted."""
        return (TARGET_RATE if self.rate is None else self.rate) / self.speed

    @property
    def block_seconds(self) -> float:
        """Mean seconds of the node's clock between two blocks."""
        return min(MAX_BLOCK_SECONDS, max(BLOCK_SECONDS, MIN_ENTRIES_PER_BLOCK / self.density))

    @property
    def clock_limit(self) -> float | None:
        """Seconds of the node's clock after which the run ends, None without such a limit."""
        limits = []
        if self.duration is not None:
            limits.append(self.duration * self.speed)
        if self.hours is not None:
            limits.append(self.hours * 3600)
        return min(limits, default=None)


def parse_start(text: str) -> int:
    """`2025-03-10T21:30:00Z` -> epoch seconds; a time without zone is UTC. Raises UsageError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"start {text!r} is not a time; write it like 2025-03-10T21:30:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
