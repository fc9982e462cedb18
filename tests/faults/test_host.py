"""Limits and jumps of the host under real processes: descriptors, notifications, the clock, a second instance."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncinotify import Inotify, Mask
from pymongo import MongoClient
from tests.support.counting import count, hours_of_tree
from tests.support.hosts import CLOCK_SEEN, FAKETIME, Clock, descriptors
from tests.support.ingested import Tree, line, trade, trades
from tests.support.load import Load
from tests.support.servers import Server
from tests.support.tailrace_process import Run, environment, tailrace, until
from tests.support.under_load import MEMORY, assert_exact, flags_for, peak, soak

DAY = 24 * 3600
LIMIT = 1024  # descriptors, the default of most systems
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


@contextmanager
def limit(what: int, soft: int) -> Iterator[None]:
    """Processes that are started here have this soft limit."""
    before, hard = resource.getrlimit(what)
    resource.setrlimit(what, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (before, hard))


def stored(client: MongoClient[dict[str, Any]], tree: Tree) -> int:
    found: int = client[tree.flags["database"]]["node_trades"].count_documents({})
    return found


def more_are_stored(collection: Any, number: int) -> None:
    """Wait for that many more documents."""
    enough = collection.estimated_document_count() + number
    until(lambda: bool(collection.estimated_document_count() >= enough), what="storing goes on")


def assert_tally(tree: Tree) -> None:
    tally = count(tree.flags["mongodb_uri"], tree.flags["database"], hours_of_tree(tree.root))
    assert tally.exact, tally


@pytest.mark.timeout(120)
def test_two_thousand_files_with_1024_descriptors(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """A backlog of more files than the process may open: all stored, the limit is never reached, memory is bounded, and
    the newest of them is followed."""
    tree = Tree(tmp_path, standalone.uri, database_name, watch="auto", poll_interval="200ms")
    first = datetime(2025, 1, 1, tzinfo=UTC)
    hours = [first + timedelta(hours=number) for number in range(10_000 if soak() else 2_000)]
    names = [f"{hour:%Y%m%d}/{hour.hour}" for hour in hours]
    for number, name in enumerate(names):
        tree.write(name, line(trade(number)))
    with limit(resource.RLIMIT_NOFILE, LIMIT):
        run = Run(*tree.options)
    most = 0

    def all_stored() -> bool:
        nonlocal most
        most = max(most, descriptors(run.process.pid))
        return stored(client, tree) == len(names)

    with run, MongoClient[dict[str, Any]](standalone.uri) as client:
        until(all_stored, timeout=100, what="every file stored")
        assert resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE)[0] == LIMIT < len(names)
        run.wait_for("live")
        tree.write(names[-1], line(trade(100_002)))
        until(lambda: stored(client, tree) == len(names) + 1, what="the next line")
        assert peak(run.process.pid) < MEMORY
        assert not [event for event in run.events if event.get("level") in ("warning", "error")], run.lines
        run.stop()
    print(f"at most {most} descriptors")
    assert 0 < most < LIMIT - 100
    assert_tally(tree)


def test_the_queue_of_notifications_overflows(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """More happens than the kernel keeps while the process is stopped, and a new hour begins after that: found at once
    when it goes on, though the next look without a notification is a minute away."""
    tree = Tree(tmp_path, standalone.uri, database_name, watch="native", poll_interval="60s")
    names = ("20250310/8", "20250310/9")
    files = [tree.write(name, line(trade(number))) for number, name in enumerate(names)]
    queue = int(QUEUE.read_text())
    assert queue <= 200_000, f"{QUEUE} is {queue}: too much to pile up"
    with Run(*tree.options) as run, MongoClient[dict[str, Any]](standalone.uri) as client, Inotify() as witness:
        run.wait_for("live")
        witness.sync_timeout = 0
        witness.add_watch(files[0].parent, Mask.MODIFY | Mask.CREATE)
        os.kill(run.process.pid, signal.SIGSTOP)
        each = trades(10, 1 + queue // 2 // len(line(trade(10))))
        outs = [file.open("ab", buffering=0) for file in files]
        for byte in each:  # alternating, for equal events in a row are one
            for out in outs:
                out.write(bytes([byte]))
        for out in outs:
            out.close()
        tree.write("20250310/10", trades(5000, 3))
        os.kill(run.process.pid, signal.SIGCONT)
        lines = 2 + 2 * each.count(b"\n") + 3
        until(lambda: stored(client, tree) == lines, timeout=20, what="what was not notified")
        seen = 0
        while (event := witness.sync_get()) is not None:
            seen += bool(event.mask & Mask.Q_OVERFLOW)
        assert seen == 1, "the precondition: the queue has overflowed"
        assert run.stop()["lines"] == lines
    assert_tally(tree)


@pytest.fixture
def no_inotify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started here may have no inotify instance: a limit of their own user namespace."""
    deny = "echo 0 > /proc/sys/user/max_inotify_instances"
    tried = subprocess.run(["unshare", "-Ur", "sh", "-c", deny], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"this machine allows no user namespaces: {tried.stderr.decode().strip()}")
    python = tmp_path / "python"
    python.write_text(f"""#!/bin/sh\nexec unshare -Ur sh -c '{deny} && exec {sys.executable} "$@"' sh "$@"\n""")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


