"""One day's folder: which of its names are hour files, and what became of them since the last look.

Part of stage 1; `discovery` decides when a folder is looked at, this module how.
"""

from __future__ import annotations

import os
from collections.abc import Collection

import structlog

from tailrace.ingest.files.names import HourlyTree, hour_of, pattern_of, plain_path
from tailrace.ingest.lasting import Several
from tailrace.model import Compression, SourceFile

_NOTES_LIMIT = 1000  # kinds of foreign names to log, then silence

_log = structlog.get_logger(__name__)


class Notes:
    """What was said already: one line per kind of name and folder, not one per scan. `now`: monotonic seconds of this
    scan. `unread`: paths of the day folders that cannot be listed now, or hold files that cannot be looked at."""

    def __init__(self) -> None:
        self.now = 0.0
        self.unread = Several()
        self._said: set[tuple[str, str]] = set()

    def _first(self, folder: str, what: str) -> bool:
        if (folder, what) in self._said or len(self._said) >= _NOTES_LIMIT:
            return False
        self._said.add((folder, what))
        return True

    def foreign(self, folder: str, name: str) -> None:
        if self._first(folder, "name " + pattern_of(name)):
            _log.info("name_skipped", folder=folder, name=name, why="neither a day (YYYYMMDD) nor an hour (0 to 23)")

    def unfit(self, folder: str, name: str, why: str) -> None:
        if self._first(folder, "unfit " + name):
            _log.warning(
                "file_skipped",
                path=os.path.join(folder, name),
                folder=folder,
                name=name,
                why=why,
                meaning="nothing behind this name is read or stored; the hour is, once a plain file stands there",
            )

    def say_still(self) -> None:
        """At the end of a scan."""
        if standing := self.unread.still(self.now):
            _log.error(
                "folders_still_unreadable",
                folders=standing.count,
                path=standing.longest,
                for_s=standing.for_s,
                meaning="the unread lines in them are not stored yet; the other folders go on",
                todo="see the lines folder_unreadable and file_unreadable of each; path is the one that waits longest",
            )


class Found:
    """A scan's findings while they are collected."""

    def __init__(self) -> None:
        self.new_folders: set[str] = set()
        self.appeared: list[SourceFile] = []
        self.changed: list[SourceFile] = []
        self.vanished: list[SourceFile] = []

    def compare(self, old: SourceFile | None, new: SourceFile | None) -> None:
        if old is None and new is not None:
            self.appeared.append(new)
        elif old is not None and new is None:
            self.vanished.append(old)
        elif old is not None and new is not None and old != new:
            self.changed.append(new)


class DayFolder:
    """One day's folder. `files`: by plain path, as of the last look. `unlisted`: it is there, and its files could
    not be looked at: nothing follows from what is not in `files`. `day`: epoch seconds of its midnight."""

    def __init__(self, tree: HourlyTree, name: str, day: int, notes: Notes) -> None:
        self.path = os.path.join(tree.hourly, name)
        self.files: dict[str, SourceFile] = {}
        self.unlisted = False
        self.day = day
        self._tree = tree
        self._notes = notes
        self._failed: set[str] = set()  # plain paths that could not be looked at: tried again at every look
        self._inodes: dict[str, int] = {}  # of the accepted names, as listed: another one is another file

    def look(self, found: Found, wanted: Collection[str], *, everything: bool) -> None:
        """List it; `stat` what is new, what is among `wanted` (plain paths), or `everything`."""
        self.unlisted = False
        try:
            listed = self._list()
        except FileNotFoundError:
            listed = {}
            self._notes.unread.forget(self.path)
        except NotADirectoryError:
            self._notes.unfit(self._tree.hourly, os.path.basename(self.path), "not a folder")
            listed = {}
        except OSError as error:
            self.unlisted = True
            if self._notes.unread.met(self.path, self._notes.now):
                _log.error(
                    "folder_unreadable",
                    path=self.path,
                    why=error.strerror,
                    meaning="the unread lines of its files are not stored yet; the others go on, and this one is tried "
                    "again",
                    todo="give this user the right to list and enter it, or mend its disk",
                )
            return
        before, self.files = self.files, {}
        again, self._failed = self._failed, set()
        names: dict[str, list[str]] = {}
        for name in sorted(listed, key=_rank):
            names.setdefault(plain_path(name), []).append(name)
        for stem, candidates in names.items():
            key = f"{self.path}/{stem}"
            old = before.pop(key, None)
            checked = everything or key in wanted or key in again
            # More than one only beside an archive; the next one when the first has vanished since the listing.
            for name in candidates:
                same = old is not None and old.path.endswith("/" + name) and self._inodes.get(name) == listed[name]
                file = old if same and not checked else self._stat(name, old)
                if file is not None:
                    self.files[key] = file
                    break
            found.compare(old, self.files.get(key))
        found.vanished.extend(before.values())
        self._inodes = listed
        if not self.unlisted and (after := self._notes.unread.over(self.path, self._notes.now)) is not None:
            _log.info("folder_readable_again", path=self.path, after_s=after, left=len(self._notes.unread))

    def _list(self) -> dict[str, int]:
        """name -> inode of every acceptable name. HAZARD: a folder that was followed may have become a link since."""
        if os.path.islink(self.path) and not self._tree.holds(os.path.realpath(self.path)):
            name = os.path.basename(self.path)
            self._notes.unfit(self._tree.hourly, name, "a link that leads out of the root")
            return {}
        with os.scandir(self.path) as entries:
            return {entry.name: entry.inode() for entry in entries if self._fit(entry)}

    def _fit(self, entry: os.DirEntry[str]) -> bool:
        if hour_of(entry.name) is None:
            self._notes.foreign(self.path, entry.name)
            return False
        try:
            if entry.is_file(follow_symlinks=False):
                return True
        except OSError:  # a file system that lists names without types, and an error of the disk
            return True
        # os.path here, not the entry: a circular link raises there, and would take the whole folder with it.
        if not os.path.isfile(entry.path):
            self._notes.unfit(self.path, entry.name, "not a regular file")
            return False
        if not self._tree.holds(os.path.realpath(entry.path)):
            self._notes.unfit(self.path, entry.name, "a link that leads out of the root")
            return False
        return True

    def _stat(self, name: str, old: SourceFile | None) -> SourceFile | None:
        """As it is now; `old` itself when nothing changed; None when it is not there (any more)."""
        path = f"{self.path}/{name}"
        try:
            now = os.stat(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.unlisted = True
            self._failed.add(plain_path(path))
            if self._notes.unread.met(self.path, self._notes.now):  # one line a folder: they fail for one reason
                _log.error(
                    "file_unreadable",
                    path=path,
                    why=error.strerror,
                    meaning="its unread lines are not stored yet; the other files go on, and this one is tried again",
                    todo="give this user the right to read it, or mend the file or its disk",
                )
            return old
        if (
            old is not None
            and (old.size, old.mtime_ns, old.inode) == (now.st_size, now.st_mtime_ns, now.st_ino)
            and (old.device, old.path) == (now.st_dev, path)
        ):
            return old
        hour, compression = hour_of(name) or (0, Compression.NONE)
        return SourceFile(
            path=path,
            hour=self.day + 3600 * hour,
            compression=compression,
            device=now.st_dev,
            inode=now.st_ino,
            size=now.st_size,
            mtime_ns=now.st_mtime_ns,
            within=(self._tree.root, self._tree.hourly),
        )


def _rank(name: str) -> tuple[bool, str]:
    """The plain file before its archives: it is the one that grows, and an archive beside it may be in the making."""
    return "." in name, name
