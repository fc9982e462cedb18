"""What `run` does at SIGHUP, whatever reading the configuration comes to: it goes on, and ends when told to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from structlog.testing import capture_logs
from tests.support.bench import wait_for
from tests.support.monitored import World
from tests.support.notify import Manager

from tailrace.commands.reload import _show
from tailrace.commands.reloading import Reloader
from tailrace.config import Loaded, Settings
from tailrace.errors import SettingsError
from tailrace.ingest.ending import beside_it
from tailrace.ingest.instance import Instance
from tailrace.ingest.reloaded import Reloaded
from tailrace.ops import notes
from tailrace.ops.status import ReloadOutcome
from tailrace.ops.systemd import Notifier, notifying


@dataclass
class Running(World):
    """What a Reloader asks of an instance."""

    settings: Settings = field(kw_only=True)

    async def reload(self, then: Settings, _again: asyncio.Event) -> Reloaded:
        raise RuntimeError(f"defect with {then.max_workers}")


def running(state_dir: Path) -> Running:
    given: dict[str, Any] = {"state_dir": str(state_dir), "mongodb_uri": "mongodb://one/", "sources": ()}
    return Running(settings=Settings(**given))


def reloader_of(world: Running, notifier: Notifier, read: Callable[[], Loaded]) -> Reloader:
    return Reloader(cast(Instance, world), world.monitor, notifier, read)


async def test_a_run_that_ends_in_the_middle_of_a_reload(tmp_path: Path) -> None:
    """With a manager that listens, too: it ends at once, and does not feed the watchdog for ever."""
    world, reading, on = running(tmp_path), threading.Event(), threading.Event()

    def read() -> Loaded:
        reading.set()
        on.wait(2)
        raise SettingsError(["of no matter"])

    with Manager(tmp_path / "notify") as manager:
        notifier = Notifier(manager.name, watchdog=60)
        reloader = reloader_of(world, notifier, read)
        async with asyncio.timeout(None) as limit:
            async with notifying(notifier, world.monitor), beside_it(reloader.run()):
                notifier.ready()
                reloader.started()
                reloader.request()
                assert await asyncio.to_thread(reading.wait, 5)
                limit.reschedule(asyncio.get_running_loop().time() + 1)
        on.set()
        states = [each.split("\n")[0] for each in manager.listen() if not each.startswith(("STATUS", "EXTEND"))]
    assert [each for each in states if each != "WATCHDOG=1"] == ["READY=1", "RELOADING=1", "READY=1"]


async def test_a_defect_while_the_file_is_read(tmp_path: Path) -> None:
    """Refused, with what it was; the next reload is read again."""
    world, times = running(tmp_path), [0]

    def read() -> Loaded:
        times[0] += 1
        raise RuntimeError(f"defect {times[0]}")

    reloader = reloader_of(world, Notifier(None), read)
    with capture_logs() as logs:
        async with beside_it(reloader.run()):
            reloader.started()
            reloader.request()
            await wait_for(lambda: len(logs) == 1, 5)
            reloader.request()
            await wait_for(lambda: len(logs) == 2, 5)
    assert [each["event"] for each in logs] == ["reload_refused"] * 2
    assert "RuntimeError: defect 2" in logs[1]["why"]


async def test_a_defect_in_the_middle_of_a_reload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not said to have changed nothing, for limits may have been taken over; everybody who is asked says so."""
    world = running(tmp_path)
    reloader = reloader_of(world, Notifier(None), lambda: Loaded(world.settings, {}, []))
    with capture_logs() as logs:
        async with beside_it(reloader.run()):
            reloader.started()
            reloader.request()
            await wait_for(lambda: notes.read(tmp_path / notes.RELOAD), 5)
    assert [(each["event"], each["why"]) for each in logs] == [("reload_failed", "RuntimeError: defect with 16")]
    last = world.monitor.moment().last_reload
    assert last is not None
    assert (last.outcome, last.problems) == (ReloadOutcome.FAILED, ("RuntimeError: defect with 16",))
    with pytest.raises(typer.Exit) as end:
        _show(notes.read(tmp_path / notes.RELOAD))
    assert end.value.exit_code == 70
    first, second = capsys.readouterr().out.splitlines()
    assert (first, second.split()[0]) == ("failed: some of it may be in force", "PROBLEM")
