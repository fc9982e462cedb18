"""Hours of which there is neither a file nor a record. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime

from tailrace.verify.selection import HOUR


def missing_hours(known: Collection[int], wanted: Callable[[int], bool]) -> list[tuple[int, int]]:
    """Ranges `[from, to)` in epoch seconds of the `wanted` hours between the first and the last known one that are not
    known themselves."""
    result: list[tuple[int, int]] = []
    for before, after in zip(ordered := sorted(known), ordered[1:], strict=False):
        for hour in range(before + HOUR, after, HOUR):
            if not wanted(hour):
                continue
            if result and result[-1][1] == hour:
                result[-1] = (result[-1][0], hour + HOUR)
            else:
                result.append((hour, hour + HOUR))
    return result


def hour_name(hour: int) -> str:
    """`20250310/9`: as the node names its files."""
    moment = datetime.fromtimestamp(hour, UTC)
    return f"{moment:%Y%m%d}/{moment.hour}"


def range_name(begin: int, end: int) -> str:
    """`20250310/7`, or `20250310/7 to 20250310/9 (3 hours)`."""
    if end - begin == HOUR:
        return hour_name(begin)
    return f"{hour_name(begin)} to {hour_name(end - HOUR)} ({(end - begin) // HOUR:,} hours)"
