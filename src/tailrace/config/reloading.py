"""What another configuration changes in a process that runs: at once, with a restart only, or not at all. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from tailrace.config.settings import KEYS, LIVE, Settings
from tailrace.config.sources import SourceSettings

_HIDDEN = frozenset(("mongodb_uri", "mongodb_uri_file"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """`settings`: what holds afterwards: the new value where it can change live, else the old one.

    `changed`, `left`: a sentence each, without secrets; `left` needs a restart. `added`, `removed`: sources.
    """

    settings: Settings
    changed: tuple[str, ...]
    left: tuple[str, ...]
    added: tuple[SourceSettings, ...]
    removed: tuple[SourceSettings, ...]


def name_of(source: SourceSettings) -> str:
    """`source -> database.collection`: what a source is known by, in figures and messages."""
    return f"{source.source} -> {source.namespace}"


def changes(now: Settings, then: Settings) -> Changes:
    """From the settings that hold to those that were loaded."""
    running = {name_of(source): source for source in now.sources}
    wanted = {name_of(source): source for source in then.sources}
    changed, left = [], []
    live: dict[str, object] = {}
    for name in KEYS:
        if KEYS[name].per_source or getattr(now, name) == getattr(then, name):
            continue
        words = _words(name, now, then)
        if name in LIVE:
            changed.append(words)
            live[name] = getattr(then, name)
        else:
            left.append(f"{words} needs a restart")
    for name in running.keys() & wanted.keys():
        left += [f"{name}, {words} needs a restart" for words in _differences(running[name], wanted[name])]
    added, removed = _without(wanted, running), _without(running, wanted)
    changed += [f"source {name_of(source)} added" for source in added]
    changed += [f"source {name_of(source)} removed" for source in removed]
    live["sources"] = tuple(running.get(name, source) for name, source in wanted.items())
    return Changes(
        settings=now.model_copy(update=live), changed=tuple(changed), left=tuple(left), added=added, removed=removed
    )


def _without(some: Mapping[str, SourceSettings], others: Mapping[str, SourceSettings]) -> tuple[SourceSettings, ...]:
    return tuple(source for name, source in some.items() if name not in others)


def _differences(one: SourceSettings, other: SourceSettings) -> list[str]:
    names = SourceSettings.model_fields
    return [_words(name, one, other) for name in names if getattr(one, name) != getattr(other, name)]


def _words(name: str, one: BaseModel, other: BaseModel) -> str:
    if name in _HIDDEN:
        return f"{name}: another value"
    return f"{name}: {_shown(name, one)} -> {_shown(name, other)}"


def _shown(name: str, model: BaseModel) -> str:
    value = getattr(model, name)
    return "(not set)" if value is None and name != "http" else KEYS[name].rule.show(value)
