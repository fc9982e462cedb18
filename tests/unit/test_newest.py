"""The newest entry stored, and how old it was: of what is looked at now and then."""

from __future__ import annotations

from datetime import UTC, datetime

import bson
import pytest

from tailrace.identity import content_id, position_id
from tailrace.ingest.newest import AHEAD, Newest
from tailrace.ingest.stats import SourceStats

NOW = 1_741_605_882.0


class Stored:
    """Documents that are acknowledged at `now`."""

    def __init__(self, field: str | None = "time") -> None:
        self.stats = SourceStats()
        self.newest = Newest(self.stats, field)
        self.now = NOW
        self.newest._clock = lambda: self.now

    def __call__(self, at: float | None, *, key: bytes | None = None) -> None:
        ours = content_id(int(at or 0), [str(at)]) if key is None else key
        time = None if at is None else datetime.fromtimestamp(at, UTC)
        self.newest.stored(bson.encode({"_id": bson.ObjectId(ours), "time": time}))

    def looked(self) -> tuple[float | None, float]:
        self.newest.look()
        return self.stats.newest_entry, round(self.stats.entry_lag, 3)


def test_the_last_before_it_went_quiet_counts() -> None:
    """However soon it came after another; as old as it was when it was acknowledged, not when somebody looked."""
    stored = Stored()
    stored(NOW - 1)
    stored.now += 0.08
    stored(NOW)
    stored.now += 60
    assert stored.looked() == (NOW, 0.08)
    assert stored.looked() == (NOW, 0.08)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_backlog_beside_the_newest_hour(swapped: bool) -> None:
    """Of what is stored between two looks the newest hour's is looked at, whichever was acknowledged last; and what is
    older than what was seen changes nothing."""
    stored = Stored()
    hour = int(NOW) // 3600 * 3600
    both = [(NOW, hour), (NOW - 86_400, hour - 86_400)]
    for at, of in reversed(both) if swapped else both:
        stored(at, key=position_id(of.to_bytes(4, "big") + b"abc", 5))
    assert stored.looked() == (NOW, 0.0)
    stored(NOW - 86_400)
    assert stored.looked() == (NOW, 0.0)


def test_one_entry_of_the_far_future_is_not_the_newest_for_good() -> None:
    """The clocks of two machines may differ by minutes; a time beyond an hour ahead is ignored, and the next counts."""
    stored = Stored()
    stored(NOW + AHEAD + 1)
    assert stored.looked() == (None, 0.0)
    stored(NOW - 1)
    assert stored.looked() == (NOW - 1, 1.0)
    stored(NOW + AHEAD)
    assert stored.looked() == (NOW + AHEAD, -AHEAD)


@pytest.mark.parametrize("stored", [Stored(None), Stored("other"), Stored()], ids=["no field", "another", "no date"])
def test_entries_without_a_time(stored: Stored) -> None:
    """They have no age: nothing is shown."""
    stored(NOW if stored.newest._event_time != "time" else None)
    assert stored.looked() == (None, 0.0)
