"""Watch: real notifications of a real file system. Linux only, as the native watcher is."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import asyncinotify
import pytest
from structlog.testing import capture_logs

from tailrace.ingest.files.hints import Hint, PollingWatcher, Watcher, WatchMode
from tailrace.ingest.files.names import candidates
from tailrace.ingest.files.watch import WATCHED_DAYS, NativeWatcher, watcher

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")

PATIENCE = 10.0  # seconds; a hint takes a fraction of a millisecond


def watched(scenario: Callable[[Watcher], Awaitable[None]], mode: WatchMode = WatchMode.NATIVE) -> None:
    async def run() -> None:
        async with watcher(mode) as watch:
            await scenario(watch)

    asyncio.run(run())


async def settle(watch: Watcher) -> None:
    """Take what is there already."""
    while await watch.wait(0.0):
        pass


async def until(watch: Watcher, enough: Callable[[Hint], bool], step: float = PATIENCE) -> Hint:
    """Everything hinted, merged, until it is enough. One long wait unless told otherwise: what is only noticed when a
    wait times out comes too late."""
    paths: set[str] = set()
    folders: set[str] = set()
    everything = False
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        hint = await watch.wait(min(step, end - time.monotonic()))
        paths |= hint.paths
        folders |= hint.folders
        everything |= hint.everything
        merged = Hint(frozenset(paths), frozenset(folders), everything)
        if enough(merged) and time.monotonic() < end:
            return merged
    raise AssertionError(f"not hinted at: {paths} {folders} {everything}")


@pytest.fixture
def hourly(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "node_trades" / "hourly"
    (path / "20250310").mkdir(parents=True)
    (path / "20250310" / "9").touch()
    return path


def test_an_append_is_hinted_at_with_its_path(hourly: Path) -> None:
    """At once, long before the timeout, and once for many appends; then silence until the timeout."""
    file = hourly / "20250310" / "9"

    async def scenario(watch: Watcher) -> None:
        watch.follow([str(hourly)])
        await settle(watch)
        waiting = asyncio.create_task(watch.wait(PATIENCE))
        await asyncio.sleep(0)
        started = time.monotonic()
        with file.open("ab", buffering=0) as out:
            for _ in range(100):
                out.write(b"x\n")
        assert await waiting == Hint(paths=frozenset([str(file)]))
        assert time.monotonic() - started < PATIENCE / 2
        await settle(watch)
        assert await watch.wait(0.05) == Hint()

    watched(scenario)


def test_a_wait_that_is_woken(hourly: Path) -> None:
    """It returns at once, whatever watches; nothing that was noticed is lost by it, and the next wait is a wait."""

    async def scenario(watch: Watcher) -> None:
        watch.follow([str(hourly)])
        await settle(watch)
        waiting = asyncio.create_task(watch.wait(PATIENCE))
        await asyncio.sleep(0)
        started = time.monotonic()
        watch.wake()
        assert await waiting == Hint()
        assert time.monotonic() - started < PATIENCE / 2
        started = time.monotonic()
        assert await watch.wait(0.05) == Hint()
        assert time.monotonic() - started > 0.04

    async def polled() -> None:
        async with PollingWatcher() as watch:
            await scenario(watch)

    watched(scenario)
    asyncio.run(polled())


def test_what_is_watched_first_is_hinted_at_whole(hourly: Path) -> None:
    """What happened before the watch existed is found by the scan that this asks for."""

    async def scenario(watch: Watcher) -> None:
        watch.follow([str(hourly)])
        hint = await watch.wait(0.0)
        assert hint.everything
        assert str(hourly / "20250310") in hint.folders
        watch.follow([str(hourly)])
        assert not await watch.wait(0.0)

    watched(scenario)


def test_created_renamed_and_deleted_names_are_hinted_at_with_their_folder(hourly: Path) -> None:
    """A new hour, gzip in place, pruning: the folder is to be listed."""
    day = hourly / "20250310"

    async def scenario(watch: Watcher) -> None:
        watch.follow([str(hourly)])
        for act in ((day / "10").touch, partial((day / "10").rename, day / "10.gz"), (day / "10.gz").unlink):
            await settle(watch)
            act()
            hint = await until(watch, lambda hint: str(day) in hint.folders)
            assert not hint.everything

    watched(scenario)


def test_a_new_day_is_watched_by_itself(hourly: Path) -> None:
    """`mkdir` and first lines at once: the folder is hinted at, and later appends in it by their path."""
    day = hourly / "20250311"

    async def scenario(watch: Watcher) -> None:
        watch.follow([str(hourly)])
        await settle(watch)
        day.mkdir()
        (day / "0").write_bytes(b"first\n")
        await until(watch, lambda hint: str(day) in hint.folders)
        await settle(watch)
        (day / "0").write_bytes(b"second\n")
        await until(watch, lambda hint: str(day / "0") in hint.paths)

    watched(scenario)


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 5])
def test_a_root_that_comes_to_be_is_hinted_at(tmp_path: Path, depth: int) -> None:
    """`mkdir -p` from any level, without a pause in it: we are told to look there, and then of writes to the file."""
    root = tmp_path / "a" / "b" / "data"
    file = root / "node_trades" / "hourly" / "20250310" / "9"
    file.parents[depth].mkdir(parents=True, exist_ok=True)

    async def scenario(watch: Watcher) -> None:
        watch.follow([tree.hourly for tree in candidates(str(root), "node_trades")])
        await settle(watch)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x\n")
        await until(watch, lambda hint: hint.everything or str(file.parent) in hint.folders or str(file) in hint.paths)
        watch.follow([str(root / "node_trades" / "hourly")])
        await settle(watch)
        file.write_bytes(b"y\n")
        await until(watch, lambda hint: str(file) in hint.paths)

    watched(scenario)


def test_other_peoples_files_above_the_tree_are_no_hints(hourly: Path, tmp_path: Path) -> None:
    """A busy neighbour (another stream, a shared parent folder) wakes nobody."""

    async def scenario(watch: Watcher) -> None:
        watch.follow([str(hourly)])
        await settle(watch)
        for name in ("node_fills", "x", "y"):
            (hourly.parent.parent / name).mkdir()
            (hourly.parent / name).touch()
        assert await watch.wait(0.05) == Hint()

    watched(scenario)


def test_a_tree_that_is_replaced_is_watched_again(hourly: Path) -> None:
    """Moved away with its parent (no event of its own), deleted, made again: in the end its files are hinted at."""
    file = hourly / "20250310" / "9"

    async def scenario(watch: Watcher) -> None:
        watch.follow([str(hourly)])
        for act in (partial(hourly.parent.rename, f"{hourly.parent}.old"), partial(shutil.rmtree, hourly)):
            await settle(watch)
            act()
            file.parent.mkdir(parents=True)
            await until(watch, lambda hint: hint.everything)
            await settle(watch)
            file.write_bytes(b"x\n")
            await until(watch, lambda hint: str(file) in hint.paths)

    watched(scenario)


def test_a_tree_that_is_replaced_out_of_sight_is_noticed_at_a_timeout(tmp_path: Path) -> None:
    """Moved with a folder far above, where nothing is watched: a wait that times out looks whether it is the same."""
    hourly = tmp_path / "top" / "x" / "y" / "node_trades" / "hourly"
    hourly.mkdir(parents=True)
    file = hourly / "20250310" / "9"

    async def scenario(watch: Watcher) -> None:
        watch.follow([str(hourly)])
        await settle(watch)
        (tmp_path / "top").rename(tmp_path / "away")
        file.parent.mkdir(parents=True)
        assert (await until(watch, lambda hint: hint.everything, step=0.01)).everything
        await settle(watch)
        file.write_bytes(b"x\n")
        await until(watch, lambda hint: str(file) in hint.paths)

    watched(scenario)


def test_watches_are_bounded_and_follow_what_is_marked(hourly: Path) -> None:
    """The newest days and the marked ones; what is neither has its watch taken away, without a sound."""
    for day in range(1, 29):
        (hourly / f"202401{day:02}").mkdir()
    old = hourly / "20240105"

    async def scenario(watch: Watcher) -> None:
        assert isinstance(watch, NativeWatcher)
        watch.follow([str(hourly)], [str(old)])
        await settle(watch)
        assert len(watch._watched) == WATCHED_DAYS + 1 + 3  # the marked one; hourly and two folders above it
        (old / "9").touch()
        await until(watch, lambda hint: str(old / "9") in hint.paths)
        watch.follow([str(hourly)])
        assert len(watch._watched) == WATCHED_DAYS + 3
        assert not await watch.wait(0.05)
        (old / "9").write_bytes(b"x")
        assert not await watch.wait(0.05)
        assert watch._inotify is not None
        assert len(watch._inotify.watches) == WATCHED_DAYS + 3  # the kernel's, not only ours

    watched(scenario)


def test_overflow_asks_for_everything(hourly: Path) -> None:
    """More events than the kernel queues: no list of paths is complete, so everything is to be looked at."""
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if queue > 100_000:
        pytest.skip("the queue is too long to be filled in a test")
    files = [os.open(hourly / "20250310" / name, os.O_WRONLY | os.O_CREAT) for name in ("9", "10")]

    async def scenario(watch: Watcher) -> None:
        watch.follow([str(hourly)])
        await settle(watch)
        for _ in range(queue // 2 + 100):
            for fd in files:  # alternating: equal events in a row are one
                os.write(fd, b"x")
        hint = await until(watch, lambda hint: hint.everything)
        assert len(hint.paths) == 2
        await settle(watch)
        os.write(files[0], b"x")
        assert (await until(watch, bool)).paths == {str(hourly / "20250310" / "9")}

    watched(scenario)
    for fd in files:
        os.close(fd)


def _no_watches(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _no_instances(*_: object, **__: object) -> None:
    raise OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize(
    ("method", "failure", "setting"),
    [("add_watch", _no_watches, "max_user_watches"), ("__init__", _no_instances, "max_user_instances")],
)
def test_without_inotify_one_warning_says_that_nothing_is_lost(
    hourly: Path, monkeypatch: pytest.MonkeyPatch, method: str, failure: Callable[..., None], setting: str
) -> None:
    """A limit of the kernel is no error: polling does it, and the warning names the setting to raise, once."""
    monkeypatch.setattr(asyncinotify.Inotify, method, failure)

    async def scenario(watch: Watcher) -> None:
        for _ in range(3):
            watch.follow([str(hourly)], [str(hourly / "20250310")])
            assert await watch.wait(0.01) == Hint()

    with capture_logs() as logs:
        watched(scenario, WatchMode.AUTO)
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("watch_unavailable", "warning")]
    assert setting in logs[0]["why"]
    assert "nothing is lost" in logs[0]["meaning"]


def test_polling_only_waits(hourly: Path) -> None:
    """`watch = poll` opens nothing and hints at nothing; the periodic scan does it all."""

    async def scenario(watch: Watcher) -> None:
        assert isinstance(watch, PollingWatcher)
        watch.follow([str(hourly)])
        (hourly / "20250310" / "9").write_bytes(b"x\n")
        started = time.monotonic()
        assert await watch.wait(0.05) == Hint()
        assert time.monotonic() - started >= 0.04

    watched(scenario, WatchMode.POLL)


def test_a_cancelled_wait_loses_nothing(hourly: Path) -> None:
    """Timeouts and shutdowns cancel a wait at any moment: what it would have returned comes with the next."""
    file = hourly / "20250310" / "9"

    async def scenario(watch: Watcher) -> None:
        watch.follow([str(hourly)])
        await settle(watch)
        for _ in range(50):
            waiting = asyncio.create_task(watch.wait(PATIENCE))
            await asyncio.sleep(0)
            file.write_bytes(b"x\n")
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert (await watch.wait(PATIENCE)).paths == {str(file)}

    watched(scenario)


def test_a_busy_writer_does_not_keep_the_loop_busy(hourly: Path) -> None:
    """Between two waits nobody looks at the descriptor: unread events must not make the loop spin."""
    file = hourly / "20250310" / "9"

    async def scenario(watch: Watcher) -> None:
        watch.follow([str(hourly)])
        await settle(watch)
        assert not await watch.wait(0.01)
        file.write_bytes(b"x\n")
        before = time.process_time()
        await asyncio.sleep(0.3)
        assert time.process_time() - before < 0.1
        assert (await watch.wait(0.0)).paths == {str(file)}

    watched(scenario)
