"""Counts of values by size: what a Prometheus histogram holds, and percentiles for people. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

WRITE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
WRITE_DOCUMENTS = (1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 2500.0, 5000.0)


class Histogram:
    """`counts[i]`: values up to `bounds[i]` and above the bound before it; the last: above all. `total`: their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float], counts: Sequence[int] = (), total: float = 0.0) -> None:
        self.bounds = tuple(bounds)
        self.counts = list(counts) or [0] * (len(self.bounds) + 1)
        self.total = total

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self.counts)

    def copy(self) -> Histogram:
        return Histogram(self.bounds, self.counts, self.total)

    def since(self, before: Histogram) -> Histogram:
        """What was observed after `before`, a copy made earlier."""
        counts = [now - then for now, then in zip(self.counts, before.counts, strict=True)]
        return Histogram(self.bounds, counts, self.total - before.total)

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """(bound, values at most so large); the last bound is infinite."""
        below = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            below += count
            yield bound, below

    def percentile(self, share: float) -> float | None:
        """The value that `share` (0 to 1) of all lie below, taken to lie evenly between two bounds. None: no values.
        Above the last bound nothing is known but that bound."""
        wanted, below, lower = share * self.count, 0, 0.0
        if not self.count:
            return None
        for bound, count in zip(self.bounds, self.counts, strict=False):
            if count and below + count >= wanted:
                return lower + (bound - lower) * (wanted - below) / count
            below += count
            lower = bound
        return self.bounds[-1]
