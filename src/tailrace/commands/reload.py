"""`tailrace reload`: have a running instance read its configuration again, and say what became of it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tailrace.commands.common import settle_settings
from tailrace.config.flags import ConfigOption, with_settings
from tailrace.config.units import parse_duration
from tailrace.errors import Exit, RuntimeFailure, SettingsError, UsageError, one_line
from tailrace.ingest.state.holder import holder
from tailrace.ops import notes

_LOOK = 0.05  # seconds


@with_settings
def reload(
    flags: dict[str, str],
    config: ConfigOption = None,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="How long to wait for the outcome.")
    ] = "60s",
) -> None:
    """Have the `run` on this state directory read its configuration again (as SIGHUP does), and say what changed.

    The instance reads the file, variables and flags that it was started with; those given here only tell its state
    directory. Exit 0: taken over, or nothing to change; 78: refused, nothing has changed; 70: none runs, or a source
    that was added did not start, or it failed.
    """
    try:
        patience = parse_duration(timeout)
    except ValueError as error:
        raise UsageError(f"--timeout {timeout}: {error}") from None
    try:
        settings = settle_settings(flags, config, require=frozenset()).settings
    except SettingsError as error:  # the file that tells the state directory is most likely the one that `run` has
        raise SettingsError([*error.problems, "nothing has changed: no running tailrace was asked"]) from None
    state_dir = settings.state_dir
    try:
        pid = holder(state_dir)
    except OSError as error:
        raise RuntimeFailure(
            f"{state_dir} cannot be looked at ({error.strerror}): run this as the user of run"
        ) from None
    if pid is None:
        raise RuntimeFailure(
            f"no tailrace runs on the state directory {state_dir}: name its own with --state-dir or --config"
        )
    before = notes.read(state_dir / notes.RELOAD)
    if not _catches(pid, signal.SIGHUP):
        raise RuntimeFailure(
            f"process {pid} takes no reload (run --once, an older version, or one just begun): it was left alone"
        )
    asked = time.monotonic()
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError as error:
        raise RuntimeFailure(f"process {pid} cannot be told ({error.strerror}): run this as the user of run") from None
    _show(_outcome(state_dir, pid, before, asked, patience))


def _outcome(state_dir: Path, pid: int, before: dict[str, Any], asked: float, patience: float) -> dict[str, Any]:
    """Of a reload that began after we asked: one that was going on then is another's. The monotonic clock is the same
    for all processes of a machine."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        ended = not _holds(state_dir, pid)  # looked at first: what it said before its end is an outcome
        outcome = notes.read(state_dir / notes.RELOAD)
        began = outcome.get("began")
        if outcome != before and outcome.get("pid") == pid and isinstance(began, float) and began >= asked:
            return outcome
        if ended:
            raise RuntimeFailure(f"process {pid} has ended meanwhile; what is on disk is read at its next start")
        time.sleep(_LOOK)
    raise RuntimeFailure(
        f"process {pid} did not say within {patience:g} s what became of it: it may be starting, stopping, or draining "
        "a source that was removed; its log says, and so does tailrace status"
    )


def _holds(state_dir: Path, pid: int) -> bool:
    try:
        return holder(state_dir) == pid
    except OSError:  # it could be looked at a moment ago
        return True


def _catches(pid: int, number: int) -> bool:
    """HAZARD: to a process without a handler the signal is death."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        words = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        return bool(int(words["SigCgt"], 16) >> (number - 1) & 1)
    except (OSError, KeyError, ValueError):
        return True  # not Linux: nothing is known


def _show(outcome: dict[str, Any]) -> None:
    refused = outcome.get("outcome") == "refused"
    words = {
        "changed": "reloaded",
        "unchanged": "nothing has changed",
        "refused": "refused: nothing has changed",
        "failed": "failed: some of it may be in force",
    }
    typer.echo(words.get(str(outcome.get("outcome")), str(outcome.get("outcome"))))
    for label, key in (("changed", "changed"), ("left", "left"), ("PROBLEM", "problems")):
        for sentence in outcome.get(key, ()):
            typer.echo(f"  {label:<8}{one_line(str(sentence))}")
    if refused:
        raise typer.Exit(Exit.CONFIGURATION)
    if outcome.get("problems"):
        raise typer.Exit(Exit.FAILURE)
