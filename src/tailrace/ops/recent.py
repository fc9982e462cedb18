"""The latest problems, as the log said them: for people who look at a page and not at a log.

What is said again, of the same source and as loud, is counted and moves to the front: problems that take turns push no
other out.
Written by whoever logs, read by any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

_KEPT = 50
_GOOD_NEWS = frozenset(("mongodb_back", "mongodb_not_asked", "live", "reloaded", "checkpoints_saved_again"))
"""Events of level info that end a problem, or that people wait for; besides, all whose names end in `_again`."""

_SAYING = ("what", "error", "why", "note", "reasons", "path", "file", "collections", "bytes")
"""Fields that say what happened, in the order in which a sentence holds them; then `meaning` and `todo`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """`at`: epoch seconds, the last time. `level`: info, warning or error. `source`: empty when it concerns all."""

    at: float
    level: str
    event: str
    source: str
    sentence: str
    count: int = 1


class Recent:
    """The newest problems."""

    def __init__(self) -> None:
        self._problems: dict[tuple[str, str, str], Problem] = {}  # by event, source and level, the newest last
        self._lock = threading.Lock()

    def note(self, event: Mapping[str, object], level: str) -> None:
        """`event`: a log event, redacted. What is neither a problem nor the end of one is passed over."""
        name = str(event.get("event", ""))
        if level not in ("warning", "error") and not (name in _GOOD_NEWS or name.endswith("_again")):
            return
        problem = Problem(
            at=time.time(),
            level=level,
            event=name,
            source=str(event.get("source", "")),
            sentence=sentence(event),
        )
        with self._lock:
            key = (problem.event, problem.source, problem.level)
            before = self._problems.pop(key, None)
            self._problems[key] = problem if before is None else replace(problem, count=before.count + 1)
            if len(self._problems) > _KEPT:
                del self._problems[next(iter(self._problems))]

    def newest(self) -> list[Problem]:
        """Newest first."""
        with self._lock:
            return list(reversed(self._problems.values()))


def sentence(event: Mapping[str, object]) -> str:
    """What happened, what it means, what to do. Pure."""
    said = [_value(event[key]) for key in _SAYING if event.get(key) not in (None, "")]
    after = [str(event[key]) for key in ("meaning", "todo") if event.get(key)]
    name = str(event.get("event", "")).replace("_", " ")
    return "; ".join([": ".join([name, ", ".join(said)]) if said else name, *after])


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {count}" for key, count in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:,} bytes" if isinstance(value, int) else str(value)
