"""The tree: is the stream there, can it be read, which hours does it hold. Looks at names and `stat`, opens nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import pairwise

from tailrace.commands.doctor.finding import Finding, Subject, fine, listed, note, problem
from tailrace.config import SourceSettings
from tailrace.ingest.files.discovery import Discovery
from tailrace.ingest.files.names import (
    HourlyTree,
    candidates,
    day_of,
    hour_of,
    locate,
    pattern_of,
    plain_path,
    streams_in,
)
from tailrace.model import SourceFile
from tailrace.words import size_words

_HOUR = 3600  # seconds
_RIGHTS = "give the user that runs tailrace the right to read it (and to enter its folder)"


@dataclass(slots=True)
class Seen:
    """What was found of one source's tree. `files`: by hour, readable or not. `tree`: None when there is none.

    `directory`: the stream's, links resolved as far as it exists, as the local state has it; empty where it could not
    be looked at. HAZARD: whoever resolves it again may hang on a dead mount.
    """

    findings: list[Finding] = field(default_factory=list)
    files: tuple[SourceFile, ...] = ()
    tree: HourlyTree | None = None
    directory: str = ""

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.files)


def look(source: SourceSettings) -> Seen:
    """Everything but what is in the files. Raises nothing that a tree can do."""
    root = str(source.directory)
    try:
        tree = locate(root, source.stream)
    except OSError as error:
        return Seen([problem(Subject.ROOT, f"{root} cannot be looked at: {error.strerror}", _root_remedy(source))])
    if tree is None:
        return Seen([_absent(source)], directory=next(candidates(root, source.stream)).directory)
    directory = tree.directory
    scan = Discovery(tree).scan(0.0, full=True)
    if not scan.present:
        return Seen(
            [problem(Subject.ROOT, f"{tree.hourly} cannot be listed: none of its lines is stored", _RIGHTS)],
            directory=directory,
        )
    files = tuple(sorted(scan.files.values(), key=lambda file: (file.hour, file.path)))
    seen = Seen([fine(Subject.ROOT, f"{tree.hourly}")], files, tree, directory)
    seen.findings += _unreadable(list(scan.unlisted.values()), files)
    seen.findings += of_hours(files, unlisted=bool(scan.unlisted))
    seen.findings += _other_names(tree, files, set(scan.unlisted.values()))
    return seen


def _root_remedy(source: SourceSettings) -> str:
    return f"let the user that runs tailrace enter every folder of {source.root}, or correct root"


def _absent(source: SourceSettings) -> Finding:
    root, stream = str(source.root), source.stream
    if not os.path.isdir(root):
        what = "is not a folder" if os.path.lexists(root) else "does not exist yet"
        return note(
            Subject.ROOT, f"{root} {what}: run would wait for it", "nothing if it is still to come; else set root"
        )
    sentence = f"no {stream} below {root} yet: run would wait for it"
    try:
        there = streams_in(root)
    except OSError as error:
        return note(Subject.ROOT, f"{sentence} ({root} cannot be listed: {error.strerror})", _root_remedy(source))
    if not there:
        return note(Subject.ROOT, f"{sentence}; no other stream is there", "nothing if it is to come; else set root")
    near = get_close_matches(stream, there, n=1, cutoff=0.5)
    return note(
        Subject.ROOT,
        f"{sentence}; there are {listed(there, 10)}",
        f"set stream to the one that is meant{f' (did you mean {near[0]}?)' if near else ''}, or wait for {stream}",
    )


def _unreadable(folders: list[str], files: Iterable[SourceFile]) -> Iterator[Finding]:
    if folders:
        sentence = f"{listed(sorted(folders))} cannot be listed or entered: its lines are not stored"
        yield problem(Subject.ROOT, sentence, "give the user that runs tailrace the right to read and enter it")
    locked = [file.path for file in files if not os.access(file.path, os.R_OK)]
    if locked:
        sentence = f"{listed(locked)} cannot be read by this user: its lines are not stored"
        yield problem(Subject.ROOT, sentence, _RIGHTS)


def of_hours(files: Sequence[SourceFile], *, unlisted: bool) -> Iterator[Finding]:
    """How many, from when to when, and which hours between are missing. Pure. `unlisted`: not all were seen."""
    if not files:
        if not unlisted:
            yield note(Subject.HOURS, "no hour file yet: run would wait for one", "nothing if the node has just begun")
        return
    size = size_words(sum(file.size for file in files))
    span = f"{hour_name(files[0].hour)} to {hour_name(files[-1].hour)}"
    yield fine(Subject.HOURS, f"{len(files)} hour files, {size}, {span} (UTC)")
    missing = holes(sorted({file.hour for file in files}))
    if missing and not unlisted:
        hours = sum((last - first) // _HOUR + 1 for first, last in missing)
        names = [
            hour_name(first) + (f" to {hour_name(last)}" if last > first else "") for first, last in reversed(missing)
        ]
        yield note(
            Subject.HOURS,
            f"{hours} {'hour' if hours == 1 else 'hours'} between them without a file: {listed(names)}",
            "look whether the node was down then; if the files are elsewhere, put them back: they are read at once",
        )


def holes(hours: Sequence[int]) -> list[tuple[int, int]]:
    """(first, last) of each stretch of hours that is missing between these, in epoch seconds. Pure."""
    return [(a + _HOUR, b - _HOUR) for a, b in pairwise(hours) if b - a > _HOUR]


def hour_name(hour: int) -> str:
    """As the tree has it: `20250310/9`."""
    moment = datetime.fromtimestamp(hour, UTC)
    return f"{moment:%Y%m%d}/{moment.hour}"


def _other_names(tree: HourlyTree, files: Iterable[SourceFile], unlisted: set[str]) -> Iterator[Finding]:
    """Names that are skipped, one of each kind; and such as an hour's that are none."""
    known = {plain_path(file.path) for file in files}
    foreign: dict[str, str] = {}
    unfit: list[str] = []
    for day in _names(tree.hourly):
        folder = os.path.join(tree.hourly, day)
        if day_of(day) is None:
            foreign.setdefault(pattern_of(day), day)
        elif not os.path.isdir(folder):
            unfit.append(folder)
        elif folder not in unlisted:
            for name in _names(folder):
                path = os.path.join(folder, name)
                if hour_of(name) is None:
                    foreign.setdefault(pattern_of(name), f"{day}/{name}")
                elif plain_path(path) not in known and os.path.lexists(path):
                    unfit.append(path)
    if foreign:
        yield note(
            Subject.NAMES,
            f"skipped, neither a day (YYYYMMDD) nor an hour (0 to 23): {listed(sorted(foreign.values()))}",
            "nothing, unless they hold lines: then name them like an hour, packed ones with .gz, .zst or .lz4",
        )
    if unfit:
        yield note(
            Subject.NAMES,
            f"{listed(sorted(unfit))} is skipped: no regular file or folder, or a link that leads out of the root",
            "put the file itself there, or set root so that it holds what the link leads to",
        )


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # gone, or said to be unlisted
        return []
