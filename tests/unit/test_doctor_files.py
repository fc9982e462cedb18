"""What `check` says of a tree: the stream, its hours, its names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.tailrace_process import hour_file

from tailrace.commands.doctor.files import Seen, holes, hour_name, look
from tailrace.commands.doctor.finding import Finding, Level, Subject
from tailrace.config import load

HOUR = 3600


def seen(root: Path, stream: str = "node_trades") -> Seen:
    flags = {"root": str(root), "stream": stream, "state_dir": "/nowhere", "mongodb_uri": "mongodb://h"}
    return look(load(flags, {}, None).settings.sources[0])


def only(found: Seen, subject: Subject, level: Level) -> Finding:
    [finding] = [each for each in found.findings if (each.subject, each.level) == (subject, level)]
    return finding


def test_a_misspelt_stream_is_told_its_nearest_name(tmp_path: Path) -> None:
    """The streams that are there are named, and the nearest one is proposed; `run` would wait, so it is a note."""
    for stream in ("node_trades_by_block", "node_fills"):
        hour_file(tmp_path, "20250310/9", stream).write_bytes(b"")
    finding = only(seen(tmp_path, "node_trade_by_block"), Subject.ROOT, Level.NOTE)
    assert "node_fills, node_trades_by_block" in finding.sentence
    assert "did you mean node_trades_by_block?" in finding.remedy


def test_a_name_like_none_is_told_none(tmp_path: Path) -> None:
    """Nothing is proposed that does not resemble what was asked for."""
    hour_file(tmp_path, "20250310/9", "zzz").write_bytes(b"")
    assert "did you mean" not in only(seen(tmp_path), Subject.ROOT, Level.NOTE).remedy


def test_a_root_that_is_not_there_and_one_that_is_a_file(tmp_path: Path) -> None:
    """Both are waited for, and told apart."""
    assert "does not exist yet" in only(seen(tmp_path / "no"), Subject.ROOT, Level.NOTE).sentence
    (tmp_path / "file").write_text("")
    assert "is not a folder" in only(seen(tmp_path / "file"), Subject.ROOT, Level.NOTE).sentence


def test_a_root_in_a_loop_of_links_is_a_problem(tmp_path: Path) -> None:
    """Waiting would not mend it, and `run` ends with 78."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert str(tmp_path / "loop") in only(seen(tmp_path / "loop"), Subject.ROOT, Level.PROBLEM).sentence


def test_hours_and_the_holes_between_them(tmp_path: Path) -> None:
    """How many files, their size, the oldest and the newest hour; every hour between them that has no file."""
    for name in ("20250310/22", "20250310/23", "20250311/2", "20250311/4.gz"):
        hour_file(tmp_path, name).write_bytes(b"x" * 10)
    found = seen(tmp_path)
    assert only(found, Subject.HOURS, Level.OK).sentence == "4 hour files, 40 bytes, 20250310/22 to 20250311/4 (UTC)"
    sentence = only(found, Subject.HOURS, Level.NOTE).sentence
    assert sentence == "3 hours between them without a file: 20250311/3, 20250311/0 to 20250311/1"
    assert found.size == 40


def test_no_hole_where_there_is_none(tmp_path: Path) -> None:
    """Hours in a row, over midnight and as 9 and 09: nothing to note."""
    for name in ("20250310/22", "20250310/23", "20250311/00", "20250311/1.zst"):
        hour_file(tmp_path, name).write_bytes(b"")
    assert [each.level for each in seen(tmp_path).findings] == [Level.OK, Level.OK]


def test_names_that_are_skipped_are_named_once_a_kind(tmp_path: Path) -> None:
    """A temporary file of each hour is one kind of name; what looks like an hour and is no file is named, too."""
    hour_file(tmp_path, "20250310/9").write_bytes(b"")
    for name in ("9.tmp", "10.tmp", "README"):
        hour_file(tmp_path, f"20250310/{name}").write_bytes(b"")
    hour_file(tmp_path, "lost+found/x").write_bytes(b"")
    os.mkfifo(hour_file(tmp_path, "20250310/10"))
    notes = [each.sentence for each in seen(tmp_path).findings if each.subject is Subject.NAMES]
    assert len(notes) == 2
    assert "20250310/README" in notes[0]
    assert notes[0].count(".tmp") == 1
    assert "lost+found" in notes[0]
    assert str(tmp_path / "node_trades/hourly/20250310/10") in notes[1]


def test_an_empty_stream_is_waited_for(tmp_path: Path) -> None:
    """No hour yet is a note, not a problem."""
    hour_file(tmp_path, "20250310/9").parent.mkdir(exist_ok=True)
    assert "no hour file yet" in only(seen(tmp_path), Subject.HOURS, Level.NOTE).sentence


@pytest.mark.parametrize(
    ("hours", "expected"),
    [([], []), ([0], []), ([0, HOUR], []), ([0, 3 * HOUR], [(HOUR, 2 * HOUR)]), ([0, 2 * HOUR], [(HOUR, HOUR)])],
)
def test_holes(hours: list[int], expected: list[tuple[int, int]]) -> None:
    """Only what lies between two hours that are there is a hole."""
    assert holes(hours) == expected


def test_an_hour_is_named_as_in_the_tree() -> None:
    """Day and hour in UTC, without a leading zero."""
    assert hour_name(1741597200) == "20250310/9"
