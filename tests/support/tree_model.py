"""The truth about a tree: what was written to its files, what became of them, and what may therefore be missing.

Knows files and lines; of tailrace only what its reader was seen to do (`Witness`). Every line holds a serial number
of its own, so what is stored says by itself which line it is, and whether it was lost, doubled or moved.
"""

from __future__ import annotations

import gzip
import os
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Protocol

import zstandard

HOUR = 3600
SERIAL = re.compile(rb"[0-9]{6}")
PACK = {".gz": lambda data: gzip.compress(data, 1), ".zst": zstandard.ZstdCompressor(level=1).compress}


class Witness(Protocol):
    """What the truth has to know of the process: what it was given to read, and what it holds open."""

    @property
    def running(self) -> bool: ...

    def open_inodes(self) -> set[int]: ...

    def reached(self, inode: int) -> int | None:
        """The offset that reading has come to in this file; None: it is not followed."""

    def delivered(self, hour: int) -> list[bytes]:
        """The bytes that were delivered so far, of every life of this hour."""


@dataclass(eq=False)
class File:
    """One inode. `path` is None once no name in the tree leads to it. `content` is uncompressed, `seen` the size that a
    finished scan saw, `saved` the one that a checkpoint holds, `saved_offset` the offset in it, `had` the hours that it
    was in before."""

    hour: int
    path: Path | None
    content: bytes
    inode: int
    writer: FileIO | None = None
    extension: str = ""
    seen: int = 0
    saved: int = 0
    saved_offset: int = 0
    had: set[int] = field(default_factory=set)

    @property
    def whole(self) -> bytes:
        """What has its newline."""
        return self.content[: self.content.rfind(b"\n") + 1]


@dataclass
class Fate:
    """Of a line that is not in the tree any more. `tolled`: if it is lost, that must be reported, for a finished scan
    saw it; `recorded`: even after a crash, for a checkpoint held the size that the scan saw."""

    hour: int
    size: int
    tolled: bool
    recorded: bool


