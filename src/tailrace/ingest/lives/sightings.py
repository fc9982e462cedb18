"""What scans and notifications say of the files of one source, and what is concluded from it.

    seen    a new name, another file under a name, or more of one         gone    a name without a file
    hint    something may have changed                                    hold    after each scan: open what waits

Nothing here waits: descriptors are held while MongoDB is away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import structlog

from tailrace.ingest.files.names import plain_path
from tailrace.ingest.lasting import Few
from tailrace.ingest.lives.descriptors import Descriptors
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.lives.losses import Losses
from tailrace.ingest.lives.remembered import Remembered
from tailrace.ingest.lives.slots import Held, Slot, Slots, by_hour, plain_size, same_file, unchanged
from tailrace.ingest.stats import SourceStats
from tailrace.model import SourceFile
from tailrace.words import hour_words

_GRACE = 2.0
"""Seconds, and at least one more scan, between a name's vanishing and the word that what was not read of it is lost:
the archive that is made of a file may take its place a moment later."""

log = structlog.get_logger("tailrace.files")


class Sightings:
    """What is seen of one source."""

    def __init__(
        self,
        slots: Slots,
        descriptors: Descriptors,
        remembered: Remembered,
        losses: Losses,
        stats: SourceStats,
        *,
        once: bool,
    ) -> None:
        self._slots = slots
        self._descriptors = descriptors
        self._remembered = remembered
        self._losses = losses
        self._stats = stats
        self._once = once
        self._few_rollovers = Few()
        self._few_grown = Few()
        self._first_scan = True
        self._listed_again = False

    def first_scan_done(self) -> None:
        self._first_scan = False
        self._losses.vanished(self._slots.unlisted.keys())

    def not_listed(self, folders: Mapping[int, str]) -> None:
        slots = self._slots
        self._listed_again = bool(slots.unlisted.keys() - folders.keys())
        slots.version += slots.unlisted.keys() != folders.keys()
        slots.unlisted = folders

    # -- a file --------------------------------------------------------------------------------------------------

    def seen(self, file: SourceFile, now: float) -> None:
        slot = self._slots.all.get(plain_path(file.path))
        if slot is None:
            slot = self._new_slot(file, now)
            if slot.sealed is not None:
                return
        self._slots.version += slot.missing
        slot.missing = slot.gone = False
        slot.gone_at = None
        newest = slot.newest
        if newest is None or not same_file(newest, file):
            if slot.queue:
                slot.queue[0].tried = None  # another stands behind it now: it is not waited for any more
            self._queue(slot, file, now)
            if slot.follower is not None:
                slot.follower.dirty = True  # to its end, then the new file has its turn
        elif slot.queue:
            self._losses.cut_before_its_turn(slot.queue[-1], file)
            slot.queue[-1].seen(file, now)
        elif slot.follower is not None:
            self._grown(slot.follower, file, now)
        elif not unchanged(newest, file):
            if (unsaid := self._few_grown.admit(now)) is not None:
                log.info(
                    "file_grew_after_seal",
                    path=file.path,
                    bytes=file.size - newest.size,
                    unsaid=unsaid,
                    meaning="what came late is read and stored",
                )
            self._queue(slot, file, now)

    def _new_slot(self, file: SourceFile, now: float) -> Slot:
        if 0 < self._slots.newest < file.hour and not self._first_scan:
            self._stats.rollovers += 1
            self._say_rolled_over(file, now)
        slot = self._slots.add(file)
        if self._remembered.finished(file, torn_too=not self._once):
            slot.sealed = file
        return slot

    def _say_rolled_over(self, file: SourceFile, now: float) -> None:
        """With what the hour before came to so far: its last lines may still come, and some may be in flight."""
        unsaid = self._few_rollovers.admit(now)
        if unsaid is None:
            return
        log.info(
            "rolled_over", path=file.path, hour=hour_words(file.hour), unsaid=unsaid, before=self._account_of_head(now)
        )

    def _account_of_head(self, now: float) -> dict[str, str | int]:
        """The newest hour until now. Its totals are those of the bytes settled, since the life began."""
        head = self._slots.head
        if head is None or head.newest is None:
            return {}
        if head.follower is None:
            return {"path": head.newest.path}
        follower, totals = head.follower, head.follower.totals
        return {
            "path": follower.file.path,
            "lines": totals.lines,
            "inserted": totals.inserted,
            "duplicates": totals.duplicates,
            "rejected": totals.rejected,
            "bytes": int(follower.settled),
            "bytes_unsettled": follower.lag(now)[0],
        }

    def _queue(self, slot: Slot, file: SourceFile, now: float) -> None:
        for held in [held for held in slot.queue if held.reader is None]:
            slot.queue.remove(held)  # its name is another file's now: it can never be opened
            if held.file.compression is file.compression and not same_file(held.file, file):
                self._losses.unopened(held, "replaced")
        slot.queue.append(Held(file, None))
        slot.queue[-1].seen(file, now)
        slot.sealed, slot.unreadable = None, False
        self._slots.version += 1
        self._slots.active[slot.key] = slot

    def _grown(self, follower: Follower, file: SourceFile, now: float) -> None:
        if not unchanged(follower.file, file):
            follower.dirty = True
        follower.file = file
        size = plain_size(file)
        if size is not None:
            self._note_size(follower, size, now)

    def _note_size(self, follower: Follower, size: int, now: float) -> None:
        self._losses.say(follower.file.path, follower.note_size(size, now), "it was cut before they were read")

    # -- no file -------------------------------------------------------------------------------------------------

    def gone(self, file: SourceFile) -> None:
        slot = self._slots.all.get(plain_path(file.path))
        if slot is None:
            return
        slot.missing = True
        slot.sealed = None
        self._slots.version += 1
        self._descriptors.gone(file.path)
        if slot.follower is not None:
            slot.follower.dirty = True
        for held in slot.queue:
            held.tried = None
        self._slots.tidy(slot)

    def _await_archive(self, slot: Slot, now: float) -> None:
        """A name has no file: when the grace is over, what could not be opened of it is lost."""
        if slot.gone_at is None:
            slot.gone_at = now
        if slot.gone or (now - slot.gone_at < _GRACE and not self._once):
            return
        slot.gone = True
        if slot.follower is not None:
            slot.follower.dirty = True  # `Leaving.at_end` has the last word
        for held in [held for held in slot.queue if held.reader is None]:
            slot.queue.remove(held)
            self._losses.unopened(held, "deleted")
        self._slots.tidy(slot)

    # -- a notification, and the end of a scan -------------------------------------------------------------------

    def hint(self, paths: Iterable[str], now: float) -> bool:
        all_active = True
        for path in paths:
            slot = self._slots.active.get(plain_path(path))
            if slot is None:
                all_active = False
            elif slot.queue:
                slot.queue[-1].tried = None
            elif slot.follower is not None:
                slot.follower.dirty = True
                if not slot.follower.file.compression:
                    self._note_size(slot.follower, slot.follower.tailer.reader.size(), now)
        return all_active

    def hold(self, now: float) -> None:
        slots = self._slots
        self._descriptors.say_still(now)
        for slot in [slot for slot in slots.active.values() if slot.missing]:
            self._await_archive(slot, now)
        if self._listed_again and not self._first_scan:
            self._losses.vanished(slots.unlisted.keys())
        unopened = [slot for slot in slots.active.values() if any(held.reader is None for held in slot.queue)]
        unopened.sort(key=by_hour)
        for slot in [slot for slot in unopened if slot.hour == slots.newest] + unopened:
            newest = slot.hour == slots.newest
            for held in slot.queue:
                if held.reader is None and held.worth_trying and self._descriptors.left(newest=newest):
                    self._descriptors.hold(held, now)
