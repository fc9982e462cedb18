"""Common flags, the lines above a table, the table, and the raw numbers as JSON."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).resolve().parents[1] / "results"

_console = Console(highlight=False, soft_wrap=True)


def parser_of(
    description: str | None, *, lines: int | None = None, rounds: int | None = None
) -> argparse.ArgumentParser:
    """A parser with the flags that all have; `lines`, `rounds`: their defaults, None where there is no such thing."""
    title, _, rest = (description or "").partition("\n")
    parser = argparse.ArgumentParser(description=title, epilog=rest, formatter_class=argparse.RawTextHelpFormatter)
    if lines is not None:
        parser.add_argument("--lines", type=int, default=lines, help=f"lines of the file (default {lines:,})")
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help=f"rounds; medians count (default {rounds})")
    parser.add_argument("--quick", action="store_true", help="a short look: less of everything, nothing is kept")
    parser.add_argument("--json", type=Path, metavar="PATH", help="for the raw numbers (default benchmarks/results/)")
    parser.add_argument("--directory", type=Path, help="for files and servers; emptied at the end (default: temporary)")
    return parser


def say(text: str = "") -> None:
    _console.print(text, markup=False)


def heading(title: str | None, facts: dict[str, str]) -> None:
    say((title or "").partition("\n")[0])
    for name, value in facts.items():
        say(f"  {name:10} {value}")
    say()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, notes: Sequence[str] = ()) -> None:
    """The first column is text, the others are numbers."""
    say(title)
    shown = Table()
    for number, column in enumerate(columns):
        shown.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*row)
    # As wide as it needs to be: a number that is cut off is no number.
    Console(highlight=False, width=max(_console.width, 160)).print(shown)
    for note in notes:
        say(f"  {note}")
    say()


def number(value: float | None, form: str = ",.0f", unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def keep(name: str, facts: dict[str, str], given: argparse.Namespace, found: dict[str, Any]) -> None:
    """Write the raw numbers. A quick run is kept only where it is told to."""
    ending = " ".join(f"{value:.2f}" for value in os.getloadavg())
    say(f"Load at the end: {ending}; at the start: {facts['load']}.")
    if given.quick and given.json is None:
        say("A quick run: nothing is kept (--json PATH keeps it).")
        return
    now = datetime.now(UTC)
    path: Path = given.json or RESULTS / f"{name}-{now:%Y-%m-%d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    asked = {key: str(value) if isinstance(value, Path) else value for key, value in vars(given).items()}
    told = {"benchmark": name, "at": now.isoformat(timespec="seconds"), "machine": {**facts, "load at the end": ending}}
    whole = {**told, "arguments": asked, **found}
    path.write_text(json.dumps(whole, indent=1) + "\n")
    say(f"Raw numbers: {path}")


@contextmanager
def workplace(directory: Path | None) -> Iterator[Path]:
    """A folder of our own below `directory`, removed at the end, however it ends."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix="tailrace-bench-", dir=directory))
    path.chmod(0o755)  # the peers run as somebody else
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def need(directory: Path, size: int, what: str) -> None:
    """Say what it takes; exit when the disk has no such room."""
    free = shutil.disk_usage(directory).free
    say(f"{what}: about {size / 1e9:.1f} GB in {directory}, where {free / 1e9:.0f} GB are free.")
    if free < size * 1.2:
        raise SystemExit("That is too little: --directory names another place, --lines makes it less.")
