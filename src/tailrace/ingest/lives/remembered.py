"""What the local state said at the start: for the first look at each file, and for what has vanished. Pure.

A row is forgotten once its life is followed again, or passed over as finished, or said to be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from tailrace.ingest.state.checkpoints import Checkpoint
from tailrace.model import SourceFile


class Remembered:
    """The rows of one source, by hour."""

    def __init__(self) -> None:
        self._rows: dict[int, list[Checkpoint]] = {}
        self._inodes: dict[tuple[int, int], set[int]] = {}  # of all rows that were ever added

    def add(self, row: Checkpoint) -> None:
        self._rows.setdefault(row.hour, []).append(row)
        self._inodes.setdefault((row.device, row.inode), set()).add(row.hour)

    def finished(self, file: SourceFile, *, torn_too: bool = True) -> bool:
        """Sealed before, and on disk exactly as it was then: it need not even be opened. Its row is done with.

        `torn_too`: also one that ends in a torn rest, which waits for its newline.
        """
        on_disk = (file.device, file.inode, file.size, file.mtime_ns)
        for row in self._rows.get(file.hour, ()):
            whole = torn_too or row.compression or row.size <= row.offset
            if row.finished and whole and (row.device, row.inode, row.size, row.mtime_ns) == on_disk:
                self._rows[file.hour].remove(row)
                return True
        return False

    def take(self, hour: int, prefix: bytes) -> Checkpoint | None:
        """The row of a life that is followed from now on."""
        for row in self._rows.get(hour, ()):
            if row.prefix == prefix:
                self._rows[hour].remove(row)
                return row
        return None

    def hours_of(self, files: Collection[SourceFile]) -> set[int]:
        """Hours under which these very files were known: they may have been renamed to another hour."""
        hours = (self._inodes.get((file.device, file.inode), ()) for file in files)
        return {hour for some in hours for hour in some if self.has(hour)}

    def known_size(self, hour: int) -> int:
        """How far files of this hour were known to reach: what is lost below it is said by these rows."""
        return max((row.size for row in self._rows.get(hour, ()) if not row.compression), default=0)

    def has(self, hour: int) -> bool:
        return bool(self._rows.get(hour))

    def gone(self, settled: Callable[[int], bool]) -> list[Checkpoint]:
        """Rows of plain files that were not read to their end, of the hours that are `settled`: all files that are
        there are known, and none of them is these rows' life. Each is given once."""
        rows = []
        for hour in [hour for hour in self._rows if settled(hour)]:
            rows += [row for row in self._rows.pop(hour) if not row.compression and row.size > row.offset]
        return rows


def written_off(row: Checkpoint) -> Checkpoint:
    """The row once its loss was said: nothing of it is waited for any more."""
    return replace(row, size=row.offset)
