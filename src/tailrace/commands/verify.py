"""`tailrace verify`: every line of the files against the database. Reads only. Exit 0 proven, 1 a difference."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

import typer

from tailrace.commands import verify_view
from tailrace.commands.common import settle_settings
from tailrace.commands.database import reach
from tailrace.config import Settings, SourceSettings
from tailrace.config.flags import ConfigOption, with_settings
from tailrace.config.units import UnitMissing, parse_duration
from tailrace.errors import Exit, UsageError
from tailrace.ingest.instance import entry_alone, make_codec, server_options
from tailrace.ingest.mongo.connection import Client
from tailrace.ingest.mongo.health import ServerHealth
from tailrace.ingest.mongo.ledger import StoredSettings
from tailrace.ingest.mongo.retrying import Retrier, RetryOptions
from tailrace.ingest.mongo.server import handles
from tailrace.ingest.mongo.writer import whole_line
from tailrace.model import SourceFile
from tailrace.streams import schema_of
from tailrace.verify.file import Patience
from tailrace.verify.look import Comparison
from tailrace.verify.report import VerifyReport
from tailrace.verify.selection import files_of, select
from tailrace.verify.source import Progress, Subject, verify_source

Listener = Callable[[Progress], None]


@with_settings
def verify(
    flags: dict[str, str],
    hours: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="HOURS",
            help="20250310/9, a day 20250310, or paths; without any: all files.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    last: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Only the newest hours, like 24h, counted from the newest file."),
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep/--no-deep", help="Compare contents, or only which entries are stored.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Prove the files against the database: every entry stored and equal, or kept aside; nothing else among them.

    Writes nothing and needs no state directory; runs beside a live `run`. Exit 0 proven, 1 a difference.
    """
    loaded = settle_settings(flags, config)
    chosen = choose(loaded.settings, hours or [], _duration(last))
    everything = not hours and last is None
    showing: AbstractContextManager[Listener] = nullcontext(_silent) if as_json else verify_view.progress_bar()
    with showing as listener:
        reports = asyncio.run(_verify(loaded.settings, chosen, deep=deep, everything=everything, on_progress=listener))
    verify_view.print_json(reports) if as_json else verify_view.print_report(reports)
    if not all(report.proven for report in reports):
        raise typer.Exit(Exit.DIFFERENCE)


def choose(
    settings: Settings, hours: Sequence[str] = (), last: float | None = None
) -> list[tuple[SourceSettings, list[SourceFile]]]:
    """The files of each source. Raises UsageError when one of `hours` is nowhere, ConfigurationError without a tree."""
    chosen, nowhere = [], set(hours)
    for source in settings.sources:
        files, unmatched = select(files_of(str(source.directory), source.stream), hours, last)
        nowhere &= set(unmatched)
        chosen.append((source, files))
    if nowhere:
        roots = ", ".join(str(source.directory) for source in settings.sources)
        raise UsageError(f"there is no file for {', '.join(sorted(nowhere))} below {roots}")
    return chosen


async def verify_sources(
    settings: Settings,
    chosen: Sequence[tuple[SourceSettings, list[SourceFile]]],
    client: Client,
    uri: str,
    *,
    deep: bool = True,
    on_progress: Listener = lambda _: None,
    patience: Patience | None = None,
    everything: bool = False,
) -> list[VerifyReport]:
    """For a process that has a client already, such as the demo: `choose` the files, then this. Reads only."""
    options = RetryOptions(timeout=settings.write_timeout, cap=settings.retry_max_delay)
    retrier = Retrier(ServerHealth(), options, starting=True)  # what only an operator can mend ends us
    return [
        await verify_source(
            subject_of(settings, source, client, uri, retrier, deep=deep),
            files,
            on_progress=on_progress,
            patience=patience,
            everything=everything,
        )
        for source, files in chosen
    ]


def subject_of(
    settings: Settings, source: SourceSettings, client: Client, uri: str, retrier: Retrier, *, deep: bool
) -> Subject:
    return Subject(
        source=source.source,
        family=source.family,
        settings=StoredSettings(identity=source.identity, numbers=source.numbers, family=source.family),
        comparison=Comparison(
            handles=handles(client, server_options(settings, source, uri)),
            retrier=retrier,
            codec=make_codec(source),
            entry_of=entry_alone if source.framing.wrapped else whole_line,
            identity=source.identity,
            ignore=schema_of(source.family).compared(source.identity),
            max_line_bytes=settings.max_line_bytes,
            deep=deep,
        ),
    )


async def _verify(
    settings: Settings,
    chosen: list[tuple[SourceSettings, list[SourceFile]]],
    *,
    deep: bool,
    everything: bool,
    on_progress: Listener,
) -> list[VerifyReport]:
    async with reach(settings, settings.sources[0]) as (client, uri):
        return await verify_sources(
            settings, chosen, client, uri, deep=deep, on_progress=on_progress, everything=everything
        )


def _silent(_: Progress) -> None:
    pass


def _duration(text: str | None) -> float | None:
    try:
        return None if text is None else parse_duration(text)
    except UnitMissing:
        raise UsageError(f"last {text!r} needs a unit, like 24h or 2d") from None
    except ValueError:
        raise UsageError(f"last {text!r} is not a time with a unit, like 24h or 2d") from None
