"""Which files, and which hours of the ledger, are to be verified: hours, days, paths or the newest ones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tailrace.errors import ConfigurationError, UsageError
from tailrace.ingest.files.discovery import Discovery
from tailrace.ingest.files.names import day_of, hour_of, locate, plain_path
from tailrace.model import SourceFile

HOUR = 3600


def files_of(root: str, stream: str) -> tuple[str, list[SourceFile]]:
    """(its `hourly` folder, all hour files of a stream in order of hour). Raises ConfigurationError when there is no
    such tree, or a folder of it cannot be listed."""
    try:
        tree = locate(root, stream)
    except OSError as error:
        raise ConfigurationError(f"root: {error.filename} cannot be looked at: {error.strerror}") from None
    if tree is None:
        raise ConfigurationError(f"root: there is no {stream} stream below {root} to verify")
    _must_be_readable(tree.hourly)
    return tree.hourly, in_order(Discovery(tree).scan(0.0, full=True).files.values())


def _must_be_readable(hourly: str) -> None:
    """Nothing can be proven of a folder that cannot be listed: ConfigurationError."""
    try:
        days = [os.path.join(hourly, name) for name in os.listdir(hourly) if day_of(name) is not None]
        for path in days:
            if os.path.isdir(path):
                os.listdir(path)
    except FileNotFoundError:
        pass  # pruned meanwhile
    except OSError as error:
        raise ConfigurationError(
            f"root: {error.filename} cannot be listed ({error.strerror}): give this user the right to read it"
        ) from None


def in_order(files: Iterable[SourceFile]) -> list[SourceFile]:
    return sorted(files, key=lambda file: (file.hour, file.path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What was asked for. `words`: hours, days and paths as given, none for all; `since`: no hour before this one."""

    words: tuple[str, ...] = ()
    since: int | None = None

    @property
    def everything(self) -> bool:
        return not self.words and self.since is None

    def holds(self, hour: int, path: str) -> bool:
        return self._late_enough(hour) and (not self.words or any(matches(word, hour, path) for word in self.words))

    def holds_hour(self, hour: int) -> bool:
        """By its time alone: paths say nothing of an hour without a file."""
        spans = [hours_of(word) for word in self.words]
        named = any(span is not None and span[0] <= hour < span[1] for span in spans)
        return self._late_enough(hour) and (not self.words or named)

    def spans(self, hours: Iterable[int]) -> Iterator[tuple[int, int]]:
        """`[from, to)`, not in order: what the words say, and `hours`: those of what paths selected."""
        since = self.since or 0
        for span in [(since, 1 << 32)] if not self.words else filter(None, map(hours_of, self.words)):
            if since < span[1]:
                yield max(since, span[0]), span[1]
        if self.words:
            yield from ((hour, hour + HOUR) for hour in hours)

    def _late_enough(self, hour: int) -> bool:
        return self.since is None or hour >= self.since


def scope_of(files: Sequence[SourceFile], words: Sequence[str], last: float | None) -> Scope:
    """`words`: `20250310/9`, `20250310`, or paths. `last`: seconds; the hours so long before the newest file's end."""
    newest = max((file.hour for file in files), default=0)
    return Scope(words=tuple(words), since=None if last is None else max(0, newest + HOUR - int(last)))


def select(
    files: Sequence[SourceFile], wanted: Sequence[str], last: float | None
) -> tuple[list[SourceFile], list[str]]:
    """(the selected files, the words of `wanted` that match none of them). Neither given: all.

    Raises UsageError for a word that is none of an hour, a day and a path.
    """
    newest = scope_of(files, (), last)
    files = [file for file in files if newest.holds(file.hour, file.path)]
    unmatched = [word for word in wanted if not any(matches(word, file.hour, file.path) for file in files)]
    scope = scope_of(files, wanted, None)
    return in_order(file for file in files if scope.holds(file.hour, file.path)), unmatched


def hours_of(word: str) -> tuple[int, int] | None:
    """`[from, to)` in epoch seconds of `20250310` or `20250310/9`; None for anything else. Pure."""
    day_name, slash, hour_name = word.rstrip("/").partition("/")
    day = day_of(day_name)
    if day is None:
        return None
    if not slash:
        return day, day + 86400
    hour = hour_of(hour_name)
    return None if hour is None else (day + HOUR * hour[0], day + HOUR * hour[0] + HOUR)


def matches(word: str, hour: int, path: str) -> bool:
    """Whether a word means this file, there or not. Raises UsageError for a word that can mean none."""
    span = hours_of(word)
    if span is not None:
        return span[0] <= hour < span[1]
    real = os.path.realpath(word)
    if plain_path(real) == plain_path(path) or path.startswith(real + "/"):
        return True
    if os.path.exists(word) or "/" in word:
        return False
    raise UsageError(f"{word!r} is not an hour (20250310/9), a day (20250310) or the path of a file or folder")


def label(path: str) -> str:
    """`20250310/9.gz`: how a file is called in reports."""
    return "/".join(Path(path).parts[-2:])
