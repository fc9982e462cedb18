"""What a source has done since it started, and where it stands: plain counters, read by views and metrics.

The equation of invariant 5 is `imbalance() == 0`: lines read = settled + in flight, and for settled entries
entries = inserted + duplicates + rejected. It holds at every await of the pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tailrace.model import Outcome


@dataclass(slots=True)
class SourceStats:
    """Counters start at 0 with the process; sizes are bytes of uncompressed files, durations seconds. `locked`: paths
    that are there and cannot be listed or opened, as of the last scan."""

    lines_read: int = 0
    lines_in_flight: int = 0
    bytes_read: int = 0
    bytes_settled: int = 0
    entries_settled: int = 0
    done: Outcome = field(default_factory=Outcome)
    spans_settled: int = 0
    rollovers: int = 0
    rewritten: int = 0
    lost_bytes: int = 0
    files_open: int = 0
    files_backlog: int = 0
    lag_bytes: int = 0
    lag_seconds: float = 0.0
    file: str = ""
    live: bool = False
    locked: list[str] = field(default_factory=list)

    def read(self, lines: int, size: int) -> None:
        self.lines_read += lines
        self.lines_in_flight += lines
        self.bytes_read += size

    def settled(self, lines: int, size: int, entries: int, outcome: Outcome) -> None:
        """One span settled; `lines` as they were counted when it was read, `entries` as the codec counted them."""
        self.lines_in_flight -= lines
        self.bytes_settled += size
        self.entries_settled += entries
        self.spans_settled += 1
        self.done.add(outcome)

    def figures(self) -> dict[str, int]:
        """The terms of the equation, as they are logged: `lines` and `entries` are the settled ones."""
        done = self.done
        return {
            "lines_read": self.lines_read,
            "lines_in_flight": self.lines_in_flight,
            "lines": done.lines,
            "entries": self.entries_settled,
            "inserted": done.inserted,
            "duplicates": done.duplicates,
            "rejected": done.rejected,
            "unaccounted": self.imbalance(),
        }

    def copy(self) -> SourceStats:
        """The same figures, for good. Made several times a second: a deep copy costs ten times as much."""
        return replace(self, done=replace(self.done, rejects=dict(self.done.rejects)), locked=list(self.locked))

    def imbalance(self) -> int:
        """0 when every line and entry read is accounted for."""
        lines = self.lines_read - self.done.lines - self.lines_in_flight
        return abs(lines) + abs(self.entries_settled - self.done.entries)
