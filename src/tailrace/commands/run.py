"""`tailrace run`: follow the tree until told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import Annotated, Any

import structlog
import typer

from tailrace import __version__
from tailrace.commands.common import reload_on_hangup, settle_settings, stop_on_signals
from tailrace.commands.reloading import Reloader
from tailrace.config import Loaded, Settings, effective, load
from tailrace.config.flags import ConfigOption, with_settings
from tailrace.errors import TailraceError
from tailrace.ingest.codec.choosing import codec_words
from tailrace.ingest.ending import beside_it
from tailrace.ingest.files.names import locate
from tailrace.ingest.instance import Instance
from tailrace.ops import logs, memory, notes
from tailrace.ops.http import serving
from tailrace.ops.status import Monitor
from tailrace.ops.systemd import Notifier, notifying

log = structlog.get_logger("tailrace")


@with_settings
def run(
    flags: dict[str, str],
    config: ConfigOption = None,
    once: Annotated[bool, typer.Option("--once", help="Catch up with what is there, then exit.")] = False,
) -> None:
    """Follow the node's files and put every entry into MongoDB, until told to stop (SIGTERM, Ctrl-C).

    SIGHUP, or `tailrace reload`, has it read its configuration again."""
    early: list[int] = []
    if not once:
        signal.signal(signal.SIGHUP, lambda number, _frame: early.append(number))  # until there is something to reload
    loaded = settle_settings(flags, config)
    memory.keep_buffers()
    asyncio.run(_run(loaded, lambda: load(flags, os.environ, config), early, once=once))


async def _run(loaded: Loaded, read: Callable[[], Loaded], early: list[int], *, once: bool) -> None:
    """`early`: not empty when a reload was asked for since before the configuration was read."""
    log.info("starting", version=__version__, **codec_words(loaded.settings.codec), **_shown(loaded))
    instance = Instance(loaded.settings, once=once)
    stop = asyncio.Event()
    notifier = Notifier.take(os.environ)

    def stopping(name: str) -> None:
        grace = instance.settings.shutdown_grace
        log.info(
            "stopping",
            signal=name,
            meaning=f"what is in flight is stored first, for at most {grace:g} s; again: at once",
        )
        notifier.stopping(grace)

    def hung_up() -> None:
        stop.set()
        stopping("SIGHUP")

    stop_on_signals(stop, stopping)
    codec = codec_words(loaded.settings.codec)["codec"]
    monitor = Monitor(instance, lambda: _waiting(instance.settings), codec=codec)
    reloader = Reloader(instance, monitor, notifier, read)
    if not once:
        reload_on_hangup(reloader.request, hung_up)
        if early:
            reloader.request()
    note, noted = loaded.settings.state_dir / notes.INSTANCE, False
    try:
        async with (
            serving(None if once else loaded.settings.http, monitor) as address,
            notifying(notifier, monitor),
            beside_it(reloader.run()),
        ):

            def ready() -> None:
                nonlocal noted
                noted = True
                memory.settle()
                monitor.started()
                notes.write(note, {"pid": os.getpid(), "http": address and str(address), "started": time.time()})
                notifier.ready()
                reloader.started()

            await instance.run(stop, ready)
    except TailraceError:
        _say_stopped(instance, unless_idle=True)
        raise
    finally:
        if noted:
            notes.remove(note)
    _say_stopped(instance)


def _say_stopped(instance: Instance, *, unless_idle: bool = False) -> None:
    """The account of each source; after a failure only where there is one to give."""
    for name, stats in instance.stats.items():
        if stats.lines_read or not unless_idle:
            log.info("stopped", source=name, **stats.figures(), bytes_lost=stats.lost_bytes)


def _waiting(settings: Settings) -> list[str]:
    """A sentence for each source whose tree is not there."""
    sentences = []
    for source in settings.sources:
        try:
            if locate(str(source.directory), source.stream) is None:
                sentences.append(f"There is no {source.stream} stream below {source.directory} (yet).")
        except OSError as error:
            sentences.append(f"{source.directory} cannot be read: {error.strerror}.")
    return sentences


def _shown(loaded: Loaded) -> dict[str, Any]:
    """The effective settings, without secrets: one a line for a person, a table for a machine."""
    rows = effective(loaded)
    if not logs.is_text(loaded.settings.log_format.value):
        return {"settings": {key: shown for key, shown, _where in rows}}
    width = max(len(key) for key, _shown, _where in rows)
    given = [f"\n    {key:<{width}}  {shown}  ({where})" for key, shown, where in rows]
    return {"block": "".join(given)}
