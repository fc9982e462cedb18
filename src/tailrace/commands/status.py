"""`tailrace status`: what a running instance is doing. Exit 0 it answered, 70 nothing did."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console

from tailrace.commands.watching.fields import Fields, in_ascii
from tailrace.commands.watching.place import find
from tailrace.commands.watching.rates import recent
from tailrace.commands.watching.view import name_of, readiness, report
from tailrace.commands.watching.watch import keep_watching
from tailrace.config import load
from tailrace.config.flags import ConfigOption, with_settings
from tailrace.config.units import parse_duration
from tailrace.errors import RuntimeFailure, UsageError
from tailrace.ops.client import Place, Unanswered, fetch_history, fetch_status, must_understand, place_of

SHORTEST, LONGEST = 0.1, 3600.0
"""Seconds between two questions of `--watch`."""

_UNBROKEN = 10_000  # columns where there is no terminal: a sentence is one line for those who search in it


@with_settings
def status(
    flags: dict[str, str],
    config: ConfigOption = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where it serves, like http://127.0.0.1:9464; without: what the state directory says, else http.",
            show_default=False,
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on and on, live; Ctrl-C ends it. Without a terminal: a line a time.")
    ] = False,
    interval: Annotated[str, typer.Option(metavar="DURATION", help="How often --watch asks.")] = "1s",
    ready: Annotated[
        bool, typer.Option("--ready", help="Only whether it is ready, for health checks: exit 70 unless it is.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The JSON of /status, as the instance tells it.")] = False,
) -> None:
    """What a running tailrace is doing: rate, lag, account, hours, MongoDB, problems.

    The instance is found by --url, else by the state directory, else by the setting http. Exit 0 when it answers, ready
    or not (--ready tells them apart); 70 when nothing answers. --watch goes on asking while nothing does.
    """
    if watch and (as_json or ready):
        raise UsageError("--watch cannot be given with --json or --ready")
    seconds = _interval(interval)
    locate = _locator(url, flags, config)
    if watch:
        keep_watching(locate, seconds, Console(highlight=False))
        return
    place = locate()
    told = fetch_status(place)
    if as_json:
        print(json.dumps(told, indent=2))  # in ASCII: nothing in it reaches a terminal as a command
    if ready or not as_json:
        must_understand(told, place)
    if ready:
        _must_be_ready(_shown(told), silent=as_json)
    elif not as_json:
        _print_report(told, place)


def _locator(url: str | None, flags: dict[str, str], config: str | None) -> Callable[[], Place]:
    """With a URL no configuration is looked at: another machine's instance needs none here."""
    if url is not None:
        place = place_of(url)
        return lambda: place
    settings = load(flags, os.environ, config, require=frozenset()).settings
    return lambda: find(settings)


def _must_be_ready(fields: Fields, *, silent: bool) -> None:
    if fields.flag("ready") is not True:
        raise RuntimeFailure(f"not ready: {readiness(fields)}")
    if not silent:
        print(f"ready: {readiness(fields)}")


def _print_report(told: dict[str, Any], place: Place) -> None:
    try:
        history = _shown(fetch_history(place))
    except Unanswered:  # it has just ended: what it said before is worth showing
        history = Fields(None)
    fields, console = _shown(told), Console(highlight=False)
    rates = recent(history, [name_of(source) for source in fields.all("sources")])
    if console.is_terminal:
        for line in report(fields, console.width, rates, str(place)):
            console.print(line, no_wrap=True, overflow="crop")
        return
    for text in report(fields, _UNBROKEN, rates, str(place)):
        print(text.plain.rstrip())


def _shown(content: object) -> Fields:
    """What standard output can take."""
    return Fields(in_ascii(content) if Console().options.ascii_only else content)


def _interval(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError:
        raise UsageError(f"interval {text!r} is not a time with a unit, like 1s or 500ms") from None
    if not SHORTEST <= seconds <= LONGEST:
        raise UsageError(f"interval {text!r} is not between 100ms and 1h")
    return seconds
