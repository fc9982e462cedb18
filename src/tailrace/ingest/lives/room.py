"""Room for one more open file: who gives up a descriptor when none is left. Nothing is lost by any of it."""

from __future__ import annotations

from tailrace.ingest.lives.descriptors import Descriptors
from tailrace.ingest.lives.leaving import Leaving
from tailrace.ingest.lives.slots import Held, Slots, by_hour


class Room:
    """In this order goes: a file without a complete line, one that is idle, one that is read to its end."""

    def __init__(self, slots: Slots, descriptors: Descriptors, leaving: Leaving) -> None:
        self._slots = slots
        self._descriptors = descriptors
        self._leaving = leaving

    def make(self, hour: int) -> bool:
        """Whether one more descriptor may be opened; an idle file is sealed for it if need be, which loses nothing."""
        if not self._left(hour):
            following = self._slots.following.values()
            idle = [slot for slot in following if slot.follower and slot.follower.idle and not slot.queue]
            waiting = self._slots.active.values() if self.some_wait_open else ()
            headless = [slot for slot in waiting if slot.hour < self._slots.newest and slot.headless]
            if headless:
                self._let_go(min(headless, key=by_hour).queue[0])
            elif idle:
                self._leaving.seal(min(idle, key=lambda slot: (slot.torn, slot.hour)))
            else:
                self._leave_one()
        return self._left(hour)

    @property
    def some_wait_open(self) -> bool:
        """Whether any file that is not followed has a descriptor."""
        return self._descriptors.open > len(self._slots.following)

    def _left(self, hour: int) -> bool:
        return self._descriptors.left(newest=hour == self._slots.newest)

    def _leave_one(self) -> None:
        """HAZARD: when all that are open were replaced (compressed, all at once), each waits for a descriptor for what
        stands there now, and none would ever be free: one that is read to its end goes."""
        for slot in sorted(self._slots.following.values(), key=by_hour):
            follower = slot.follower
            if follower is not None and slot.queue and not follower.dirty and not follower.reading:
                self._leaving.retire(slot, follower)
                return

    def _let_go(self, held: Held) -> None:
        """A file without a complete line needs no descriptor until it changes."""
        assert held.reader is not None
        self._descriptors.close(held.reader)
        held.reader = None
