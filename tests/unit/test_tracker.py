"""The settled-prefix tracker by example; its laws are in tests/property/test_tracker_laws.py."""

from __future__ import annotations

import time

import pytest

from tailrace.ingest.state.tracker import SettledPrefix


def test_it_begins_where_reading_begins() -> None:
    """With nothing read, the safe offset is the one we were given (`start_at = "end"` begins far in)."""
    prefix = SettledPrefix(4096)
    assert (prefix.settled, prefix.read, prefix.in_flight, prefix.bytes_in_flight) == (4096, 4096, 0, 0)


def test_an_ack_out_of_order_waits_for_the_span_before_it() -> None:
    """The checkpoint stands at the first unsettled span and then jumps over all that settled meanwhile."""
    prefix = SettledPrefix(0)
    for start in (0, 10, 20):
        prefix.add(start, start + 10)
    assert prefix.settle(20, 30) == 0
    assert prefix.settle(10, 20) == 0
    assert (prefix.in_flight, prefix.bytes_in_flight) == (1, 10)
    assert prefix.settle(0, 10) == 30
    assert (prefix.in_flight, prefix.bytes_in_flight) == (0, 0)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [(11, 20, "gap"), (9, 20, "overlaps"), (0, 10, "overlaps"), (10, 10, "empty"), (10, 9, "empty")],
)
def test_a_gap_an_overlap_or_an_empty_span_is_refused(start: int, end: int, message: str) -> None:
    """Bytes that no span covers would be skipped for ever: refused, and the tracker is as before."""
    prefix = SettledPrefix(0)
    prefix.add(0, 10)
    with pytest.raises(ValueError, match=message):
        prefix.add(start, end)
    assert (prefix.settled, prefix.read, prefix.in_flight, prefix.bytes_in_flight) == (0, 10, 1, 10)


@pytest.mark.parametrize(("start", "end"), [(0, 10), (10, 15), (10, 25), (5, 20), (20, 30)])
def test_settling_what_is_not_in_flight_is_refused(start: int, end: int) -> None:
    """Settled twice, cut differently or never read: a caller's defect that must not move a checkpoint."""
    prefix = SettledPrefix(0)
    prefix.add(0, 10)
    prefix.add(10, 20)
    prefix.settle(0, 10)
    with pytest.raises(ValueError, match="not in flight"):
        prefix.settle(start, end)
    assert (prefix.settled, prefix.read, prefix.in_flight, prefix.bytes_in_flight) == (10, 20, 1, 10)


def test_a_negative_start_is_refused() -> None:
    """An offset is a place in a file."""
    with pytest.raises(ValueError, match="negative"):
        SettledPrefix(-1)


def test_the_cost_of_a_span_does_not_grow_with_their_number() -> None:
    """Settling 120,000 spans front to back is linear: quadratic time (a plain dict's) takes many times the bound."""
    count = 120_000
    prefix = SettledPrefix(0)
    for start in range(count):
        prefix.add(start, start + 1)
    begun = time.process_time()
    for start in range(count):
        assert prefix.settle(start, start + 1) == start + 1
    assert time.process_time() - begun < 1.0
