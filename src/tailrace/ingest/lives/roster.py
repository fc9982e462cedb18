"""The files of one source: which are held, followed, sealed or gone.

    scan -> seen / gone / hint -> held -> enter_next -> followed -> at_end / rewritten -> sealed | retiring | continued
            sightings                     turns, room, entering     leaving
            what was lost on the way, and while tailrace did not run: losses

Called by the pipeline only, from the event loop. MongoDB is asked when a file is entered, never when a scan is
applied: discovery, and the holding of descriptors, go on while the database is away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tailrace.errors import RuntimeFailure
from tailrace.ingest.files.names import plain_path
from tailrace.ingest.lives.backlog import Backlog, Unread
from tailrace.ingest.lives.census import Census
from tailrace.ingest.lives.choice import Known
from tailrace.ingest.lives.descriptors import Descriptors
from tailrace.ingest.lives.entering import Entering
from tailrace.ingest.lives.entrance import Entrance
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.lives.leaving import Leaving
from tailrace.ingest.lives.losses import Losses
from tailrace.ingest.lives.placing import Placing
from tailrace.ingest.lives.remembered import Remembered
from tailrace.ingest.lives.room import Room
from tailrace.ingest.lives.sightings import Sightings
from tailrace.ingest.lives.slots import Held, Slot, Slots, same_file
from tailrace.ingest.lives.turns import Turns
from tailrace.ingest.state.checkpoints import Checkpoint
from tailrace.ingest.stats import SourceStats
from tailrace.model import SourceFile


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterOptions:
    """`max_open`: descriptors; `seal_after`: seconds; `once`: rests matter at the end."""

    max_open: int
    seal_after: float
    once: bool = False


class Roster:
    """`slots` by plain path, all that were seen; `active` those that hold a descriptor or wait for one. `wake` is
    called when a file may be entered that could not be a moment ago. `entering`: one is being entered, which MongoDB is
    asked for; it does not wait any more, and is not followed yet."""

    def __init__(self, options: RosterOptions, entrance: Entrance, stats: SourceStats) -> None:
        once = options.once
        self.wake: Callable[[], None] = lambda: None
        self.entering = False
        self._entrance = entrance
        self._remembered = Remembered()
        self._slots = slots = Slots()
        self._descriptors = descriptors = Descriptors(options.max_open)
        self._placing = Placing(self._placed)
        self._losses = losses = Losses(slots, self._remembered, entrance, stats)
        self._sightings = Sightings(slots, descriptors, self._remembered, losses, stats, once=once)
        self._leaving = Leaving(slots, descriptors, entrance, losses, stats, seal_after=options.seal_after, once=once)
        entering = Entering(slots, descriptors, entrance, losses, self._leaving, self._placing)
        self.census = Census(slots, entrance)
        self._backlog = Backlog(slots, entrance)
        self._turns = Turns(slots, descriptors, Room(slots, descriptors, self._leaving), entering)

    def _placed(self) -> None:
        self.wake()  # as it is then: the feeder sets it later than this was made

    @property
    def slots(self) -> Mapping[str, Slot]:
        return self._slots.all

    @property
    def active(self) -> Mapping[str, Slot]:
        return self._slots.active

    # -- what was known before ---------------------------------------------------------------------------------

    def remember(self, known: Iterable[Known], rows: Iterable[Checkpoint]) -> None:
        """`known`: the ledger's lives merged with the local state's; `rows`: the local state's own."""
        rows = sorted(rows, key=lambda row: row.number)
        saved = {row.prefix for row in rows}
        unsaved: dict[str, int] = {}  # plain path -> number of the latest life there without a row
        for entry in sorted(known, key=lambda entry: entry.life.number):
            life = entry.life
            self._entrance.remember(entry)
            self._entrance.stood(life.hour, life.prefix, life.path)
            if life.prefix not in saved:
                unsaved[plain_path(life.path)] = life.number
        for row in rows:
            if self._entrance.knows(row.hour, row.prefix):
                self._remembered.add(row)
                # HAZARD: killed just after its rewriting, the file of this inode may be that later life already.
                if unsaved.get(plain_path(row.path), 0) <= row.number:
                    self._entrance.stood(row.hour, row.prefix, row.path, (row.device, row.inode))

    # -- what a scan saw ---------------------------------------------------------------------------------------

    def first_scan_done(self) -> None:
        """Hours that the local state was not done with and that have no file any more are lost, and said to be once."""
        self._sightings.first_scan_done()

    def unlisted(self, folders: Mapping[int, str]) -> None:
        """Day (epoch seconds) -> path of the folders that are there and cannot be listed now: nothing is concluded from
        not seeing their files. Before the files of each scan."""
        self._sightings.not_listed(folders)

    def seen(self, file: SourceFile, now: float) -> None:
        """A scan found `file`, new or changed."""
        self._sightings.seen(file, now)

    def gone(self, file: SourceFile) -> None:
        """A scan found no file at this hour's name any more. What is open is read to its end all the same."""
        self._sightings.gone(file)

    def hint(self, paths: Iterable[str], now: float) -> bool:
        """Something happened to these files, says a notification. False when a scan must look: not all are active."""
        return self._sightings.hint(paths, now)

    def hold(self, now: float) -> None:
        """Open what waits while descriptors last, the oldest first: it is the next to be pruned. After each scan."""
        self._sightings.hold(now)

    # -- entering and leaving ----------------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        return any(slot.enterable for slot in self._slots.active.values())

    @property
    def placing(self) -> bool:
        """Whether a thread is on its way to the place in an archive: then not all that is there has been entered."""
        return bool(self._placing.tasks)

    async def enter_next(self, now: float) -> bool:
        """Begin to follow a file that waits: the newest hour first, then the oldest. False when none could be."""
        self.entering = True
        try:
            return await self._turns.enter_next(now)
        finally:
            self.entering = False

    async def enter_rest(self, held: Held, head: bytes) -> Follower | None:
        """For `--once`: a file whose only line has no newline yet; `head` is that line, and a whole entry."""
        assert held.reader is not None
        return await self._entrance.follow(held.file, held.reader, head, set())

    def at_end(self, follower: Follower) -> None:
        """No complete line is left in `follower` at this moment."""
        self._leaving.at_end(follower)

    def rewritten(self, follower: Follower) -> None:
        """The bytes before the follower's offset are not there any more: what stands there now is looked at anew."""
        self._leaving.rewritten(follower)

    def unreadable(self, follower: Follower, error: Exception) -> None:
        """A damaged archive, or an error of the disk: this file waits until it changes, the others go on."""
        self._leaving.unreadable(follower, error)

    def seal_after(self, seconds: float) -> None:
        """The option of that name, from now on."""
        self._leaving.seal_after = seconds

    def seal_idle(self, now: float) -> None:
        """Close the files that nothing was added to for `seal_after` seconds and that have a later hour beside them."""
        self._leaving.seal_idle(now)

    # -- for the pipeline --------------------------------------------------------------------------------------

    @property
    def newest_hour(self) -> int:
        """Epoch seconds of the latest hour that has a file, or had one when there was any; 0: there never was."""
        return self._slots.newest

    @property
    def open_files(self) -> int:
        return self._descriptors.open

    @property
    def retiring(self) -> list[Follower]:
        """Followers that are not read any more, until `take_rows` has given their last checkpoint."""
        return self._leaving.retiring

    def followers(self) -> list[Follower]:
        return self._slots.followers()

    def hot_paths(self) -> set[str]:
        """Files that must be looked at on every scan: those that are open. A backlog that waits has its turn."""
        hot = (slot for slot in self.active.values() if slot.follower is not None or slot.queue[-1].reader is not None)
        return {slot.newest.path for slot in hot if slot.newest is not None}

    def backlog(self, now: float) -> Unread:
        """What lies on disk and is not read yet. Files not entered yet count from what is known."""
        return self._backlog.look(now)

    def must_be_complete(self) -> None:
        """For `--once`: RuntimeFailure when a file that is there could not be read."""
        waiting = [slot.queue[0].file for slot in self.active.values() if slot.enterable]
        followed = [follower.file for follower in self.followers()]  # a second name of one of these has its lines
        paths = [file.path for file in waiting if not any(same_file(each, file) for each in followed)]
        paths += self._slots.unlisted.values()
        paths += [slot.sealed.path for slot in self.slots.values() if slot.sealed is not None and slot.unreadable]
        if paths:
            raise RuntimeFailure(
                f"{len(paths)} of {len(self.slots)} files could not be read, among them {paths[0]}: "
                "their lines are not stored; mend that and run again"
            )

    def locked(self) -> list[str]:
        """Paths that only an operator can make readable: folders that cannot be listed, files that cannot be opened."""
        waiting = (held.file.path for slot in self.active.values() for held in slot.queue if held.retry_in)
        return [*self._slots.unlisted.values(), *waiting]

    def headless(self) -> list[Held]:
        """Files that have no complete line yet, but some bytes."""
        return [held for slot in self.active.values() for held in slot.queue if held.file.size]

    def take_rows(self) -> list[tuple[Follower, Checkpoint]]:
        """Checkpoints that changed since the last call; a retired follower that has settled gives its last one."""
        return self._leaving.take_rows()

    def take_other_rows(self) -> list[Checkpoint]:
        """Rows of lives that nobody follows any more, changed once (`first_scan_done`)."""
        return self._losses.take_rows()

    def close(self) -> None:
        self._placing.stop()
        for slot in self.active.values():
            if slot.follower is not None:
                slot.follower.tailer.close()
            for held in slot.queue:
                if held.reader is not None and not held.placing:  # a thread may have it still: it is closed with it
                    held.reader.close()
