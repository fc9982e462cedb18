"""What is written down about a source's lives, in its two places: the ledger (truth) and the local state (time).

    open -> [allocate | save | report]* -> close

Local rows are saved several times a second, ledger progress twice a minute: when the state directory is lost, the
ledger's last word is where reading resumes, and what was stored since is compared and found equal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from tailrace.ingest.lasting import Lasting
from tailrace.ingest.lives.choice import Known, merge
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.mongo.ledger import Ledger, LedgerLife, Progress, StoredSettings
from tailrace.ingest.mongo.writer import Writer
from tailrace.ingest.state.checkpoints import Checkpoint, CheckpointStore, StateWriteFailed
from tailrace.model import Identity, Life, Offset, StartAt, Totals

log = structlog.get_logger("tailrace.state")


@dataclass(frozen=True, slots=True, kw_only=True)
class BookOptions:
    """`namespace`: `database.collection`; `root`: the tree's root, which the local state is bound to; `there`: exists.

    `rejects_uuid`: of the collection of rejects, empty when nobody asks. `lives`, `begun`, `rejects_dropped`: after a
    collection was dropped under a running instance, the lives that it knew, whether its first start was over, and
    whether it was the rejects.
    """

    source: str
    namespace: str
    collection_uuid: bytes
    root: str
    start_at: StartAt
    settings: StoredSettings
    there: bool = True
    rejects_uuid: bytes = b""
    lives: tuple[Life, ...] = ()
    begun: bool = False
    rejects_dropped: bool = False


class BookKeeper:
    """One per source. `Books` of the entrance, and the only one that saves progress."""

    def __init__(self, options: BookOptions, ledger: Ledger, store: CheckpointStore, writer: Writer) -> None:
        self.options = options
        self.ledger = ledger
        self._store = store
        self._writer = writer
        self._unsaved: dict[bytes, Checkpoint] = {}
        self._unreported: dict[bytes, Progress] = {}
        self._clock: Callable[[], float] = time.monotonic
        self._not_saved = Lasting()
        self._saved: dict[bytes, int] = {}
        self._tied = False
        self._unsaved_since = 0.0
        self.lives: dict[bytes, Life] = {}

    async def open(self) -> tuple[list[Known], list[Checkpoint], bool]:
        """(lives known, local rows, whether this is the first start). Raises ConfigurationError of several kinds."""
        options = self.options
        self._tied = options.there
        self._store.bind(options.source, options.namespace, options.collection_uuid, options.root, there=options.there)
        await self.ledger.claim()
        await self.ledger.settings_agree(options.settings)
        first = await self.ledger.first_start(options.start_at)
        await self._bind_rejects()
        rows = self._store.load(options.source, options.namespace)
        self._saved = {row.prefix: row.offset for row in rows}
        known = await self.known(rows)
        # A row is saved, and a life known, only after the life is in the ledger: what it lacks now, it has lost.
        remembered = {row.prefix: _of_row(row, options.settings.family).life for row in rows}
        remembered |= {life.prefix: life for life in options.lives}
        lost = {prefix: life for prefix, life in remembered.items() if prefix not in self.lives}
        if lost:
            rows = self._begun_again(rows, lost.keys() - {life.prefix for life in options.lives})
            await self.ledger.restore(list(lost.values()))
            known = await self.known(rows)
            log.error(
                "ledger_restored",
                source=options.source,
                collection=options.namespace,
                files=len(lost),
                meaning="nothing is lost: the ledger lacked files that were read before; they are entered again, and "
                "what they hold is compared with what is stored",
                todo="find out who deleted from this collection's .files; tailrace verify proves what is stored",
            )
        if first and (remembered or options.begun):
            await self.ledger.started()
            first = False
        return known, rows, first

    def root_found(self, root: str) -> None:
        """The stream's directory, links resolved, is there now. Raises ConfigurationError."""
        if not self._tied:
            self._store.bind(self.options.source, self.options.namespace, self.options.collection_uuid, root)
            self._tied = True

    def _begun_again(self, rows: list[Checkpoint], prefixes: set[bytes]) -> list[Checkpoint]:
        """The rows, those of `prefixes` with nothing settled: only the local state knows these lives.

        A ledger that lost them while nobody looked may have come from a backup, and the collection with it: what their
        offsets call stored is read again, and compared. Saved before the lives are entered again: a start that dies in
        between must not take the offsets for good.
        """
        again = [_unsettled(row) if row.prefix in prefixes else row for row in rows]
        self._store.save(self.options.source, self.options.namespace, [row for row in again if row.prefix in prefixes])
        return again

    async def _bind_rejects(self) -> None:
        """Rejects that were dropped are kept again: lives that had some are read again from their start."""
        options = self.options
        if not options.rejects_uuid:
            return
        again = options.rejects_dropped or await self.ledger.rejects_dropped(options.rejects_uuid)
        if again:
            self._store.forget_rejected(options.source, options.namespace)
            log.error(
                "rejects_dropped",
                source=options.source,
                collection=f"{options.namespace}.rejects",
                meaning="files that had rejects are read again: what the files still hold is kept aside again",
                todo="find out who dropped it; the rejects of files that are gone from disk are lost",
            )
        await self.ledger.bind_rejects(options.rejects_uuid, again=again)

    async def known(self, rows: list[Checkpoint]) -> list[Known]:
        """The lives of the ledger with the furthest settled offset that is on record."""
        ledger = [known_of(entry) async for entry in self.ledger.all_lives()]
        known = merge([_of_row(row, self.options.settings.family) for row in rows], ledger)
        self.lives.update({entry.life.prefix: entry.life for entry in known})
        return known

    async def allocate(self, *, hour: int, head: bytes, number: int, path: str, start: int) -> Life:
        life = await self.ledger.allocate(
            hour=hour,
            head=head,
            number=number,
            source=self.options.source,
            family=self.options.settings.family,
            path=path,
            start=Offset(start),
        )
        self.lives[life.prefix] = life
        return life

    async def highest_id(self, life: Life) -> bytes | None:
        if self.options.settings.identity is Identity.CONTENT:
            return None  # content ids do not follow the file
        return await self._writer.highest_id(life)

    def note(self, rows: list[tuple[Follower, Checkpoint]], others: list[Checkpoint], now: float) -> None:
        """New rows, to be saved and reported. `now`: monotonic seconds."""
        if not self._unsaved:
            self._unsaved_since = now
        for row in [*others, *(row for _follower, row in rows)]:
            self._unsaved[row.prefix] = row
        for follower, row in rows:
            self._unreported[row.prefix] = self._progress(follower, row)

    def save(self) -> None:
        """Make the noted rows durable in the local state. A full disk is said once and tried again at the next call."""
        if not self._unsaved:
            return
        try:
            self._store.save(self.options.source, self.options.namespace, list(self._unsaved.values()))
        except StateWriteFailed as error:
            if self._not_saved.met(self._clock()):
                log.warning(
                    "checkpoints_not_saved",
                    source=self.options.source,
                    why=str(error),
                    for_s=self._not_saved.for_s(self._clock()),
                    meaning="nothing is lost: storing goes on; a restart would read again what was stored since, and "
                    "find it equal",
                    todo="make room on the disk of the state directory, or give this user the right to write there",
                )
            return
        self._saved.update((row.prefix, row.offset) for row in self._unsaved.values())
        self._unsaved.clear()
        if (after := self._not_saved.over(self._clock())) is not None:
            log.info("checkpoints_saved_again", source=self.options.source, after_s=after)

    def unsaved(self, now: float) -> tuple[float, int]:
        """(seconds, bytes): how long noted rows have waited to be saved, and how much they are ahead of what is."""
        rows = self._unsaved.values()
        size = sum(row.offset - self._saved.get(row.prefix, row.start) for row in rows)
        return (now - self._unsaved_since if rows else 0.0), max(0, size)

    async def report(self) -> None:
        """Record the noted progress in the ledger, with majority."""
        rows = self._unreported
        if rows:
            self._unreported = {}
            try:
                await self.ledger.record(list(rows.values()))
            except BaseException:
                self._unreported = {**rows, **self._unreported}
                raise

    def _progress(self, follower: Follower, row: Checkpoint) -> Progress:
        content = self.options.settings.identity is Identity.CONTENT  # a document may be of several lives
        return Progress(
            prefix=row.prefix,
            offset=row.offset,
            guard=row.guard,
            collection_uuid=self.options.collection_uuid,
            path=row.path,
            finished=row.finished,
            lines=follower.totals.lines,
            inserted=follower.totals.inserted,
            duplicates=follower.totals.duplicates,
            rejected=follower.totals.rejected,
            checksum=None if content else follower.totals.checksum,
        )


