"""The files of one source: which are held, followed, sealed or gone.

    scan -> seen / gone / hint -> held -> enter_next -> followed -> at_end / rewritten -> sealed | retiring | continued

Called by the pipeline only, from the event loop. MongoDB is asked when a file is entered, never when a scan is
applied: discovery, and the holding of descriptors, go on while the database is away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from tailrace.errors import FileRewritten, RuntimeFailure
from tailrace.ingest.files import tailer as tailing
from tailrace.ingest.files.names import plain_path
from tailrace.ingest.files.reading import UnreadableFile
from tailrace.ingest.files.seal import may_seal
from tailrace.ingest.lives.choice import Known
from tailrace.ingest.lives.descriptors import Descriptors
from tailrace.ingest.lives.entrance import Entrance
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.lives.remembered import Remembered, written_off
from tailrace.ingest.lives.slots import Held, Slot, plain_size, same_file, unchanged
from tailrace.ingest.state.checkpoints import Checkpoint
from tailrace.ingest.stats import SourceStats
from tailrace.model import SourceFile

log = structlog.get_logger("tailrace.files")


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterOptions:
    """`max_open`: descriptors; `seal_after`: seconds; `once`: rests matter at the end."""

    max_open: int
    seal_after: float
    once: bool = False


class Roster:
    """`slots` by plain path, all that were seen; `active` those that hold a descriptor or wait for one."""

    def __init__(self, options: RosterOptions, entrance: Entrance, stats: SourceStats) -> None:
        self._options = options
        self._entrance = entrance
        self._stats = stats
        self._remembered = Remembered()
        self._other_rows: list[Checkpoint] = []
        self._first_scan = True
        self._newest = 0
        self.slots: dict[str, Slot] = {}
        self.active: dict[str, Slot] = {}
        self.retiring: list[Follower] = []
        self._descriptors = Descriptors(options.max_open)

    # -- what was known before ---------------------------------------------------------------------------------

    def remember(self, known: Iterable[Known], rows: Iterable[Checkpoint]) -> None:
        """`known`: the ledger's lives merged with the local state's; `rows`: the local state's own."""
        for entry in known:
            self._entrance.know(entry)
        for row in rows:
            if self._entrance.knows(row.hour, row.prefix):
                self._remembered.add(row)

    def first_scan_done(self) -> None:
        """Hours that the local state was not done with and that have no file any more are lost, and said to be once."""
        self._first_scan = False
        for row in self._remembered.gone({slot.hour for slot in self.slots.values()}):
            self._lost(row.path, row.size - row.offset, "it was deleted while tailrace was not running")
            self._other_rows.append(written_off(row))

    # -- what a scan saw ---------------------------------------------------------------------------------------

    def seen(self, file: SourceFile, now: float) -> None:
        """A scan found `file`, new or changed."""
        slot = self.slots.get(plain_path(file.path))
        if slot is None:
            slot = self._new_slot(file)
            if slot.sealed is not None:
                return
        slot.missing = False
        newest = slot.newest
        if newest is None or not same_file(newest, file):
            self._hold(slot, file)
            if slot.follower is not None:
                slot.follower.dirty = True  # to its end, then the new file has its turn
        elif slot.queue:
            slot.queue[-1].file = file
        elif slot.follower is not None:
            _grown(slot.follower, file, now)
        elif not unchanged(newest, file):
            log.info("file_grew_after_seal", path=file.path, bytes=file.size - newest.size)
            self._hold(slot, file)

    def gone(self, file: SourceFile) -> None:
        """A scan found no file at this hour's name any more. What is open is read to its end all the same."""
        slot = self.slots.get(plain_path(file.path))
        if slot is None:
            return
        slot.missing = True
        slot.sealed = None
        if slot.follower is not None:
            slot.follower.dirty = True
        for held in list(slot.queue):
            held.tried = None
            if held.reader is None:
                slot.queue.remove(held)
                unread = held.file.size - self._entrance.offset_of(file.hour)
                self._lost(
                    held.file.path, unread, "it was deleted before its turn, while no descriptor was free for it"
                )
        self._tidy(slot)

    def hint(self, paths: Iterable[str], now: float) -> bool:
        """Something happened to these files, says a notification. False when a scan must look: not all are active."""
        all_active = True
        for path in paths:
            slot = self.active.get(plain_path(path))
            if slot is None:
                all_active = False
            elif slot.queue:
                slot.queue[-1].tried = None
            elif slot.follower is not None:
                slot.follower.dirty = True
                if not slot.follower.file.compression:
                    slot.follower.note_size(slot.follower.tailer.reader.size(), now)
        return all_active

    def hold(self, now: float) -> None:
        """Open what waits while descriptors last, the oldest first: it is the next to be pruned. After each scan."""
        unopened = [slot for slot in self.active.values() if any(held.reader is None for held in slot.queue)]
        unopened.sort(key=lambda slot: slot.hour)
        for slot in [slot for slot in unopened if slot.hour == self._newest] + unopened:
            for held in slot.queue:
                if held.reader is None and held.worth_trying and self._left(slot.hour):
                    self._descriptors.hold(held, now)

    def _new_slot(self, file: SourceFile) -> Slot:
        slot = self.slots[plain_path(file.path)] = Slot(plain_path(file.path), file.hour)
        if file.hour > self._newest:
            self._stats.rollovers += self._newest > 0 and not self._first_scan
            self._newest = file.hour
        if self._remembered.is_finished(file, torn_too=not self._options.once):
            slot.sealed = file
        return slot

    def _hold(self, slot: Slot, file: SourceFile) -> None:
        slot.queue.append(Held(file, None))
        slot.sealed, slot.unreadable = None, False
        self.active[slot.key] = slot

    # -- entering ----------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        return any(slot.enterable for slot in self.active.values())

    async def enter_next(self, now: float) -> bool:
        """Begin to follow a file that waits: the newest hour first, then the oldest. False when none could be."""
        ready = sorted((slot for slot in self.active.values() if slot.enterable), key=lambda slot: slot.hour)
        if ready and ready[-1].hour == self._newest:
            ready.insert(0, ready.pop())
        no_room = False
        for slot in ready:
            held = slot.queue[0]
            if held.reader is None:
                no_room = no_room or not self._room(slot.hour)
                if no_room or not self._descriptors.hold(held, now):
                    continue
            if await self._enter(slot, held, now):
                return True
        return False

    def _left(self, hour: int) -> bool:
        return self._descriptors.left(newest=hour == self._newest)

    def _room(self, hour: int) -> bool:
        """Whether one more descriptor may be opened; an idle file is sealed for it if need be, which loses nothing."""
        if not self._left(hour):
            idle = [slot for slot in self.active.values() if slot.follower and slot.follower.idle and not slot.queue]
            headless = [slot for slot in self.active.values() if slot.hour < self._newest and slot.headless]
            if headless:
                self._let_go(min(headless, key=lambda slot: slot.hour).queue[0])
            elif idle:
                self._seal(min(idle, key=lambda slot: (slot.torn, slot.hour)))
        return self._left(hour)

    def _let_go(self, held: Held) -> None:
        """A file without a complete line needs no descriptor until it changes."""
        assert held.reader is not None
        self._descriptors.close(held.reader)
        held.reader = None

    async def _enter(self, slot: Slot, held: Held, now: float) -> bool:
        reader = held.reader
        assert reader is not None
        held.tried = (held.file.size, held.file.mtime_ns)
        try:
            head = tailing.read_head(reader)
            if head is None:
                self._headless(slot, held)
                return False
            if slot.follower is not None:
                former = slot.follower.tailer.reader
                continues = self._entrance.continues(slot.follower, reader, head)
                if continues:
                    self._descriptors.close(former)
                    self._continued(slot, slot.follower, held)
                if continues is not False:
                    return bool(continues)
                self._retire(slot, slot.follower)
            busy = {follower.life.prefix for follower in self.retiring if follower.tracker.in_flight}
            follower = await self._entrance.follow(held.file, reader, head, busy)
        except UnreadableFile as error:
            self._give_up(slot, held, error)
            return False
        except (OSError, FileRewritten):
            held.tried = None  # changed under our hands: look again
            return False
        if follower is None:
            held.tried = None if reader.complete else held.tried
            return False
        slot.queue.remove(held)
        slot.follower = follower
        follower.changed_at = now
        size = plain_size(held.file)
        if size is not None:
            follower.note_size(size, now)
        return True

    def _continued(self, slot: Slot, follower: Follower, held: Held) -> None:
        log.info("file_continues", path=held.file.path, before=follower.file.path, offset=int(follower.tailer.offset))
        follower.file = held.file
        follower.dirty = follower.unsaved = True
        slot.queue.remove(held)  # its descriptor is the follower's now

    def _headless(self, slot: Slot, held: Held) -> None:
        """No complete line yet: it waits, unless it is gone or another file has taken its place."""
        if slot.missing or len(slot.queue) > 1:
            assert held.reader is not None
            self._lost(held.file.path, held.reader.size(), "it vanished before its first line was complete")
            self._drop(slot, held)
            self._tidy(slot)

    def _give_up(self, slot: Slot, held: Held, error: Exception) -> None:
        log.error("file_unreadable", path=held.file.path, why=str(error), meaning="its unread lines are not stored")
        self._drop(slot, held)
        slot.sealed, slot.unreadable = held.file, True
        self._tidy(slot)

    def _drop(self, slot: Slot, held: Held) -> None:
        slot.queue.remove(held)
        if held.reader is not None:
            self._descriptors.close(held.reader)

    # -- leaving -----------------------------------------------------------------------------------------------

    def at_end(self, follower: Follower) -> None:
        """No complete line is left in `follower` at this moment."""
        follower.read_to_end()
        slot = self.slots[plain_path(follower.file.path)]
        if slot.queue:
            slot.queue[0].tried = None
        elif slot.missing:
            torn = follower.tailer.torn
            self._lost(follower.file.path, torn, "it was deleted with a last line that never had its newline")
            self._retire(slot, follower)

    def rewritten(self, follower: Follower) -> None:
        """The bytes before the follower's offset are not there any more: what stands there now is looked at anew."""
        slot = self.slots[plain_path(follower.file.path)]
        noted = follower.noted[-1][0] if follower.noted else 0
        self._stats.rewritten += 1
        self._lost(follower.file.path, noted - follower.tailer.offset, "it was cut or rewritten before they were read")
        self._retire(slot, follower)
        if not slot.queue and not slot.missing:
            self._hold(slot, follower.file)

    def unreadable(self, follower: Follower, error: Exception) -> None:
        """A damaged archive, or an error of the disk: this file waits until it changes, the others go on."""
        log.error("file_unreadable", path=follower.file.path, why=str(error), meaning="its unread lines are not stored")
        slot = self.slots[plain_path(follower.file.path)]
        slot.sealed, slot.unreadable = follower.file, True
        self._retire(slot, follower)

    def seal_idle(self, now: float) -> None:
        for slot in list(self.active.values()):
            follower = slot.follower
            if follower is None or slot.queue:
                continue
            if may_seal(
                idle_s=now - follower.changed_at,
                later_hour_exists=follower.hour < self._newest,
                read_to_end=follower.idle,
                torn=follower.tailer.torn > 0,
                seal_after=self._options.seal_after,
            ):
                self._seal(slot)

    def _seal(self, slot: Slot) -> None:
        follower = slot.follower
        assert follower is not None
        if self._options.once and slot.torn:
            log.warning("torn_rest", path=follower.file.path, bytes=slot.torn, meaning="waits for its newline")
        log.debug("file_sealed", path=follower.file.path, offset=int(follower.settled))
        slot.sealed = follower.file
        follower.sealed = True
        self._retire(slot, follower)

    def _retire(self, slot: Slot, follower: Follower) -> None:
        """Read no further. What is in flight settles, and then its last checkpoint is written (`take_rows`)."""
        slot.follower = None
        tailer = follower.tailer
        self._entrance.know(
            Known(life=follower.life, offset=tailer.offset, guard=tailer.guard_digest(), counts=follower.totals)
        )
        self._descriptors.close(tailer.reader)
        self.retiring.append(follower)
        self._tidy(slot)

    def _tidy(self, slot: Slot) -> None:
        if slot.empty:
            self.active.pop(slot.key, None)
            if slot.missing:
                self.slots.pop(slot.key, None)

    def _lost(self, path: str, size: int, why: str) -> None:
        if size > 0:
            self._stats.lost_bytes += size
            log.error(
                "bytes_lost", path=path, bytes=size, why=why, meaning="these bytes were never stored and are gone"
            )

    # -- for the pipeline --------------------------------------------------------------------------------------

    @property
    def open_files(self) -> int:
        return self._descriptors.open

    def followers(self) -> list[Follower]:
        return [slot.follower for slot in self.active.values() if slot.follower is not None]

    def hot_paths(self) -> set[str]:
        """Files that must be looked at on every scan: those that are open. A backlog that waits has its turn."""
        hot = (slot for slot in self.active.values() if slot.follower is not None or slot.queue[-1].reader is not None)
        return {slot.newest.path for slot in hot if slot.newest is not None}

    def backlog(self) -> tuple[int, int]:
        """(files with something to read, bytes on disk that are not read yet). Files not entered yet count from what
        is known."""
        files = size = 0
        for slot in self.active.values():
            follower, unread = slot.follower, 0
            if follower is not None and not follower.file.compression:
                unread = max(0, follower.file.size - follower.tailer.offset)
            for held in slot.queue:
                unread += max(0, held.file.size - self._entrance.offset_of(slot.hour))
            files += unread > 0
            size += unread
        return files, size

    def must_be_complete(self) -> None:
        """For `--once`: RuntimeFailure when a file that is there could not be read."""
        waiting = [slot.queue[0] for slot in self.active.values() if slot.enterable]
        paths = [held.file.path for held in waiting]
        paths += [slot.sealed.path for slot in self.slots.values() if slot.sealed is not None and slot.unreadable]
        if paths:
            raise RuntimeFailure(
                f"{len(paths)} of {len(self.slots)} files could not be read, among them {paths[0]}: "
                "their lines are not stored; mend that and run again"
            )

    def headless(self) -> list[Held]:
        """Files that have no complete line yet, but some bytes."""
        return [held for slot in self.active.values() for held in slot.queue if held.file.size]

    async def enter_rest(self, held: Held, head: bytes) -> Follower | None:
        """For `--once`: a file whose only line has no newline yet; `head` is that line, and a whole entry."""
        assert held.reader is not None
        return await self._entrance.follow(held.file, held.reader, head, set())

    def take_rows(self) -> list[tuple[Follower, Checkpoint]]:
        """Checkpoints that changed since the last call; a retired follower that has settled gives its last one."""
        rows = []
        for follower in [*self.followers(), *self.retiring]:
            if follower.unsaved:
                follower.unsaved = False
                rows.append((follower, follower.checkpoint()))
        for follower in [follower for follower in self.retiring if not follower.tracker.in_flight]:
            self.retiring.remove(follower)
            rows.append((follower, follower.checkpoint(last=True)))
        return rows

    def take_other_rows(self) -> list[Checkpoint]:
        """Rows of lives that nobody follows any more, changed once (`first_scan_done`)."""
        rows, self._other_rows = self._other_rows, []
        return rows

    def close(self) -> None:
        for slot in self.active.values():
            if slot.follower is not None:
                slot.follower.tailer.close()
            for held in slot.queue:
                if held.reader is not None:
                    held.reader.close()


def _grown(follower: Follower, file: SourceFile, now: float) -> None:
    if not unchanged(follower.file, file):
        follower.dirty = True
    follower.file = file
    size = plain_size(file)
    if size is not None:
        follower.note_size(size, now)
