"""The files of one source: which are held, followed, sealed or gone.

    scan -> seen / gone / hint -> held -> enter_next -> followed -> at_end / rewritten -> sealed | retiring | continued

Called by the pipeline only, from the event loop. MongoDB is asked when a file is entered, never when a scan is
applied: discovery, and the holding of descriptors, go on while the database is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from tailrace.errors import FileRewritten, RuntimeFailure
from tailrace.ingest.files import tailer as tailing
from tailrace.ingest.files.names import plain_path
from tailrace.ingest.files.reading import Reader, UnreadableFile
from tailrace.ingest.files.seal import may_seal
from tailrace.ingest.lives.choice import Known
from tailrace.ingest.lives.descriptors import Descriptors
from tailrace.ingest.lives.entrance import Entrance
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.lives.placing import FAR, Placing
from tailrace.ingest.lives.remembered import Remembered, written_off
from tailrace.ingest.lives.slots import Held, Placed, Slot, plain_size, same_file, unchanged
from tailrace.ingest.state.checkpoints import Checkpoint
from tailrace.ingest.stats import SourceStats
from tailrace.model import SourceFile

_DAY = 86_400  # seconds

_GRACE = 2.0
"""Seconds, and at least one more scan, between a name's vanishing and the word that what was not read of it is lost:
the archive that is made of a file may take its place a moment later."""

log = structlog.get_logger("tailrace.files")


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterOptions:
    """`max_open`: descriptors; `seal_after`: seconds; `once`: rests matter at the end."""

    max_open: int
    seal_after: float
    once: bool = False


class Roster:
    """`slots` by plain path, all that were seen; `active` those that hold a descriptor or wait for one. `wake` is
    called when a file may be entered that could not be a moment ago."""

    def __init__(self, options: RosterOptions, entrance: Entrance, stats: SourceStats) -> None:
        self._options = options
        self._entrance = entrance
        self._stats = stats
        self._remembered = Remembered()
        self._other_rows: list[Checkpoint] = []
        self._first_scan = True
        self._newest = 0
        self._unlisted: Mapping[int, str] = {}
        self._listed_again = False
        self.slots: dict[str, Slot] = {}
        self.active: dict[str, Slot] = {}
        self.retiring: list[Follower] = []
        self.wake: Callable[[], None] = lambda: None
        self._following: dict[str, Slot] = {}
        self._line: list[Slot] = []
        self._head: Slot | None = None
        self._placing = Placing()
        self._descriptors = Descriptors(options.max_open)

    # -- what was known before ---------------------------------------------------------------------------------

    def remember(self, known: Iterable[Known], rows: Iterable[Checkpoint]) -> None:
        """`known`: the ledger's lives merged with the local state's; `rows`: the local state's own."""
        for entry in known:
            self._entrance.know(entry)
            self._entrance.stood(entry.life.hour, entry.life.prefix, entry.life.path)
        for row in rows:
            if self._entrance.knows(row.hour, row.prefix):
                self._remembered.add(row)
                self._entrance.stood(row.hour, row.prefix, row.path, (row.device, row.inode))

    def first_scan_done(self) -> None:
        """Hours that the local state was not done with and that have no file any more are lost, and said to be once."""
        self._first_scan = False
        self._say_gone()

    def unlisted(self, folders: Mapping[int, str]) -> None:
        """Day (epoch seconds) -> path of the folders that are there and cannot be listed now: nothing is concluded from
        not seeing their files. Before the files of each scan."""
        self._listed_again = bool(self._unlisted.keys() - folders.keys())
        self._unlisted = folders

    def _say_gone(self) -> None:
        undecided = [slot for slot in self.active.values() if slot.undecided]
        waiting = {slot.hour for slot in undecided}
        waiting |= self._remembered.hours_of([held.file for slot in undecided for held in slot.queue])
        rows = self._remembered.gone(lambda hour: hour not in waiting and hour - hour % _DAY not in self._unlisted)
        self._write_off(rows)

    def _decided(self, hour: int) -> None:
        """A file of this hour turned out to be something: what else the local state knew of the hour may be gone."""
        if self._remembered.has(hour):
            waits = any(slot.undecided for slot in self.active.values() if slot.hour == hour)
            self._write_off(self._remembered.gone(lambda each: each == hour and not waits))

    def _entered(self, follower: Follower, file: SourceFile) -> None:
        """`file` is followed: what the local state knew to be in it and is not there any more is lost, and so are the
        rests of other lives when no file of its hour is left that could be theirs."""
        hour = follower.hour
        row = self._remembered.take(hour, follower.life.prefix)
        if row is not None and not row.compression and not file.compression:
            self._lost(file.path, row.size - max(file.size, follower.tailer.offset), "it was cut before they were read")
        for each in {hour, file.hour} | self._remembered.hours_of([file]):
            self._decided(each)

    def _write_off(self, rows: Iterable[Checkpoint]) -> None:
        present = {slot.hour for slot in self.slots.values()}
        for row in rows:
            why = "it was cut or replaced" if row.hour in present else "it was deleted"
            self._lost(row.path, row.size - row.offset, f"{why} while tailrace was not running")
            self._other_rows.append(written_off(row))

    # -- what a scan saw ---------------------------------------------------------------------------------------

    def seen(self, file: SourceFile, now: float) -> None:
        """A scan found `file`, new or changed."""
        slot = self.slots.get(plain_path(file.path))
        if slot is None:
            slot = self._new_slot(file)
            if slot.sealed is not None:
                return
        slot.missing = slot.gone = False
        slot.gone_at = None
        newest = slot.newest
        if newest is None or not same_file(newest, file):
            if slot.queue:
                slot.queue[0].tried = None  # another stands behind it now: it is not waited for any more
            self._hold(slot, file)
            if slot.follower is not None:
                slot.follower.dirty = True  # to its end, then the new file has its turn
        elif slot.queue:
            self._waiting(slot.queue[-1], file)
        elif slot.follower is not None:
            self._grown(slot.follower, file, now)
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
        for held in slot.queue:
            held.tried = None
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
                    self._note_size(slot.follower, slot.follower.tailer.reader.size(), now)
        return all_active

    def hold(self, now: float) -> None:
        """Open what waits while descriptors last, the oldest first: it is the next to be pruned. After each scan."""
        for slot in [slot for slot in self.active.values() if slot.missing]:
            self._await_archive(slot, now)
        if self._listed_again and not self._first_scan:
            self._say_gone()
        unopened = [slot for slot in self.active.values() if any(held.reader is None for held in slot.queue)]
        unopened.sort(key=lambda slot: slot.hour)
        for slot in [slot for slot in unopened if slot.hour == self._newest] + unopened:
            for held in slot.queue:
                if held.reader is None and held.worth_trying and self._left(slot.hour):
                    self._descriptors.hold(held, now)

    def _await_archive(self, slot: Slot, now: float) -> None:
        """A name has no file: when the grace is over, what could not be opened of it is lost."""
        if slot.gone_at is None:
            slot.gone_at = now
        if slot.gone or (now - slot.gone_at < _GRACE and not self._options.once):
            return
        slot.gone = True
        if slot.follower is not None:
            slot.follower.dirty = True  # `at_end` has the last word
        for held in [held for held in slot.queue if held.reader is None]:
            slot.queue.remove(held)
            self._lost_unopened(held, "deleted")
        self._tidy(slot)

    def _lost_unopened(self, held: Held, what: str) -> None:
        if self._renamed(held.file, self.slots[plain_path(held.file.path)]):
            return
        unread = held.file.size - self._entrance.offset_of(held.file.hour)
        self._lost(held.file.path, unread, f"it was {what} before its turn, while no descriptor was free for it")

    def _new_slot(self, file: SourceFile) -> Slot:
        slot = self.slots[plain_path(file.path)] = Slot(plain_path(file.path), file.hour)
        if file.hour > self._newest:
            self._stats.rollovers += self._newest > 0 and not self._first_scan
            self._newest = file.hour
        if file.hour == self._newest:
            self._head = slot
        if self._remembered.finished(file, torn_too=not self._options.once):
            slot.sealed = file
        return slot

    def _hold(self, slot: Slot, file: SourceFile) -> None:
        for held in [held for held in slot.queue if held.reader is None]:
            slot.queue.remove(held)  # its name is another file's now: it can never be opened
            if held.file.compression is file.compression and not same_file(held.file, file):
                self._lost_unopened(held, "replaced")
        slot.queue.append(Held(file, None))
        slot.sealed, slot.unreadable = None, False
        self.active[slot.key] = slot

    def _waiting(self, held: Held, file: SourceFile) -> None:
        """A file that waits was looked at again. What was seen of it and is cut off will not be read."""
        if not file.compression:
            known = max(self._entrance.offset_of(file.hour), self._remembered.known_size(file.hour))
            self._lost(file.path, held.file.size - max(file.size, known), "it was cut before its turn")
        held.file = file

    def _grown(self, follower: Follower, file: SourceFile, now: float) -> None:
        if not unchanged(follower.file, file):
            follower.dirty = True
        follower.file = file
        size = plain_size(file)
        if size is not None:
            self._note_size(follower, size, now)

    def _note_size(self, follower: Follower, size: int, now: float) -> None:
        self._lost(follower.file.path, follower.note_size(size, now), "it was cut before they were read")

    # -- entering ----------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        return any(slot.enterable for slot in self.active.values())

    async def enter_next(self, now: float) -> bool:
        """Begin to follow a file that waits: the newest hour first, then the oldest. False when none could be.

        The files that wait stand in `_line`, oldest last, and are lined up anew when it is empty: a backlog of
        thousands must not be looked through for each of them.
        """
        head = self._head
        if head is not None and self.active.get(head.key) is head and head.enterable and await self._try(head, now):
            return True
        lined_up = False
        while self._line or not lined_up:
            if not self._line:
                self._line = sorted((slot for slot in self.active.values() if slot.enterable), key=_hour, reverse=True)
                lined_up = True
                continue
            slot = self._line[-1]
            if slot.enterable and slot.queue[0].reader is None and not self._room(slot.hour):
                return await self._enter_open(now)
            self._line.pop()
            if slot.enterable and await self._try(slot, now):
                return True
        return False

    async def _enter_open(self, now: float) -> bool:
        """No descriptor is free: one of those that wait with theirs."""
        if not self._some_wait_open:
            return False
        waiting = [slot for slot in self.active.values() if slot.enterable and slot.queue[0].reader is not None]
        for slot in sorted(waiting, key=_hour):
            if await self._try(slot, now):
                return True
        return False

    async def _try(self, slot: Slot, now: float) -> bool:
        held = slot.queue[0]
        if held.reader is None and not (self._room(slot.hour) and self._descriptors.hold(held, now)):
            return False
        return await self._enter(slot, held, now)

    @property
    def _some_wait_open(self) -> bool:
        """Whether any file that is not followed has a descriptor."""
        return self._descriptors.open > len(self._following)

    @property
    def placing(self) -> bool:
        """Whether a thread is on its way to the place in an archive: then not all that is there has been entered."""
        return bool(self._placing.tasks)

    def _place(self, held: Held, reader: Reader, head: bytes, offset: int) -> None:
        """Move the reader to `offset` in a thread; the file is entered when that is done, others meanwhile."""
        seen = (held.file.size, held.file.mtime_ns)
        held.placing = True

        async def place() -> None:
            held.placed = Placed(seen, head, await self._placing.place(reader, offset))
            held.placing, held.tried = False, None

        def placed(task: asyncio.Task[None]) -> None:
            self._placing.tasks.discard(task)
            self.wake()

        task = asyncio.create_task(place())
        self._placing.tasks.add(task)
        task.add_done_callback(placed)

    def _left(self, hour: int) -> bool:
        return self._descriptors.left(newest=hour == self._newest)

    def _room(self, hour: int) -> bool:
        """Whether one more descriptor may be opened; an idle file is sealed for it if need be, which loses nothing."""
        if not self._left(hour):
            idle = [
                slot for slot in self._following.values() if slot.follower and slot.follower.idle and not slot.queue
            ]
            waiting = self.active.values() if self._some_wait_open else ()
            headless = [slot for slot in waiting if slot.hour < self._newest and slot.headless]
            if headless:
                self._let_go(min(headless, key=lambda slot: slot.hour).queue[0])
            elif idle:
                self._seal(min(idle, key=lambda slot: (slot.torn, slot.hour)))
            else:
                self._leave_one()
        return self._left(hour)

    def _leave_one(self) -> None:
        """HAZARD: when all that are open were replaced (compressed, all at once), each waits for a descriptor for what
        stands there now, and none would ever be free: one that is read to its end goes."""
        for slot in sorted(self._following.values(), key=_hour):
            follower = slot.follower
            if follower is not None and slot.queue and not follower.dirty and not follower.reading:
                self._retire(slot, follower)
                return

    def _let_go(self, held: Held) -> None:
        """A file without a complete line needs no descriptor until it changes."""
        assert held.reader is not None
        self._descriptors.close(held.reader)
        held.reader = None

    async def _enter(self, slot: Slot, held: Held, now: float) -> bool:
        reader = held.reader
        assert reader is not None
        held.tried = (held.file.size, held.file.mtime_ns)
        if (slot.missing or held is not slot.queue[-1]) and self._renamed(held.file, slot):
            self._drop(slot, held)  # it is read under the name that it has now
            self._tidy(slot)
            return False
        try:
            head = self._first_line(slot, held, reader)
            if head is None:
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
            if not self._taken_over(slot, held):
                held.tried = None
                return False
            busy = {follower.life.prefix for follower in self.retiring if follower.tracker.in_flight}
            busy |= {follower.life.prefix for follower in self.followers()}
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
        self._following[slot.key] = slot
        follower.changed_at = now
        self._entered(follower, held.file)
        log.debug("file_entered", path=held.file.path, offset=int(follower.tailer.offset))
        size = plain_size(held.file)
        if size is not None:
            follower.note_size(size, now)
        return True

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
        offset = self._entrance.place(slot.hour, head, slot.follower)
        if held.file.compression and offset > FAR:
            self._place(held, reader, head, offset)
            return None
        return head

    def _taken_over(self, slot: Slot, held: Held) -> bool:
        """A file that was renamed is left by the follower that has it open under its former name; False: not yet.

        HAZARD: while the former name is there as well (a hard link, or a scan that saw the new name first) the file is
        not entered: under another hour it would be a file of its own, and all its lines stored again.
        """
        for other in list(self._following.values()):
            follower = other.follower
            if other is slot or follower is None or not same_file(follower.file, held.file):
                continue
            if follower.dirty or follower.reading or not (other.missing or other.queue):
                return False
            self._retire(other, follower)
        return True

    def _second_name(self, file: SourceFile) -> bool:
        """Whether this file is followed, under another name."""
        return any(same_file(follower.file, file) for follower in self.followers())

    def _renamed(self, file: SourceFile, slot: Slot) -> bool:
        """Whether this file, which had the name of `slot`, stands under another name now."""
        others = (other.newest for other in self.active.values() if other is not slot and not other.missing)
        return any(other is not None and same_file(other, file) for other in others)

    def _continued(self, slot: Slot, follower: Follower, held: Held) -> None:
        log.info("file_continues", path=held.file.path, before=follower.file.path, offset=int(follower.tailer.offset))
        follower.file = held.file
        follower.dirty = follower.unsaved = True
        slot.queue.remove(held)  # its descriptor is the follower's now
        self._decided(slot.hour)

    def _headless(self, slot: Slot, held: Held) -> None:
        """No complete line yet: it waits, unless it is gone or another file has taken its place."""
        if slot.missing or len(slot.queue) > 1:
            assert held.reader is not None
            if slot.missing or not held.file.compression:  # else an archive that stands beside its plain file again
                self._lost(held.file.path, held.reader.size(), "it vanished before its first line was complete")
            self._drop(slot, held)
            self._tidy(slot)
        self._decided(slot.hour)

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
        torn = follower.tailer.torn
        if slot.queue:
            slot.queue[0].tried = None
        elif slot.missing and torn and self._renamed(follower.file, slot):
            self._retire(slot, follower)
        elif slot.missing and (slot.gone or not torn or self._options.once):
            self._lost(follower.file.path, torn, "it was deleted with a last line that never had its newline")
            self._retire(slot, follower)

    def rewritten(self, follower: Follower) -> None:
        """The bytes before the follower's offset are not there any more: what stands there now is looked at anew."""
        slot = self.slots[plain_path(follower.file.path)]
        self._stats.rewritten += 1
        unread = follower.seen_end - follower.tailer.offset
        self._lost(follower.file.path, unread, "it was cut or rewritten before they were read")
        # By its descriptor, not by its name: that may be gone already, or another file's.
        reader = self._descriptors.again(follower.tailer.reader)
        if reader is not None or not (slot.queue or slot.missing):
            slot.queue.appendleft(Held(follower.file, reader))
            self.active[slot.key] = slot
        self._retire(slot, follower)

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
        self._following.pop(slot.key, None)
        tailer = follower.tailer
        self._entrance.know(
            Known(life=follower.life, offset=tailer.offset, guard=tailer.guard_digest(), counts=follower.totals)
        )
        file = follower.file
        self._entrance.stood(follower.hour, follower.life.prefix, file.path, (file.device, file.inode))
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
        return [slot.follower for slot in self._following.values() if slot.follower is not None]

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
        waiting = [slot.queue[0].file for slot in self.active.values() if slot.enterable]
        paths = [file.path for file in waiting if not self._second_name(file)]
        paths += self._unlisted.values()
        paths += [slot.sealed.path for slot in self.slots.values() if slot.sealed is not None and slot.unreadable]
        if paths:
            raise RuntimeFailure(
                f"{len(paths)} of {len(self.slots)} files could not be read, among them {paths[0]}: "
                "their lines are not stored; mend that and run again"
            )

    def locked(self) -> list[str]:
        """Paths that only an operator can make readable: folders that cannot be listed, files that cannot be opened."""
        waiting = (held.file.path for slot in self.active.values() for held in slot.queue if held.retry_in)
        return [*self._unlisted.values(), *waiting]

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
        for follower in list(self.retiring):
            if not follower.tracker.in_flight:
                self.retiring.remove(follower)
                rows.append((follower, follower.checkpoint(last=True)))
        # After the last ones: a life that is followed again since has a later row here.
        for follower in [*self.retiring, *self.followers()]:
            if follower.unsaved:
                follower.unsaved = False
                rows.append((follower, follower.checkpoint()))
        return rows

    def take_other_rows(self) -> list[Checkpoint]:
        """Rows of lives that nobody follows any more, changed once (`first_scan_done`)."""
        rows, self._other_rows = self._other_rows, []
        return rows

    def close(self) -> None:
        self._placing.stop()
        for slot in self.active.values():
            if slot.follower is not None:
                slot.follower.tailer.close()
            for held in slot.queue:
                if held.reader is not None and not held.placing:  # a thread may have it still: it is closed with it
                    held.reader.close()


def _hour(slot: Slot) -> int:
    return slot.hour
