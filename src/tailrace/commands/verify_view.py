"""How `verify` shows its report: a table on a terminal, aligned plain lines elsewhere, or one JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from tailrace.verify import source as verification
from tailrace.verify.report import FileReport, FileState, Finding, FindingKind, Totals, VerifyReport, totals_of
from tailrace.verify.selection import label

JSON_VERSION = 1
"""Of the document that `--json` prints: raised when a field changes its meaning or goes."""

_COLUMNS = ("file", "lines", "entries", "stored", "kept aside", "missing", "different", "extra", "verdict")


@contextmanager
def progress_bar() -> Iterator[Any]:
    """A listener that shows a bar with the time left, on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("verifying", total=None)

        def listen(now: verification.Progress) -> None:
            words = f"verifying {label(now.path)} ({now.files_done + 1} of {now.files})"
            bar.update(task, description=words, completed=now.bytes_done, total=now.bytes)

        yield listen


def print_report(reports: Sequence[VerifyReport]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for report in reports:
        if len(reports) > 1:
            console.print(Text(f"{report.source} -> {report.namespace}"))
        if report.files:
            _print_table(console, [_row(file) for file in report.files], report.files)
        for file in report.files:
            for line in _remarks(file):
                console.print(Text(f"{label(file.path)}: {line}"))
    console.print(Text(total_line(reports)))


def _print_table(console: Console, rows: list[tuple[str, ...]], files: Sequence[FileReport]) -> None:
    if console.is_terminal:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for name in _COLUMNS:  # 80 columns hold it; a figure is never broken, a verdict may be
            side: Literal["left", "right"] = "left" if name in ("file", "verdict") else "right"
            table.add_column(name.replace(" ", "\n"), justify=side, no_wrap=name != "verdict")
        for row, file in zip(rows, files, strict=True):
            good = file.state in (FileState.OK, FileState.GONE)
            table.add_row(*row[:-1], Text(row[-1], style="green" if good else "bold red"))
        console.print(table, soft_wrap=False)
        return
    widths = [max(len(row[at]) for row in [_COLUMNS, *rows]) for at in range(len(_COLUMNS))]
    for row in [_COLUMNS, *rows]:
        cells = [
            cell.ljust(width) if at in (0, len(row) - 1) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        console.print(Text("  ".join(cells).rstrip()))


def _row(file: FileReport) -> tuple[str, ...]:
    counts = (file.lines, file.entries, file.equal, file.kept, file.missing, file.different, file.extra)
    return (label(file.path), *(f"{count:,}" for count in counts), file.state.value)


def _remarks(file: FileReport) -> Iterator[str]:
    """What the row does not say."""
    if file.detail:
        yield file.detail
    if file.skipped:
        yield f"{file.skipped:,} bytes skipped by choice (start_at = end)"
    if file.torn:
        stored = f", {file.torn_entries} entry of it stored by --once" if file.torn_entries else ""
        yield f"{file.torn:,} bytes of a torn last line, which waits for its newline{stored}"
    if file.state is FileState.DIFFERS and file.unread:
        yield f"{file.unread:,} of the missing come after everything that is stored: they may not have been read yet"
    if file.state is not FileState.NOT_INGESTED:
        yield from map(_finding, file.findings)


def _finding(finding: Finding) -> str:
    place = f"offset {finding.offset} entry {finding.index}"
    key = finding.key.hex()
    match finding.kind:
        case FindingKind.MISSING:
            return f"missing: {place} (_id {key})"
        case FindingKind.MISSING_REJECT:
            return f"missing: {place}, a line that must be kept aside ({finding.reason}) and is not (reject {key})"
        case FindingKind.DIFFERENT:
            return f"different: {place}, field {finding.field} (_id {key})"
        case FindingKind.EXTRA:
            return f"extra: a document that no line explains, place {finding.offset} (_id {key})"


def total_line(reports: Sequence[VerifyReport]) -> str:
    """`168,009 entries in 6 files: 168,000 stored and equal, 9 kept aside; missing 0, different 0, extra 0: proven`"""
    totals = totals_of(reports)
    deep = all(report.deep for report in reports)
    proven = all(report.proven for report in reports)
    unproven = sum(file.state not in (FileState.OK, FileState.GONE) for report in reports for file in report.files)
    entries = _count(totals.entries, "entry", "entries")
    stored = "stored and equal" if deep else "stored (contents not compared)"
    verdict = "proven" if proven else f"NOT proven ({_count(unproven, 'file', 'files')})"
    if not totals.files:
        verdict = "nothing was verified"
    words = [
        f"{entries} in {_count(totals.files, 'file', 'files')}: {totals.equal:,} {stored}, {totals.kept:,} kept aside",
        f"missing {totals.missing:,}, different {totals.different:,}, extra {totals.extra:,}: {verdict}",
    ]
    fileless = sum(report.fileless for report in reports)
    if fileless:
        words.append(f"{_count(fileless, 'hour', 'hours')} of the ledger without a file, about which nothing is said")
    if totals.gone:
        words.append(f"{_count(totals.gone, 'file', 'files')} vanished meanwhile")
    if totals.skipped:
        words.append(f"{totals.skipped:,} bytes skipped by choice")
    return "; ".join(words)


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def print_json(reports: Sequence[VerifyReport]) -> None:
    document = {
        "version": JSON_VERSION,
        "proven": all(report.proven for report in reports),
        "totals": _totals(totals_of(reports)),
        "sources": [
            {
                "source": report.source,
                "collection": report.namespace,
                "identity": report.identity.value,
                "deep": report.deep,
                "proven": report.proven,
                "totals": _totals(totals_of([report])),
                "files": [_file(file) for file in report.files],
            }
            for report in reports
        ],
    }
    print(json.dumps(document, ensure_ascii=False))


def _totals(totals: Totals) -> dict[str, int]:
    fields = asdict(totals)
    fields["kept_aside"] = fields.pop("kept")
    return fields


def _file(file: FileReport) -> dict[str, Any]:
    fields = asdict(file)
    hour = datetime.fromtimestamp(file.hour, UTC).strftime("%Y-%m-%dT%HZ")
    findings = [
        {
            "kind": finding.kind.value,
            "id": finding.key.hex(),
            "offset": finding.offset,
            "index": finding.index,
            "field": finding.field,
            "reason": finding.reason,
        }
        for finding in file.findings
    ]
    kept = fields.pop("kept")
    return {**fields, "kept_aside": kept, "hour": hour, "state": file.state.value, "findings": findings}
