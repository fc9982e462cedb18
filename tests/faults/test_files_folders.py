"""What can happen above the files: a day's folder, the whole tree, the right to look at them; and files that move to
another hour. With the real program and a real mongod, counted with plain pymongo."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from tests.support.hour_tree import DAY, HourTree, figures, lost, numbers, readiness
from tests.support.ingested import trades
from tests.support.scrape import Scrape, ask
from tests.support.servers import Server
from tests.support.tailrace_process import Run, until

from tailrace.ops.status import BEAT

HEALTHY, NINE = "20250311/0", f"{DAY}/9"
FIRST, UNREAD, LATE, HEALTHY_LINES = trades(0, 20), trades(20, 10), trades(30, 3), trades(900, 3)


@pytest.fixture
def tree(tmp_path: Path, standalone: Server, database_name: str) -> Iterator[HourTree]:
    with HourTree(tmp_path, standalone, database_name, "--max-workers", "1", "--shutdown-grace", "1s") as it:
        yield it


@pytest.fixture
def mortal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that the test starts heed the mode bits of files: root does not, unless it is told to."""
    if os.geteuid() != 0:
        return
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root reads every file, and there is no setpriv (util-linux) to make it heed the mode bits")
    python = tmp_path / "python"
    caps = "-dac_override,-dac_read_search"
    python.write_text(f'#!/bin/sh\nexec {setpriv} --inh-caps={caps} --bounding-set={caps} {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


@contextmanager
def suffering(tree: HourTree, server: Server, do: Callable[[], object], *files: str, reading: bool) -> Iterator[Run]:
    """The run that sees the fault. When `do` is called, `files` hold `FIRST`, which is stored, and `UNREAD`, which
    is known to be there and was not read: the run holds them open, or was killed, and another is started after it."""
    for name in files:
        tree.append(name, FIRST)
    tree.append(HEALTHY, trades(900, 1))
    with tree.served() as run:
        run.wait_for("live")
        with server.frozen():
            tree.append(HEALTHY, trades(901, 1))  # in flight, and with one worker nothing else is read
            until(lambda: figures(run)["lines"]["in_flight"] == 1, what="the healthy line is in flight")
            for name in files:
                tree.append(name, UNREAD)
            behind = len(files) * len(UNREAD) + len(trades(901, 1))
            until(lambda: figures(run)["lag"]["bytes"] == behind, what="all of it is known to be there")
            if not reading:
                run.kill()
            do()
        if reading:
            yield run
    if not reading:
        with tree.served() as second:
            yield second


def names(run: Run, day: str) -> bool:
    """Whether readiness is red because of this day's folder."""
    return any(day in sentence for sentence in readiness(run))


def healthy(tree: HourTree) -> bool:
    """The newest hour goes on: its last line, written after the fault, is stored as well."""
    return tree.stored(24) == numbers(900, 3)


@dataclass(frozen=True, slots=True)
class FolderFault:
    """`undo`: what an operator does about it, None when nothing is to be done. `said`: the event that names the
    folder until then. `warned`: why a `file_skipped` says that it is not looked into."""

    name: str
    do: Callable[[Path, Path], None]
    undo: Callable[[Path], None] | None = None
    said: str | None = None
    warned: str | None = None


def _file_instead(day: Path, _outside: Path) -> None:
    shutil.rmtree(day)
    day.write_bytes(b"no folder\n")


def _link_out(day: Path, outside: Path) -> None:
    shutil.move(day, outside / "day")
    (outside / "day" / "5").write_bytes(trades(500, 5))  # nobody may store these
    day.symlink_to(outside / "day")


FOLDER_FAULTS = (
    FolderFault("removed", lambda day, _: shutil.rmtree(day)),
    FolderFault("replaced by a file", _file_instead, warned="not a folder"),
    FolderFault("a link out of the root", _link_out, warned="a link that leads out of the root"),
    FolderFault("not to be listed", lambda day, _: day.chmod(0o000), lambda day: day.chmod(0o755), "folder_unreadable"),
    FolderFault(
        "listed but not entered", lambda day, _: day.chmod(0o444), lambda day: day.chmod(0o755), "file_unreadable"
    ),
)


@pytest.mark.usefixtures("mortal")
@pytest.mark.parametrize("reading", [True, False], ids=["while being read", "while stopped"])
def test_day_folders(tree: HourTree, standalone: Server, tmp_path: Path, reading: bool) -> None:
    """Gone, or no folder any more: what is open is read to its end, what is not is lost and counted. Not to be
    looked at: nothing is concluded from that, readiness says so, and all of it is stored once an operator has mended
    it. What lies outside of the root is not stored, other days go on, and one more start changes nothing."""
    days = {f"2025030{number}": fault for number, fault in enumerate(FOLDER_FAULTS, start=1)}
    hours = {day: (int(day) - int(DAY)) * 24 + 9 for day in days}
    outside = tmp_path / "outside"
    outside.mkdir()

    def do() -> None:
        for day, fault in days.items():
            fault.do(tree.hourly / day, outside)

    with suffering(tree, standalone, do, *(f"{day}/9" for day in days), reading=reading) as run:
        run.wait_for("live")
        tree.append(HEALTHY, trades(902, 1))
        until(lambda: healthy(tree), what="the healthy hour goes on")
        for day, fault in days.items():
            if fault.undo is not None:
                until(partial(names, run, day), what="readiness says so")
                fault.undo(tree.hourly / day)
                tree.append(f"{day}/9", LATE)
        until(lambda: readiness(run) == [], what="readiness is green again")
        expected = {24: numbers(900, 3)}
        lost_bytes = {}
        for day, fault in days.items():
            if reading or fault.undo is not None:
                expected[hours[day]] = numbers(0, 30 if fault.undo is None else 33)
            else:
                expected[hours[day]] = numbers(0, 20)
                lost_bytes[f"{day}/9"] = len(UNREAD)
        until(lambda: tree.by_hour() == expected, what="the hours are as expected")
        run.stop()
    assert lost(run.events) == lost_bytes
    for fault in days.values():
        assert sum(each["why"] == fault.warned for each in run.named("file_skipped")) == (fault.warned is not None)
        assert sum(each["event"] == fault.said for each in run.events) == (fault.said is not None)
    assert lost(tree.once()) == {}, "a loss is said once"
    assert tree.by_hour() == expected


@pytest.mark.usefixtures("mortal")
def test_a_file_that_may_not_be_read(tree: HourTree, standalone: Server) -> None:
    """Open while the right is taken away: read to its end. Not open: an error, readiness names it, other hours go
    on, it is tried again, and all of it is stored once it may be read; nothing is said to be lost."""
    path = tree.path(NINE)
    with suffering(tree, standalone, lambda: path.chmod(0o000), NINE, reading=True) as run:
        tree.append(HEALTHY, trades(902, 1))
        until(lambda: healthy(tree) and tree.stored(9) == numbers(0, 30))
        run.stop()
        assert run.named("file_unreadable") == []
    path.chmod(0o644)
    tree.append(NINE, LATE)
    path.chmod(0o000)
    with tree.served() as run:
        run.wait_for("file_unreadable")
        until(lambda: any(str(path) in sentence for sentence in readiness(run)), what="readiness says so")
        tree.append("20250311/1", trades(950, 1))
        until(lambda: tree.stored(25) == numbers(950, 1), what="another hour goes on")
        path.chmod(0o644)
        until(lambda: tree.stored(9) == numbers(0, 33), what="it is tried again")
        until(lambda: readiness(run) == [])
        stopped = run.stop()
        assert (stopped["bytes_lost"], len(run.named("file_unreadable"))) == (0, 1)


@pytest.mark.parametrize("reading", [True, False], ids=["while being read", "while stopped"])
def test_the_whole_root_vanishes_and_comes_back(tree: HourTree, standalone: Server, reading: bool) -> None:
    """As an unmounted disk: what is open is read on, nothing is said to be lost, and everything goes on when it is
    back, with what was written meanwhile."""
    away = tree.directory / "away"
    with suffering(tree, standalone, lambda: tree.root.rename(away), NINE, reading=reading) as run:
        run.wait_for("tree_absent" if reading else "waiting_for_root")
        if reading:
            until(lambda: tree.stored(9) == numbers(0, 30), what="open files are read to their ends")
        until(lambda: readiness(run) != [], what="readiness says so")
        away.rename(tree.root)
        tree.append(NINE, LATE)
        tree.append(HEALTHY, trades(902, 1))
        until(lambda: tree.by_hour() == {9: numbers(0, 33), 24: numbers(900, 3)})
        stopped = run.stop()
    assert stopped["bytes_lost"] == 0
    tree.once()
    assert tree.by_hour() == {9: numbers(0, 33), 24: numbers(900, 3)}


@pytest.mark.usefixtures("mortal")
def test_an_hourly_folder_that_is_gone_or_locked_while_it_is_followed(tree: HourTree) -> None:
    """Gone: it is waited for, and nobody is told to give a right that would not help; whether that is a page is the
    alert's to say that looks at the newest hour. There and not to be listed: only an operator can mend that, and it is
    a page. Either way all is well when it is back."""
    tree.append(NINE, FIRST)
    away = tree.directory / "away"

    def why() -> tuple[list[str], float]:
        url = str(run.wait_for("serving")["url"])
        codes = [each["code"] for each in json.loads(ask(url, "/readyz").body)["why"]]
        return codes, Scrape(ask(url, "/metrics").body).value("tailrace_ready")

    faults: list[tuple[Callable[[], object], Callable[[], object], str, int]] = [
        (partial(tree.hourly.rename, away), partial(away.rename, tree.hourly), "waiting_for_root", 1),
        (partial(tree.hourly.chmod, 0o000), partial(tree.hourly.chmod, 0o755), "unreadable", 0),
    ]
    with tree.served() as run:
        run.wait_for("live")
        for number, (do, undo, code, ready) in enumerate(faults, start=1):
            until(lambda: why() == ([], 1), what="all is well")
            do()
            run.wait_for("tree_absent", count=number)
            time.sleep(2 * BEAT)  # a wrong reason would come with the next copy of the figures
            assert why() == ([code], ready)
            undo()
        until(lambda: why() == ([], 1), what="all is well again")
        tree.append(NINE, LATE)
        until(lambda: tree.stored(9) == numbers(0, 20) + numbers(30, 3))
        run.stop()


@pytest.mark.usefixtures("mortal")
def test_an_hourly_folder_that_cannot_be_listed_at_the_start(tree: HourTree) -> None:
    """It is not taken for an empty one: `run` waits, says so, can be stopped, and reads all of it once it may; `--once`
    ends with a sentence. What was known of its files is not said to be lost."""
    tree.append(NINE, FIRST + LATE[:50])
    tree.once()
    tree.hourly.chmod(0o000)
    [ended] = [each for each in tree.once(code=78) if each["event"] == "ended"]
    assert "cannot be listed" in ended["error"]
    with tree.served() as run:
        run.wait_for("tree_absent")
        until(lambda: any("cannot be read" in sentence for sentence in readiness(run)), what="readiness says so")
        run.stop(timeout=10)
    with tree.served() as run:
        run.wait_for("tree_absent")
        tree.hourly.chmod(0o755)
        tree.append(NINE, LATE[50:])
        until(lambda: tree.by_hour() == {9: numbers(0, 20) + numbers(30, 3)})
        assert run.stop()["bytes_lost"] == 0


@pytest.mark.usefixtures("mortal")
def test_once_fails_when_a_day_folder_cannot_be_listed(tree: HourTree) -> None:
    """`--once` stores what it can, and does not end well: a sentence names the folder, exit 70."""
    tree.append(NINE, FIRST)
    tree.append(HEALTHY, trades(900, 1))
    (tree.hourly / DAY).chmod(0o000)
    [ended] = [each for each in tree.once(code=70) if each["event"] == "ended"]
    assert str(tree.hourly / DAY) in ended["error"]
    (tree.hourly / DAY).chmod(0o755)
    tree.once()
    assert tree.by_hour() == {9: numbers(0, 20), 24: numbers(900, 1)}


def test_a_root_that_is_a_loop_of_links(tree: HourTree) -> None:
    """At the start: one sentence, exit 78. Made while the root is waited for: it goes on waiting, and reads the tree
    that takes its place."""
    tree.root.symlink_to(tree.root)
    [ended] = [each for each in tree.once(code=78) if each["event"] == "ended"]
    assert str(tree.root) in ended["error"]
    tree.root.unlink()
    with tree.served() as run:
        run.wait_for("waiting_for_root")
        tree.root.symlink_to(tree.root)
        run.wait_for("root_unreadable")
        assert readiness(run) != []
        tree.root.unlink()
        tree.append(NINE, FIRST)
        until(lambda: tree.by_hour() == {9: numbers(0, 20)})
        run.stop()


@pytest.mark.parametrize("reading", [True, False], ids=["while being read", "while stopped"])
def test_renamed_to_another_hour(tree: HourTree, standalone: Server, reading: bool) -> None:
    """A file is known by its bytes: whatever hour it is found at, each of its lines is stored once, and none is
    lost."""
    path = tree.path(NINE)
    with suffering(tree, standalone, lambda: path.rename(tree.path(f"{DAY}/15")), NINE, reading=reading) as run:
        tree.append(HEALTHY, trades(902, 1))
        until(lambda: healthy(tree))
        tree.append(f"{DAY}/15", LATE)
        until(lambda: everywhere(tree) >= numbers(0, 33) + numbers(900, 3))
        stopped = run.stop()
    assert stopped["bytes_lost"] == 0
    tree.once()
    assert everywhere(tree) == numbers(0, 33) + numbers(900, 3)


def everywhere(tree: HourTree) -> Counter[int]:
    return sum(tree.by_hour().values(), Counter())
