"""What the local state said at the start, for the first look at each file. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from tailrace.ingest.state.checkpoints import Checkpoint
from tailrace.model import SourceFile


class Remembered:
    """The rows of one source, by hour."""

    def __init__(self) -> None:
        self._rows: dict[int, list[Checkpoint]] = {}

    def add(self, row: Checkpoint) -> None:
        self._rows.setdefault(row.hour, []).append(row)

    def is_finished(self, file: SourceFile, *, torn_too: bool = True) -> bool:
        """Sealed before, and on disk exactly as it was then: it need not even be opened.

        `torn_too`: also one that ends in a torn rest, which waits for its newline.
        """
        on_disk = (file.device, file.inode, file.size, file.mtime_ns)
        return any(
            row.finished
            and (torn_too or row.compression or row.size <= row.offset)
            and (row.device, row.inode, row.size, row.mtime_ns) == on_disk
            for row in self._rows.get(file.hour, ())
        )

    def gone(self, present: Collection[int]) -> list[Checkpoint]:
        """Rows of plain files that were not read to their end and whose hour has no file any more."""
        rows = [row for rows in self._rows.values() for row in rows if row.hour not in present]
        return [row for row in rows if not row.compression and row.size > row.offset]


def written_off(row: Checkpoint) -> Checkpoint:
    """The row once its loss was said: nothing of it is waited for any more."""
    return replace(row, size=row.offset)
