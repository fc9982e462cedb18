"""What `run` does at SIGHUP: read the configuration again, and take over what can change (docs/decisions/0009).

    read and validate whole -> prepare what is added -> take over -> say what became of it, everywhere

Whatever fails, the former configuration stays and the ingestion goes on.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from tailrace.config import Loaded
from tailrace.errors import SettingsError
from tailrace.ingest.instance import Instance
from tailrace.ingest.reloaded import Reloaded
from tailrace.ops import logs, notes
from tailrace.ops.logs import redact
from tailrace.ops.status import Monitor, Reload, ReloadOutcome
from tailrace.ops.systemd import Notifier

log = structlog.get_logger("tailrace")


class Reloader:
    """`read` loads the configuration as at the start. `request` may be called at any time, from the event loop: what is
    asked for while a reload goes on is one more after it."""

    def __init__(self, instance: Instance, monitor: Monitor, notifier: Notifier, read: Callable[[], Loaded]) -> None:
        self._instance = instance
        self._monitor = monitor
        self._notifier = notifier
        self._read = read
        self._asked = asyncio.Event()
        self._started = asyncio.Event()
        self._number = 0
        self._began = 0.0

    def request(self) -> None:
        self._asked.set()

    def started(self) -> None:
        """Start-up is over: what was asked for before is done now."""
        self._started.set()

    async def run(self) -> None:
        """Until cancelled."""
        await self._started.wait()
        while True:
            await self._asked.wait()
            self._asked.clear()
            self._began = time.monotonic()  # before the file is read: whoever asked before this gets this outcome
            self._notifier.reloading()
            try:
                self._say(await self._reload())
            finally:
                if not self._notifier.is_stopping:
                    self._notifier.ready()

    async def _reload(self) -> Reloaded:
        try:
            loaded = await asyncio.to_thread(self._read)
        except SettingsError as error:
            return Reloaded(problems=tuple(error.problems), refused=True)
        except Exception as error:  # noqa: BLE001  as below
            return Reloaded(problems=(f"it could not be read: {type(error).__name__}: {error}",), refused=True)
        for warning in loaded.warnings:
            log.warning("configuration", note=warning, meaning="it works as set; note says what is given up")
        before = self._instance.settings
        try:
            result = await self._instance.reload(loaded.settings, self._asked)
        except Exception as error:  # noqa: BLE001  a defect in a reload must not end the ingestion, nor all reloads after
            return Reloaded(problems=(f"{type(error).__name__}: {error}",), failed=True)
        settings = self._instance.settings
        if (before.log_format, before.log_level) != (settings.log_format, settings.log_level):
            logs.configure(settings.log_format.value, settings.log_level.value)
        return result

    def _say(self, result: Reloaded) -> None:
        outcome = _outcome(result)
        wrong = tuple(redact(each) for each in result.problems)
        problems = wrong + result.broken_off
        at = time.time()
        self._monitor.beat()
        self._monitor.reloaded(
            Reload(at=at, outcome=outcome, changed=result.changed, left=result.left, problems=problems)
        )
        if result.failed:
            log.error(
                "reload_failed",
                why="; ".join(wrong),
                meaning="nothing is lost, and the ingestion goes on; some of what was to change may be in force",
                todo="a defect of tailrace: please report it; a restart takes the configuration as it is",
            )
        elif wrong and result.refused:
            log.error(
                "reload_refused",
                why="; ".join(wrong),
                meaning="nothing has changed: the former configuration stays, and the ingestion goes on",
                todo="mend the configuration, then reload again",
            )
        elif wrong:
            log.error(
                "source_not_started",
                why="; ".join(wrong),
                meaning="its files are not stored; the other sources go on"
                if self._instance.stats
                else "no source is followed any more: nothing is stored until a reload adds one, and nothing is lost",
                todo="mend that, then reload again",
            )
        if result.broken_off:
            log.info(
                "reload_cut_short",
                why="; ".join(result.broken_off),
                meaning="nothing is wrong, nothing is lost: a stop, or the next reload, came before it was over",
            )
        if not (result.refused or result.failed):
            log.info("reloaded", outcome=outcome.value, changed=list(result.changed), left=list(result.left))
        self._number += 1
        notes.write(
            self._path,
            {
                "pid": os.getpid(),
                "number": self._number,
                "began": self._began,
                "at": at,
                "outcome": outcome.value,
                "changed": result.changed,
                "left": result.left,
                "problems": problems,
            },
        )

    @property
    def _path(self) -> Path:
        return self._instance.settings.state_dir / notes.RELOAD


def _outcome(result: Reloaded) -> ReloadOutcome:
    if result.failed:
        return ReloadOutcome.FAILED
    if result.refused:
        return ReloadOutcome.REFUSED
    return ReloadOutcome.CHANGED if result.changed else ReloadOutcome.UNCHANGED
