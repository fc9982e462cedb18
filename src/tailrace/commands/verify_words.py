"""The sentences of a verification's report. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tailrace.verify.hours import range_name
from tailrace.verify.report import (
    FileReport,
    FileState,
    Finding,
    FindingKind,
    LifeReport,
    LifeState,
    Totals,
    VerifyReport,
    all_proven,
    totals_of,
)

_RANGES = 5  # ranges of missing hours that are named


def remarks(file: FileReport) -> Iterator[str]:
    """What the row of a file does not say."""
    if file.detail:
        yield file.detail
    if file.repaired_documents or file.repaired_rejects:
        yield f"repaired: {_stored(file.repaired_documents, file.repaired_rejects)}"
    if file.skipped:
        yield f"{file.skipped:,} bytes skipped by choice (start_at = end)"
    if file.torn:
        stored = f", {file.torn_entries} entry of it stored by --once" if file.torn_entries else ""
        yield f"{file.torn:,} bytes of a torn last line, which waits for its newline{stored}"
    if file.state is FileState.DIFFERS and file.unread:
        yield f"{file.unread:,} of the missing come after everything that is stored: they may not have been read yet"


def finding_words(finding: Finding) -> str:
    place = f"offset {finding.offset} entry {finding.index}"
    key = finding.key.hex()
    match finding.kind:
        case FindingKind.MISSING:
            return f"missing: {place} (_id {key})"
        case FindingKind.MISSING_REJECT:
            return f"missing: {place}, a line that must be kept aside ({finding.reason}) and is not (reject {key})"
        case FindingKind.DIFFERENT:
            values = "" if finding.ours is None else f": {finding.ours} in the file, {finding.stored} stored"
            return f"different: {place} (_id {key}), field {finding.field}{values}"
        case FindingKind.EXTRA:
            return f"extra: a document that no line explains, place {finding.offset} (_id {key})"


def life_words(life: LifeReport) -> str:
    """Of a life without a file that differs, or of which something lies behind the record."""
    recorded = (
        f"{_count(life.recorded, 'document', 'documents')} and {_count(life.recorded_rejects, 'reject', 'rejects')}"
    )
    words = [f"no file any more; the ledger recorded {recorded}, and {life.documents:,} and {life.rejects:,} are there"]
    if life.missing:
        words.append(f"{_count(life.missing, 'entry is', 'entries are')} missing")
    if life.extra:
        words.append(f"{_count(life.extra, 'document', 'documents')} too many")
    if life.changed:
        words.append("as many, but the checksum is another: contents were changed, or fields were added to them")
    if life.replayed:
        words.append(
            f"{_count(life.replayed, 'reject was', 'rejects were')} replayed since, so contents are not judged"
        )
    if life.behind:
        behind = _count(life.behind, "document", "documents")
        words.append(f"{behind} behind the last record (offset {life.offset:,}), which cannot be judged")
    return "; ".join(words)


def notices(report: VerifyReport) -> Iterator[str]:
    """Of a whole source: what agrees with the ledger only, strangers, hours that nobody knows, repairs."""
    agreeing = [life for life in report.lives if life.state is LifeState.AGREES]
    if agreeing:
        documents = _count(sum(life.documents or 0 for life in agreeing), "document", "documents")
        by_count = sum(life.changed is None for life in agreeing)
        how = "count and checksum" if not by_count else "count"
        if 0 < by_count < len(agreeing):
            how = f"count, {len(agreeing) - by_count:,} of them by checksum too"
        yield f"{_hours(len(agreeing))} without a file, unverifiable: {documents} agree with the ledger ({how})"
    unjudged = Counter(life.detail for life in report.lives if life.state is LifeState.UNJUDGED)
    for detail, number in unjudged.items():
        yield f"{_hours(number)} without a file cannot be judged: {detail}"
    found = report.unexplained
    if found is not None and found.documents:
        least = f"{'at least ' if found.at_least else ''}{_count(found.documents, 'document', 'documents')}"
        examples = ", ".join(found.examples)
        yield f"unexplained: {least} in {report.namespace} with an _id that no known file can have: {examples}"
    if report.missing_hours:
        names = ", ".join(range_name(*each) for each in report.missing_hours[:_RANGES])
        more = len(report.missing_hours) - _RANGES
        rest = f" and {more:,} more such gaps" if more > 0 else ""
        yield f"no file and no record: {names}{rest} (the node may have been down)"
    if not report.repair and any(file.missing for file in report.files):
        yield "what is missing can be stored with --repair"
    if report.repair:
        totals = totals_of([report])
        stored = _stored(totals.repaired_documents, totals.repaired_rejects)
        entered = totals.repaired_files
        files = f"; {_count(entered, 'file', 'files')} had not been ingested" if entered else ""
        nothing = not (totals.repaired_documents or totals.repaired_rejects or entered)
        yield "repaired: nothing" if nothing else f"repaired: {stored}{files}"


def total_line(reports: Sequence[VerifyReport]) -> str:
    """`168,009 entries in 6 files: 168,000 stored and equal, 9 kept aside; missing 0, different 0, extra 0: proven`"""
    totals = totals_of(reports)
    deep = all(report.deep for report in reports)
    entries = _count(totals.entries, "entry", "entries")
    stored = "stored and equal" if deep else "stored (contents not compared)"
    words = [
        f"{entries} in {_count(totals.files, 'file', 'files')}: {totals.equal:,} {stored}, {totals.kept:,} kept aside",
        f"missing {totals.missing:,}, different {totals.different:,}, extra {totals.extra:,}",
    ]
    if totals.unverifiable:
        words.append(_lives(totals))
    if totals.unexplained:
        words.append(f"unexplained {totals.unexplained:,}")
    words[-1] += f": {_verdict(reports, totals)}"
    if totals.gone:
        words.append(f"{_count(totals.gone, 'file', 'files')} vanished meanwhile")
    if totals.skipped:
        words.append(f"{totals.skipped:,} bytes skipped by choice")
    return "; ".join(words)


def _lives(totals: Totals) -> str:
    """`2 hours without a file: 1 agrees with the ledger, 1 differs from it`"""
    number, differing, unjudged = totals.unverifiable, totals.unverifiable_differing, totals.unverifiable_unjudged
    agreeing = number - differing - unjudged
    parts = {
        f"{agreeing:,} {'agrees' if agreeing == 1 else 'agree'} with the ledger": agreeing,
        f"{differing:,} {'differs' if differing == 1 else 'differ'} from it": differing,
        f"{unjudged:,} cannot be judged": unjudged,
    }
    return f"{_hours(number)} without a file: {', '.join(words for words, count in parts.items() if count)}"


def _verdict(reports: Sequence[VerifyReport], totals: Totals) -> str:
    if all_proven(reports):
        return "proven" if totals.files else "agrees with the ledger, no file was there to prove it"
    unproven = sum(file.state not in (FileState.OK, FileState.GONE) for report in reports for file in report.files)
    wrong = [_count(unproven, "file", "files")] if unproven else []
    if totals.unverifiable_differing:
        wrong.append(f"{_hours(totals.unverifiable_differing)} without a file")
    if totals.unexplained:
        wrong.append("unexplained documents")
    if wrong:
        return f"NOT proven ({', '.join(wrong)})"
    return "nothing was verified" if not totals.files else "NOT proven (a source without any file)"


def _stored(documents: int, rejects: int) -> str:
    return f"{_count(documents, 'document', 'documents')} stored, {_count(rejects, 'reject', 'rejects')} kept aside"


def _hours(number: int) -> str:
    return _count(number, "hour", "hours")


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
