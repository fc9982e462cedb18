"""`--repair`: what is missing is stored, by the same steps as `run` stores it. What is different or extra stays.

    an entry or reject that is not there -> Writer (documents -> rejects -> fence)
    a file that the ledger does not know  -> entered in the ledger first, then piece by piece as above

If we die anywhere, what was stored is found equal by the next repair or `run`. A live `run` may do the same at the same
time: a life, its ids and its rejects are functions of the data, so both store the same, once.
"""

from __future__ import annotations

from tailrace.ingest.mongo.ledger import Ledger
from tailrace.ingest.mongo.writer import Writer
from tailrace.model import Encoded, Life, Offset, Outcome
from tailrace.verify.look import Comparison, Look
from tailrace.verify.pieces import Piece
from tailrace.verify.report import FileReport


class Mender:
    """Of one file. `vouched`: up to this offset the bytes of the file were compared with the ledger's guard; None for
    all of it, of a life that we entered.

    HAZARD: the ledger's record lags behind a live `run`. A file that was cut and rewritten behind it, under an equal
    head, looks like the life it was before; storing its lines there would double them, for `run` reads it as the next
    life. So behind `vouched` nothing is stored among documents that contradict the file.
    """

    def __init__(self, writer: Writer, *, by_place: bool, vouched: int | None) -> None:
        self._writer = writer
        self._by_place = by_place
        self._vouched = vouched

    async def mend(self, piece: Piece, look: Look, report: FileReport) -> bool:
        """Store what `look` found missing; False if nothing was done. Raises RuntimeFailure, OSError, FileRewritten."""
        unsure = self._vouched is not None and piece.span.end > self._vouched
        if self._by_place and unsure and (look.different or look.collation.extra):
            report.detail = (
                "not all was repaired: among what is missing are documents that contradict the file, and the ledger "
                "does not vouch for it so far"
            )
            return False
        outcome = await self._store(piece, look)
        report.repaired_documents += outcome.inserted
        report.repaired_rejects += outcome.rejected
        return True

    async def _store(self, piece: Piece, look: Look) -> Outcome:
        if piece.long is not None:
            return await self._writer.write_long_line(piece.long)
        assert piece.chunk is not None
        return await self._writer.write(piece.chunk, absent_part(piece, look), compare_first=False)


def absent_part(piece: Piece, look: Look) -> Encoded:
    """What of the piece is neither stored nor kept aside: the rest is never written again. Pure."""
    encoded = piece.encoded
    absent = {(line.offset, line.index) for line in look.absent_rejects}
    lines = encoded.document_lines
    return Encoded(
        documents=[piece.documents[index] for index in look.missing],
        rejects=[reject for reject in encoded.rejects if (reject.start, reject.index) in absent],
        lines=0,
        document_lines=None if lines is None else [lines[index] for index in look.missing],
    )


class Repairer:
    """Of one source. `skips`: the source was never started and would skip what lies there (`start_at = "end"`)."""

    def __init__(self, comparison: Comparison, ledger: Ledger, *, source: str, family: str, skips: bool) -> None:
        self.skips = skips
        self._ledger = ledger
        self._source = source
        self._family = family
        self._by_place = comparison.by_place
        self._writer = Writer(
            comparison.handles,
            comparison.retrier,
            fence=ledger.fence,
            ignore=comparison.ignore,
            entry_of=comparison.entry_of,
        )

    def mender(self, vouched: int | None) -> Mender:
        return Mender(self._writer, by_place=self._by_place, vouched=vouched)

    async def enter(self, report: FileReport, head: bytes, number: int) -> Life:
        """The life of a file that the ledger does not know, durably entered."""
        return await self._ledger.allocate(
            hour=report.hour,
            head=head,
            number=number,
            source=self._source,
            family=self._family,
            path=report.path,
            start=Offset(0),
        )
