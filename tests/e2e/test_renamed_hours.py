"""A file under the name of another hour, by renaming or as a second name: read once, proven, and repaired once. Counted
with plain pymongo."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.hour_tree import DAY, HourTree, numbers
from tests.support.ingested import trades
from tests.support.servers import Server
from tests.support.tailrace_process import tailrace, until

NINE, TEN, NEWEST = f"{DAY}/9", f"{DAY}/10", f"{DAY}/12"
LINES, LATER = trades(0, 20), trades(20, 5)


@pytest.fixture
def tree(tmp_path: Path, standalone: Server, database_name: str) -> Iterator[HourTree]:
    with HourTree(tmp_path, standalone, database_name, "--watch", "poll") as it:
        it.append(NINE, LINES)
        it.append(NEWEST, trades(900, 1))
        yield it


def stored(tree: HourTree) -> Counter[int]:
    """Whatever the hour."""
    return sum(tree.by_hour().values(), Counter())


def repair(tree: HourTree) -> None:
    done = tailrace("verify", "--repair", *tree.flags)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("noticed", [True, False], ids=["run has seen it", "run has not seen it"])
def test_verify_knows_a_file_that_was_renamed_to_another_hour(tree: HourTree, noticed: bool) -> None:
    """It is the life that it was: proven as that, and `--repair` stores nothing of it again, also before `run` has seen
    the new name."""
    tree.once()
    tree.path(NINE).rename(tree.path(TEN))
    if noticed:
        tree.once()
    code, files = tree.verified()
    assert (code, files[TEN]["equal"], files[TEN]["missing"]) == (0, 20, 0)
    repair(tree)
    assert stored(tree) == numbers(0, 20) + numbers(900, 1)
    document = tree.trades.find_one({"hash": f"0x{7:064x}"})
    assert document is not None
    tree.trades.delete_one({"_id": document["_id"]})
    repair(tree)
    assert tree.by_hour() == {9: numbers(0, 20), 12: numbers(900, 1)}


def test_hours_that_were_all_moved_by_one(tree: HourTree) -> None:
    """Where each stood, another one stands now: each is known by its bytes all the same, before `run` has seen it."""
    tree.append(TEN, trades(100, 20))
    tree.once()
    for before, after in ((10, 11), (9, 10)):
        tree.path(f"{DAY}/{before}").rename(tree.path(f"{DAY}/{after}"))
    assert tree.verified()[0] == 0
    repair(tree)
    tree.once()
    assert tree.by_hour() == {9: numbers(0, 20), 10: numbers(100, 20), 12: numbers(900, 1)}
    tree.append(NINE, trades(200, 20))
    repair(tree)
    tree.once()
    assert tree.by_hour() == {9: numbers(0, 20) + numbers(200, 20), 10: numbers(100, 20), 12: numbers(900, 1)}


def test_repair_enters_a_copy_under_another_hour(tree: HourTree) -> None:
    """A copy beside the file is another file, for `--repair` as for `run`: the ledger vouches for one of them only."""
    tree.once()
    tree.path(TEN).write_bytes(LINES)
    assert tree.verified()[0] == 1
    repair(tree)
    tree.once()
    assert tree.by_hour() == {9: numbers(0, 20), 10: numbers(0, 20), 12: numbers(900, 1)}


def test_a_second_name_under_another_hour(tree: HourTree) -> None:
    """A hard link is not read as a file of its own while the file is followed under its first name; when that goes, the
    second one goes on. This is also what a scan sees that finds the new name before it misses the former one."""
    with tree.run() as run:
        until(lambda: stored(tree) == numbers(0, 20) + numbers(900, 1))
        os.link(tree.path(NINE), tree.path(TEN))
        tree.append(NEWEST, trades(901, 1))  # seen by a scan that saw the link, or by a later one
        until(lambda: tree.stored(12) == numbers(900, 2))
        tree.path(NINE).unlink()
        tree.append(TEN, LATER)
        until(lambda: stored(tree) >= numbers(0, 25))
        assert run.stop()["bytes_lost"] == 0
    assert tree.by_hour() == {9: numbers(0, 25), 12: numbers(900, 2)}
    assert tree.verified()[0] == 0


def test_once_with_a_second_name(tree: HourTree) -> None:
    """`--once` ends well: what the second name holds is stored under the first."""
    os.link(tree.path(NINE), tree.path(TEN))
    for _ in range(2):
        tree.once()
        assert stored(tree) == numbers(0, 20) + numbers(900, 1)
    assert tree.verified()[0] == 0


def test_a_rename_is_said_once(tree: HourTree) -> None:
    """With both names; and not again at every start."""
    tree.once()
    tree.path(NINE).rename(tree.path(TEN))
    [said] = [event for event in tree.once() if event["event"] == "file_renamed"]
    assert (said["before"], said["path"]) == (str(tree.path(NINE)), str(tree.path(TEN)))
    assert [event for event in tree.once() if event["event"] == "file_renamed"] == []
