"""What follows from two counts: the ledger's record of a life, and what is there of it. Pure.

The record counts documents (inserted, or proven to be there) and rejects. Later only `rejects replay` moves entries
from one to the other: a reject becomes a document, under wrapped framing one whole line becomes several. So, with
`gone` the rejects that are not there any more and `more` the documents beyond the record:

    fewer documents than recorded               that many entries are missing
    more, up to `gone` (wrapped: if any is)     replayed: their contents are not in the checksum
    more than that                              documents too many
    rejects gone that no document replaced      that many entries are missing
    numbers equal, checksum not                 contents changed, or fields were added
"""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.verify.report import LifeReport, LifeState


@dataclass(slots=True)
class Tally:
    """`checksum` None: unknown, or not read."""

    documents: int = 0
    rejects: int = 0
    checksum: int | None = None


def conclude(report: LifeReport, recorded: Tally, found: Tally, *, stray: int, wrapped: bool, known: bool) -> None:
    """Fill `report`. `stray`: documents where there can be none. `known`: the ledger says something of this life."""
    more = found.documents - recorded.documents
    gone = max(0, recorded.rejects - found.rejects)
    report.recorded, report.documents = recorded.documents, found.documents + stray
    report.recorded_rejects, report.rejects = recorded.rejects, found.rejects
    many = wrapped and gone > 0 and more > 0  # how many entries a replayed line has is not known
    report.replayed = gone if many else max(0, min(more, gone))
    report.missing = max(0, -more) + gone - report.replayed
    report.extra = stray + (0 if many else max(0, more - report.replayed))
    if more == 0 and gone == 0 and recorded.checksum is not None and found.checksum is not None:
        report.changed = found.checksum != recorded.checksum
    if report.missing or report.extra or report.changed:
        report.state = LifeState.DIFFERS
    elif known:
        report.state = LifeState.AGREES
    else:
        report.detail = "nothing of it was recorded in the ledger"