def _unsettled(row: Checkpoint) -> Checkpoint:
    """The same life, with nothing read of it. `size`: as if no more were there, for what is not there is not lost."""
    start = row.start
    return replace(
        row,
        offset=start,
        size=start,
        guard=b"",
        finished=False,
        lines=0,
        inserted=0,
        duplicates=0,
        rejected=0,
        checksum=0,
    )


def known_of(entry: LedgerLife) -> Known:
    """What the ledger says of a life: nothing but its start where no progress was recorded."""
    progress = entry.progress
    if progress is None or progress.offset < entry.life.start:
        return Known(life=entry.life, offset=entry.life.start, guard=b"", counts=Totals())
    counts = Totals(progress.lines, progress.inserted, progress.duplicates, progress.rejected, progress.checksum)
    life = replace(entry.life, path=entry.path)  # where it was seen last, as in a local row
    return Known(life=life, offset=Offset(progress.offset), guard=progress.guard, counts=counts)


def _of_row(row: Checkpoint, family: str) -> Known:
    life = Life(
        source=row.source,
        family=family,
        path=row.path,
        hour=row.hour,
        number=row.number,
        salt=row.salt,
        fingerprint=row.fingerprint,
        start=Offset(row.start),
    )
    counts = Totals(row.lines, row.inserted, row.duplicates, row.rejected, row.checksum)
    return Known(life=life, offset=Offset(row.offset), guard=row.guard, counts=counts)
