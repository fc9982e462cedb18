"""What files there are and where each stands, on a real tree."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from tests.unit.test_roster import LIMIT, Scene, lines

from tailrace.ingest.blocks import BlockGaps
from tailrace.ingest.files.discovery import Discovery
from tailrace.ingest.lives.census import FileCounts, FileState
from tailrace.model import Blocks, Outcome

HOUR = 3600


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path, seal_after=2.0)


def states(scene: Scene, *, live: bool = True) -> dict[str, str]:
    return {each.path.rpartition("hourly/")[2]: each.state for each in scene.roster.census.hours(72, live=live)}


async def test_each_state_of_a_file(scene: Scene) -> None:
    """Waiting before it is opened or without a line, reading or live when followed, then sealed."""
    scene.write("20250310/9", lines(1))
    scene.look()
    assert (states(scene), scene.roster.census.counts()) == ({"20250310/9": "waiting"}, FileCounts(waiting=1))
    await scene.turn(settle=False)
    assert states(scene, live=False) == {"20250310/9": "reading"}
    scene.write("20250310/10", b"half a line")
    await scene.turn()
    assert states(scene) == {"20250310/9": "reading", "20250310/10": "waiting"}
    assert scene.roster.census.counts() == FileCounts(waiting=1, following=1)


async def test_sealed_files_and_live_ones(scene: Scene) -> None:
    """A sealed one keeps its figures; the newest is live."""
    scene.write("20250310/9", lines(1, 2))
    await scene.turn()
    scene.write("20250310/10", lines(3))
    await scene.turn()
    scene.now += 10
    scene.roster.seal_idle(scene.now)
    assert states(scene) == {"20250310/9": "sealed", "20250310/10": "live"}
    assert scene.roster.census.counts() == FileCounts(following=1, sealed=1)
    first, second = scene.roster.census.hours(72, live=True)
    assert (first.settled, first.lines, first.size, second.hour - first.hour) == (first.size, 2, len(lines(1, 2)), HOUR)
    assert [each.path for each in scene.roster.census.hours(1, live=True)] == [second.path], "the newest"


async def test_hours_without_a_file(scene: Scene) -> None:
    """Named while they are missing, and no longer once a file comes, or where the collection knows the hour."""
    for hour in (5, 6, 9):
        scene.write(f"20250310/{hour}", lines(hour))
    await scene.turn()
    census = scene.roster.census
    assert [hour // HOUR % 24 for hour in census.missing] == [7, 8]
    assert [each.state for each in census.hours(72, live=True)].count(FileState.MISSING) == 2
    scene.write("20250310/7", lines(7))
    await scene.turn()
    assert [hour // HOUR % 24 for hour in census.missing] == [8]
    os.unlink(scene.file("20250310/6"))
    await scene.turn()
    scene.now += 10
    await scene.turn()
    assert [hour // HOUR % 24 for hour in census.missing] == [8], "6 is gone, and stored"


async def test_hours_of_a_day_that_cannot_be_listed(scene: Scene) -> None:
    """Nobody knows whether they have a file: none is missing, nor are the blocks between the hours around them, until
    the folder can be listed again."""
    roster, day = scene.roster, 1_741_651_200  # 2025-03-11
    for name in ("20250310/23", "20250311/5", "20250312/0"):
        scene.write(name, lines(1))
    await scene.turn()
    roster.census._entrance.gaps = gaps = BlockGaps()
    for number, hour in ((1, day - HOUR), (2, day + 5 * HOUR), (9, day + 24 * HOUR)):
        gaps.settled(hour, bytes([number]), 0, Blocks(number, number))
        gaps.ended(bytes([number]))
    assert (len(roster.census.missing), roster.census.missing_blocks()) == (23, 6)
    roster.unlisted({day: str(scene.root / "20250311")})
    assert (roster.census.missing, roster.census.missing_blocks()) == ((), 0)
    assert [each.state for each in roster.census.hours(72, live=True)].count(FileState.MISSING) == 0
    roster.unlisted({})
    assert (len(roster.census.missing), roster.census.missing_blocks()) == (23, 6)


async def test_what_nobody_can_mend_is_not_counted_for_ever(scene: Scene) -> None:
    """Two days back from the newest hour, no further."""
    scene.write("20250301/0", lines(1))
    scene.write("20250310/9", lines(2))
    await scene.turn()
    assert len(scene.roster.census.missing) == 48


async def test_a_damaged_archive_is_unreadable_until_another_takes_its_place(scene: Scene) -> None:
    """And is counted as that, not as sealed: whether it was found damaged at its turn, after somebody had counted the
    files, or in the middle of being read."""
    path = scene.write("20250310/9.gz", gzip.compress(lines(4))[:10] + b"garbage" * 100)
    scene.write("20250310/10.gz", gzip.compress(lines(1)))
    scene.look()
    assert scene.roster.census.counts() == FileCounts(waiting=2)
    await scene.turn()
    assert scene.roster.census.counts() == FileCounts(following=1, unreadable=1), "its head cannot be read"
    path.write_bytes(gzip.compress(lines(4)))
    await scene.turn()
    assert scene.roster.census.counts() == FileCounts(following=2)
    scene.roster.unreadable(scene.roster.followers()[0], OSError("damaged"))
    assert scene.roster.census.counts() == FileCounts(following=1, unreadable=1)


async def test_blocks_that_no_file_has(tmp_path: Path) -> None:
    """Within a file, whatever order its spans are acknowledged in, and between two hours; not while one waits."""
    scene = Scene(tmp_path, seal_after=2.0)
    gaps = scene.roster.census._entrance.gaps = BlockGaps()
    scene.write("20250310/9", lines(1, 2, 3))
    scene.write("20250310/10", lines(4))
    scene.look()
    while await scene.roster.enter_next(scene.now):
        pass
    for follower in sorted(scene.roster.followers(), key=lambda follower: follower.hour):
        pieces = []
        while (piece := follower.tailer.next_chunk(len(lines(1)), LIMIT)) is not None:
            follower.begin(piece)
            pieces.append(piece)
        follower.dirty = False
        base = follower.hour // HOUR * 100
        for number, piece in reversed(list(enumerate(pieces))):
            follower.settle(piece.span, Outcome(lines=1), Blocks(base + 2 * number, base + 2 * number))
    assert scene.roster.census.missing_blocks() == 2, "the first may still grow"
    scene.now += 10
    scene.roster.seal_idle(scene.now)
    scene.roster.take_rows()
    assert scene.roster.census.missing_blocks() == 2 + 95
    assert gaps.missing == 97


async def test_blocks_after_a_restart(scene: Scene, tmp_path: Path) -> None:
    """Blocks of an hour that was read to its end before it are there, though nothing of it is read again."""
    for hour in (4, 5):
        scene.write(f"20250310/{hour}", lines(1))
    await scene.turn()
    known = [follower.known() for follower in scene.roster.followers()]
    scene.roster.seal_idle(scene.now + 301)
    rows = [row for _follower, row in scene.roster.take_rows()]
    scene.write("20250310/4", lines(2))
    scene.write("20250310/6", lines(3))
    scene.write("20250310/7", lines(4))
    again = Scene(tmp_path / "unused", seal_after=2.0)
    again.discovery = Discovery(scene.discovery.tree)
    gaps = again.roster.census._entrance.gaps = BlockGaps()
    again.roster.remember(known, rows)
    again.look()
    while await again.roster.enter_next(again.now):
        pass
    for follower in again.roster.followers():
        while (piece := follower.tailer.next_chunk(LIMIT, LIMIT)) is not None:
            number = follower.hour // HOUR * 100
            follower.begin(piece)
            follower.settle(piece.span, Outcome(lines=1), Blocks(number, number))
        follower.dirty = False
    again.roster.seal_idle(again.now + 10)
    again.roster.take_rows()
    assert again.roster.census.missing_blocks() == 99, "between 6 and 7, not between 4 and 6"
    assert gaps.missing == 99
