"""Many waiting files and large archives: what is done for one file must not hold up the others. Real files, and
books that answer from memory; the pieces are driven as the pipeline drives them."""

from __future__ import annotations

import asyncio
import gzip
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from tests.unit.test_roster import Books, Scene, lines

from tailrace.ingest.files.reading import ArchiveReader
from tailrace.ingest.lives.placing import FAR
from tailrace.model import Life


async def _drained(scene: Scene) -> None:
    """All that can be read now is; what a thread is on the way to is not waited for."""
    while True:
        entered = scene.roster.waiting and await scene.roster.enter_next(scene.now)
        working = [follower for follower in scene.roster.followers() if follower.dirty]
        for follower in working:
            scene.step(follower, settle=True)
        scene.roster.take_rows()
        if not working and not entered:
            return


async def test_other_files_go_on_while_a_large_archive_is_placed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`9` became `9.gz` and its place lies far inside: a thread decompresses up to there; meanwhile the newest hour is
    read, nobody closes the archive, and afterwards its reading goes on with the next line, once."""
    scene = Scene(tmp_path)
    path = scene.write("20250310/9", lines(*range(400_000)))
    await scene.turn()
    assert len(scene.by_life()[0]) > 4 * FAR, "its place is far inside"
    gate, loop_thread, in_loop, in_thread = threading.Event(), threading.current_thread(), [0], [0]
    produce, read_at = ArchiveReader._produce, ArchiveReader.read_at

    def counted(self: ArchiveReader, limit: int) -> bytes:
        made = produce(self, limit)
        (in_loop if threading.current_thread() is loop_thread else in_thread)[0] += len(made)
        return made

    def gated(self: ArchiveReader, offset: int, size: int) -> bytes:
        if threading.current_thread() is not loop_thread:
            assert gate.wait(30)
        return read_at(self, offset, size)

    monkeypatch.setattr(ArchiveReader, "_produce", counted)
    monkeypatch.setattr(ArchiveReader, "read_at", gated)
    scene.file("20250310/9.gz").write_bytes(gzip.compress(lines(*range(400_001)), 1))
    path.unlink()
    scene.look()
    await _drained(scene)
    assert scene.roster.placing
    scene.write("20250310/10", lines(7, 8))
    scene.look()
    await _drained(scene)
    scene.roster.seal_idle(scene.now + 10_000)
    assert scene.roster.placing
    assert scene.by_life()[1:] == [lines(7, 8)], "the newest hour went on"
    woken = asyncio.Event()
    scene.roster.wake = woken.set
    gate.set()
    async with asyncio.timeout(30):
        await woken.wait()
    await _drained(scene)
    assert scene.by_life() == [lines(*range(400_001)), lines(7, 8)]
    assert in_thread[0] > 4 * FAR, "it was a thread that decompressed"
    assert in_loop[0] < 2 * FAR, "and not the event loop"


async def test_a_damaged_archive_that_is_placed_does_not_stop_the_others(tmp_path: Path) -> None:
    """Damage on the way to the place is said as any other, and is not waited for."""
    scene = Scene(tmp_path)
    path = scene.write("20250310/9", lines(*range(400_000)))
    scene.write("20250310/10", lines(1))
    await scene.turn()
    packed = bytearray(gzip.compress(path.read_bytes(), 1))
    packed[len(packed) // 4 : len(packed) // 4 + 100] = bytes(100)
    scene.file("20250310/9.gz").write_bytes(packed)
    path.unlink()
    scene.look()
    async with asyncio.timeout(30):
        while True:
            await _drained(scene)
            if not scene.roster.placing:
                break
            await asyncio.sleep(0.01)
        await _drained(scene)
    assert [slot.key for slot in scene.roster.slots.values() if slot.unreadable] == [str(path)]
    scene.write("20250310/10", lines(2))
    await scene.turn()
    assert lines(1, 2) in scene.by_life()


class QuickBooks(Books):
    """That do not look through all lives to check that a prefix is new."""

    async def allocate(self, *, hour: int, head: bytes, number: int, path: str, start: int) -> Life:
        lives, self.lives = self.lives, []
        try:
            life = await super().allocate(hour=hour, head=head, number=number, path=path, start=start)
        finally:
            self.lives = lives
        lives.append(life)
        return life


async def _calls_per_file(directory: Path, files: int) -> float:
    """Function calls that the roster makes for each of so many waiting files, until all of them are read."""
    scene = Scene(directory, max_open=8)
    for number in range(files):
        scene.write(f"{20250101 + number // 24}/{number % 24}", lines(number))
    scene.look()
    assert sum(held.reader is None for slot in scene.roster.active.values() for held in slot.queue) > files - 20
    calls = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        await _drained(scene)
    finally:
        sys.setprofile(None)
    assert len(scene.by_life()) == files
    assert sorted(scene.by_life()) == sorted(lines(number) for number in range(files))
    return calls / files


async def test_the_work_for_one_waiting_file_does_not_grow_with_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight times as many files wait, for eight descriptors: each costs as many steps as before, not eight times as
    many."""
    monkeypatch.setattr("tests.unit.test_roster.Books", QuickBooks)
    few = await _calls_per_file(tmp_path / "few", 90)
    many = await _calls_per_file(tmp_path / "many", 720)
    assert many < 2 * few, (few, many)
