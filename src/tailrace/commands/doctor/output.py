"""The report: a line a finding in a pipe, folded on a terminal; or one JSON document. Pure but for the width."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tailrace.commands.doctor.finding import Finding, Level, Subject
from tailrace.errors import Exit, one_line
from tailrace.ops.logs import redact

JSON_VERSION = 1
"""Raised when a field changes its meaning or goes. Every field is described in docs/check.md."""

_LEVEL_WIDTH = 8


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """By subject; of one subject what is worse comes first, and else as they were found."""
    order, levels = list(Subject), [Level.PROBLEM, Level.NOTE, Level.OK, Level.SKIPPED]
    return sorted(findings, key=lambda finding: (order.index(finding.subject), levels.index(finding.level)))


def count(findings: Sequence[Finding], level: Level) -> int:
    return sum(finding.level is level for finding in findings)


def exit_code(findings: Sequence[Finding]) -> int:
    return Exit.CONFIGURATION if count(findings, Level.PROBLEM) else Exit.DONE


def verdict(findings: Sequence[Finding], holder: str | None) -> str:
    """`holder`: of the state directory, "pid 12 on host"."""
    notes = count(findings, Level.NOTE)
    noted = f"; {notes} note(s)" if notes else ""
    problems = count(findings, Level.PROBLEM)
    if problems:
        return f"{problems} problem(s): run would end with exit 78, or not keep its promises{noted}"
    return (f"a run is at work here already ({holder})" if holder else "run would start") + noted


def text(findings: Sequence[Finding], holder: str | None, *, several: bool) -> str:
    """`several`: sources, so that each finding says whose it is."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    names = [_name(finding, several=several) for finding in findings]
    margin = max(map(len, names)) + 2
    lines: list[str] = []
    unseen: dict[str, list[str]] = {}  # sentence -> what it is said of: a server that is down would fill the screen
    for name, finding in zip(names, findings, strict=True):
        if finding.level is Level.SKIPPED:
            unseen.setdefault(finding.sentence, []).append(name)
        else:
            lines += _lines(
                f"{finding.level.value:<{_LEVEL_WIDTH}}{name:<{margin}}", finding.sentence, finding.remedy, width
            )
    for sentence, subjects in unseen.items():
        lines += _lines(f"{Level.SKIPPED.value:<{_LEVEL_WIDTH}}", f"{', '.join(subjects)}: {sentence}", "", width)
    return "\n".join([*lines, shown(verdict(findings, holder))])


def _name(finding: Finding, *, several: bool) -> str:
    return f"{finding.subject.value} [{finding.source}]" if several and finding.source else finding.subject.value


def _lines(head: str, sentence: str, remedy: str, width: int) -> Iterator[str]:
    """`width`: of the terminal; 0: a pipe, where it is one line."""
    remedy = f"do: {remedy}" if remedy else ""
    if width < len(head) + 30:
        yield head + shown("; ".join(part for part in (sentence, remedy) if part))
        return
    fold: Callable[[str], list[str]] = lambda words: textwrap.wrap(  # noqa: E731
        shown(words), width - len(head), break_long_words=False, break_on_hyphens=False
    )
    for at, line in enumerate([*fold(sentence), *fold(remedy)]):
        yield (head if at == 0 else " " * len(head)) + line


def document(findings: Sequence[Finding], holder: str | None) -> dict[str, Any]:
    return {
        "version": JSON_VERSION,
        "exit_code": exit_code(findings),
        "verdict": shown(verdict(findings, holder)),
        "problems": count(findings, Level.PROBLEM),
        "notes": count(findings, Level.NOTE),
        "findings": [
            {
                "subject": finding.subject.value,
                "level": finding.level.value.lower(),
                "source": finding.source or None,
                "sentence": shown(finding.sentence),
                "remedy": shown(finding.remedy) or None,
            }
            for finding in findings
        ],
    }


def shown(words: str) -> str:
    """Fit for a terminal: no secret of a connection string, one line, nothing that a terminal would obey."""
    return one_line(redact(words))
