"""Medians, percentiles, ratios. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

Look = tuple[float, int, int]
"""Seconds since it began to read, documents, bytes resident."""

PERCENTILES = {"p50": 0.50, "p99": 0.99, "p99.9": 0.999}


def percentile(ordered: Sequence[float], share: float) -> float:
    """By nearest rank: the smallest value that at least `share` of them do not exceed. `ordered` is sorted and not
    empty; no value is made up between two others."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def distribution(values: Iterable[float]) -> dict[str, float]:
    """p50, p99, p99.9, max and how many there were; of nothing, only that it was nothing."""
    ordered = sorted(values)
    if not ordered:
        return {"count": 0}
    found = {name: percentile(ordered, share) for name, share in PERCENTILES.items()}
    return {**found, "max": ordered[-1], "count": len(ordered)}


def ratio(value: float | None, to: float | None) -> float | None:
    """None when either is unknown, or there is nothing to compare with."""
    return None if value is None or not to else value / to


def middle(values: Iterable[float | None]) -> float | None:
    """The median of what is known."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def spread(values: Iterable[float]) -> float:
    """(largest - smallest) / median: what rounds differ by."""
    known = list(values)
    return (max(known) - min(known)) / median(known) if known and median(known) else 0.0


def seconds_of(text: str) -> float:
    """`100ms` or `2s` -> seconds; a bare 0 is nothing. Raises ValueError."""
    if text == "0":
        return 0.0
    for unit, factor in (("ms", 0.001), ("s", 1.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(f"{text!r} is no duration: write 100ms or 2s")


def pieces(looks: list[Look], step: int) -> list[tuple[int, float, int]]:
    """(documents, documents a second since the piece before, highest resident bytes of its looks). A piece ends with
    the first look at or past a multiple of `step`; where one look passes several, they are one piece."""
    found: list[tuple[int, float, int]] = []
    since, before, high = 0.0, 0, 0
    for at, count, rss in looks:
        high = max(high, rss)
        if count // step > before // step and at > since:
            found.append((count, (count - before) / (at - since), high))
            since, before, high = at, count, 0
    return found
