"""What lies on disk and is not read yet, of the files that are followed and of those that wait for their turn.

Of a file that waits it is known how far its hour was read. An archive's size on disk is compared with that, though it
holds more: what is said to be unread of it is a lower bound.
"""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.ingest.lives.entrance import Entrance
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.lives.slots import Slots

_PACE = 1e-4
"""Seconds between two looks, for each file, which is some 0.45 us of work: half a per cent of a core at most, and what
is shown of ten thousand files is up to a second old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """`files` that have something to read, `size` in bytes of it. Of that wait for their turn, and are no follower's:
    `waiting` bytes, the oldest noticed at `since` (monotonic seconds; None: nothing waits)."""

    files: int = 0
    size: int = 0
    waiting: int = 0
    since: float | None = None


class Backlog:
    """Of one source."""

    def __init__(self, slots: Slots, entrance: Entrance) -> None:
        self._slots = slots
        self._entrance = entrance
        self._looked = float("-inf")
        self._unread = Unread()

    def look(self, now: float) -> Unread:
        """As of `now` (monotonic seconds), or of a moment ago where there are thousands of files."""
        if now >= self._looked + _PACE * len(self._slots.active):
            self._looked, self._unread = now, self._look()
        return self._unread

    def _look(self) -> Unread:
        files = size = waiting = 0
        since: float | None = None
        offset_of = self._entrance.offset_of
        followed = {(follower.file.device, follower.file.inode) for follower in self._slots.followers()}
        for slot in self._slots.active.values():
            base, unread = offset_of(slot.hour), 0
            if slot.follower is not None:
                base, unread = _reached(slot.follower, base)
            for held in slot.queue:
                file = held.file
                more = file.size - base
                if more <= 0 or (file.device, file.inode) in followed:  # a second name of what is followed
                    continue
                unread += more
                if held.due:
                    waiting += more
                    at = held.noted.since(base)
                    since = at if since is None or (at is not None and at < since) else since
            files += unread > 0
            size += unread
        return Unread(files=files, size=size, waiting=waiting, since=since)


def _reached(follower: Follower, known: int) -> tuple[int, int]:
    """(offset up to which a file that waits behind `follower` is known to be read, or will be by it; bytes that it has
    to read)."""
    unread = 0 if follower.file.compression else max(0, follower.file.size - follower.tailer.offset)
    return max(known, follower.seen_end), unread
