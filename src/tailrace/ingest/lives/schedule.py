"""Which file is read next. Pure.

The oldest backlog is nearest to being pruned, the newest hour is what people wait for. Both move: turns
alternate between the newest hour and the oldest file that has something to read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Readable(Protocol):
    @property
    def hour(self) -> int: ...
    @property
    def has_work(self) -> bool: ...


F = TypeVar("F", bound=Readable)


def choose(files: Iterable[F], turn: int) -> F | None:
    """The file to read next, None when none has work.

    `turn` counts the picks of this source: even turns go to the newest hour, odd ones to the oldest, so a
    backlog of any size takes at most every second turn from the live head.
    """
    ready = [file for file in files if file.has_work]
    if not ready:
        return None
    ready.sort(key=lambda file: file.hour)
    return ready[-1] if turn % 2 == 0 else ready[0]
