"""What tailrace logs: every log call of its sources, and the page that is made of them.

    python -m tailrace.ops.logs_catalogue > docs/logs.md

Read from the syntax trees, so that the page says what the program does. A log call is a method of LEVELS on something
that is called a log (`log`, `_log`, `self._log`), or on `get_logger(...)` itself.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LEVELS = ("debug", "info", "warning", "error", "exception", "critical")
SOURCES = Path(__file__).parents[1]

_WORDS = ("meaning", "todo")  # fields with a column of their own

MEANINGS = {
    "catching_up": "what waits on disk at the start, and a first guess of how long it takes",
    "caught_up": "`--once`: everything that was there is stored",
    "checkpoints_saved_again": "a restart goes on where storing stands",
    "ended": "`error` says what is wrong, where it was set or seen, and what to do; what is on disk is not lost: what "
    "was not stored is read at the next start",
    "file_continues": "the same bytes under another name (compressed, copied): read on there, nothing is read twice",
    "file_entered": "it is read from this offset on",
    "file_readable_again": "its unread lines are stored now; `left`: files that still cannot be read",
    "file_sealed": "read to its end and closed; looked at once a minute",
    "folder_readable_again": "the unread lines in it are stored now; `left`: folders that still cannot be read",
    "mongodb_back": "what waited is being stored; nothing was lost",
    "mongodb_not_asked": "what failed was given up (a source taken out, a stop): whether MongoDB is back, the next "
    "operation shows; nothing was lost",
    **dict.fromkeys(
        ("mongodb_refuses", "mongodb_still_in_trouble", "mongodb_still_refuses", "mongodb_trouble"),
        "nothing is lost; reading stops when the in-flight limit is reached; retrying until it is back",
    ),
    "name_skipped": "not a file of this tree: not read. One line a kind of name and folder",
    "reloaded": "`changed`: what is in force now; `left`: what waits for a restart. Nothing is lost or doubled by it",
    "rolled_over": "a newer hour has begun; `before`: what the hour until now came to so far. One line an hour",
    "serving": "metrics, health and status are answered there",
    "skipped_by_choice": "what these files held at the first start is not stored, as `start_at = end` asks; the ledger "
    "says so",
    "starting": "the settings in force, without secrets",
    "stopped": "the account of this run, for each source: lines and entries add up",
}
"""What an event means where its line need not say so each time, or its words are put together at run time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCall:
    """One call. `event` is empty where it is not a constant. `levels`: more than one where a condition chooses.

    `meaning`, `todo`: the text, None where the call has no such field; what is known only at run time is in braces.
    `fields`: the other ones, in order.
    """

    place: str
    line: int
    levels: tuple[str, ...]
    event: str
    fields: tuple[str, ...]
    meaning: str | None
    todo: str | None


def calls(folder: Path = SOURCES) -> list[LogCall]:
    """All below `folder`, in order of place."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        place = path.relative_to(folder).as_posix()
        found += [call for node in ast.walk(ast.parse(path.read_text())) if (call := _call(node, place)) is not None]
    return sorted(found, key=lambda call: (call.place, call.line))


def _call(node: ast.AST, place: str) -> LogCall | None:
    if not isinstance(node, ast.Call) or not (levels := tuple(_levels(node.func))):
        return None
    event = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
    given = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg is not None}
    return LogCall(
        place=place,
        line=node.lineno,
        levels=levels,
        event=str(event),
        fields=tuple(keyword.arg or "..." for keyword in node.keywords if keyword.arg not in _WORDS),
        meaning=_text(given["meaning"]) if "meaning" in given else None,
        todo=_text(given["todo"]) if "todo" in given else None,
    )


def _levels(function: ast.expr) -> Iterator[str]:
    """The levels that a call of `function` logs with; none if it is no log call."""
    if isinstance(function, ast.IfExp):  # (log.error if bad else log.warning)(...)
        yield from _levels(function.body)
        yield from _levels(function.orelse)
    elif isinstance(function, ast.Attribute) and function.attr in LEVELS and _is_log(function.value):
        yield function.attr


def _is_log(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).endswith("get_logger")
    name = value.id if isinstance(value, ast.Name) else value.attr if isinstance(value, ast.Attribute) else ""
    return name.strip("_") in {"log", "logger"}


def _text(value: ast.expr) -> str:
    """A string as it stands; `{name}` for what is known only at run time; both where a condition chooses."""
    if isinstance(value, ast.IfExp):
        return f"{_text(value.body)} / {_text(value.orelse)}"
    if isinstance(value, ast.Constant):
        return str(value.value)
    if isinstance(value, ast.JoinedStr):
        return "".join(_text(part) for part in value.values)
    inner = value.value if isinstance(value, ast.FormattedValue) else value
    return f"{{{ast.unparse(inner).removeprefix('self._')}}}"


# -- the page --------------------------------------------------------------------------------------------------------

_PAGE = """# Logs

<!-- Made by `python -m tailrace.ops.logs_catalogue`; a test compares. Edit the log calls, not this page. -->

One line an event, on standard error: JSON where that is no terminal (`log_format`), with `timestamp`, `level`, `event`
and the fields below. Names of events are fixed: alerts may rest on them.

- **error**: somebody must act. **warning**: nothing is lost, look when you can. **info**: a change of state. **debug**:
  one line a file.
- What lasts is said when it starts, at most once a minute while it lasts (MongoDB: every 30 s), and when it is over:
  never once per retry, line or scan. `for_s`: seconds that it has lasted; `after_s`: seconds that it lasted.
- Of many things of one kind the first ten in a minute are said one by one; `unsaid`: how many were not, since the line
  before.
- `meaning` says what an event means for the data, `todo` what to do. `...` stands for more figures. What is in braces
  is known only at run time.
- No line holds a password or a connection string with one.

## Problems

| event | level | fields | what it means for the data | what to do |
|---|---|---|---|---|
{problems}

## Changes of state

| event | level | fields | what it means for the data |
|---|---|---|---|
{changes}
"""


def page() -> str:
    """The whole of docs/logs.md."""
    events: dict[str, list[LogCall]] = {}
    for call in calls():
        events.setdefault(call.event, []).append(call)
    problems, changes = [], []
    for event, of_it in sorted(events.items()):
        levels = [level for level in LEVELS if any(level in call.levels for call in of_it)]
        fields = dict.fromkeys(field for call in of_it for field in call.fields)
        meaning = MEANINGS.get(event) or _joined(call.meaning for call in of_it)
        row = [f"`{event}`", " or ".join(levels), " ".join(f"`{field}`" for field in fields) or "-", meaning]
        if {"warning", "error"} & set(levels):
            problems.append(_row([*row, _joined(call.todo for call in of_it) or "-"]))
        else:
            changes.append(_row(row))
    return _PAGE.format(problems="\n".join(problems), changes="\n".join(changes))


def _joined(texts: Iterable[str | None]) -> str:
    return " / ".join(dict.fromkeys(text for text in texts if text))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
