"""What a reload came to, in sentences, for whoever asked for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class NotStarted:
    """Of an added source that did not start: why not, and whether that is a problem."""

    sentence: str
    wrong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """`refused`: nothing has changed, and `problems` say why. `problems` of one that was not refused: sources that were
    to be added and did not start. `broken_off`: what a stop, or the next reload, came before; nothing is wrong with it.
    `failed`: of a defect, which is the problem; some of it may be in force.
    """

    changed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    broken_off: tuple[str, ...] = ()
    refused: bool = False
    failed: bool = False

    @classmethod
    def of(cls, changed: tuple[str, ...], left: tuple[str, ...], not_started: Iterable[NotStarted]) -> Self:
        """Of one that was carried out."""
        sentences: dict[bool, list[str]] = {True: [], False: []}
        for each in not_started:
            sentences[each.wrong].append(each.sentence)
        return cls(changed=changed, left=left, problems=tuple(sentences[True]), broken_off=tuple(sentences[False]))
