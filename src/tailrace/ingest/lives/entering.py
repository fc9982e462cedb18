"""Entering one file that waits: its first line, its place in an archive, whose bytes they are, and then it is followed.

    held -> first line -> continues the follower before it | taken over from another name | entered -> followed

MongoDB is asked here (`Entrance.follow`), and the file may change, or its name vanish, at every step.
"""

from __future__ import annotations

import structlog

from tailrace.errors import FileRewritten
from tailrace.ingest.files import tailer as tailing
from tailrace.ingest.files.reading import Reader, UnreadableFile
from tailrace.ingest.lives.descriptors import Descriptors
from tailrace.ingest.lives.entrance import Entrance, LifeBusy
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.lives.leaving import Leaving
from tailrace.ingest.lives.losses import Losses
from tailrace.ingest.lives.placing import FAR, Placing
from tailrace.ingest.lives.slots import Held, Slot, Slots, plain_size, same_file

log = structlog.get_logger("tailrace.files")


class Entering:
    """Entering the files of one source, one at a time."""

    def __init__(
        self,
        slots: Slots,
        descriptors: Descriptors,
        entrance: Entrance,
        losses: Losses,
        leaving: Leaving,
        placing: Placing,
    ) -> None:
        self._slots = slots
        self._descriptors = descriptors
        self._entrance = entrance
        self._losses = losses
        self._leaving = leaving
        self._placing = placing

    async def enter(self, slot: Slot, held: Held, now: float) -> bool:
        """Whether `held`, the first that waits in `slot`, and open, is followed now; else it waits, or was dropped."""
        reader = held.reader
        assert reader is not None
        held.tried = (held.file.size, held.file.mtime_ns)
        if (slot.missing or held is not slot.queue[-1]) and self._slots.renamed(held.file, slot):
            self._drop(slot, held)  # it is read under the name that it has now
            self._slots.tidy(slot)
            return False
        try:
            head = self._first_line(slot, held, reader)
            if head is None:
                return False
            if slot.follower is not None:
                continues = self._continues(slot, slot.follower, held, reader, head)
                if continues is not False:
                    return continues or self._not_yet(slot, held)
                self._leaving.retire(slot, slot.follower)
            if not self._taken_over(slot, held):
                held.tried = None
                return False
            self._let_go(slot, head)
            held.asked = True
            follower = await self._entrance.follow(held.file, reader, head, self._busy())
        except UnreadableFile as error:
            self._give_up(slot, held, error)
            return False
        except (LifeBusy, OSError, FileRewritten):
            held.tried = None  # busy, or changed under our hands: look again
            return False
        finally:
            held.asked = False
        if follower is None:
            return self._not_yet(slot, held)
        self._follow(slot, held, follower, now)
        return True

    def _busy(self) -> set[bytes]:
        """Prefixes of the lives that are followed, or have spans in flight."""
        busy = {follower.life.prefix for follower in self._leaving.retiring if follower.tracker.in_flight}
        return busy | {follower.life.prefix for follower in self._slots.followers()}

    def _follow(self, slot: Slot, held: Held, follower: Follower, now: float) -> None:
        slot.queue.remove(held)
        slot.follower = follower
        self._slots.following[slot.key] = slot
        follower.changed_at = now
        self._losses.entered(follower, held.file)
        self._descriptors.entered(held.file.path, now)
        log.debug("file_entered", path=held.file.path, offset=int(follower.tailer.offset))
        size = plain_size(held.file)
        if size is not None:
            follower.noted = held.noted  # from when it was noticed, not from now on
            follower.noted.passed(follower.settled)
            follower.note_size(size, now)

    # -- whose bytes they are ------------------------------------------------------------------------------------

    def _first_line(self, slot: Slot, held: Held, reader: Reader) -> bytes | None:
        """The head of a file; None when it has none yet, or when a thread must first find its place in the archive.

        Raises as a read does.
        """
        placed, held.placed = held.placed, None
        if placed is not None and placed.seen == held.tried:
            if placed.error is not None:
                raise placed.error
            return placed.head
        head = tailing.read_head(reader)
        if head is None:
            self._headless(slot, held)
            return None
        offset = self._entrance.place(held.file, head, slot.follower)
        if held.file.compression and offset > FAR:
            self._placing.begin(held, reader, head, offset)
            return None
        return head

    def _continues(self, slot: Slot, follower: Follower, held: Held, reader: Reader, head: bytes) -> bool | None:
        """Whether this file holds the life that its slot's follower has read to its end. True: it goes on here. None:
        an archive in the making, ask again later."""
        former = follower.tailer.reader
        continues = self._entrance.continues(follower, held.file, reader, head)
        if continues:
            self._descriptors.close(former)
            log.info(
                "file_continues", path=held.file.path, before=follower.file.path, offset=int(follower.tailer.offset)
            )
            follower.file = held.file
            follower.dirty = follower.unsaved = True
            slot.queue.remove(held)  # its descriptor is the follower's now
            self._losses.decided(slot.hour)
        return continues

    def _taken_over(self, slot: Slot, held: Held) -> bool:
        """A file that was renamed is left by the follower that has it open under its former name; False: not yet.

        HAZARD: while the former name is there as well (a hard link, or a scan that saw the new name first) the file is
        not entered: under another hour it would be a file of its own, and all its lines stored again.
        """
        for other in list(self._slots.following.values()):
            follower = other.follower
            if other is slot or follower is None or not same_file(follower.file, held.file):
                continue
            if follower.dirty or follower.reading or not (other.missing or other.queue):
                return False
            self._leaving.retire(other, follower)
        return True

    def _let_go(self, slot: Slot, head: bytes) -> None:
        """A life that this file may go on with is left where what has taken the other's name (`9` and `09`) cannot be
        read yet: nobody knows when it can."""
        for other in list(self._slots.following.values()):
            follower = other.follower
            if other is slot or follower is None or other.hour != slot.hour or not other.outlived:
                continue
            if self._entrance.concerns(follower, head):
                self._leaving.retire(other, follower)

    # -- not followed --------------------------------------------------------------------------------------------

    def _not_yet(self, slot: Slot, held: Held) -> bool:
        """It cannot be entered now. An archive in the making waits for more, unless another file stands there again:
        what it holds was read. Returns False."""
        if held.reader is None or held.reader.complete:
            held.tried = None
        elif len(slot.queue) > 1:
            self._drop(slot, held)
        return False

    def _headless(self, slot: Slot, held: Held) -> None:
        """No complete line yet: it waits, unless it is gone or another file has taken its place."""
        if slot.missing or len(slot.queue) > 1:
            assert held.reader is not None
            if slot.missing or not held.file.compression:  # else an archive that stands beside its plain file again
                self._losses.say(held.file.path, held.reader.size(), "it vanished before its first line was complete")
            self._drop(slot, held)
            self._slots.tidy(slot)
        self._losses.decided(slot.hour)

    def _give_up(self, slot: Slot, held: Held, error: Exception) -> None:
        self._descriptors.unreadable(held.file.path, str(error))
        self._drop(slot, held)
        slot.sealed, slot.unreadable = held.file, True
        self._slots.version += 1
        self._slots.tidy(slot)

    def _drop(self, slot: Slot, held: Held) -> None:
        slot.queue.remove(held)
        if held.reader is not None:
            self._descriptors.close(held.reader)
