"""The simulated clock: which blocks there are, when, and how much happens in each. No wall clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from math import exp
from random import Random

from tailrace.simulator.market import Dust, Market, Trade, block_number_at
from tailrace.simulator.plan import Plan

NS = 1_000_000_000

EMPTY_SHARE = 0.15  # of the blocks (by chance; a thin market has more)
SIGMA = 1.1  # spread of what happens in a block: log-normal, a heavy tail
STORM_EVERY = 25_000  # entries, about, between two blocks with more than a thousand events
STORM_ENTRIES = (1_100, 2_400)
DUST_EVERY = 20_000
CATCH_UP_BLOCKS = 60  # blocks in which the flow returns to its rate after a storm


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block. Times in epoch nanoseconds; `local_ns` is the node's clock when it writes it, and never goes back."""

    number: int
    time_ns: int
    local_ns: int
    trades: list[Trade] = field(default_factory=list)
    dust: Dust | None = None


class Chain:
    """Blocks of a plan, without end. What happens holds the plan's density in the long run."""

    def __init__(self, plan: Plan, rng: Random, market: Market) -> None:
        self._rng = rng
        self._market = market
        self._per_trade = 2 if plan.stream == "node_fills" else 1
        self._start = plan.start
        self._interval = plan.block_seconds
        self._density = plan.density
        self._storm_in = self._gap(STORM_EVERY)
        self._dust_in = self._gap(DUST_EVERY) if plan.stream == "node_fills" else None
        self._made = 0

    def blocks(self) -> Iterator[Block]:
        rng, step = self._rng, self._interval * NS
        number = block_number_at(self._start)
        local_ns = 0
        # The first block is older than the start, since the node is late by about as much as here.
        time_ns = self._start * NS - int(step * 2)
        while True:
            time_ns += int(step * rng.uniform(0.8, 1.2))
            # Two to four and a half blocks late (seen: 140 to 370 ms), so that every hour begins with an older block.
            local_ns = max(local_ns + 1_000, time_ns + int(step * rng.uniform(2.0, 4.5)))
            trades, dust = self._events(number, (time_ns - self._start * NS) / NS)
            yield Block(number=number, time_ns=time_ns, local_ns=local_ns, trades=trades, dust=dust)
            number += 1

    def _events(self, number: int, elapsed: float) -> tuple[list[Trade], Dust | None]:
        count, storm = self._size(elapsed), self._storm_in <= 0
        if storm:
            self._storm_in = self._gap(STORM_EVERY)
            count = self._rng.randint(*STORM_ENTRIES)
        dust = None
        if self._dust_in is not None and self._dust_in <= 0:
            self._dust_in = self._gap(DUST_EVERY)
            dust = self._market.dust(self._rng.randint(100, 300))
        trades = self._market.block(number, (count + self._per_trade - 1) // self._per_trade, storm=storm)
        made = len(trades) * self._per_trade + (len(dust.users) if dust else 0)
        self._made += made
        self._storm_in -= made
        if self._dust_in is not None:
            self._dust_in -= made
        return trades, dust

    def _size(self, elapsed: float) -> int:
        """Entries of the next block: a mean that pays off what is owed to the density, times a heavy tail."""
        rng = self._rng
        mean = self._density * self._interval
        owed = self._density * elapsed - self._made
        mean *= min(3.0, max(0.1, 1 + owed / (mean * CATCH_UP_BLOCKS)))
        if rng.random() < EMPTY_SHARE:
            return 0
        spread = exp(rng.gauss(-SIGMA * SIGMA / 2, SIGMA)) / (1 - EMPTY_SHARE)
        return int(mean * spread + rng.random())

    def _gap(self, mean: int) -> int:
        return int(mean * self._rng.uniform(0.5, 1.5))


def iso(time_ns: int) -> str:
    """Epoch nanoseconds -> `2025-03-10T21:30:00.042070019`, as the node writes it: UTC, no zone, nine digits."""
    seconds, fraction = divmod(time_ns, NS)
    return f"{_second(seconds)}.{fraction:09d}"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
