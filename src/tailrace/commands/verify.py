"""`tailrace verify`: every line of the files against the database. Exit 0 proven, 1 a difference."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from tailrace.commands import verify_view
from tailrace.commands.common import interruptible, settle_settings
from tailrace.commands.database import reach
from tailrace.commands.verify_json import json_document
from tailrace.config import Settings, SourceSettings
from tailrace.config.flags import ConfigOption, with_settings
from tailrace.config.units import UnitMissing, parse_duration
from tailrace.errors import Exit, Interrupted, UsageError
from tailrace.ingest.mongo.connection import Client, parse_write_concern
from tailrace.ingest.mongo.health import ServerHealth
from tailrace.ingest.mongo.ledger import StoredSettings
from tailrace.ingest.mongo.retrying import Retrier, RetryOptions
from tailrace.ingest.mongo.server import handles, prepare
from tailrace.ingest.mongo.writer import whole_line
from tailrace.ingest.wiring import entry_alone, indexes_of, make_codec, server_options
from tailrace.streams import schema_of
from tailrace.verify.look import Comparison
from tailrace.verify.patience import Patience
from tailrace.verify.report import VerifyReport, all_proven
from tailrace.verify.selection import files_of, scope_of, select
from tailrace.verify.source import Listener, Progress, Subject, Wanted, find_unexplained, verify_source


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is wanted of one source."""

    source: SourceSettings
    wanted: Wanted


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
    repair: Annotated[
        bool, typer.Option("--repair", help="Store what is missing; nothing that is there is changed or deleted.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Prove the files against the database: every entry stored and equal, or kept aside; nothing else among them.

    Hours whose files are gone are checked against the ledger's counts. Writes nothing without --repair and needs no
    state directory; runs beside a live `run`. Exit 0 proven, 1 a difference.
    """
    loaded = settle_settings(flags, config)
    showing: AbstractContextManager[Listener] = nullcontext(_silent) if as_json else verify_view.progress_bar()
    try:
        chosen = choose(loaded.settings, hours or [], _duration(last))
        with showing as listener:
            work = _verify(loaded.settings, chosen, deep=deep, repair=repair, on_progress=listener)
            reports = interruptible(work)
    except (Interrupted, KeyboardInterrupt):
        stored = "what was repaired so far is stored" if repair else "nothing was written"
        print(f"tailrace: interrupted: nothing is proven, {stored}", file=sys.stderr)
        raise typer.Exit(Exit.INTERRUPTED) from None
    if as_json:
        print(json.dumps(json_document(reports), ensure_ascii=False))
    else:
        verify_view.print_report(reports)
    if not all_proven(reports):
        raise typer.Exit(Exit.DIFFERENCE)


def choose(settings: Settings, hours: Sequence[str] = (), last: float | None = None) -> list[Chosen]:
    """The files of each source. Raises UsageError for a word that can mean none, ConfigurationError without a tree."""
    chosen = []
    for source in settings.sources:
        tree, files = files_of(str(source.directory), source.stream)
        selected, unmatched = select(files, hours, last)
        wanted = Wanted(
            files=selected,
            tree=tree,
            scope=scope_of(files, hours, last),
            present={file.hour for file in files},
            unmatched=unmatched,
        )
        chosen.append(Chosen(source, wanted))
    return chosen


async def verify_sources(
    settings: Settings,
    chosen: Sequence[Chosen],
    client: Client,
    uri: str,
    *,
    deep: bool = True,
    repair: bool = False,
    on_progress: Listener = lambda _: None,
    patience: Patience | None = None,
) -> list[VerifyReport]:
    """For a process that has a client already, such as the demo: `choose` the files, then this.

    Raises UsageError for hours of which there is neither a file nor a life in the ledger; SettingsChanged,
    RuntimeFailure; with `repair` what `server.prepare` raises.
    """
    options = RetryOptions(timeout=settings.write_timeout, cap=settings.retry_max_delay)
    retrier = Retrier(ServerHealth(), options, starting=True)  # what only an operator can mend ends us
    subjects, reports, nowhere = [], [], None
    for each in chosen:
        subject = subject_of(settings, each.source, client, uri, retrier, deep=deep)
        if repair:
            subject = await _prepared(settings, each.source, client, uri, subject)
        report, unmatched = await verify_source(subject, each.wanted, on_progress=on_progress, patience=patience)
        subjects.append(subject)
        reports.append(report)
        nowhere = unmatched if nowhere is None else nowhere & unmatched
    if nowhere:
        roots = ", ".join(str(source.directory) for source in settings.sources)
        raise UsageError(
            f"there is no file for {', '.join(sorted(nowhere))} below {roots}, and the ledger has never seen one"
        )
    for number, subject in enumerate(subjects):
        same = [at for at, report in enumerate(reports) if report.namespace == reports[number].namespace]
        if number == same[0]:
            spans = _spans([chosen[at] for at in same], [reports[at] for at in same])
            await find_unexplained(subject.comparison, spans, reports[number], on_progress)
    return reports


def _spans(chosen: Sequence[Chosen], reports: Sequence[VerifyReport]) -> list[tuple[int, int]] | None:
    """The hours of one collection that are looked through; None: everything."""
    if all(each.wanted.scope.everything for each in chosen):
        return None
    spans: list[tuple[int, int]] = []
    for each, report in zip(chosen, reports, strict=True):
        hours = [file.hour for file in report.files] + [life.hour for life in report.lives]
        spans += each.wanted.scope.spans(hours)
    return spans


def subject_of(
    settings: Settings,
    source: SourceSettings,
    client: Client,
    uri: str,
    retrier: Retrier,
    *,
    deep: bool,
) -> Subject:
    return Subject(
        source=source.source,
        family=source.family,
        settings=StoredSettings(identity=source.identity, numbers=source.numbers, family=source.family),
        comparison=Comparison(
            handles=handles(client, server_options(settings, source, uri)),
            retrier=retrier,
            codec=make_codec(source, settings.codec),
            entry_of=entry_alone if source.framing.wrapped else whole_line,
            identity=source.identity,
            ignore=schema_of(source.family).compared(source.identity),
            max_line_bytes=settings.max_line_bytes,
            deep=deep,
        ),
        start_at=source.start_at,
    )


async def _prepared(settings: Settings, source: SourceSettings, client: Client, uri: str, subject: Subject) -> Subject:
    """As `run` would find it before its first write; acknowledged by a majority, whatever `write_concern` says."""
    options = replace(server_options(settings, source, uri), write_concern=parse_write_concern("majority"))
    facts = await prepare(client, options, indexes=indexes_of(source), clustered=source.clustered)
    return replace(
        subject,
        settings=replace(subject.settings, clustered=facts.clustered),
        comparison=replace(subject.comparison, handles=handles(client, options)),
        repair=True,
    )


async def _verify(
    settings: Settings, chosen: list[Chosen], *, deep: bool, repair: bool, on_progress: Listener
) -> list[VerifyReport]:
    async with reach(settings, settings.sources[0]) as (client, uri):
        return await verify_sources(settings, chosen, client, uri, deep=deep, repair=repair, on_progress=on_progress)


def _silent(_: Progress) -> None:
    pass


def _duration(text: str | None) -> float | None:
    try:
        return None if text is None else parse_duration(text)
    except UnitMissing:
        raise UsageError(f"last {text!r} needs a unit, like 24h or 2d") from None
    except ValueError:
        raise UsageError(f"last {text!r} is not a time with a unit, like 24h or 2d") from None
