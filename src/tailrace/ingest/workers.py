"""The pool of span workers: how much is in flight, and so how much memory and how much of the server we take.

A span is admitted when `Concurrency` allows one more and its bytes fit the budget; one span of each source is always
admitted, however large, or a line longer than the budget would stop its file for ever. When nothing is admitted nothing
is read (invariant 1). A worker is no thread: a span in flight is a task, its encoding a job of `encoders()` threads.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from tailrace.ingest.concurrency import Concurrency, ConcurrencyOptions

_LEAST = 2
"""Spans: while one is being stored the next is read and encoded."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`spans`: the most workers that ingest at the same time; `size`: bytes of spans in flight. Both at least 1."""

    spans: int
    size: int


class Budget:
    """Admission of spans, shared by all sources of a process. Used from one event loop. The `Pace` of the writers."""

    def __init__(self, limits: Limits, *, sources: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.sources = sources
        self.spans = 0
        self.size = 0
        self._clock = clock
        self._concurrency = Concurrency(ConcurrencyOptions(least=self._least(), most=limits.spans))
        self._changed = asyncio.Event()

    def _least(self) -> int:
        return min(max(_LEAST, self.sources), self.limits.spans)

    def change(self, limits: Limits, *, sources: int) -> None:
        """Other limits from now on. What is in flight stays; where that is more than allowed, nothing is admitted until
        it is not."""
        self.limits = limits
        self.sources = sources
        self._concurrency.bound(self._least(), limits.spans)
        self._changed.set()

    @property
    def workers(self) -> int:
        """Spans that may be in flight now; at most `limits.spans`."""
        return self._concurrency.allowed

    def admits(self, size: int, *, first: bool = False) -> bool:
        """`first`: its source has nothing in flight. HAZARD: spans that MongoDB refuses, of one source, would else hold
        all that may be in flight, and no other source would store a line."""
        if first or self.spans == 0:
            return True
        return self.spans < self._concurrency.allowed and self.size + size <= self.limits.size

    async def room(self, size: int, first: Callable[[], bool] = lambda: False) -> None:
        """Wait until a span of `size` bytes is admitted. Takes nothing: call `take` before the next await."""
        while not self.admits(size, first=first()):
            self._changed.clear()
            await self._changed.wait()

    def take(self, size: int) -> None:
        self.spans += 1
        self.size += size

    def give_back(self, size: int) -> None:
        self.spans -= 1
        self.size -= size
        self._changed.set()

    def caught_up(self) -> None:
        """A source has nothing to read. Workers are let go when that is so of all, and nothing is in flight."""
        if self.spans == 0:
            self._concurrency.caught_up(self._clock())

    def settled(self, seconds: float, size: int) -> None:
        """A span of `size` bytes settled `seconds` after it was put in flight; it is still among those in flight."""
        before = self._concurrency.allowed
        self._concurrency.settled(self._clock(), seconds=seconds, size=size, in_flight=self.spans)
        if self._concurrency.allowed > before:
            self._changed.set()

    def overloaded(self) -> None:
        self._concurrency.overloaded(self._clock())

    def failed(self) -> None:
        self._concurrency.failed(self._clock())


def encoders() -> int:
    """Threads that read and encode: one for each core, for the native codec leaves the interpreter to others."""
    return max(2, len(os.sched_getaffinity(0)))
