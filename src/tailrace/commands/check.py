"""`tailrace check`: would `run` work here, and what would it do? Reads only: nothing is created, locked or written."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Annotated, NoReturn

import structlog
import typer

from tailrace.commands.common import interruptible
from tailrace.commands.doctor.bounded import bounded
from tailrace.commands.doctor.examine import examine
from tailrace.commands.doctor.output import document, exit_code, text
from tailrace.config import Loaded, load
from tailrace.config.flags import ConfigOption, with_settings
from tailrace.errors import ConfigurationError
from tailrace.ops import logs

_LOAD_LIMIT = 5.0  # seconds for the files of the configuration, and to tell the stream from root
_HANG_UP = 2.0  # seconds after the report: threads of the driver that still wait for a resolver are left behind


@with_settings
def check(
    flags: dict[str, str],
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Validate the configuration, reach the server, and say what `run` would do. Exit 0, or 78 with what is wrong.

    Reads only, and takes some 15 seconds at most, twice that where disk and server hang both. docs/check.md says what
    each line proves.
    """
    loaded = interruptible(_loaded(flags, config))
    structlog.configure(processors=[_unsaid])
    end: list[threading.Timer] = []
    try:
        code = interruptible(_reported(loaded, end, as_json=as_json))
    finally:
        for each in end:
            each.cancel()
        logs.configure(loaded.settings.log_format.value, loaded.settings.log_level.value)
    if code:
        raise typer.Exit(code)


async def _loaded(flags: dict[str, str], config: str | None) -> Loaded:
    """Raises ConfigurationError, also where what is to be read hangs: the stream may have to be told from `root`."""
    try:
        return await bounded(lambda: load(flags, os.environ, config), _LOAD_LIMIT)
    except TimeoutError:
        raise ConfigurationError(
            f"the configuration cannot be read within {_LOAD_LIMIT:g} s: root, the file of --config or that of "
            "mongodb_uri_file gives no answer: look whether it is on a network mount that hangs (ls, df, dmesg)"
        ) from None


def _unsaid(*_event: object) -> NoReturn:
    """What a look at the files would log is among the findings."""
    raise structlog.DropEvent


async def _reported(loaded: Loaded, end: list[threading.Timer], *, as_json: bool) -> int:
    """`end`: takes what ends the process should the event loop not come to its end."""
    report = await examine(loaded)
    if as_json:
        typer.echo(json.dumps(document(report.findings, report.holder), indent=2, ensure_ascii=False))
    else:
        typer.echo(text(report.findings, report.holder, several=len(loaded.settings.sources) > 1))
    sys.stdout.flush()
    code = exit_code(report.findings)
    # HAZARD: the event loop waits for its own threads when it ends, and one may sit in a resolver without an answer.
    end.append(threading.Timer(_HANG_UP, os._exit, [code]))
    end[0].daemon = True
    end[0].start()
    return code
