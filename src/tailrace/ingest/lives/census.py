"""What files there are and where each stands, for those who look from outside. Nothing is changed here.

counts        files by state               a few times a second: what takes time is kept until a name comes or goes
missing       hours without a file         the same
hours         the newest ones in detail    when somebody asks
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from enum import StrEnum

from tailrace.ingest.lives.entrance import Entrance
from tailrace.ingest.lives.slots import Slot, Slots, by_hour

_HOUR = 3600
_DAY = 24 * _HOUR
_HORIZON = 48 * _HOUR
"""Seconds before the newest hour in which a gap counts: what is older a node has pruned, and nobody can mend it."""


class FileState(StrEnum):
    """`missing`: an hour between others that no file was seen of."""

    WAITING = "waiting"  # it has not been opened, or holds no complete line
    READING = "reading"  # something in it is not stored yet
    LIVE = "live"  # all that is known to be in it is stored, and it is watched at every poll
    SEALED = "sealed"  # read to its end, idle, closed; looked at once a minute
    UNREADABLE = "unreadable"
    GONE = "gone"  # its name has gone, and it is read to its end
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class FileCounts:
    """Files by what is done with them."""

    waiting: int = 0
    following: int = 0
    sealed: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """`hour`: epoch seconds. `size`: bytes on disk. `settled` (bytes), `lines`, `rejected`: of its latest life; None:
    unknown."""

    hour: int
    path: str
    state: FileState
    size: int | None = None
    compressed: bool = False
    settled: int | None = None
    lines: int | None = None
    rejected: int | None = None


class Census:
    """One per source. Called from the event loop."""

    def __init__(self, slots: Slots, entrance: Entrance) -> None:
        self._slots = slots
        self._entrance = entrance
        self._version = -1
        self._unreadable = 0
        self._missing: tuple[int, ...] = ()
        self._hidden: list[int] = []

    def counts(self) -> FileCounts:
        self._look()
        waiting = following = locked = 0
        for slot in self._slots.active.values():
            if slot.follower is not None:
                following += 1
            elif any(held.retry_in for held in slot.queue):
                locked += 1
            else:
                waiting += 1
        closed = len(self._slots.all) - len(self._slots.active) - self._unreadable
        return FileCounts(waiting, following, max(0, closed), self._unreadable + locked)

    def missing_blocks(self) -> int:
        """Block numbers that were passed over (`BlockGaps`); 0 for a stream that has none."""
        gaps = self._entrance.gaps
        if gaps is None:
            return 0
        self._look()
        waiting = [slot.hour for slot in self._slots.active.values() if slot.follower is None]
        gaps.await_hours(waiting + self._hidden)
        return gaps.missing

    @property
    def missing(self) -> tuple[int, ...]:
        """Hours (epoch seconds) between the oldest known and the newest on disk, at most two days before it, that have
        no file and that the ledger does not know. A node that stood still for an hour leaves one, too. Of a day whose
        folder cannot be listed none is claimed."""
        self._look()
        return self._missing

    def hours(self, most: int, *, live: bool) -> list[Hour]:
        """The newest `most` and the missing between them, oldest first. `live`: the source is."""
        slots = heapq.nlargest(most, self._slots.all.values(), key=by_hour)
        found = [self._hour(slot, live=live) for slot in slots]
        first = min((slot.hour for slot in slots), default=0)
        found += [Hour(hour=hour, path="", state=FileState.MISSING) for hour in self.missing if hour > first]
        return sorted(found, key=lambda each: (each.hour, each.path))[-most:]

    def _hour(self, slot: Slot, *, live: bool) -> Hour:
        file, follower = slot.newest, slot.follower
        known = follower.known() if follower is not None else self._entrance.latest(slot.hour)
        return Hour(
            hour=slot.hour,
            path=slot.key if file is None else file.path,
            state=self._state(slot, live=live),
            size=None if file is None else file.size,
            compressed=file is not None and bool(file.compression),
            settled=None if known is None else int(known.offset),
            lines=None if known is None else known.counts.lines,
            rejected=None if known is None else known.counts.rejected,
        )

    def _state(self, slot: Slot, *, live: bool) -> FileState:
        follower = slot.follower
        if follower is None:
            if slot.queue:
                return FileState.UNREADABLE if any(held.retry_in for held in slot.queue) else FileState.WAITING
            return FileState.UNREADABLE if slot.unreadable else FileState.SEALED
        if slot.missing:
            return FileState.GONE
        if slot.hour == self._slots.newest and live:
            return FileState.LIVE
        return FileState.LIVE if follower.idle and not slot.queue else FileState.READING

    def _look(self) -> None:
        """Walk all names, if any came or went: ten thousand take a millisecond."""
        slots = self._slots
        if self._version == slots.version:
            return
        self._version = slots.version
        self._unreadable = sum(slot.unreadable and slot.empty for slot in slots.all.values())
        seen = {slot.hour for slot in slots.all.values()}
        days = (range(day, day + _DAY, _HOUR) for day in slots.unlisted)
        self._hidden = [hour for day in days for hour in day if hour not in seen]
        on_disk = {slot.hour for slot in slots.all.values() if not slot.missing}
        if not on_disk:
            self._missing = ()
            return
        newest = max(on_disk)
        there = on_disk | self._entrance.hours()
        first = max(min(there), newest - _HORIZON)
        there.update(self._hidden)
        self._missing = tuple(hour for hour in range(first, newest, _HOUR) if hour not in there)
