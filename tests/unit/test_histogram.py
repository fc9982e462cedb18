"""Counts by size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.ingest.histogram import Histogram

BOUNDS = (1.0, 2.0, 4.0)


def test_a_bound_belongs_below_it() -> None:
    """As Prometheus has it: less or equal. What is above the last bound is counted, too."""
    histogram = Histogram(BOUNDS)
    for value in (0.0, 1.0, 1.1, 2.0, 4.0, 4.1, 1e9):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1, 2]
    assert list(histogram.cumulative()) == [(1.0, 2), (2.0, 4), (4.0, 5), (float("inf"), 7)]
    assert histogram.count == 7


def test_nothing_has_no_percentile() -> None:
    """None, not 0: nothing was measured."""
    assert Histogram(BOUNDS).percentile(0.5) is None


def test_a_copy_stays() -> None:
    """And what came since is the difference."""
    histogram = Histogram(BOUNDS)
    histogram.observe(1.5)
    before = histogram.copy()
    histogram.observe(3.0)
    since = histogram.since(before)
    assert (before.count, since.counts, since.total) == (1, [0, 0, 1, 0], 3.0)


@given(st.lists(st.floats(0.001, 3.999), min_size=1, max_size=50), st.floats(0.01, 1.0))
def test_a_percentile_is_in_the_right_interval(values: list[float], share: float) -> None:
    """At least the lower and at most the upper bound of the interval that the true one lies in."""
    histogram = Histogram(BOUNDS)
    for value in values:
        histogram.observe(value)
    found = histogram.percentile(share)
    assert found is not None
    rank = min(len(values) - 1, max(0, -int(-share * len(values) // 1) - 1))
    true = sorted(values)[rank]
    upper = next(bound for bound in BOUNDS if true <= bound)
    lower = max((bound for bound in BOUNDS if bound < true), default=0.0)
    assert lower <= found <= upper + 1e-9


def test_above_the_last_bound_only_that_is_known() -> None:
    histogram = Histogram(BOUNDS)
    histogram.observe(100.0)
    assert histogram.percentile(0.5) == pytest.approx(4.0)
