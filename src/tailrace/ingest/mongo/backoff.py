"""How long to wait before the next attempt. Pure: the random number is an argument.

Exponential with "equal jitter": half of the ceiling is certain, so that a failing server is never hammered; the
other half is random, so that many clients that lost the same server do not come back in step.
"""

from __future__ import annotations

BASE = 0.05
"""Seconds: the ceiling of the first wait. An election on a healthy set takes longer, a lost connection less."""

CAP = 10.0
"""Seconds: no wait is longer (setting `retry_max_delay`)."""

OPERATOR_BASE = 1.0
OPERATOR_CAP = 30.0
"""Seconds: what only an operator can mend is not mended within milliseconds."""

_LARGEST_EXPONENT = 30  # 2**30 * BASE is years: beyond it floats would overflow, not waits grow


def ceiling(attempt: int, *, base: float = BASE, cap: float = CAP) -> float:
    """Seconds that the wait after the `attempt`-th failure (from 1) never exceeds."""
    if attempt < 1:
        raise ValueError("attempts are counted from 1")
    return min(cap, base * 2.0 ** min(attempt - 1, _LARGEST_EXPONENT))


def delay(attempt: int, random: float, *, base: float = BASE, cap: float = CAP) -> float:
    """Seconds to wait after the `attempt`-th failure (from 1); `random` in [0, 1)."""
    top = ceiling(attempt, base=base, cap=cap)
    return top / 2 + random * top / 2
