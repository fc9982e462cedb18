"""What a source has done since it started, and where it stands: plain counters, read by views and metrics.

The equation of invariant 5 is `imbalance() == 0`: lines read = settled + in flight, and for settled entries
entries = inserted + duplicates + rejected. It holds at every await of the pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tailrace.ingest.histogram import WRITE_DOCUMENTS, WRITE_SECONDS, Histogram
from tailrace.model import Outcome


@dataclass(slots=True)
class SourceStats:
    """Counters start at 0 with the process; sizes are bytes of uncompressed files, durations seconds, times epoch
    seconds. `stream`, `root`: what is followed. `locked`: paths that are there and cannot be listed or opened, as of
    the last scan.

    `files_*`: by state (`FileCounts`). `newest_hour`: of the files seen; 0: none. `missing_hours`: `Census.missing`.
    `newest_entry`: the event time of the newest entry stored, and `entry_lag` how old it was by this machine's clock
    when it was; None: none with an event time. `checkpoint_age`, `checkpoint_lag`: how long what is settled has waited
    to be saved, and the bytes from what is saved to the known ends of the files. `write_seconds`, `write_documents`: of
    insert commands that were acknowledged. `lines_again`, `bytes_again`: of those in flight, what is to be read again.
    """

    stream: str = ""
    root: str = ""
    lines_read: int = 0
    lines_in_flight: int = 0
    lines_again: int = 0
    bytes_read: int = 0
    bytes_again: int = 0
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
    files_waiting: int = 0
    files_following: int = 0
    files_sealed: int = 0
    files_unreadable: int = 0
    newest_hour: int = 0
    missing_hours: tuple[int, ...] = ()
    missing_blocks: int = 0
    newest_entry: float | None = None
    entry_lag: float = 0.0
    checkpoint_age: float = 0.0
    checkpoint_lag: int = 0
    write_seconds: Histogram = field(default_factory=lambda: Histogram(WRITE_SECONDS))
    write_documents: Histogram = field(default_factory=lambda: Histogram(WRITE_DOCUMENTS))

    def read(self, lines: int, size: int) -> None:
        """What was given up is read again first, more or less: it counts once, or it would stay in flight for ever."""
        again, size_again = min(lines, self.lines_again), min(size, self.bytes_again)
        self.lines_again -= again
        self.bytes_again -= size_again
        self.lines_read += lines - again
        self.lines_in_flight += lines - again
        self.bytes_read += size - size_again

    def begin_anew(self) -> None:
        """Nothing is read any more, and all files will be, as at a start. What was in flight has been given up: it is
        read and not settled, and so in flight, until as much has been read again. No counter goes back."""
        self.live = False
        self.lines_again, self.bytes_again = self.lines_in_flight, self.bytes_read - self.bytes_settled

    def settled(self, lines: int, size: int, entries: int, outcome: Outcome) -> None:
        """One span settled; `lines` as they were counted when it was read, `entries` as the codec counted them."""
        self.lines_in_flight -= lines
        self.bytes_settled += size
        self.entries_settled += entries
        self.spans_settled += 1
        self.done.add(outcome)

    def wrote(self, seconds: float, documents: int) -> None:
        """An insert command was acknowledged."""
        self.write_seconds.observe(seconds)
        self.write_documents.observe(documents)

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
        return replace(
            self,
            done=replace(self.done, rejects=dict(self.done.rejects)),
            locked=list(self.locked),
            write_seconds=self.write_seconds.copy(),
            write_documents=self.write_documents.copy(),
        )

    def imbalance(self) -> int:
        """0 when every line and entry read is accounted for."""
        lines = self.lines_read - self.done.lines - self.lines_in_flight
        return abs(lines) + abs(self.entries_settled - self.done.entries)
