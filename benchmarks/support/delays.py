"""Append to acknowledged: joins what a writer noted with what a proxy noted. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from benchmarks.support.load import Appended
from benchmarks.support.proxy import Ack


def by_place(appended: Sequence[Appended], acks: Sequence[Ack], start: int) -> list[float]:
    """Seconds for every line, by the place in the file that its document's `_id` names. `start`: where the first append
    began; what lies before it is left out. A line that was acknowledged twice counts when it was first."""
    ends = [each.end for each in appended]
    first: dict[int, float] = {}
    for ack in sorted(acks):
        for place in ack.places:
            if place >= start:
                first.setdefault(place, ack.at)
    return [at - appended[bisect_right(ends, place)].at for place, at in first.items()]


def by_count(appended: Sequence[Appended], acks: Sequence[Ack], before: int = 0) -> list[float]:
    """Seconds for every line, for those whose documents name no place: the n-th acknowledged document is taken for the
    n-th line. Exact for whoever writes in order, and close for others. `before`: documents that came before."""
    counts = [each.lines for each in appended]
    found: list[float] = []
    number = -before
    for ack in sorted(acks):
        for _ in range(ack.documents):
            if 0 <= number < counts[-1]:
                found.append(ack.at - appended[bisect_right(counts, number)].at)
            number += 1
    return found
