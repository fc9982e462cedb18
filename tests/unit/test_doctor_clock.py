"""What `check` says of clocks: files against this machine, entries against their file, the server against us."""

from __future__ import annotations

import pytest

from tailrace.commands.doctor.clock import of_files, of_server
from tailrace.commands.doctor.finding import Level
from tailrace.model import Compression, SourceFile

NOW = 1_741_600_800.0  # 10:00 UTC
NINE = 1_741_597_200


def newest(written: float, hour: int = NINE) -> SourceFile:
    return SourceFile(
        path="/9", hour=hour, compression=Compression.NONE, device=1, inode=1, size=1, mtime_ns=int(written * 1e9)
    )


@pytest.mark.parametrize(
    ("file", "entry", "words"),
    [
        (newest(NOW - 1), NOW - 1, []),
        (newest(NOW + 1), None, []),
        (newest(NOW + 60), None, ["60 s in the future"]),
        (newest(NOW - 7200), None, ["2.0 h ago"]),
        (newest(NOW - 1, NINE + 7200), None, ["20250310/11, has not begun"]),
        (newest(NOW - 1), NOW - 600, ["10 min before its file was written"]),
        (newest(NOW - 1), NOW + 600, ["10 min after its file was written"]),
    ],
)
def test_times_of_files(file: SourceFile, entry: float | None, words: list[str]) -> None:
    """Written in the future, long ago, in an hour that has not begun, entries of another time: a note each; none of
    them a problem, for no id depends on a clock. Seconds apart are nothing."""
    found = [*of_files(NOW, file, None if entry is None else int(entry * 1e9))]
    assert [each.level for each in found] == ([Level.NOTE] * len(words) or [Level.OK])
    for finding, word in zip(found, words, strict=False):
        assert word in finding.sentence


@pytest.mark.parametrize(
    ("theirs", "uncertain", "level", "word"),
    [
        (NOW + 4, 0.1, Level.OK, "agree"),
        (NOW + 8, 4.0, Level.OK, "agree"),
        (NOW + 90, 0.1, Level.NOTE, "ahead of"),
        (NOW - 90, 0.1, Level.NOTE, "behind"),
    ],
)
def test_the_clock_of_the_server(theirs: float, uncertain: float, level: Level, word: str) -> None:
    """More than five seconds apart, beyond what the answer's own time explains, are a note that says which way."""
    finding = of_server(theirs, NOW, uncertain)
    assert finding.level is level
    assert word in finding.sentence
