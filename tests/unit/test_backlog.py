"""What is not read yet: of which files, how much, and since when."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from tests.unit.test_roster import Scene, lines

from tailrace.ingest.files.discovery import Discovery
from tailrace.ingest.lives.backlog import Backlog, Unread
from tailrace.ingest.lives.noted import Noted
from tailrace.ingest.lives.slots import Held
from tailrace.model import Compression, SourceFile

SIZE = len(lines(1))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def unread(scene: Scene) -> Unread:
    return scene.roster.backlog(scene.now)


def restarted(scene: Scene, root: Path) -> Scene:
    """Another process on the same tree, that knows what this one has settled."""
    followers = scene.roster.followers()
    again = Scene(root)
    again.discovery = Discovery(scene.discovery.tree)
    again.roster.remember([follower.known() for follower in followers], [row for _, row in scene.roster.take_rows()])
    return again


async def test_files_that_wait_count_from_when_they_were_noticed(scene: Scene) -> None:
    """All of each, the oldest byte's time, and none once they are read; an empty one has nothing to read."""
    assert unread(scene) == Unread()
    scene.write("20250310/8", b"")
    scene.write("20250310/9", lines(1, 2))
    scene.look()
    scene.write("20250310/10", lines(3))
    scene.look()
    assert unread(scene) == Unread(files=2, size=3 * SIZE, waiting=3 * SIZE, since=1.0)
    await scene.turn()
    assert unread(scene) == Unread()


async def test_what_was_read_before_a_restart_does_not_wait(scene: Scene, tmp_path: Path) -> None:
    """A file counts from the offset that is known, and is as old as what came after it."""
    scene.write("20250310/9", lines(1, 2))
    scene.write("20250310/10", lines(3))
    await scene.turn()
    again = restarted(scene, tmp_path / "unused")
    again.look()
    assert unread(again) == Unread()
    scene.write("20250310/10", lines(4))
    again.look()
    assert unread(again) == Unread(files=1, size=SIZE, waiting=SIZE, since=2.0)


async def test_what_waits_for_more_than_its_turn_is_no_lag(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first line without its newline, and a file that only an operator can make readable."""
    scene.write("20250310/9", b"half a line")
    await scene.turn()
    assert (unread(scene).waiting, unread(scene).since) == (0, None)

    def locked(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tailrace.ingest.lives.descriptors.open_reader", locked)
    scene.write("20250310/10", lines(1))
    await scene.turn()
    assert scene.roster.locked()
    assert (unread(scene).waiting, unread(scene).since) == (0, None)
    monkeypatch.undo()
    scene.now += 10
    scene.look()
    assert (unread(scene).waiting, unread(scene).since) == (SIZE, 2.0)


async def test_a_second_name_of_a_file_that_is_followed_does_not_wait(scene: Scene) -> None:
    """Its lines are read under the first."""
    path = scene.write("20250310/9", lines(1))
    await scene.turn()
    os.link(path, scene.file("20250310/10"))
    scene.look()
    assert unread(scene) == Unread()


async def test_an_archive_counts_with_its_size_on_disk(scene: Scene) -> None:
    """A lower bound; and nothing of one that takes the place of what was read already."""
    data = lines(*range(10_000))
    path = scene.write("20250310/9", data)
    await scene.turn()
    archive = scene.write("20250310/9.gz", gzip.compress(data))
    path.unlink()
    scene.look()
    assert unread(scene) == Unread()
    other = scene.write("20250310/8.gz", gzip.compress(data))
    assert archive.stat().st_size == other.stat().st_size < len(data)
    scene.look()
    assert (unread(scene).waiting, unread(scene).since) == (other.stat().st_size, 3.0)


async def test_thousands_of_files_are_not_looked_through_at_every_beat(scene: Scene) -> None:
    """Ten thousand once a second; a few at once, for a figure that is wrong then is wrong for all to see."""
    slots, entrance = scene.roster._slots, scene.roster._entrance

    def wait(hour: int) -> None:
        file = SourceFile(
            path=str(hour), hour=hour, compression=Compression.NONE, device=1, inode=hour, size=7, mtime_ns=1
        )
        slot = slots.add(file)
        slot.queue.append(Held(file, None))
        slot.queue[-1].seen(file, 5.0)
        slots.active[slot.key] = slot

    backlog = Backlog(slots, entrance)
    wait(0)
    assert backlog.look(10.0).files == 1
    wait(1)
    assert backlog.look(10.001).files == 2
    for number in range(2, 10_000):
        wait(number)
    assert backlog.look(11.1) == Unread(files=10_000, size=70_000, waiting=70_000, since=5.0)
    wait(10_000)
    assert [backlog.look(at).files for at in (11.2, 12.0, 12.2)] == [10_000, 10_000, 10_001]


def test_noted_sizes_date_the_oldest_byte() -> None:
    """Also when more were noted than are kept, and when the file is cut."""
    noted = Noted()
    assert (noted.end, noted.since(0)) == (0, None)
    for number in range(1, 1001):
        noted.grown(10 * number, float(number))
    noted.grown(5, 2000.0)
    assert (noted.end, noted.since(0), noted.since(15), noted.since(10_000)) == (10_000, 1.0, 2.0, None)
    noted.passed(20)
    assert (noted.since(0), noted.end) == (3.0, 10_000)
    noted.cut(30)
    assert (noted.since(20), noted.end, noted.since(30)) == (3.0, 30, None)
