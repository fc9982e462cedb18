"""docs/logs.md is what the log calls of the sources say, and they keep to the rules of logging."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tailrace.ops import logs_catalogue
from tailrace.ops.logs_catalogue import MEANINGS, LogCall, calls, page

PAGE = Path(__file__).parents[2] / "docs" / "logs.md"
CALLS = calls()

SENTENCES = {"ended": "error"}
"""Events with a field that is a whole sentence, made where the facts are: what is wrong, where, what to do."""

OWED: set[str] = set()
"""Calls that do not keep to the rules yet. It may only become shorter."""


def name_of(call: LogCall) -> str:
    """Of a call of which there are several, with its module."""
    event = call.event
    return f"{event} ({Path(call.place).stem})" if event == "bytes_lost" and "storing" in call.place else event


def faults_of(call: LogCall) -> list[str]:
    """What this one call lacks."""
    faults = []
    if {"warning", "error", "critical", "exception"} & set(call.levels) and call.event not in SENTENCES:
        if not call.meaning:
            faults.append("no meaning: what does it mean for the data?")
        if "error" in call.levels and not call.todo:
            faults.append("no todo: what shall somebody do?")
    if call.event in SENTENCES and SENTENCES[call.event] not in call.fields:
        faults.append(f"no {SENTENCES[call.event]}")
    return faults


def test_the_page_is_up_to_date() -> None:
    """`python -m tailrace.ops.logs_catalogue > docs/logs.md` would change nothing."""
    assert PAGE.read_text() == page()


def test_names_are_constants_in_snake_case() -> None:
    """An event can be searched for: its name is never put together at run time."""
    assert len(CALLS) > 40
    assert [f"{call.place}:{call.line}" for call in CALLS if not re.fullmatch(r"[a-z]+(_[a-z]+)*", call.event)] == []


def test_a_name_has_one_meaning() -> None:
    """Wherever an event is logged it means the same for the data, at the same level, and asks for the same."""
    seen: dict[str, set[tuple[str | None, str | None, tuple[str, ...]]]] = defaultdict(set)
    for call in CALLS:
        if name_of(call) not in OWED:
            seen[call.event].add((call.meaning, call.todo, call.levels))
    assert {event: said for event, said in seen.items() if len(said) > 1} == {}


@pytest.mark.parametrize("name", sorted({name_of(call) for call in CALLS}))
def test_a_problem_says_what_it_means_and_what_to_do(name: str) -> None:
    """Every warning and error says what it means for the data, and an error what somebody must do."""
    faults = {f"{call.place}:{call.line}": faults_of(call) for call in CALLS if name_of(call) == name}
    lacking = {place: each for place, each in faults.items() if each}
    if name in OWED:
        assert lacking or "(" in name, f"{name} keeps to the rules now: take it out of OWED"
    else:
        assert lacking == {}


def test_what_is_owed_exists() -> None:
    """No name stands in OWED that is not logged any more."""
    assert {name_of(call) for call in CALLS} >= OWED


def test_every_event_means_something() -> None:
    """Its calls say so, or the catalogue; never both."""
    for call in CALLS:
        at_run_time = call.meaning is not None and re.fullmatch(r"\{\w+\}", call.meaning)
        assert call.event in MEANINGS or (call.meaning and not at_run_time), f"{call.event} has no meaning"
        assert call.event not in MEANINGS or not call.meaning or at_run_time, f"{call.event} has two meanings"
    assert MEANINGS.keys() <= {call.event for call in CALLS}


def test_the_catalogue_sees_every_log_call() -> None:
    """No module logs in a way that the catalogue cannot see: each `log.error` in the code is one of its calls."""
    pattern = re.compile(r"log(?:ger)?(?:\(.*?\))?\.(?:debug|info|warning|error|exception|critical)\b")
    for path in sorted(logs_catalogue.SOURCES.rglob("*.py")):
        place = path.relative_to(logs_catalogue.SOURCES).as_posix()
        seen = sum(len(call.levels) for call in CALLS if call.place == place)
        code = ast.unparse(_without_docstrings(ast.parse(path.read_text())))
        assert len(pattern.findall(code)) == seen, place


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(None)
    return tree
