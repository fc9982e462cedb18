"""The seal rule."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.ingest.files.seal import TORN_PATIENCE, may_seal

_DONE: dict[str, Any] = {
    "idle_s": 300.0,
    "later_hour_exists": True,
    "read_to_end": True,
    "torn": False,
    "seal_after": 300.0,
}


def test_a_finished_hour_is_sealed() -> None:
    """Idle for `seal_after`, a later hour there, read to its end: its descriptor may be closed."""
    assert may_seal(**_DONE)


@pytest.mark.parametrize("change", [{"idle_s": 299.9}, {"later_hour_exists": False}, {"read_to_end": False}])
def test_each_condition_is_needed(change: dict[str, Any]) -> None:
    """The last hour is never sealed, nor one with unread lines, nor one that was just written to."""
    assert not may_seal(**{**_DONE, **change})


def test_a_torn_rest_is_waited_for_longer_but_not_for_ever() -> None:
    """A line that took 59 minutes to be finished is read from the open descriptor; one that never is costs none."""
    assert not may_seal(**{**_DONE, "torn": True, "idle_s": 59 * 60.0})
    assert may_seal(**{**_DONE, "torn": True, "idle_s": 300.0 * TORN_PATIENCE})


def test_a_torn_rest_is_waited_for_two_hours_by_default() -> None:
    """As long as a node's pruning leaves its files there, and no longer."""
    assert not may_seal(**{**_DONE, "torn": True, "idle_s": 7199.9})
    assert may_seal(**{**_DONE, "torn": True, "idle_s": 7200.0})
