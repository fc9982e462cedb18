"""Stage 1: a tree -> what appeared, changed and vanished in it, scan by scan.

Every scan lists the hourly folder and looks at what is likely to be new: the newest day folders, the newest hours,
what the caller marks as unfinished, what a hint names. All the rest takes turns, a few folders per scan, so that each
is looked at once a minute: months of finished files cost next to nothing, and never all at once. Hints make it
earlier, nothing else.

Time is an argument (monotonic seconds). No stamp of the file system decides what is looked at, so that a change in
the same tick as a look cannot hide.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import structlog

from tailrace.ingest.files.day_folder import DayFolder, Found, Notes
from tailrace.ingest.files.names import HourlyTree, day_of, plain_path
from tailrace.ingest.lasting import Lasting
from tailrace.model import SourceFile

ROUND_S = 60.0
"""Seconds in which every folder is listed and every file's `stat` compared: late writes to a sealed hour are found."""

_HOT_HOURS = 2  # the next hour's file may exist, even empty, before the last line of the previous one is complete
_HOT_FOLDERS = 2  # the same at midnight; and an hour's file has come 59 minutes late

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What one scan found; the tuples are in order of hour.

    A source file is known by its plain path (`names.plain_path`): `9` that became `9.gz` has changed, not vanished, and
    while both exist `9` counts. `files` is a live view of all that is present, by plain path. `present`: the hourly
    folder was there and could be listed; while it cannot, nothing is said to have vanished. `locked`: its path when it
    is there and only an operator can make it listable, nothing when it is not there. `unlisted`: day (epoch seconds of
    its midnight) -> path of the day folders that are there and cannot be listed, the same of them.
    """

    appeared: tuple[SourceFile, ...]
    changed: tuple[SourceFile, ...]
    vanished: tuple[SourceFile, ...]
    files: Mapping[str, SourceFile]
    present: bool
    locked: list[str] = field(default_factory=list)
    unlisted: Mapping[int, str] = field(default_factory=dict)


class Discovery:
    """Scans one stream's tree. Not thread-safe.

    Invariant: the tuples of all scans, applied in order to an empty mapping, give `files`. Never raises for what a tree
    can do (names that vanish under us, no permission, circular links): what cannot be looked at stays as it was, is
    warned about once, and is tried again.
    """

    def __init__(self, tree: HourlyTree) -> None:
        self.tree = tree
        self._notes = Notes()
        self._absent = Lasting()
        self._locked: list[str] = []
        self._folders: dict[str, DayFolder] = {}  # by name, in order of day
        self._files: dict[str, SourceFile] = {}
        self._marked: frozenset[str] = frozenset()
        self._waiting: list[str] = []  # folders that still have their turn in this round
        self._owed = 0.0
        self._last: float | None = None

    def mark_hot(self, paths: Iterable[str]) -> None:
        """From now on every scan looks at these files (open, unfinished), and no longer at those marked before."""
        self._marked = frozenset(plain_path(path) for path in paths)

    @property
    def hot_folders(self) -> list[str]:
        """Paths of the day folders that every scan lists, newest first: each is worth a kernel watch."""
        names = [*reversed(self._folders)][:_HOT_FOLDERS]
        marked = sorted(self._names_of(self._marked) & self._folders.keys(), reverse=True)
        return [self._folders[name].path for name in dict.fromkeys([*names, *marked])]

    def scan(self, now: float, *, full: bool = False, hinted: Collection[str] = ()) -> Scan:
        """`full`: look at everything now. `hinted`: paths of files or folders that a hint named."""
        found = Found()
        self._notes.now = now
        present = self._list_days(found)
        if present:
            due = set(self._folders) if full else self._due(now)
            newest = [*reversed(self._folders)][:_HOT_FOLDERS]
            wanted = self._hot_files(newest).union(self._marked, map(plain_path, hinted))
            locked = [name for name, folder in self._folders.items() if folder.unlisted]
            for name in {*due, *newest, *locked, *found.new_folders, *self._names_of(wanted)} & self._folders.keys():
                folder = self._folders[name]
                folder.look(found, wanted, everything=name in due or folder.path in wanted)
        self._notes.say_still()
        unlisted = {folder.day: folder.path for folder in self._folders.values() if folder.unlisted}
        scan = _applied(found, self._files, present, unlisted)
        return scan if present else replace(scan, locked=self._locked)

    def _hot_files(self, newest: list[str]) -> set[str]:
        """Plain paths of the files of the newest hours."""
        files = [file for name in newest for file in self._folders[name].files.values()]
        hours = sorted({file.hour for file in files})[-_HOT_HOURS:]
        return {plain_path(file.path) for file in files if file.hour in hours}

    def _names_of(self, paths: Iterable[str]) -> set[str]:
        """Names of the day folders that these paths are, or lie in."""
        top = self.tree.hourly + "/"
        return {path[len(top) :].split("/", 1)[0] for path in paths if path.startswith(top)}

    def _due(self, now: float) -> set[str]:
        """Whose turn it is, so that a round over all folders takes `ROUND_S` however often we scan."""
        elapsed = ROUND_S if self._last is None else now - self._last
        self._last = now
        count = len(self._folders)
        self._owed = min(self._owed + count * elapsed / ROUND_S, float(count))
        due: set[str] = set()
        while self._owed >= 1.0:
            self._owed -= 1.0
            self._waiting = self._waiting or list(self._folders)
            due.add(self._waiting.pop())
        return due

    def _list_days(self, found: Found) -> bool:
        top = self.tree.hourly
        try:
            names = set(os.listdir(top))
        except OSError as error:
            now = self._notes.now
            self._locked = [] if isinstance(error, FileNotFoundError | NotADirectoryError) else [top]  # as in `locate`
            if self._absent.met(now):
                _log.warning(
                    "tree_absent",
                    path=top,
                    error=error.strerror,
                    for_s=self._absent.for_s(now),
                    meaning="nothing is said to be lost: files that are open are read to their end, the others once it "
                    "is back",
                    todo="mount it again, or give this user the right to list it",
                )
            self._last = None  # once it is back everything is looked at
            return False
        if (after := self._absent.over(self._notes.now)) is not None:
            _log.info("tree_back", path=top, after_s=after, meaning="all of it is looked at, and what is new is read")
        new = {name: day for name in names - self._folders.keys() if (day := self._day(name)) is not None}
        for name in self._folders.keys() - names:
            gone = self._folders.pop(name)
            self._notes.unread.forget(gone.path)
            found.vanished.extend(gone.files.values())
        if new:
            for name, day in new.items():
                self._folders[name] = DayFolder(self.tree, name, day, self._notes)
            found.new_folders.update(new)
            self._folders = dict(sorted(self._folders.items()))  # YYYYMMDD sorts as it counts
        return True

    def _day(self, name: str) -> int | None:
        top = self.tree.hourly
        path = os.path.join(top, name)
        day = day_of(name)
        if day is None:
            self._notes.foreign(top, name)
            return None
        if not os.path.isdir(path):
            if os.path.lexists(path):
                self._notes.unfit(top, name, "not a folder")
            return None
        if os.path.islink(path) and not self.tree.holds(os.path.realpath(path)):
            self._notes.unfit(top, name, "a link that leads out of the root")
            return None
        return day


def _applied(found: Found, files: dict[str, SourceFile], present: bool, unlisted: Mapping[int, str]) -> Scan:
    """Bring `files` up to date."""
    for file in found.vanished:
        del files[plain_path(file.path)]
    for file in (*found.appeared, *found.changed):
        files[plain_path(file.path)] = file
    return Scan(
        appeared=_ordered(found.appeared),
        changed=_ordered(found.changed),
        vanished=_ordered(found.vanished),
        files=MappingProxyType(files),
        present=present,
        unlisted=unlisted,
    )


def _ordered(files: list[SourceFile]) -> tuple[SourceFile, ...]:
    return tuple(sorted(files, key=lambda file: (file.hour, file.path)))
