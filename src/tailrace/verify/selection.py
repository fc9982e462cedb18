"""Which files are to be verified: hours, days, paths or the newest ones, of those that a tree holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from tailrace.errors import ConfigurationError, UsageError
from tailrace.ingest.files.discovery import Discovery
from tailrace.ingest.files.names import day_of, hour_of, locate, plain_path
from tailrace.model import SourceFile


def files_of(root: str, stream: str) -> list[SourceFile]:
    """All hour files of a stream, in order of hour. Raises ConfigurationError when there is no such tree."""
    try:
        tree = locate(root, stream)
    except OSError as error:
        raise ConfigurationError(f"root: {error.filename} cannot be looked at: {error.strerror}") from None
    if tree is None:
        raise ConfigurationError(f"root: there is no {stream} stream below {root} to verify")
    _must_be_readable(tree.hourly)
    return in_order(Discovery(tree).scan(0.0, full=True).files.values())


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


def select(
    files: Sequence[SourceFile], wanted: Sequence[str], last: float | None
) -> tuple[list[SourceFile], list[str]]:
    """(the selected files, the words of `wanted` that match none of them). Neither given: all.

    `wanted`: `20250310/9`, `20250310`, or paths. `last`: seconds; the hours of so long before the newest file's end.
    Raises UsageError for a word that is none of these.
    """
    newest = max((file.hour for file in files), default=0)
    chosen = list(files) if last is None else [file for file in files if newest + 3600 - file.hour <= last]
    if not wanted:
        return chosen, []
    found: dict[str, SourceFile] = {}
    unmatched = []
    for word in wanted:
        matching = [file for file in chosen if _matches(word, file)]
        found.update({file.path: file for file in matching})
        if not matching:
            unmatched.append(word)
    return in_order(found.values()), unmatched


def hours_of(word: str) -> tuple[int, int] | None:
    """`[from, to)` in epoch seconds of `20250310` or `20250310/9`; None for anything else. Pure."""
    day_name, slash, hour_name = word.rstrip("/").partition("/")
    day = day_of(day_name)
    if day is None:
        return None
    if not slash:
        return day, day + 86400
    hour = hour_of(hour_name)
    return None if hour is None else (day + 3600 * hour[0], day + 3600 * hour[0] + 3600)


def _matches(word: str, file: SourceFile) -> bool:
    span = hours_of(word)
    if span is not None:
        return span[0] <= file.hour < span[1]
    path = os.path.realpath(word)
    if plain_path(path) == plain_path(file.path) or file.path.startswith(path + "/"):
        return True
    if os.path.exists(word) or "/" in word:
        return False
    raise UsageError(f"{word!r} is not an hour (20250310/9), a day (20250310) or the path of a file or folder")


def label(path: str) -> str:
    """`20250310/9.gz`: how a file is called in reports."""
    return "/".join(Path(path).parts[-2:])
