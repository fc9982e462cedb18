"""What `verify` says: the counts and findings of a file, of a source, and whether that is a proof. Values only."""

from __future__ import annotations

from collections.abc import Iterable
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
    of a missing reject the reject's. `field`: the first that differs. `reason`: why it should have been kept aside."""

    kind: FindingKind
    key: bytes
    offset: int
    index: int = 0
    field: str | None = None
    reason: Reason | None = None


@dataclass(slots=True, kw_only=True)
class FileReport:
    """Law: `entries == equal + kept + missing + different`.

    `equal` counts entries: under content identity several equal entries are one document. `unread`: how many of the
    missing come after everything that was found. `skipped`: bytes before the life's start (`start_at = "end"`).
    `torn`: bytes of an unterminated rest, which are no line yet; `torn_entries`: of it, those that `--once` has stored.
    """

    path: str
    hour: int
    state: FileState = FileState.OK
    detail: str = ""
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
    findings: list[Finding] = field(default_factory=list)

    def note(self, finding: Finding) -> None:
        if len(self.findings) < EXAMPLES:
            self.findings.append(finding)

    def conclude(self) -> None:
        """Set the state from the counts, unless something else was found out before."""
        if self.state is FileState.OK and (self.missing or self.different or self.extra):
            self.state = FileState.DIFFERS


@dataclass(slots=True, kw_only=True)
class Totals:
    """Sums over files; `files` counts those that were looked at, `gone` those that were not there any more."""

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


_SUMMED = ("lines", "entries", "equal", "kept", "missing", "different", "extra", "skipped", "torn")


@dataclass(slots=True, kw_only=True)
class VerifyReport:
    """One source against its collection. `deep`: contents were compared, not only ids. `fileless`: hours that the
    ledger knows and that have no file any more, when all files were asked for: nothing is said about them."""

    source: str
    namespace: str
    identity: Identity
    deep: bool
    files: list[FileReport] = field(default_factory=list)
    fileless: int = 0

    @property
    def proven(self) -> bool:
        if not self.files and self.fileless:
            return False
        return all(file.state in (FileState.OK, FileState.GONE) for file in self.files)


def totals_of(reports: Iterable[VerifyReport]) -> Totals:
    totals = Totals()
    for report in reports:
        for file in report.files:
            gone = file.state is FileState.GONE
            totals.files += not gone
            totals.gone += gone
            for name in _SUMMED:
                setattr(totals, name, getattr(totals, name) + getattr(file, name))
    return totals
