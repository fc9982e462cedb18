"""The counters of a source: they only grow, and add up at every moment."""

from __future__ import annotations

from tailrace.ingest.stats import SourceStats
from tailrace.model import Outcome


def settle(stats: SourceStats, lines: int) -> None:
    stats.settled(lines, 10 * lines, lines, Outcome(lines=lines, inserted=lines))


def test_what_was_given_up_is_in_flight_until_it_has_been_read_again() -> None:
    """A drop with six of ten lines in flight: they are read and not settled. Read again, in other pieces and with what
    was settled before, each counts once; in between another drop adds nothing. No counter goes back."""
    stats = SourceStats(live=True)
    seen = []

    def look() -> tuple[int, int, int]:
        assert stats.imbalance() == 0
        seen.append((stats.lines_read, stats.bytes_read))
        return stats.lines_read, stats.lines_in_flight, stats.bytes_read - stats.bytes_settled

    stats.read(4, 40)
    settle(stats, 4)
    stats.read(6, 60)
    assert look() == (10, 6, 60)
    stats.begin_anew()
    assert (stats.live, look()) == (False, (10, 6, 60))
    stats.read(5, 50)
    assert look() == (10, 6, 60)
    stats.begin_anew()
    assert look() == (10, 6, 60)
    stats.read(7, 70)
    assert look() == (11, 7, 70)
    settle(stats, 7)
    assert look() == (11, 0, 0)
    stats.read(3, 30)
    settle(stats, 3)
    assert look() == (14, 0, 0)
    assert seen == sorted(seen)
