"""Figures for people: sizes, durations, hours. Not for anything that is read back."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def size_words(size: float) -> str:
    """`9.8 MB`: powers of ten, as df -H and node operators count."""
    unit = 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 99.95 else f"{size:.1f} {_UNITS[unit]}"


def duration_words(seconds: float) -> str:
    """`40 ms`, `8 s`, `2 min`, `3.5 h`, `2 days`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"


def hour_words(hour: int) -> str:
    """`2025-03-10T09Z`, of epoch seconds: an hour of the node, UTC."""
    return datetime.fromtimestamp(hour, UTC).strftime("%Y-%m-%dT%HZ")
