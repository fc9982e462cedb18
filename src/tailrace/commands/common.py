"""What commands share: settings, logs, signals."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, TextIO, TypeVar

import structlog

from tailrace.config import FOR_INGESTING, Loaded, load
from tailrace.errors import Exit, Interrupted
from tailrace.ingest.ending import unless
from tailrace.ops import logs

log = structlog.get_logger("tailrace")

T = TypeVar("T")


def settle_settings(flags: Mapping[str, str], config: str | None, *, require: frozenset[str] = FOR_INGESTING) -> Loaded:
    """Load the settings and set up the logs by them. Raises SettingsError with all problems at once."""
    loaded = load(flags, os.environ, config, require=require)
    logs.configure(loaded.settings.log_format.value, loaded.settings.log_level.value)
    for warning in loaded.warnings:
        log.warning("configuration", note=warning, meaning="it works as set; note says what is given up")
    return loaded


def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, in an event loop of its own. Raises Interrupted at Ctrl-C.

    HAZARD: left to `asyncio.run`, Ctrl-C cancels once, and a cancellation can be lost (see `ingest.ending`): the
    command would go on to its end and say that all is well.
    """

    async def boxed() -> tuple[T]:
        return (await work,)

    async def until_told() -> T:
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, told.set)
        box = await unless(told, boxed())
        if box is None:
            raise Interrupted
        return box[0]

    return asyncio.run(until_told())


def reload_on_hangup(reload: Callable[[], None], stop: Callable[[], None]) -> None:
    """SIGHUP calls `reload`, or `stop` where our terminal is gone: then nobody is there who wanted a reload."""
    terminal = sys.stderr if sys.stderr.isatty() else None

    def received() -> None:
        (stop if terminal is not None and _gone(terminal) else reload)()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, received)


def _gone(terminal: TextIO) -> bool:
    try:
        os.tcgetpgrp(terminal.fileno())
    except (OSError, ValueError) as error:
        return getattr(error, "errno", errno.EIO) == errno.EIO
    return False


def stop_on_signals(stop: asyncio.Event, stopping: Callable[[str], None]) -> None:
    """The first SIGTERM or SIGINT sets `stop`; a second one ends the process at once.

    Nothing is lost by the second: what was not settled has no checkpoint and is read again at the next start.
    """
    loop = asyncio.get_running_loop()

    def received(number: int) -> None:
        if stop.is_set():
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(Exit.FAILURE)
        stop.set()
        stopping(signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received, number)
