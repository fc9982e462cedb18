"""What `run` does at SIGHUP, whatever reading the configuration comes to: it goes on, and ends when told to."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import cast

from tests.support.monitored import World
from tests.support.notify import Manager

from tailrace.commands.reloading import Reloader
from tailrace.config import Loaded
from tailrace.errors import SettingsError
from tailrace.ingest.ending import beside_it
from tailrace.ingest.instance import Instance
from tailrace.ops.systemd import Notifier, notifying


async def test_a_run_that_ends_in_the_middle_of_a_reload(tmp_path: Path) -> None:
    """With a manager that listens, too: it ends at once, and does not feed the watchdog for ever."""
    world, reading, on = World(), threading.Event(), threading.Event()

    def read() -> Loaded:
        reading.set()
        on.wait(2)
        raise SettingsError(["of no matter"])

    with Manager(tmp_path / "notify") as manager:
        notifier = Notifier(manager.name, watchdog=60)
        reloader = Reloader(cast(Instance, world), world.monitor, notifier, read)
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