@dataclass
class Tree:
    """`files`: by name, what is in the tree. `away`: moved out of it, or unlinked with a writer. `lines`: by serial,
    every line that got its newline (a cut one may get another end). `places`: where each has ever stood. `lives`: how
    often it may be stored. `fates`: of lines that are gone, `at_risk`: of those that only an open descriptor has."""

    hourly: Path
    witness: Witness
    now_ns: int = 1_741_600_000_000_000_000
    serial: int = 100_000  # six digits: a part of one is none
    files: dict[Path, File] = field(default_factory=dict)
    away: list[File] = field(default_factory=list)
    lines: dict[int, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    places: dict[int, set[tuple[int, int]]] = field(default_factory=lambda: defaultdict(set))
    hours: dict[bytes, set[int]] = field(default_factory=lambda: defaultdict(set))
    recorded: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    moved: int = 0
    harm: int = 0  # how many times bytes were taken away since the last rest
    tangled: bool = False  # names and hours do not tell any more what was lost where
    copied: set[int] = field(default_factory=set)
    lives: dict[int, int] = field(default_factory=lambda: defaultdict(lambda: 1))
    fates: dict[int, Fate] = field(default_factory=dict)
    at_risk: dict[int, Fate] = field(default_factory=dict)
    gone_torn: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    # -- names ---------------------------------------------------------------------------------------------------

    def path_of(self, hour: int, form: str = "{}") -> Path:
        moment = datetime.fromtimestamp(hour, UTC)
        return self.hourly / moment.strftime("%Y%m%d") / form.format(moment.hour)

    def plain(self) -> list[File]:
        return [file for file in self.files.values() if not file.extension]

    def archives(self) -> list[File]:
        return [file for file in self.files.values() if file.extension]

    def visible(self) -> list[File]:
        """What counts: beside a plain file no archive does, and of two archives the first (Known limits)."""
        first: dict[Path, File] = {}
        for path, file in sorted(self.files.items()):
            first.setdefault(path.with_suffix(""), file)
        return list(first.values())

    def newest(self) -> int:
        return max((file.hour for file in self.files.values()), default=0)

    # -- lines ---------------------------------------------------------------------------------------------------

    def line(self, padding: int, *, bad: bool = False) -> bytes:
        """Without its newline. The padding repeats the serial: no two lines have a long stretch in common."""
        self.serial += 1
        pad = (f"{self.serial}é" * (padding // 2 + 1))[:padding]
        return (f"bad {self.serial} {pad}" if bad else f'{{"n":{self.serial},"p":"{pad}"}}').encode()

    def append(self, file: File, data: bytes) -> None:
        """The node writes; it keeps the file open, whatever its name becomes."""
        if file.writer is None:
            assert file.path is not None
            file.writer = file.path.open("ab", buffering=0)
        file.writer.write(data)
        file.content += data
        self._stamp(file.writer.fileno())
        self._register(file)

    def _register(self, file: File) -> None:
        """A file that is renamed to another hour keeps its ids: its lines stand in all the hours that it had."""
        offset = 0
        hours = self.hours[head_of(file)] if file.whole else set()
        hours |= {file.hour, *file.had}
        for line in file.whole.splitlines(keepends=True):
            number = serial_of(line)
            self.lines[number].add(line[:-1])
            self.places[number] |= {(hour, offset) for hour in hours}
            offset += len(line)

    def _stamp(self, target: int | Path) -> None:
        """Every change at a time of its own: the kernel's clock stands still for milliseconds, a node does not."""
        self.now_ns += 1_000_003
        os.utime(target, ns=(self.now_ns, self.now_ns))

    # -- files come ----------------------------------------------------------------------------------------------

    def make(self, path: Path, hour: int, content: bytes = b"", extension: str = "", *, atomic: bool = False) -> File:
        """A new inode under a free or taken name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        packed = PACK[extension](content) if extension else content
        if atomic:
            temporary = path.with_name("x.tmp")
            temporary.write_bytes(packed)
            self._stamp(temporary)
            temporary.rename(path)
        else:
            path.write_bytes(packed)
            self._stamp(path)
        file = File(hour, path, content, path.stat().st_ino, extension=extension)
        former = self.files.get(path)
        self.files[path] = file
        if former is not None:
            self.left(former)
        self.placed(file)
        for archive in [f for p, f in self.files.items() if f.extension and p.with_suffix("") == path]:
            self.gone_torn[hour] += len(archive.content) - len(archive.whole)  # not seen any more (Known limits)
        return file

    def placed(self, file: File) -> None:
        """A content stands there that nobody appended. When it does not go on from what was read of this hour under
        an equal head, or will be read from a file that is still open, it counts as rewritten, which docs/guarantees.md
        says under Known limits: its lines are stored once more, under the next life."""
        self.copied |= self.lines.keys() & set(serials(file.content))
        self._register(file)
        head = head_of(file)
        open_inodes = self.witness.open_inodes()
        read = self._read_of(file)
        read += [f.content for f in [*self.away, *self.files.values()] if f is not file and f.inode in open_inodes]
        read = [data for data in read if data.partition(b"\n")[0] == head]
        named = [f for f in self.plain() if f is not file and f.hour == file.hour and head_of(f) == head]
        if named or len(self.hours[head]) > 1 or any(not file.content.startswith(data) for data in read):
            self._once_more(file)

    def _read_of(self, file: File) -> list[bytes]:
        """What was delivered of the hours that this file, or one with its head, ever was in."""
        hours = {file.hour, *self.hours[head_of(file)]}
        return [data for hour in hours for data in self.witness.delivered(hour)]

    def _once_more(self, file: File) -> None:
        """Its lines may be stored once more."""
        for number in serials(file.content):
            self.lives[number] += 1

    # -- files go ------------------------------------------------------------------------------------------------

    def unlink(self, file: File) -> None:
        assert file.path is not None
        file.path.unlink()
        del self.files[file.path]
        self.left(file)

    def rename(self, file: File, path: Path, hour: int) -> None:
        assert file.path is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        file.path.rename(path)
        del self.files[file.path]
        self.tangled = self.tangled or hour != file.hour
        known = file.saved_offset or self.witness.reached(file.inode)
        if hour != file.hour and not known and any(data.startswith(head_of(file)) for data in self._read_of(file)):
            self._once_more(file)  # its bytes were read, and neither a checkpoint nor a follower knows this file
        if self.witness.reached(file.inode) is None:
            file.seen = file.saved  # waits without having been looked into: cut as well, it is another file to a scan
        others = [f for f in [*self.away, *self.files.values()] if f is not file and head_of(f) == head_of(file)]
        if {f.inode for f in others} & self.witness.open_inodes():
            self._once_more(file)  # a shorter copy waits under the former name, and may be read after this one
        file.had.add(file.hour)
        self.files[path], file.path, file.hour = file, path, hour
        self._register(file)

    def move_away(self, file: File) -> Path:
        assert file.path is not None
        self.moved += 1  # HAZARD: not how many are away now, which has come before: the name may still be taken
        path = self.hourly / f"away{self.moved}"
        file.path.rename(path)
        del self.files[file.path]
        self.left(file)
        return path

    def overwrite(self, file: File, content: bytes, look: Callable[[], None]) -> None:
        """In place, as `open(path, "w")` does it: the same inode with other bytes. `look`: a scan right after it.

        Whatever of this was seen and not read is lost, and has to be reported when it can be noticed: because bytes
        that were read are not there any more, or because a look finds the file shorter than it was.
        """
        assert file.path is not None
        former, kept, cut = file.content, set(serials(content)), serial_of(content[content.rfind(b"\n") + 1 :])
        same = next(
            (i for i, (a, b) in enumerate(zip(former, content, strict=False)) if a != b), min(len(former), len(content))
        )
        reached = self.witness.reached(file.inode) if self.witness.running else file.saved_offset
        with file.path.open("r+b") as out:
            out.truncate(same)
            out.seek(same)
            out.write(content[same:])
        self._stamp(file.path)
        file.content = content
        self.harm += 1
        noticed = reached is not None and same < reached
        offset = 0
        for line in former.splitlines(keepends=True):
            offset += len(line)
            if serial_of(line) == cut:
                self.gone_torn[file.hour] += len(line)  # a part of it is there, and may get another end
                self.lives[cut] += 1
            elif serial_of(line) not in kept:
                beyond = self.witness.running and offset - len(line) >= max(len(content), self.furthest(file.hour))
                self._destroyed(file, line, offset, self.fates, noticed=noticed or beyond)
        file.seen, file.saved = min(file.seen, same), min(file.saved, same)
        self.placed(file)
        look()

    def furthest(self, hour: int) -> int:
        """What was read, or recorded, of any file of this hour: below it nobody knows what a waiting file is."""
        return max([self.recorded[hour], *(len(data) for data in self.witness.delivered(hour))])

    def left(self, file: File) -> None:
        """No name in the tree leads to this file any more. What is held open is read to its end all the same."""
        self.harm += 1
        held = file.inode in self.witness.open_inodes() and not file.extension
        if file.extension and file.path is not None:  # of an archive that was never opened the size on disk is reported
            self.gone_torn[file.hour] += max(0, len(PACK[file.extension](file.content)) - len(file.whole))
        offset = 0
        for line in file.content.splitlines(keepends=True):
            offset += len(line)
            self._destroyed(file, line, offset, self.at_risk if held else self.fates, noticed=True)
        file.path = None
        self.away.append(file)

    def _destroyed(self, file: File, line: bytes, end: int, fates: dict[int, Fate], *, noticed: bool) -> None:
        if not line.endswith(b"\n"):
            self.gone_torn[file.hour] += len(line)
            return
        noticed = noticed and not file.extension
        self.at_risk.pop(serial_of(line), None)
        fates[serial_of(line)] = Fate(file.hour, len(line), noticed and end <= file.seen, noticed and end <= file.saved)

    def crashed(self) -> None:
        """Descriptors are gone: what was only there is lost. What no checkpoint knows of cannot be reported."""
        for number, fate in self.at_risk.items():
            self.fates.setdefault(number, fate)
        for fate in self.fates.values():
            fate.tolled = fate.tolled and fate.recorded
        self.at_risk.clear()
        for file in self.files.values():
            file.seen = file.saved

    def forget(self) -> None:
        """The state directory is lost, or older: no checkpoint knows what was there."""
        for fate in [*self.fates.values(), *self.at_risk.values()]:
            fate.recorded = fate.tolled = False
        for file in [*self.files.values(), *self.away]:
            file.saved = file.seen = file.saved_offset = 0
            if file.had:
                self._once_more(file)  # perhaps no path in the ledger leads to it either (decisions/0006)


def head_of(file: File) -> bytes:
    return file.content.partition(b"\n")[0]


def serial_of(line: bytes) -> int:
    found = SERIAL.search(line)
    return int(found[0]) if found else 0


def serials(content: bytes) -> list[int]:
    return [serial_of(line) for line in content.splitlines()]
