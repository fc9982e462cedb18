"""Waits between attempts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.ingest.mongo.backoff import BASE, CAP, ceiling, delay

attempts = st.integers(min_value=1, max_value=10**9)
randoms = st.floats(min_value=0, max_value=1, exclude_max=True)


@settings(deadline=None, max_examples=200)
@given(attempts, randoms)
def test_a_wait_lies_in_the_upper_half_of_its_ceiling(attempt: int, random: float) -> None:
    """Never nothing (no hammering), never over the ceiling, however many attempts."""
    top = ceiling(attempt)
    assert 0 < top / 2 <= delay(attempt, random) <= top <= CAP


def test_ceilings_double_up_to_the_cap() -> None:
    """0.05, 0.1, 0.2, ... 10 seconds."""
    tops = [ceiling(attempt) for attempt in range(1, 12)]
    assert tops[0] == BASE
    assert all(later == min(CAP, 2 * earlier) for earlier, later in pairwise(tops))
    assert tops[-1] == CAP


def test_the_random_number_spreads_the_wait() -> None:
    """Two clients that failed together do not come back together."""
    assert delay(5, 0.0, base=1, cap=100) == 8
    assert delay(5, 0.5, base=1, cap=100) == 12


def test_attempts_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="from 1"):
        delay(0, 0.5)
