"""What `verify` says: the counts and findings of a file, of a life without a file, of a source, and whether that is a
proof. Values only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tailrace.model import Identity, Reason

EXAMPLES = 5
"""Findings kept of each file; the counts are of all."""


class FileState(StrEnum):
    """The verdict on one file. Only OK and GONE leave the whole proven; GONE proves nothing and is said."""

    OK = "ok"
    DIFFERS = "differs"
    NOT_INGESTED = "not ingested"  # no life of the ledger has these bytes: never read, or cut and rewritten since
    UNREADABLE = "unreadable"
    GONE = "gone"  # deleted between the listing and the look


class FindingKind(StrEnum):
    """What one entry, or one stored document, has wrong."""

    MISSING = "missing"
    MISSING_REJECT = "missing reject"
    DIFFERENT = "different"
    EXTRA = "extra"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`offset`: of the line in the uncompressed file (of an extra document: what its `_id` says). `key`: its `_id`,
    of a missing reject the reject's. `field`: the first that differs, `ours` and `stored` its values as text of one
    line. `reason`: why it should have been kept aside."""

    kind: FindingKind
    key: bytes
    offset: int
    index: int = 0
    field: str | None = None
    ours: str | None = None
    stored: str | None = None
    reason: Reason | None = None


@dataclass(slots=True, kw_only=True)
class FileReport:
    """Law: `entries == equal + kept + missing + different`.

    `equal` counts entries: under content identity several equal entries are one document. `unread`: how many of the
    missing come after everything that was found. `skipped`: bytes before the life's start (`start_at = "end"`).
    `torn`: bytes of an unterminated rest, which are no line yet; `torn_entries`: of it, those that `--once` has stored.
    `repaired_*`: what `--repair` stored; all other fields say what is there now. `prefix`: of the life that it is.
    """

    path: str
    hour: int
    state: FileState = FileState.OK
    detail: str = ""
    prefix: bytes | None = None
    lines: int = 0
    entries: int = 0
    equal: int = 0
    kept: int = 0
    missing: int = 0
    different: int = 0
    extra: int = 0
    unread: int = 0
    skipped: int = 0
    torn: int = 0
    torn_entries: int = 0
    repaired_documents: int = 0
    repaired_rejects: int = 0
    repaired_file: bool = False
    findings: list[Finding] = field(default_factory=list)

    def note(self, finding: Finding) -> None:
        if len(self.findings) < EXAMPLES:
            self.findings.append(finding)

    def conclude(self) -> None:
        """Set the state from the counts, unless something else was found out before."""
        if self.state is FileState.OK and (self.missing or self.different or self.extra):
            self.state = FileState.DIFFERS


class LifeState(StrEnum):
    """What the ledger's record says of a life without a file. Only DIFFERS leaves the whole not proven."""

    AGREES = "agrees"  # with the ledger; the bytes are gone, so nothing more can be said
    DIFFERS = "differs"
    UNJUDGED = "cannot be judged"


@dataclass(slots=True, kw_only=True)
class LifeReport:
    """A life of the ledger that no file on disk was matched with: unverifiable against the bytes.

    `recorded`: documents that the ledger counted up to `offset`, `documents`: those that are there, another's at an
    `id_conflict` not counted (None: not looked at). `missing`: recorded entries that are neither stored nor kept aside.
    `extra`: documents too many. `changed`: the count agrees and the checksum does not; None: not compared.
    `behind`: documents behind the record, about which it says nothing. `replayed`: rejects that became documents since.
    """

    path: str
    hour: int
    prefix: bytes
    number: int
    state: LifeState = LifeState.UNJUDGED
    detail: str = ""
    offset: int = 0
    skipped: int = 0
    recorded: int = 0
    documents: int | None = None
    recorded_rejects: int = 0
    rejects: int | None = None
    missing: int = 0
    extra: int = 0
    changed: bool | None = None
    behind: int = 0
    replayed: int = 0


@dataclass(slots=True, kw_only=True)
class Unexplained:
    """Documents whose `_id` no life of the ledger can have. `at_least`: there may be more. `examples`: as text."""

    documents: int = 0
    at_least: bool = False
    examples: list[str] = field(default_factory=list)

    def note(self, example: str) -> None:
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


@dataclass(slots=True, kw_only=True)
class Totals:
    """Sums over files; `files` counts those that were looked at, `gone` those that were not there any more. Of lives
    without a file: how many there are (`unverifiable`), and of them those that differ and that cannot be judged."""

    files: int = 0
    gone: int = 0
    lines: int = 0
    entries: int = 0
    equal: int = 0
    kept: int = 0
    missing: int = 0
    different: int = 0
    extra: int = 0
    skipped: int = 0
    torn: int = 0
    repaired_documents: int = 0
    repaired_rejects: int = 0
    repaired_files: int = 0
    unverifiable: int = 0
    unverifiable_documents: int = 0
    unverifiable_differing: int = 0
    unverifiable_unjudged: int = 0
    unexplained: int = 0
    missing_hours: int = 0


_SUMMED = (
    *("lines", "entries", "equal", "kept", "missing", "different", "extra", "skipped", "torn"),
    *("repaired_documents", "repaired_rejects"),
)


@dataclass(slots=True, kw_only=True)
class VerifyReport:
    """One source against its collection. `deep`: contents were compared, not only ids. `named`: hours were asked for by
    name. `unexplained`: of the whole collection; None: under an earlier source of it, or not to be known (content
    identity). `missing_hours`: ranges `[from, to)` in epoch seconds with neither file nor life."""

    source: str
    namespace: str
    identity: Identity
    deep: bool
    named: bool = False
    repair: bool = False
    files: list[FileReport] = field(default_factory=list)
    lives: list[LifeReport] = field(default_factory=list)
    unexplained: Unexplained | None = None
    missing_hours: list[tuple[int, int]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Nothing was compared: no file was there. Hours asked for by name may do without one, if the ledger can judge
        them; that all files are gone is never a proof."""
        if any(file.state is not FileState.GONE for file in self.files):
            return False
        return not self.named or all(life.state is LifeState.UNJUDGED for life in self.lives)

    @property
    def sound(self) -> bool:
        """Nothing wrong was found."""
        return (
            all(file.state in (FileState.OK, FileState.GONE) for file in self.files)
            and all(life.state is not LifeState.DIFFERS for life in self.lives)
            and not (self.unexplained is not None and self.unexplained.documents)
            and not (self.empty and self.lives)
        )

    @property
    def proven(self) -> bool:
        return self.sound and not self.empty


def all_proven(reports: Sequence[VerifyReport]) -> bool:
    """Nothing wrong anywhere, and something was compared: of several sources one may have nothing to look at."""
    return all(report.sound for report in reports) and not all(report.empty for report in reports)


def totals_of(reports: Iterable[VerifyReport]) -> Totals:
    totals = Totals()
    for report in reports:
        for file in report.files:
            gone = file.state is FileState.GONE
            totals.files += not gone
            totals.gone += gone
            totals.repaired_files += file.repaired_file
            for name in _SUMMED:
                setattr(totals, name, getattr(totals, name) + getattr(file, name))
        for life in report.lives:
            totals.unverifiable += 1
            totals.unverifiable_documents += life.documents or 0
            totals.unverifiable_differing += life.state is LifeState.DIFFERS
            totals.unverifiable_unjudged += life.state is LifeState.UNJUDGED
        totals.unexplained += 0 if report.unexplained is None else report.unexplained.documents
        totals.missing_hours += sum((end - begin) // 3600 for begin, end in report.missing_hours)
    return totals
