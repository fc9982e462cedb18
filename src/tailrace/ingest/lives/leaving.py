"""How a followed file is left: read to its end and idle (sealed), gone, rewritten, unreadable, or taken over.

    followed -> at_end / rewritten / unreadable / seal_idle -> retiring -> settled: its last checkpoint

Its descriptor is closed at once; what is in flight of it settles afterwards.
"""

from __future__ import annotations

import structlog

from tailrace.ingest.files.seal import may_seal
from tailrace.ingest.lives.choice import Known
from tailrace.ingest.lives.descriptors import Descriptors
from tailrace.ingest.lives.entrance import Entrance
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.lives.losses import Losses
from tailrace.ingest.lives.slots import Held, Slot, Slots
from tailrace.ingest.state.checkpoints import Checkpoint
from tailrace.ingest.stats import SourceStats

log = structlog.get_logger("tailrace.files")


class Leaving:
    """`retiring`: followers that are not read any more and whose last checkpoint was not taken yet. `seal_after` may
    change at any time."""

    def __init__(
        self,
        slots: Slots,
        descriptors: Descriptors,
        entrance: Entrance,
        losses: Losses,
        stats: SourceStats,
        *,
        seal_after: float,
        once: bool,
    ) -> None:
        self._slots = slots
        self._descriptors = descriptors
        self._entrance = entrance
        self._losses = losses
        self._stats = stats
        self.seal_after = seal_after
        self._once = once
        self.retiring: list[Follower] = []

    def at_end(self, follower: Follower) -> None:
        follower.read_to_end()
        slot = self._slots.of(follower.file)
        torn = follower.tailer.torn
        if slot.queue:
            slot.queue[0].tried = None
        elif slot.missing and torn and self._slots.renamed(follower.file, slot):
            self.retire(slot, follower)
        elif slot.missing and (slot.gone or not torn or self._once):
            self._losses.say(follower.file.path, torn, "it was deleted with a last line that never had its newline")
            self.retire(slot, follower)

    def rewritten(self, follower: Follower) -> None:
        slot = self._slots.of(follower.file)
        self._stats.rewritten += 1
        unread = follower.seen_end - follower.tailer.offset
        self._losses.say(follower.file.path, unread, "it was cut or rewritten before they were read")
        # By its descriptor, not by its name: that may be gone already, or another file's.
        reader = self._descriptors.again(follower.tailer.reader)
        if reader is not None or not (slot.queue or slot.missing):
            slot.queue.appendleft(Held(follower.file, reader))
            slot.queue[0].seen(follower.file, follower.changed_at)
            self._slots.active[slot.key] = slot
        self.retire(slot, follower)

    def unreadable(self, follower: Follower, error: Exception) -> None:
        self._descriptors.unreadable(follower.file.path, str(error))
        slot = self._slots.of(follower.file)
        slot.sealed, slot.unreadable = follower.file, True
        self._slots.version += 1
        self.retire(slot, follower)

    def seal_idle(self, now: float) -> None:
        for slot in list(self._slots.active.values()):
            follower = slot.follower
            if follower is None or slot.queue:
                continue
            if may_seal(
                idle_s=now - follower.changed_at,
                later_hour_exists=follower.hour < self._slots.newest,
                read_to_end=follower.idle,
                torn=follower.tailer.torn > 0,
                seal_after=self.seal_after,
            ):
                self.seal(slot)

    def seal(self, slot: Slot) -> None:
        """Close a file that is followed and idle. It is passed over until it changes, also at the next start."""
        follower = slot.follower
        assert follower is not None
        if self._once and slot.torn:
            log.warning(
                "torn_rest",
                path=follower.file.path,
                bytes=slot.torn,
                meaning="not stored yet: the last line waits for its newline, and is read once it has it",
            )
        log.debug("file_sealed", path=follower.file.path, offset=int(follower.settled))
        slot.sealed = follower.file
        follower.sealed = True
        self.retire(slot, follower)

    def retire(self, slot: Slot, follower: Follower) -> None:
        """Read no further. What is in flight settles, and then its last checkpoint is written (`take_rows`)."""
        slot.follower = None
        self._slots.following.pop(slot.key, None)
        tailer = follower.tailer
        self._entrance.know(
            Known(life=follower.life, offset=tailer.offset, guard=tailer.guard_digest(), counts=follower.totals)
        )
        file = follower.file
        self._entrance.stood(follower.hour, follower.life.prefix, file.path, (file.device, file.inode))
        self._descriptors.close(tailer.reader)
        self.retiring.append(follower)
        self._slots.tidy(slot)

    def take_rows(self) -> list[tuple[Follower, Checkpoint]]:
        rows = []
        for follower in list(self.retiring):
            if not follower.tracker.in_flight:
                self.retiring.remove(follower)
                rows.append((follower, follower.checkpoint(last=True)))
                if follower.gaps is not None:
                    follower.gaps.ended(follower.life.prefix)
        # After the last ones: a life that is followed again since has a later row here.
        for follower in [*self.retiring, *self._slots.followers()]:
            if follower.unsaved:
                follower.unsaved = False
                rows.append((follower, follower.checkpoint()))
        return rows
