"""Problems of files that last are one line when they start, one a minute, and one when they are over."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncinotify
import pytest
from structlog.testing import capture_logs

from tailrace.errors import Verdict
from tailrace.ingest.files.discovery import Discovery
from tailrace.ingest.files.names import HourlyTree
from tailrace.ingest.files.watch import NativeWatcher
from tailrace.ingest.lives.descriptors import Descriptors
from tailrace.ingest.lives.slots import Held
from tailrace.ingest.mongo.health import SUMMARY_INTERVAL, ServerHealth

Event = dict[str, Any]


@dataclass
class Denied:
    """Paths of which the kernel says that we may not look at them."""

    paths: set[str] = field(default_factory=set)

    def check(self, path: str) -> None:
        if str(path) in self.paths:
            raise PermissionError(errno.EACCES, "Permission denied", path)


@pytest.fixture
def denied(monkeypatch: pytest.MonkeyPatch) -> Iterator[Denied]:
    denied = Denied()
    for name in ("scandir", "stat", "listdir", "open"):
        real = getattr(os, name)

        def checked(path: Any, *rest: Any, real: Any = real, **more: Any) -> Any:
            denied.check(path)
            return real(path, *rest, **more)

        monkeypatch.setattr(os, name, checked)
    yield denied
    denied.paths.clear()


def names(logs: list[Any]) -> list[str]:
    return [each["event"] for each in logs]


def hours(root: Path, count: int) -> list[Path]:
    folder = root / "node_trades" / "hourly" / "20250310"
    folder.mkdir(parents=True)
    files = [folder / str(number) for number in range(count)]
    for file in files:
        file.write_bytes(b"{}\n")
    return files


def discovery_of(root: Path) -> Discovery:
    return Discovery(HourlyTree(str(root), "node_trades", str(root / "node_trades" / "hourly")))


def test_a_folder_that_cannot_be_listed_for_minutes(tmp_path: Path, denied: Denied) -> None:
    """A scan a second for two minutes and a half: its start, two summaries, its end; and the same the next time."""
    day = hours(tmp_path, 2)[0].parent
    discovery = discovery_of(tmp_path)
    discovery.scan(0.0)
    with capture_logs() as logs:
        for begin in (1.0, 1001.0):
            denied.paths = {str(day)}
            for second in range(150):
                discovery.scan(begin + second)
            denied.paths = set()
            discovery.scan(begin + 150)
            discovery.scan(begin + 151)
    once = ["folder_unreadable", *["folders_still_unreadable"] * 2, "folder_readable_again"]
    assert names(logs) == [*once, *once]
    assert logs[3]["after_s"] == 150.0
    assert logs[2]["for_s"] == 120.0


def test_files_that_cannot_be_looked_at(tmp_path: Path, denied: Denied) -> None:
    """A folder that is listed and not entered: one line for all of its files, one when they can be looked at again; not
    each time that a scan happens not to look at them."""
    files = hours(tmp_path, 20)
    for newer in ("20250311", "20250312"):  # so that no scan looks at the others of its own accord
        (files[0].parents[1] / newer).mkdir()
        (files[0].parents[1] / newer / "0").write_bytes(b"{}\n")
    discovery = discovery_of(tmp_path)
    discovery.scan(0.0)
    with capture_logs() as logs:
        denied.paths = {str(file) for file in files}
        for second in range(1, 60):
            assert discovery.scan(float(second), full=second == 1).unlisted
        denied.paths = set()
        assert not discovery.scan(60.5).unlisted
    assert names(logs) == ["file_unreadable", "folder_readable_again"]


def test_a_tree_that_is_gone_for_minutes(tmp_path: Path, denied: Denied) -> None:
    """The hourly folder: one warning, one a minute that says for how long, one line when it is back."""
    hourly = hours(tmp_path, 1)[0].parents[1]
    discovery = discovery_of(tmp_path)
    discovery.scan(0.0)
    with capture_logs() as logs:
        denied.paths = {str(hourly)}
        for second in range(1, 66):
            discovery.scan(float(second))
        denied.paths = set()
        discovery.scan(70.0)
    assert names(logs) == ["tree_absent", "tree_absent", "tree_back"]
    assert [each.get("for_s") for each in logs] == [0.0, 60.0, None]
    assert logs[-1]["after_s"] == 69.0


def test_many_files_that_cannot_be_opened(tmp_path: Path, denied: Denied) -> None:
    """Ten are named, all are counted once a minute, and of their ends a few are said and the last."""
    files = hours(tmp_path, 24)
    waiting = [Held(file, None) for file in discovery_of(tmp_path).scan(0.0).appeared]
    denied.paths = {str(file) for file in files}
    descriptors = Descriptors(100)
    with capture_logs() as logs:
        for second in range(120):
            descriptors.say_still(float(second))
            for held in waiting:
                assert not descriptors.hold(held, float(second))
        denied.paths = set()
        for held in waiting:
            assert descriptors.hold(held, held.retry_at)
            assert held.reader is not None
            descriptors.close(held.reader)
    again = ["file_readable_again"] * 11
    assert names(logs) == [*["file_unreadable"] * 10, "files_still_unreadable", *again]
    assert logs[10]["files"] == 24
    assert [each["left"] for each in logs[11:]] == [*range(23, 13, -1), 0]


def test_notifications_that_can_be_had_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short of watches: one warning, whatever number of attempts; one line when there are enough again."""
    hourly = hours(tmp_path, 1)[0].parents[1]
    real = asyncinotify.Inotify.add_watch
    short = True

    def add_watch(self: Any, *arguments: Any) -> Any:
        if short:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, *arguments)

    monkeypatch.setattr(asyncinotify.Inotify, "add_watch", add_watch)

    async def follow(watcher: NativeWatcher) -> None:
        nonlocal short
        async with watcher:
            for number in range(3):
                watcher.follow([str(hourly)], [f"{hourly}/{number}"])
            short = False
            watcher.follow([str(hourly)], [])
            watcher.follow([str(hourly)], [str(hourly / "20250310")])

    with capture_logs() as logs:
        asyncio.run(follow(NativeWatcher()))
    assert names(logs) == ["watch_unavailable", "watch_available_again"]


def test_what_an_operator_must_mend_stays_an_error() -> None:
    """While MongoDB refuses us, the summaries say what to do as the first line did."""
    now = 0.0
    with capture_logs() as logs:
        health = ServerHealth(clock=lambda: now)
        for _ in range(10):
            health.failed("a", Verdict.OPERATOR, "no role")
            now += SUMMARY_INTERVAL / 4
        health.over("a", succeeded=True)
    assert names(logs) == ["mongodb_refuses", "mongodb_still_refuses", "mongodb_still_refuses", "mongodb_back"]
    assert {each["log_level"] for each in logs[:3]} == {"error"}
    assert all(each["meaning"] and each["todo"] for each in logs[:3])
