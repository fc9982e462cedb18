"""How much is in flight: the one place that bounds memory and concurrency (invariant 1).

A span is admitted when a worker is free and its bytes fit the budget; one span is always admitted, however
large, or a line longer than the budget would stop its file for ever. When nothing is admitted nothing is read.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """`spans`: workers that ingest at the same time; `size`: bytes of spans in flight. Both at least 1."""

    spans: int
    size: int


class Budget:
    """Admission of spans, shared by all sources of a process. Used from one event loop."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.spans = 0
        self.size = 0
        self._changed = asyncio.Event()

    def admits(self, size: int) -> bool:
        if self.spans == 0:
            return True
        return self.spans < self.limits.spans and self.size + size <= self.limits.size

    async def room(self, size: int) -> None:
        """Wait until a span of `size` bytes is admitted. Takes nothing: call `take` before the next await."""
        while not self.admits(size):
            self._changed.clear()
            await self._changed.wait()

    def take(self, size: int) -> None:
        self.spans += 1
        self.size += size

    def give_back(self, size: int) -> None:
        self.spans -= 1
        self.size -= size
        self._changed.set()
