"""What the figures were, for charts: one sample a source every STEP seconds, an hour of them. In memory only.

Sampled in the event loop (`Monitor.beat`), read by any thread: a series is replaced whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tailrace.ops.seen import Histogram
    from tailrace.ops.status import SourceMoment

STEP = 5.0
"""Seconds between two samples."""

_KEPT = 720
_LATELY = 12  # steps that percentiles are taken of: a minute

FIELDS = ("t", "entries", "rejected", "duplicates", "lag_bytes", "lag_s", "write_ms")
Sample = tuple[float, int, int, int, int, float, float | None]
"""In the order of FIELDS: epoch seconds, totals so far, lag then, the mean write latency of the step (None: none)."""


@dataclass(frozen=True, slots=True)
class _Series:
    """`writes`: of the last samples, oldest first. `read`: bytes, and `moved` when they last grew (epoch seconds)."""

    samples: tuple[Sample, ...] = ()
    writes: tuple[Histogram, ...] = ()
    read: int = -1
    moved: float = 0.0


class History:
    """Of all sources that there are now: one that is removed is forgotten."""

    def __init__(self) -> None:
        self._series: Mapping[str, _Series] = {}
        self._next = float("-inf")

    def take(self, now: float, at: float, sources: Iterable[SourceMoment]) -> None:
        """`now`: monotonic seconds; a sample is due every STEP of them. `at`: the same in epoch seconds."""
        if now < self._next:
            return
        self._next = now + STEP
        self._series = {each.name: _with(self._series.get(each.name, _Series()), each, at) for each in sources}

    def percentiles(self, source: SourceMoment, *shares: float) -> list[float | None]:
        """Write latency (seconds) of the last minute, at these shares of all writes (0 to 1)."""
        series = self._series.get(source.name)
        writes = source.stats.write_seconds
        lately = writes.since(series.writes[0]) if series is not None and series.writes else writes
        return [lately.percentile(share) for share in shares]

    def idle(self, source: SourceMoment, now: float) -> float:
        """Seconds since something of it was read, or since it is followed; to the STEP. `now`: epoch seconds."""
        series = self._series.get(source.name)
        return 0.0 if series is None else max(0.0, now - series.moved)

    def document(self, now: float) -> dict[str, Any]:
        """The JSON of `/history`. `now`: epoch seconds."""
        sources = {name: _columns(series.samples) for name, series in self._series.items()}
        return {"format": 1, "step_s": STEP, "now": round(now, 3), "sources": sources}


def _with(series: _Series, source: SourceMoment, at: float) -> _Series:
    stats = source.stats
    writes = stats.write_seconds.copy()
    step = writes.since(series.writes[-1]) if series.writes else writes
    mean = 1000 * step.total / step.count if step.count else None
    sample = (
        round(at, 1),
        stats.entries_settled,
        stats.done.rejected,
        stats.done.duplicates,
        stats.lag_bytes,
        round(stats.lag_seconds, 3),
        None if mean is None else round(mean, 2),
    )
    return _Series(
        (*series.samples[1 - _KEPT :], sample),
        (*series.writes[1 - _LATELY :], writes),
        stats.bytes_read,
        series.moved if series.read == stats.bytes_read else at,
    )


def _columns(samples: tuple[Sample, ...]) -> dict[str, list[Any]]:
    columns = zip(*samples, strict=True) if samples else ([] for _ in FIELDS)
    return {name: list(values) for name, values in zip(FIELDS, columns, strict=True)}
