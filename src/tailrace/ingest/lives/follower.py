"""One life of one file while it is being followed: where it is read, what is settled, when to close it.

Ties a tailer (where to read) to a tracker (what is settled) and keeps the totals of this life. No I/O of its
own except through the tailer; time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tailrace.ingest.blocks import BlockGaps
from tailrace.ingest.files.tailer import Tailer
from tailrace.ingest.lives.choice import Known
from tailrace.ingest.lives.noted import Noted
from tailrace.ingest.state.checkpoints import Checkpoint
from tailrace.ingest.state.tracker import SettledPrefix
from tailrace.model import Blocks, Chunk, Life, LongLine, Offset, Outcome, SourceFile, Span, Totals


@dataclass(slots=True, kw_only=True)
class Follower:
    """`known_up_to`: the greatest `_id` that the collection held of this life when it was opened; spans that begin at
    or below it are compared before anything is inserted. `guards`, `outcomes`, `blocks`: by span end, until the settled
    prefix has passed it, so that `totals` are always those of the settled prefix. `gaps`: hears of `blocks`."""

    file: SourceFile
    life: Life
    tailer: Tailer
    tracker: SettledPrefix
    totals: Totals
    guard: bytes
    known_up_to: bytes | None
    dirty: bool = True
    reading: bool = False
    sealed: bool = False
    replaying: bool = False
    changed_at: float = 0.0
    not_before: float = 0.0
    paid_until: float = 0.0
    unsaved: bool = True
    unrecorded: bool = True
    guards: dict[int, bytes] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    gaps: BlockGaps | None = None
    blocks: dict[int, tuple[int, Blocks | None]] = field(default_factory=dict)
    noted: Noted = field(default_factory=Noted)

    @property
    def hour(self) -> int:
        return self.life.hour

    @property
    def has_work(self) -> bool:
        return self.dirty

    @property
    def settled(self) -> Offset:
        return Offset(self.tracker.settled)

    @property
    def idle(self) -> bool:
        """Nothing in flight, nothing known to be unread, and nobody reading."""
        return not self.dirty and not self.reading and self.tracker.settled == self.tracker.read

    def pace(self, now: float, spacing: float, ahead: int) -> None:
        """A small span was read at `now`: the next at once while they came `spacing` seconds apart on average, `ahead`
        of them not counted; else only when they would."""
        self.paid_until = max(self.paid_until, now) + spacing
        self.not_before = self.paid_until - ahead * spacing

    def note_size(self, size: int, now: float) -> int:
        """The file was seen to hold `size` uncompressed bytes at `now` (monotonic seconds). Returns how many bytes that
        were seen before and not read are gone: it was cut above the offset.

        A size is noted only of the content that is being read (`intact`): what a rewritten file holds says nothing
        about how much of the former content was lost.
        """
        if size > (self.noted.end or self.tracker.settled):
            self.changed_at = now
            self.dirty = self.unsaved = True  # saved: what is known to be there counts as lost if it vanishes
            if self._intact():
                self.noted.grown(size, now)
            return 0
        seen = self.seen_end
        if not self.tailer.offset <= size < seen or not self._intact():
            return 0
        self.noted.cut(size)
        if not self.reading:
            self.tailer.forget_rest()
        self.dirty = self.unsaved = True
        return seen - size

    @property
    def seen_end(self) -> int:
        """The end of the bytes that were seen of this life, a torn rest included."""
        torn = 0 if self.reading else self.tailer.torn
        return max(self.noted.end, self.tailer.offset + torn)

    def _intact(self) -> bool:
        """While a thread reads, the tailer's state is the thread's, and its next read says it."""
        return self.reading or self.tailer.intact()

    def read_to_end(self) -> None:
        """A read found no complete line: what was noted beyond belongs to a torn rest, which is not lag.

        HAZARD: `dirty` is cleared before a read and never after it: what was noted during the read would be forgotten.
        """
        self.noted.cut(self.tailer.offset)

    def lag(self, now: float) -> tuple[int, float]:
        """Bytes not settled yet, and the age in seconds of the oldest of them since it was noticed."""
        settled = self.tracker.settled
        self.noted.passed(settled)
        since = self.noted.since(settled)
        return max(self.tracker.read, self.noted.end) - settled, 0.0 if since is None else now - since

    def begin(self, piece: Chunk | LongLine) -> None:
        """`piece` was read and goes into flight."""
        self.tracker.add(piece.span.start, piece.span.end)
        self.guards[piece.span.end] = self.tailer.guard_digest()

    def settle(self, span: Span, outcome: Outcome, blocks: Blocks | None = None) -> None:
        """Everything of `span` is durably stored or kept aside. `blocks`: of its lines."""
        before = self.tracker.settled
        self.outcomes[span.end] = outcome
        if self.gaps is not None:
            self.blocks[span.end] = span.start, blocks
        settled = self.tracker.settle(span.start, span.end)
        if settled == before:
            return
        for end in [end for end in self.outcomes if end <= settled]:
            self.totals.add(self.outcomes.pop(end))
        if self.gaps is not None:
            for end in sorted(end for end in self.blocks if end <= settled):  # acknowledged in any order
                self.gaps.settled(self.hour, self.life.prefix, *self.blocks.pop(end))
        self.guard = self.guards[settled]
        for end in [end for end in self.guards if end <= settled]:
            del self.guards[end]
        self.unsaved = self.unrecorded = True

    def known(self) -> Known:
        return Known(life=self.life, offset=self.settled, guard=self.guard, counts=self.totals)

    def checkpoint(self, *, last: bool = False) -> Checkpoint:
        """The row of this life: safe to resume at, whatever else is in flight. Its totals are those of `[start,
        offset)`.

        `last`: nobody reads this life any more. HAZARD: only a sealed one may be skipped at the next start, by its size
        on disk. Else the size of a plain file is how much of this life was seen: that of what has replaced it in place
        would count as lost.
        """
        file, life = self.file, self.life
        if last:
            size = file.size if self.sealed else self.settled
        else:
            size = file.size if file.compression else self.seen_end
        return Checkpoint(
            prefix=life.prefix,
            fingerprint=life.fingerprint,
            source=life.source,
            path=file.path,
            hour=life.hour,
            number=life.number,
            salt=life.salt,
            start=life.start,
            offset=self.settled,
            guard=self.guard,
            device=file.device,
            inode=file.inode,
            size=size,
            mtime_ns=file.mtime_ns,
            finished=last and self.sealed,
            compression=file.compression.value,
            lines=self.totals.lines,
            inserted=self.totals.inserted,
            duplicates=self.totals.duplicates,
            rejected=self.totals.rejected,
            checksum=self.totals.checksum,
        )
