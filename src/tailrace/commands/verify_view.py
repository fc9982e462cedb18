"""How `verify` shows its report: a table on a terminal, aligned plain lines elsewhere. As JSON: `verify_json`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from textwrap import wrap
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from tailrace.commands.verify_words import finding_words, life_words, notices, remarks, total_line
from tailrace.verify import source as verification
from tailrace.verify.report import FileReport, FileState, LifeState, VerifyReport
from tailrace.verify.selection import label

_COLUMNS = ("file", "lines", "entries", "stored", "kept aside", "missing", "different", "extra", "verdict")
_SPARE = ("lines", "entries", "kept aside")  # left out on a narrow terminal, in this order
_LIVES = 20  # lines about single lives without a file


@contextmanager
def progress_bar() -> Iterator[Any]:
    """A listener that shows a bar with the time left, on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("verifying", total=None)
        stage = ""

        def listen(now: verification.Progress) -> None:
            nonlocal stage
            if now.stage != stage:
                stage = now.stage
                bar.reset(task)  # each stage has a pace of its own
            bar.update(task, description=_doing(now), completed=now.bytes_done, total=now.bytes)

        yield listen


def _doing(now: verification.Progress) -> str:
    match now.stage:
        case verification.FILES:
            return f"verifying {label(now.path)} ({now.files_done + 1} of {now.files})"
        case verification.LIVES:
            return f"checking {label(now.path)}, without a file ({now.files_done + 1} of {now.files})"
        case _:
            return "looking for unexplained documents"


def print_report(reports: Sequence[VerifyReport]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for report in reports:
        if len(reports) > 1:
            console.print(Text(f"{report.source} -> {report.namespace}"))
        if report.files:
            _print_table(console, report.files)
        for line in _lines(report):
            _say(console, line)
    _say(console, total_line(reports))


def _say(console: Console, sentence: str) -> None:
    """One line for those who search in it; on a terminal broken between words."""
    lines = [sentence]
    if console.is_terminal:
        lines = wrap(sentence, console.width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    for line in lines:
        console.print(Text(line))


def _lines(report: VerifyReport) -> Iterator[str]:
    """What the table does not say."""
    for file in report.files:
        yield from (f"{label(file.path)}: {words}" for words in remarks(file))
        if file.state is not FileState.NOT_INGESTED:
            yield from (f"{label(file.path)}: {finding_words(finding)}" for finding in file.findings)
    said = [life for life in report.lives if life.state is LifeState.DIFFERS or life.behind]
    said.sort(key=lambda life: life.state is not LifeState.DIFFERS)  # stable: what is wrong comes first
    present = {file.hour for file in report.files}
    for life in said[:_LIVES]:
        former = " (an earlier life)" if life.hour in present else ""
        yield f"{label(life.path)}{former}: {life_words(life)}"
    if len(said) > _LIVES:
        yield f"and {len(said) - _LIVES:,} more hours without a file like these (--json lists all)"
    yield from notices(report)


def _print_table(console: Console, files: Sequence[FileReport]) -> None:
    rows = [_row(file) for file in files]
    if console.is_terminal:
        _print_coloured(console, rows, files)
        return
    widths = [max(len(row[at]) for row in [_COLUMNS, *rows]) for at in range(len(_COLUMNS))]
    for row in [_COLUMNS, *rows]:
        cells = [
            cell.ljust(width) if at in (0, len(row) - 1) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        console.print(Text("  ".join(cells).rstrip()))


def _print_coloured(console: Console, rows: list[tuple[str, ...]], files: Sequence[FileReport]) -> None:
    shown = columns_that_fit(rows, console.width)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for at in shown:
        name = _COLUMNS[at]
        side: Literal["left", "right"] = "left" if name in ("file", "verdict") else "right"
        table.add_column(name.replace(" ", "\n"), justify=side, no_wrap=True)
    for row, file in zip(rows, files, strict=True):
        good = file.state in (FileState.OK, FileState.GONE)
        table.add_row(*(row[at] for at in shown[:-1]), Text(row[-1], style="green" if good else "bold red"))
    console.print(table, soft_wrap=False)


def columns_that_fit(rows: Sequence[tuple[str, ...]], width: int) -> list[int]:
    """Which columns a terminal of this width holds: what others say as well is left out first. Pure."""
    heads = [max(map(len, name.split())) for name in _COLUMNS]
    widths = [max([heads[at], *(len(row[at]) for row in rows)]) for at in range(len(_COLUMNS))]
    shown = list(range(len(_COLUMNS)))
    for name in _SPARE:
        if sum(widths[at] + 2 for at in shown) - 2 > width:
            shown.remove(_COLUMNS.index(name))
    return shown


def _row(file: FileReport) -> tuple[str, ...]:
    counts = (file.lines, file.entries, file.equal, file.kept, file.missing, file.different, file.extra)
    return (label(file.path), *(f"{count:,}" for count in counts), file.state.value)
