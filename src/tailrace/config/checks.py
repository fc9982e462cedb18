"""What no single key shows: sources that would get into each other's way, and a weak write concern. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from tailrace.config.merge import Layer
from tailrace.config.settings import KEYS, Settings
from tailrace.config.sources import SourceSettings

_AGREED = ("identity", "numbers", "clustered", "user_index")
"""What is true of a collection as a whole, so that all its sources must say the same."""


def between_sources(sources: Mapping[str, SourceSettings]) -> list[str]:
    """Problems between any two of them; keys are how they are called in the file."""
    return [
        problem
        for (one, a), (two, b) in combinations(sources.items(), 2)
        if a.namespace == b.namespace
        for problem in _in_one_collection(one, a, two, b)
    ]


def _in_one_collection(one: str, a: SourceSettings, two: str, b: SourceSettings) -> list[str]:
    both = f"{one} and {two} write to {a.namespace}"
    problems = [
        f"{both} but differ in {name}: {KEYS[name].rule.show(getattr(a, name))} and "
        f"{KEYS[name].rule.show(getattr(b, name))}; set it to one value."
        for name in _AGREED
        if getattr(a, name) != getattr(b, name)
    ]
    if a.source == b.source:
        problems.append(f'{both} under one name: set source in one of them to a name other than "{a.source}".')
    elif a.root is not None and (a.root, a.stream) == (b.root, b.stream):
        problems.append(f"{both} and read the same files ({a.stream} of {a.root}): remove one of the two.")
    return problems


def of_write_concern(settings: Settings, layer: Layer) -> list[str]:
    """A warning for what survives a kill but not a failover."""
    concern = settings.write_concern
    if concern.w == "majority":
        return []
    about = f'write_concern = "{concern}" (from {layer["write_concern"].where})'
    return [f"{about} lets a failover roll back acknowledged documents: set it to majority, or accept that."]
