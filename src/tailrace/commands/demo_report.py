"""What the demo says at its end: the result in one line, what was kept aside, two queries with their results."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from tailrace.commands.demo_account import Account
from tailrace.commands.demo_queries import Example, table
from tailrace.verify.report import VerifyReport, totals_of
from tailrace.verify.selection import label


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Two opinions on one run: `reports` of verify, and the `account` that was made without it."""

    account: Account
    reports: Sequence[VerifyReport]
    examples: Sequence[Example]

    @property
    def holds(self) -> bool:
        return self.account.balanced and bool(self.reports) and all(report.proven for report in self.reports)


def show(console: Console, proof: Proof, config: Path | None) -> None:
    """`config`: the file that commands find the kept data by, None when nothing is kept."""
    console.print()
    style = "bold green" if proof.holds else "bold red"
    console.print(Text(proof.account.sentence(), style=style), soft_wrap=True)
    console.print(_opinions(proof), soft_wrap=not console.is_terminal)
    _show_rejects(console, proof.account, config)
    for example in proof.examples:
        console.print()
        console.print(Text(example.title, style="bold"))
        console.print(Padding(Text(example.text, style="cyan"), (0, 0, 1, 2), expand=False))
        console.print(Padding(table(example), (0, 0, 0, 2), expand=False))


def _opinions(proof: Proof) -> Text:
    totals = totals_of(proof.reports)
    if proof.holds:
        return Text(
            f"verify compared {totals.lines:,} lines of {totals.files} files with the database, field by field; "
            "MongoDB's own counts, file by file, say the same",
            style="dim",
        )
    lines = [
        f"verify: missing {totals.missing:,}, different {totals.different:,}, extra {totals.extra:,}",
        "the line above is the worse of that and of MongoDB's own counts against what the node says it wrote",
    ]
    lines += [
        f"{label(file.path)}: {file.state}, "
        f"missing {file.missing:,}, different {file.different:,}, extra {file.extra:,} {file.detail}".rstrip()
        for report in proof.reports
        for file in report.files
        if file.missing or file.different or file.extra or file.detail
    ]
    return Text("\n".join(lines))


def _show_rejects(console: Console, account: Account, config: Path | None) -> None:
    if not account.kept:
        return
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in account.kept.items())
    console.print()
    console.print(Text.assemble(("kept aside", "bold"), f"  {reasons}"), soft_wrap=not console.is_terminal)
    if config is not None:
        where = f"--config {shlex.quote(str(config))}"
        console.print(Text.assemble("listed by   ", (f"tailrace rejects list {where}", "cyan")), soft_wrap=True)
        console.print(Text.assemble("its mongod  ", (f"tailrace run {where}", "cyan"), " starts it"), soft_wrap=True)
        return
    command, keeping = ("tailrace rejects list", "cyan"), ("tailrace demo --keep DIR", "cyan")
    console.print(Text.assemble("listed by   ", command, "   (", keeping, " keeps them)"), soft_wrap=True)
