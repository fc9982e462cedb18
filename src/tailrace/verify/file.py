"""One file against the database: every line of its life is stored and equal, kept aside, missing, or different.

    open -> which life of the ledger -> pieces up to the size at the beginning -> documents behind them -> report

Position identity: pieces and `_id` ranges tile the life from its first to its last possible id, so a document that no
line explains is found wherever it lies (`extra`). Content identity: ids do not follow the file, so there is only
missing and different. Nothing is locked or leased, and only `--repair` writes; a `run` may be at work on the same file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tailrace.identity import place_of, position_id
from tailrace.ingest.files.reading import Reader, UnreadableFile
from tailrace.ingest.files.tailer import Tailer
from tailrace.ingest.mongo.proof import ID
from tailrace.model import Life
from tailrace.verify.collation import Collation
from tailrace.verify.look import Comparison, Look, Looker
from tailrace.verify.patience import Patience
from tailrace.verify.pieces import Piece, Pieces
from tailrace.verify.repair import Mender
from tailrace.verify.report import FileReport, Finding, FindingKind


class FileCheck:
    """Checks one file of a known life; the counts go to `report`. Used once."""

    def __init__(
        self,
        comparison: Comparison,
        report: FileReport,
        patience: Patience,
        on_progress: Callable[[int], None],
        mender: Mender | None = None,
    ) -> None:
        """`on_progress` is told the offset that was reached. `mender` stores what is missing; without one nothing is
        written."""
        self._compare = comparison
        self._looker = Looker(comparison)
        self._report = report
        self._patience = patience
        self._on_progress = on_progress
        self._mender = mender

    async def run(self, reader: Reader, life: Life, head: bytes, end: int | None) -> None:
        """`end`: bytes to verify, the size at the beginning; None for an archive: all of it. Sets everything but the
        state. Raises FileRewritten, UnreadableFile, OSError, RuntimeFailure."""
        self._report.skipped = life.start
        await self._before(life)
        pieces = self._pieces(reader, life, head, life.start, end)
        await pieces.each(self._piece)
        self._report.torn = pieces.torn
        if not reader.complete:
            raise UnreadableFile(f"{reader.path} is an archive that does not end: its last lines may be missing")
        if self._compare.by_place:
            await self._behind(reader, life, head, pieces.offset)

    async def count(self, reader: Reader, life: Life, head: bytes, end: int | None) -> None:
        """Of a file that no life in the ledger has: all of it is missing."""
        report = self._report
        pieces = self._pieces(reader, life, head, life.start, end)

        async def add(piece: Piece) -> None:
            report.lines += piece.lines
            report.entries += len(piece.documents) + len(piece.kept)
            self._on_progress(piece.span.end)

        await pieces.each(add)
        report.missing = report.unread = report.entries
        report.torn = pieces.torn

    def _pieces(self, reader: Reader, life: Life, head: bytes, start: int, end: int | None) -> Pieces:
        tailer = Tailer(reader, start, head=head)
        tailer.life = life
        compare = self._compare
        return Pieces(tailer, compare.codec, end=end, max_line_bytes=compare.max_line_bytes)

    # -- one piece ---------------------------------------------------------------------------------------------

    async def _piece(self, piece: Piece) -> None:
        look = await self._looker.look(piece)
        while (open_before := self._unsettled(look)) and await self._patience.again():
            look = await self._looker.look(piece)
            if self._unsettled(look) < open_before:
                self._patience.helped()
        if self._mender is not None and look.absent and await self._mender.mend(piece, look, self._report):
            look = await self._looker.look(piece)
        self._count(piece, look)
        self._on_progress(piece.span.end)

    def _unsettled(self, look: Look) -> int:
        """What a live `run` may yet settle. A conflict of content becomes a reject a moment later; what stands at a
        line's place and differs stays."""
        return look.absent + (0 if self._compare.by_place else len(look.different))

    def _count(self, piece: Piece, look: Look) -> None:
        report = self._report
        entries = len(piece.documents) + len(piece.kept)
        report.lines += piece.lines
        report.entries += entries
        report.kept += look.kept
        report.missing += look.absent
        report.different += len(look.different)
        report.equal += entries - look.kept - look.absent - len(look.different)
        places = [(*piece.place(index), index) for index in look.missing]
        for offset, entry, index in places:
            key = piece.documents[index][ID]
            report.note(Finding(kind=FindingKind.MISSING, key=key, offset=offset, index=entry))
        for index, name in look.different.items():
            offset, entry = piece.place(index)
            key = piece.documents[index][ID]
            ours, stored = look.values.get(index, (None, None))
            kind = FindingKind.DIFFERENT
            report.note(Finding(kind=kind, key=key, offset=offset, index=entry, field=name, ours=ours, stored=stored))
        for line in look.absent_rejects:
            kind = FindingKind.MISSING_REJECT
            report.note(Finding(kind=kind, key=line.key, offset=line.offset, index=line.index, reason=line.reason))
        self._note_extra(look.collation)
        self._note_unread(piece, look)

    def _note_unread(self, piece: Piece, look: Look) -> None:
        """Keeps count of the missing behind everything that was found."""
        gone = [*(piece.place(index) for index in look.missing), *((x.offset, x.index) for x in look.absent_rejects)]
        absent = set(gone)
        found = [piece.place(at) for at in _last_found(len(piece.documents), look.missing)]
        found += [place for x in piece.kept if (place := (x.offset, x.index)) not in absent]
        if found:
            last = max(found)
            self._report.unread = sum(place > last for place in gone)
        else:
            self._report.unread += len(gone)

    def _note_extra(self, collation: Collation) -> None:
        if not self._compare.by_place:
            return  # other lines' documents lie between ours
        self._report.extra += collation.extra
        for key in collation.extra_ids:
            self._report.note(Finding(kind=FindingKind.EXTRA, key=key, offset=place_of(key)))

    # -- around the lines --------------------------------------------------------------------------------------

    async def _before(self, life: Life) -> None:
        """Where reading was to skip there can be no documents."""
        if self._compare.by_place and life.start:
            ranges = [(position_id(life.prefix, 0), position_id(life.prefix, life.start - 1))]
            self._note_extra(await self._looker.collate([], ranges))

    async def _behind(self, reader: Reader, life: Life, head: bytes, start: int) -> None:
        """Documents behind what was verified: lines that came meanwhile, or the rest that `--once` took, else extra.

        The highest `_id` is read first and the file after it: what was stored by then had its line there.
        """
        highest = await self._looker.highest_id(life)
        if highest is None or place_of(highest) < start:
            return
        pieces = self._pieces(reader, life, head, start, None)

        async def explain(piece: Piece) -> None:
            end = min(position_id(life.prefix, piece.span.end - 1), highest)
            begin = position_id(life.prefix, piece.span.start)
            if begin <= end:
                ours = [document for document in piece.documents if document[ID] <= end]
                self._note_extra(await self._looker.collate(ours, [(begin, end)]))

        await pieces.each(explain)
        await self._explain_rest(life, pieces, highest)

    async def _explain_rest(self, life: Life, pieces: Pieces, highest: bytes) -> None:
        begin = position_id(life.prefix, pieces.offset)
        if begin > highest:
            return
        rest = await asyncio.to_thread(pieces.rest)
        ours = [] if rest is None or rest.kept else [document for document in rest.documents if document[ID] <= highest]
        collation = await self._looker.collate(ours, [(begin, highest)])
        self._report.torn_entries = len(ours) - len(collation.missing) - len(collation.different)
        self._report.different += len(collation.different)
        self._report.entries += len(collation.different)
        self._note_extra(collation)


def _last_found(count: int, missing: Sequence[int]) -> list[int]:
    """The highest index below `count` that is not in the ascending `missing`, if there is one."""
    last = count - 1
    for index in reversed(missing):
        if index != last:
            break
        last -= 1
    return [last] if last >= 0 else []
