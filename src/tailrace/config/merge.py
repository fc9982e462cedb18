"""Defaults < file < environment < flags, remembering where each value came from. Checks names, not values.

A variable or a flag wins over the file also inside its `[[sources]]` tables. Only root, stream, source and collection,
which tell the tables apart, cannot be overridden in several tables at once: that is a problem, never a silent choice.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tailrace.config.rules import Switch
from tailrace.config.settings import KEYS

CONFIG_VARIABLE = "TAILRACE_CONFIG"
NO_DIRECTORY = "is relative to the working directory, which was removed: give the whole path"
_PREFIX = "TAILRACE_"
_NOT_SETTINGS = (CONFIG_VARIABLE, "TAILRACE_TEST_")
_TELLING_APART = frozenset(("root", "stream", "source", "collection"))
_SERVICE_LINK = re.compile(r"TAILRACE_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)?)", re.ASCII)
"""What Kubernetes puts into every container when a service is called tailrace: nobody's setting."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value as given, where it was set (words for an operator), and what relative paths in it start from: relative
    itself where the working directory is gone."""

    given: object = field(repr=False)  # may be a secret
    where: str
    base: Path


Layer = dict[str, Value]


@dataclass(slots=True)
class Merged:
    """All layers as one: `top` holds the process-wide keys, each of `sources` the keys of one source.

    `tables` is the number of `[[sources]]` tables: 0 means that the top level is the one source.
    """

    top: Layer = field(default_factory=dict)
    sources: list[Layer] = field(default_factory=list)
    tables: int = 0
    file: Path | None = None
    base: Path = field(default_factory=lambda: _absolute("."))
    problems: list[str] = field(default_factory=list)


def merge(flags: Mapping[str, str], environ: Mapping[str, str], config_path: str | None) -> Merged:
    """Reads the file named by `config_path`, else by TAILRACE_CONFIG, and lays the others over it."""
    merged = Merged()
    top: Layer = {}
    tables: list[Layer] = []
    named = config_path or environ.get(CONFIG_VARIABLE)
    if named:
        merged.file = _absolute(named)
        top, tables = _from_file(named, "--config" if config_path else CONFIG_VARIABLE, merged.problems)
    over = _from_environment(environ, merged.base, merged.problems)
    for name, text in flags.items():
        off = text == "false" and isinstance(KEYS[name].rule, Switch)
        over[name] = Value(text, f"--no-{KEYS[name].flag[2:]}" if off else KEYS[name].flag, merged.base)
    if len(tables) > 1:
        _refuse_levelling(over, tables, merged.problems)
    both = {**top, **over}
    merged.top = {name: value for name, value in both.items() if not KEYS[name].per_source}
    shared = {name: value for name, value in both.items() if KEYS[name].per_source}
    merged.sources = [{**shared, **table, **_of_source(over)} for table in tables] or [shared]
    merged.tables = len(tables)
    return merged


def _absolute(path: str) -> Path:
    """HAZARD: the working directory of a process may be removed while it runs; only what is relative needs it."""
    try:
        return Path(path).absolute()
    except OSError:
        return Path(path)


def _of_source(layer: Layer) -> Layer:
    return {name: value for name, value in layer.items() if KEYS[name].per_source}


def _refuse_levelling(over: Layer, tables: list[Layer], problems: list[str]) -> None:
    for name in sorted(_TELLING_APART & over.keys()):
        hidden = next((table[name] for table in tables if name in table), None)
        if hidden is not None:
            problems.append(
                f"{name} (from {over[name].where}) would replace what tells {len(tables)} [[sources]] apart "
                f"({hidden.where}): remove one of the two."
            )


def _from_environment(environ: Mapping[str, str], base: Path, problems: list[str]) -> Layer:
    """An empty variable counts as not set: that is how compose files and unit files leave one out."""
    known = {key.variable: name for name, key in KEYS.items()}
    layer: Layer = {}
    for variable in sorted(environ):
        if not variable.startswith(_PREFIX) or variable.startswith(_NOT_SETTINGS) or _SERVICE_LINK.fullmatch(variable):
            continue
        if variable not in known:
            problems.append(f"{variable} is not a known variable{_nearest(variable, [*known, CONFIG_VARIABLE])}")
        elif environ[variable]:
            layer[known[variable]] = Value(environ[variable], variable, base)
    return layer


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name.replace("-", "_"), list(known), n=1, cutoff=0.6)
    return f": did you mean {near[0]}?" if near else "; `tailrace run --help` lists all there are."


def _from_file(named: str, by: str, problems: list[str]) -> tuple[Layer, list[Layer]]:
    path = _absolute(named)
    text = ""
    if not path.is_absolute():
        problems.append(f"The configuration file {path} (from {by}) {NO_DIRECTORY}.")
        return {}, []
    try:
        text = path.read_bytes().decode()
        document = tomllib.loads(text)
    except OSError as error:
        problems.append(f"The configuration file {path} (from {by}) cannot be read: {error.strerror}.")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problems.append(f"{path}, line {line}: not UTF-8.")
    except tomllib.TOMLDecodeError as error:
        problems.append(_toml_problem(path, text, str(error)))
    except (ValueError, RecursionError):  # what tomllib lets through: int() of over 4,300 digits, brackets without end
        problems.append(f"{path}: a number in it has thousands of digits, or its brackets nest hundreds deep.")
    else:
        return _from_document(path, document, problems)
    return {}, []


def _toml_problem(path: Path, text: str, message: str) -> str:
    """The message is `What is wrong (at line 3, column 9)` or `(at end of document)`; nothing of it is a value."""
    what, _, place = message.rstrip(")").rpartition(" (at ")
    if place == "end of document":
        lines = text.split("\n")
        place = f"line {len(lines)}, column {len(lines[-1]) + 1}"
    return f"{path}, {place}: not TOML: {what[:1].lower()}{what[1:]}."


def _from_document(path: Path, document: dict[str, Any], problems: list[str]) -> tuple[Layer, list[Layer]]:
    tables = document.pop("sources", [])
    if isinstance(document.get("source"), list):
        problems.append(f"{path}: [[source]] is not a table of a source: write [[sources]].")
        tables = document.pop("source")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append(f"{path}: sources must be tables: write [[sources]] above the keys of each.")
        tables = []
    top = _layer(path, "", document, problems)
    return top, [_layer(path, f"[[sources]] {n}, ", table, problems) for n, table in enumerate(tables, 1)]


def _layer(path: Path, place: str, table: dict[str, Any], problems: list[str]) -> Layer:
    layer: Layer = {}
    known = [name for name, key in KEYS.items() if key.per_source or not place]
    for name, value in table.items():
        if name in known:
            layer[name] = Value(value, f"{path}: {place}{name}", path.parent)
        elif name in KEYS:
            problems.append(f"{path}: {place}{name} is not a key of a source: write it above the first [[sources]].")
        else:
            problems.append(f"{path}: {place}{name} is not a known key{_nearest(name, known)}")
    return layer
