"""What was lost, and how it is said: every byte that was seen and can never be stored is counted, once.

While it runs, a loss is said by what notices it. What was lost while tailrace was not running is found here: the rows
of the local state for which there is no file any more, once all that could be theirs is known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import structlog

from tailrace.ingest.lives.entrance import Entrance
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.lives.remembered import Remembered, written_off
from tailrace.ingest.lives.slots import Held, Slots
from tailrace.ingest.state.checkpoints import Checkpoint
from tailrace.ingest.stats import SourceStats
from tailrace.model import SourceFile

_DAY = 86_400  # seconds

log = structlog.get_logger("tailrace.files")


class Losses:
    """The losses of one source."""

    def __init__(self, slots: Slots, remembered: Remembered, entrance: Entrance, stats: SourceStats) -> None:
        self._slots = slots
        self._remembered = remembered
        self._entrance = entrance
        self._stats = stats
        self._rows: list[Checkpoint] = []

    def say(self, path: str, size: int, why: str) -> None:
        """`size` bytes, none if not above 0."""
        if size > 0:
            self._stats.lost_bytes += size
            log.error(
                "bytes_lost",
                path=path,
                bytes=size,
                why=why,
                meaning="these bytes were never stored and are gone",
                todo="if a copy of the file exists, put it back under its name: it is read; find out what removed it",
            )

    def take_rows(self) -> list[Checkpoint]:
        """Rows whose loss was said since the last call: nothing of them is waited for any more."""
        rows, self._rows = self._rows, []
        return rows

    # -- while it runs -----------------------------------------------------------------------------------------

    def unopened(self, held: Held, what: str) -> None:
        """A file that waited without a descriptor can never be opened; `what` became of it."""
        if self._slots.renamed(held.file, self._slots.of(held.file)):
            return
        unread = held.file.size - self._entrance.offset_of(held.file.hour)
        self.say(held.file.path, unread, f"it was {what} before its turn, while no descriptor was free for it")

    def cut_before_its_turn(self, held: Held, file: SourceFile) -> None:
        """A file that waits was looked at again, and is `file` now. What was seen of it and is cut off will not be
        read."""
        if not file.compression:
            known = max(self._entrance.offset_of(file.hour), self._remembered.known_size(file.hour))
            self.say(file.path, held.file.size - max(file.size, known), "it was cut before its turn")

    # -- while it did not --------------------------------------------------------------------------------------

    def vanished(self, unlisted: Collection[int]) -> None:
        """Hours that the local state was not done with and that have no file any more. `unlisted`: days (epoch
        seconds) whose folders cannot be listed now."""
        undecided = [slot for slot in self._slots.active.values() if slot.undecided]
        waiting = {slot.hour for slot in undecided}
        waiting |= self._remembered.hours_of([held.file for slot in undecided for held in slot.queue])
        self._write_off(self._remembered.gone(lambda hour: hour not in waiting and hour - hour % _DAY not in unlisted))

    def decided(self, hour: int) -> None:
        """A file of this hour turned out to be something: what else the local state knew of the hour may be gone."""
        if self._remembered.has(hour):
            waits = any(slot.undecided for slot in self._slots.active.values() if slot.hour == hour)
            self._write_off(self._remembered.gone(lambda each: each == hour and not waits))

    def entered(self, follower: Follower, file: SourceFile) -> None:
        """`file` is followed: what the local state knew to be in it and is not there any more is lost, and so are the
        rests of other lives when no file of its hour is left that could be theirs."""
        hour = follower.hour
        row = self._remembered.take(hour, follower.life.prefix)
        if row is not None and not row.compression and not file.compression:
            self.say(file.path, row.size - max(file.size, follower.tailer.offset), "it was cut before they were read")
        for each in {hour, file.hour} | self._remembered.hours_of([file]):
            self.decided(each)

    def _write_off(self, rows: Iterable[Checkpoint]) -> None:
        present = {slot.hour for slot in self._slots.all.values()}
        for row in rows:
            why = "it was cut or replaced" if row.hour in present else "it was deleted"
            self.say(row.path, row.size - row.offset, f"{why} while tailrace was not running")
            self._rows.append(written_off(row))
