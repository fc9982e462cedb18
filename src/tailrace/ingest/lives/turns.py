"""Which of the files that wait is entered next: the newest hour first, then the oldest."""

from __future__ import annotations

from tailrace.ingest.lives.descriptors import Descriptors
from tailrace.ingest.lives.entering import Entering
from tailrace.ingest.lives.room import Room
from tailrace.ingest.lives.slots import Slot, Slots, by_hour


class Turns:
    """The files that wait stand in `_line`, oldest last, and are lined up anew when it is empty: a backlog of thousands
    must not be looked through for each of them."""

    def __init__(self, slots: Slots, descriptors: Descriptors, room: Room, entering: Entering) -> None:
        self._slots = slots
        self._descriptors = descriptors
        self._room = room
        self._entering = entering
        self._line: list[Slot] = []

    async def enter_next(self, now: float) -> bool:
        """False when none could be entered."""
        active, head = self._slots.active, self._slots.head
        if head is not None and active.get(head.key) is head and head.enterable and await self._try(head, now):
            return True
        lined_up = False
        while self._line or not lined_up:
            if not self._line:
                self._line = sorted((slot for slot in active.values() if slot.enterable), key=by_hour, reverse=True)
                lined_up = True
                continue
            slot = self._line[-1]
            if slot.enterable and slot.queue[0].reader is None and not self._room.make(slot.hour):
                return await self._enter_open(now)
            self._line.pop()
            if slot.enterable and await self._try(slot, now):
                return True
        return False

    async def _enter_open(self, now: float) -> bool:
        """No descriptor is free: one of those that wait with theirs."""
        if not self._room.some_wait_open:
            return False
        active = self._slots.active.values()
        waiting = [slot for slot in active if slot.enterable and slot.queue[0].reader is not None]
        for slot in sorted(waiting, key=by_hour):
            if await self._try(slot, now):
                return True
        return False

    async def _try(self, slot: Slot, now: float) -> bool:
        held = slot.queue[0]
        if held.reader is None and not (self._room.make(slot.hour) and self._descriptors.hold(held, now)):
            return False
        return await self._entering.enter(slot, held, now)
