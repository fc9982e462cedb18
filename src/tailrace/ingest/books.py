"""What is written down about a source's lives, in its two places: the ledger (truth) and the local state (time).

    open -> [allocate | save | report]* -> close

Local rows are saved several times a second, ledger progress twice a minute: when the state directory is lost, the
ledger's last word is where reading resumes, and what was stored since is compared and found equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from tailrace.ingest.lives.choice import Known, merge
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.mongo.ledger import Ledger, LedgerLife, Progress, StoredSettings
from tailrace.ingest.mongo.writer import Writer
from tailrace.ingest.state.checkpoints import Checkpoint, CheckpointStore, StateWriteFailed
from tailrace.model import Identity, Life, Offset, StartAt, Totals

log = structlog.get_logger("tailrace.state")


@dataclass(frozen=True, slots=True, kw_only=True)
class BookOptions:
    """`namespace`: `database.collection`; `root`: the tree's root, which the local state is bound to."""

    source: str
    namespace: str
    collection_uuid: bytes
    root: str
    start_at: StartAt
    settings: StoredSettings


class BookKeeper:
    """One per source. `Books` of the entrance, and the only one that saves progress."""

    def __init__(self, options: BookOptions, ledger: Ledger, store: CheckpointStore, writer: Writer) -> None:
        self.options = options
        self.ledger = ledger
        self._store = store
        self._writer = writer
        self._unsaved: dict[bytes, Checkpoint] = {}
        self._unreported: dict[bytes, Progress] = {}
        self._failing = False

    async def open(self) -> tuple[list[Known], list[Checkpoint], bool]:
        """(lives known, local rows, whether this is the first start). Raises ConfigurationError of several kinds."""
        options = self.options
        self._store.bind(options.source, options.namespace, options.collection_uuid, options.root)
        await self.ledger.claim()
        await self.ledger.settings_agree(options.settings)
        first = await self.ledger.first_start(options.start_at)
        rows = self._store.load(options.source, options.namespace)
        return await self.known(rows), rows, first

    async def known(self, rows: list[Checkpoint]) -> list[Known]:
        """The lives of the ledger with the furthest settled offset that is on record."""
        ledger = [_of_ledger(entry) async for entry in self.ledger.all_lives()]
        return merge([_of_row(row, self.options.settings.family) for row in rows], ledger)

    async def allocate(self, *, hour: int, head: bytes, number: int, path: str, start: int) -> Life:
        return await self.ledger.allocate(
            hour=hour,
            head=head,
            number=number,
            source=self.options.source,
            family=self.options.settings.family,
            path=path,
            start=Offset(start),
        )

    async def highest_id(self, life: Life) -> bytes | None:
        if self.options.settings.identity is Identity.CONTENT:
            return None  # content ids do not follow the file
        return await self._writer.highest_id(life)

    def note(self, rows: list[tuple[Follower, Checkpoint]], others: list[Checkpoint]) -> None:
        """New rows, to be saved and reported."""
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
            if not self._failing:
                log.warning("checkpoints_not_saved", why=str(error), meaning="a restart would read a little again")
            self._failing = True
            return
        self._unsaved.clear()
        if self._failing:
            log.info("checkpoints_saved_again")
        self._failing = False

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
        )


def _of_ledger(entry: LedgerLife) -> Known:
    progress = entry.progress
    if progress is None or progress.offset < entry.life.start:
        return Known(life=entry.life, offset=entry.life.start, guard=b"", counts=Totals())
    counts = Totals(progress.lines, progress.inserted, progress.duplicates, progress.rejected)
    return Known(life=entry.life, offset=Offset(progress.offset), guard=progress.guard, counts=counts)


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
    counts = Totals(row.lines, row.inserted, row.duplicates, row.rejected)
    return Known(life=life, offset=Offset(row.offset), guard=row.guard, counts=counts)