@pytest.mark.usefixtures("no_inotify")
def test_no_notifications_to_be_had(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """`watch = auto` says so once, with the setting of the kernel, and polls: new lines and hours are stored. `watch =
    native` refuses in one sentence, exit 78."""
    tree = Tree(tmp_path, standalone.uri, database_name, watch="auto", poll_interval="100ms")
    tree.write("20250310/9", trades(0, 3))
    with Run(*tree.options) as run, MongoClient[dict[str, Any]](standalone.uri) as client:
        run.wait_for("live")
        for number in range(10, 14):
            tree.write("20250310/9", line(trade(number)))
            tree.write(f"20250310/{number}", line(trade(100 + number)))
        until(lambda: stored(client, tree) == 11, what="what polling finds")
        [warning] = run.named("watch_unavailable")
        assert warning["level"] == "warning"
        assert "max_user_instances" in warning["why"]
        run.stop()
    assert_tally(tree)
    refused = tailrace("run", *tree.options, "--watch", "native")
    assert refused.returncode == 78
    assert "Traceback" not in refused.stderr
    said = refused.stderr.strip().splitlines()[-1]
    assert "watch = native" in said
    assert "max_user_instances" in said
    assert "watch = auto" in said


@pytest.mark.timeout(90)
@pytest.mark.skipif(FAKETIME is None, reason="the Debian package faketime is not installed")
def test_the_wall_clock_jumps_by_a_day_either_way(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """Under load, forward and back past the true time: all of it stored once, nothing said about MongoDB, no connection
    made anew, the lease kept by the same session."""
    clock = Clock(tmp_path / "clock")
    flags = flags_for(tmp_path, standalone.uri, database_name)
    now = datetime.now(UTC)
    with (
        Load(tmp_path / "data", 60.0, rate=1500.0) as load,
        Run(*flags, **clock.environment) as run,
        MongoClient[dict[str, Any]](standalone.admin_uri) as client,
    ):
        run.wait_for("live")
        lease = client[database_name]["node_trades.files"].find_one({"_id": "source/node_trades"})
        data = client[database_name]["node_trades"]
        made = client.admin.command("serverStatus")["connections"]["totalCreated"]
        for jump in (DAY, -DAY):
            clock.jump(jump)
            shown = subprocess.run(
                ["date", "+%s"], env=environment(**clock.environment), capture_output=True, text=True, check=True
            )
            assert abs(int(shown.stdout) - now.timestamp() - jump) < 3600, "the precondition: the clock did jump"
            threading.Event().wait(CLOCK_SEEN + 0.5)
            more_are_stored(data, 2000)
        ledger, key = client[database_name]["node_trades.files"], {"_id": "source/node_trades"}
        assert lease is not None
        until(
            lambda: (ledger.find_one(key) or lease)["lease"]["expires"] > lease["lease"]["expires"],
            what="the lease renewed",
        )
        held = ledger.find_one(key)
        assert held is not None
        assert held["lease"]["session"] == lease["lease"]["session"]
        assert client.admin.command("serverStatus")["connections"]["totalCreated"] - made <= 4
        stopped = assert_exact(run, flags, standalone.uri, database_name, load.enough())
        assert datetime.fromisoformat(stopped["timestamp"]) < now - timedelta(hours=23), "it lives in yesterday"
        bad = {event["event"] for event in run.events if event.get("level") in ("warning", "error")}
        assert bad <= {"kept_aside"}


@pytest.mark.timeout(120)
def test_another_host_takes_over_when_the_first_is_killed(
    tmp_path: Path, standalone: Server, database_name: str
) -> None:
    """The same tree and source from another state directory: when the first is killed with -9 under load, the second
    takes over as soon as the lease has expired, nothing lost, nothing doubled. (While the first lives it is refused:
    tests/e2e/test_instances.py::test_two_writers_under_one_source_name.)"""
    one = flags_for(tmp_path, standalone.uri, database_name)
    two = flags_for(tmp_path, standalone.uri, database_name, state_dir=str(tmp_path / "state-of-two"))
    with Load(tmp_path / "data", 100.0, rate=1000.0) as load:
        with Run(*one) as first:
            first.wait_for("live")
            first.kill()
        if not soak():  # stands for the rest of the 20 s
            with MongoClient[dict[str, Any]](standalone.uri) as client:
                soon = [{"$set": {"lease.expires": {"$add": ["$$NOW", 2000]}}}]
                client[database_name]["node_trades.files"].update_one({"_id": "source/node_trades"}, soon)
        with Run(*two) as second:
            second.wait_for("live", timeout=60)
            assert_exact(second, two, standalone.uri, database_name, load.enough())


def test_another_source_name_with_another_state_directory(
    tmp_path: Path, standalone: Server, database_name: str
) -> None:
    """Two names are two nodes: every entry is stored under each, by choice, under ids of its own, each of them proven
    by `verify`. (With one state directory this is refused: tests/e2e/test_check.py.)"""
    trees = [
        Tree(tmp_path, standalone.uri, database_name, source=name, state_dir=str(tmp_path / name))
        for name in ("tokyo", "paris")
    ]
    trees[0].write("20250310/9", trades(0, 20))
    for tree in trees:
        done = tailrace("run", "--once", *tree.options)
        assert done.returncode == 0, done.stderr
    with MongoClient[dict[str, Any]](standalone.uri) as client:
        assert stored(client, trees[0]) == 40
        assert len(client[database_name]["node_trades"].distinct("hash")) == 20
    for tree in trees:
        assert tree.verify().proven
    shutil.rmtree(tmp_path / "tokyo")
    trees[0].ingest()
    with MongoClient[dict[str, Any]](standalone.uri) as client:
        assert stored(client, trees[0]) == 40
