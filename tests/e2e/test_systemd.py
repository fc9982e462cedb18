"""`tailrace run` as a service of systemd (`Type=notify`): what its manager hears, over a real socket."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.notify import Manager
from tests.support.servers import Server
from tests.support.tailrace_process import Run, hour_file

LINE = b'{"a":1}\n'
WATCHDOG = 1.0  # seconds


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path / "notify") as manager:
        yield manager


class Service:
    """One tree, one database, and `run` on them under the variables of a manager."""

    def __init__(self, tmp_path: Path, server: Server, database: str, manager: Manager) -> None:
        self.root, self.config, self._manager = tmp_path / "data", tmp_path / "tailrace.toml", manager
        self.write_config(server.uri, database)
        with hour_file(self.root, "20250310/11", "misc_events").open("ab") as file:
            file.write(LINE)

    def write_config(self, uri: str, database: str, **more: str) -> None:
        """Settings that may change come from the file: a reload reads it again."""
        settings = {
            "root": str(self.root),
            "stream": "misc_events",
            "database": database,
            "mongodb_uri": uri,
            "state_dir": str(self.config.parent / "state"),
            "poll_interval": "50ms",
            "shutdown_grace": "2s",
            "write_timeout": "1s",
            "retry_max_delay": "200ms",
            **more,
        }
        self.config.write_text("".join(f'{key} = "{value}"\n' for key, value in settings.items()))

    def start(self) -> Run:
        limit = str(int(WATCHDOG * 1e6))
        return Run("--config", str(self.config), NOTIFY_SOCKET=self._manager.name, WATCHDOG_USEC=limit)


@pytest.fixture
def service(tmp_path: Path, standalone: Server, database_name: str, manager: Manager) -> Service:
    return Service(tmp_path, standalone, database_name, manager)


def test_ready_when_it_is_and_stopping_when_told(service: Service, manager: Manager) -> None:
    """READY=1 once, not before MongoDB was reached; the line of a live one; STOPPING=1 at SIGTERM, and time for it."""
    with service.start() as run:
        ready = manager.wait_for("READY=1")
        assert run.named("starting")
        manager.wait_for("STATUS=live", after=ready)
        run.stop()
        heard = manager.listen()
    before, after = heard[:ready], heard[ready + 1 :]
    assert "STATUS=starting" in before
    assert [each for each in before if each.startswith("EXTEND_TIMEOUT_USEC=")]
    assert "READY=1" not in after
    stopping = next(place for place, each in enumerate(heard) if each.startswith("STOPPING=1"))
    assert stopping > ready
    assert heard[stopping + 1] == "EXTEND_TIMEOUT_USEC=32000000", "shutdown_grace and 30 s"


def test_not_ready_without_mongodb(service: Service, manager: Manager, own_server: Server, database_name: str) -> None:
    """While the server does not answer start-up goes on: no READY=1, but more time is asked for; then READY=1."""
    service.write_config(own_server.uri, database_name)
    with service.start() as run:
        with own_server.frozen():
            manager.wait_for("STATUS=starting")
            manager.listen(3)
            assert "READY=1" not in manager.heard
            assert "EXTEND_TIMEOUT_USEC=60000000" in manager.heard
        manager.wait_for("READY=1")
        run.stop()


def test_the_watchdog_is_fed_while_the_loop_turns(service: Service, manager: Manager) -> None:
    """At least once in each WATCHDOG_USEC for seconds on end; not by a process that is stopped; then again."""
    with service.start() as run:
        place = manager.wait_for("READY=1")
        manager.listen(4)
        fed = [when for each, when in zip(manager.heard, manager.times, strict=True) if each == "WATCHDOG=1"]
        fed = [when for when in fed if when >= manager.times[place]]
        assert len(fed) >= 6
        assert max(later - sooner for sooner, later in itertools.pairwise(fed)) < WATCHDOG
        os.kill(run.process.pid, signal.SIGSTOP)
        manager.listen(0.1)
        silent = len(manager.heard)
        manager.listen(2 * WATCHDOG)
        assert manager.heard[silent:] == []
        os.kill(run.process.pid, signal.SIGCONT)
        manager.wait_for("WATCHDOG=1", after=silent)
        run.stop()


def test_an_outage_of_mongodb_is_no_reason_to_be_ended(
    service: Service, manager: Manager, own_server: Server, database_name: str
) -> None:
    """The watchdog is fed on, and the line says what is wrong and for how long."""
    service.write_config(own_server.uri, database_name)
    with service.start() as run:
        manager.wait_for("STATUS=live")
        with own_server.frozen():
            with (service.root / "misc_events/hourly/20250310/11").open("ab") as file:
                file.write(LINE)
            trouble = manager.wait_for("STATUS=MongoDB in trouble for ")
            manager.wait_for("WATCHDOG=1", after=trouble)
        manager.wait_for("STATUS=live", after=trouble)
        run.stop()


@pytest.mark.parametrize("good", [True, False], ids=["good", "refused"])
def test_a_reload_begins_and_ends(
    service: Service, manager: Manager, standalone: Server, database_name: str, *, good: bool
) -> None:
    """SIGHUP: RELOADING=1 with its time, then READY=1, also when the new configuration is refused."""
    with service.start() as run:
        first = manager.wait_for("READY=1")
        manager.wait_for("STATUS=live")
        interval = "100ms" if good else "a while"
        service.write_config(standalone.uri, database_name, poll_interval=interval)
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        run.process.send_signal(signal.SIGHUP)
        reloading = manager.wait_for("RELOADING=1\nMONOTONIC_USEC=", after=first)
        assert int(manager.heard[reloading].rpartition("=")[2]) >= before
        manager.wait_for("READY=1", after=reloading)
        run.stop()
