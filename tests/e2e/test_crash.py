"""Stopped, and left alone by MongoDB, under load: exact. What kill -9 does is in tests/faults/test_kills.py."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.load import Load, counts
from tests.support.servers import Server
from tests.support.tailrace_process import Run, tailrace, until

from tailrace.embedded import free_port
from tailrace.simulator import Manifest


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Callable[..., Load]]:
    loads: list[Load] = []

    def begin(seconds: float) -> Load:
        loads.append(Load(tmp_path / "data", seconds))
        return loads[-1]

    yield begin
    for each in loads:
        each.close()


def flags_for(tmp_path: Path, server: Server, database: str) -> tuple[str, ...]:
    return (
        *("--root", str(tmp_path / "data" / "node_trades"), "--mongodb-uri", server.uri),
        *("--database", database, "--state-dir", str(tmp_path / "state"), "--poll-interval", "100ms"),
    )


def exact(server: Server, database: str, written: Manifest) -> bool:
    return counts(server.uri, database) == (written.good, sum(written.bad.values()))


@pytest.mark.timeout(120)
def test_mongod_gone_for_twenty_seconds(
    tmp_path: Path, own_server: Server, database_name: str, load: Callable[..., Load]
) -> None:
    """mongod is stopped for 20 s under load and started again: reading stops, memory stays bounded, the log has no
    line a
    retry, and every line is stored once."""
    server = own_server
    flags = flags_for(tmp_path, server, database_name)
    running = load(28.0)
    with Run(*flags, "--max-in-flight-bytes", "8MiB") as run:
        run.wait_for("live")
        server.stop()
        before = resident(run.process.pid)
        run.wait_for("mongodb_trouble", timeout=9)  # seconds, not the whole write_timeout
        threading.Event().wait(18)  # the rest of the outage
        assert running.writing, "the load goes on all the while"
        grown = resident(run.process.pid) - before
        assert counts_lines(run) <= 4, run.lines
        server.start()
        run.wait_for("mongodb_back")
        written = running.written()
        until(lambda: exact(server, database_name, written), timeout=40, what="every line stored once")
        assert run.stop()["unaccounted"] == 0
    assert grown < 40 * 1024 * 1024, f"{grown} bytes more while 28 MB were written"
    (trouble,) = run.named("mongodb_trouble")
    assert "nothing is lost" in trouble["meaning"]
    assert run.named("mongodb_back")[0]["after_s"] > 15


def counts_lines(run: Run) -> int:
    """Lines logged since the source went live, but for the node's new hours."""
    names = [event.get("event") for event in list(run.events) if event.get("event") != "rolled_over"]
    return len(names) - names.index("live") - 1


def resident(pid: int) -> int:
    """Bytes of memory of a process (proc(5), statm: pages)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(60)
def test_a_second_signal_ends_at_once_and_loses_nothing(
    tmp_path: Path, standalone: Server, database_name: str, load: Callable[..., Load]
) -> None:
    """With MongoDB frozen a stop waits for what is in flight; a second signal ends the process with 70, and the next
    start
    stores every line once."""
    flags = flags_for(tmp_path, standalone, database_name)
    running = load(6.0)
    with Run(*flags, "--shutdown-grace", "60s") as run:
        run.wait_for("live")
        with standalone.frozen():
            threading.Event().wait(0.5)  # long enough for spans to be in flight
            run.process.terminate()
            run.wait_for("stopping")
            assert run.process.poll() is None, "it waits for what is in flight"
            run.process.terminate()
            assert run.ended(5) == 70
    written = running.written()
    done = tailrace("run", "--once", "--http", "off", *flags)
    assert done.returncode == 0, done.stderr
    assert exact(standalone, database_name, written)


@pytest.mark.timeout(60)
def test_a_stop_stores_what_is_in_flight(
    tmp_path: Path, standalone: Server, database_name: str, load: Callable[..., Load]
) -> None:
    """SIGTERM under load: exit 0, the checkpoint stands where the stored lines end, and the next start inserts the rest
    without reading one line twice."""
    flags = flags_for(tmp_path, standalone, database_name)
    running = load(5.0)
    with Run(*flags) as run:
        run.wait_for("live")
        threading.Event().wait(1.0)  # some load
        first = run.stop()
    assert sum(counts(standalone.uri, database_name)) == first["lines"] > 0
    written = running.written()
    with Run(*flags, "--log-level", "info") as run:
        run.wait_for("live")
        until(lambda: exact(standalone, database_name, written), what="every line stored once")
        second = run.stop()
    assert second["duplicates"] == 0
    assert first["lines"] + second["lines"] == written.lines


def test_a_stop_while_it_waits_for_mongodb(tmp_path: Path) -> None:
    """SIGTERM while a start looks for a server that is not there: it ends at once, with 0."""
    (tmp_path / "data" / "node_trades" / "hourly").mkdir(parents=True)
    uri = f"mongodb://127.0.0.1:{free_port()}"
    flags = ("--root", str(tmp_path / "data" / "node_trades"), "--mongodb-uri", uri)
    with Run(*flags, "--state-dir", str(tmp_path / "state")) as run:
        run.wait_for("starting")
        run.process.terminate()
        assert run.ended(5) == 0
