"""`verify`: files against the database, by the ledger. Only `--repair` writes; no local state, no lease, no lock.

    settings of the collection -> each file (opening, file) -> lives without a file (pruned) -> missing hours
    once a collection: documents that no life explains (strangers)                          -> VerifyReport

Beside a live `run` nothing is a false alarm: a plain file is verified up to the size that it had at first, what is
missing is looked at again (`Patience`), and what is stored is only extra or unexplained when the file, or the ledger,
read after it, does not explain it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from tailrace.errors import SettingsChanged
from tailrace.ingest.files.names import plain_path
from tailrace.ingest.mongo.ledger import Ledger, LedgerLife, StoredSettings
from tailrace.ingest.mongo.ledger_documents import first_difference, settings_document, settings_sentence
from tailrace.ingest.mongo.made import info_of
from tailrace.model import SourceFile, StartAt
from tailrace.verify.hours import missing_hours
from tailrace.verify.lives import Lives
from tailrace.verify.look import Comparison
from tailrace.verify.opening import Matcher, is_there
from tailrace.verify.patience import Patience
from tailrace.verify.pruned import PrunedLives
from tailrace.verify.repair import Repairer
from tailrace.verify.report import VerifyReport
from tailrace.verify.selection import Scope, matches
from tailrace.verify.strangers import Strangers

FILES, LIVES, STRANGERS = "files", "lives", "strangers"
"""Stages of a verification, for those who show its progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is verified: one source and how its entries are compared. `settings`: what we believe to be stored.

    `repair`: store what is missing; the collection is prepared then, and handles write with majority.
    """

    source: str
    family: str
    settings: StoredSettings
    comparison: Comparison
    start_at: StartAt = StartAt.BEGINNING
    repair: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """`files` to verify, of those below `tree` (see `selection`); `present`: the hours of all files that there are;
    `unmatched`: words that no file is meant by, which may mean hours of the ledger."""

    files: Sequence[SourceFile]
    tree: str
    scope: Scope = field(default_factory=Scope)
    present: Collection[int] = ()
    unmatched: Collection[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`stage` FILES: bytes are those on disk of the files given, and `path` is being read. LIVES: bytes of lives that
    have no file. STRANGERS: gaps between lives."""

    path: str
    files_done: int
    files: int
    bytes_done: int
    bytes: int
    stage: str = FILES


Listener = Callable[[Progress], None]


async def verify_source(
    subject: Subject,
    wanted: Wanted,
    *,
    on_progress: Listener = lambda _: None,
    patience: Patience | None = None,
) -> tuple[VerifyReport, set[str]]:
    """Every line of the files, and every life without a file, one after the other in constant memory. Beside the report
    the words of `wanted.unmatched` that no life of the ledger is meant by either.

    Raises SettingsChanged when the collection was filled with other settings; RuntimeFailure.
    """
    comparison = subject.comparison
    lives = Lives(comparison.handles, comparison.retrier)
    ledger = await _ledger(subject)
    if subject.repair:
        await ledger.settings_agree(subject.settings)
    else:
        await _agree(subject)
    skips = subject.repair and subject.start_at is StartAt.END and not await lives.started(subject.source)
    repairer = Repairer(comparison, ledger, source=subject.source, family=subject.family, skips=skips)
    report = VerifyReport(
        source=subject.source,
        namespace=comparison.handles.data.full_name,
        identity=comparison.identity,
        deep=comparison.deep,
        named=bool(wanted.scope.words),
        repair=subject.repair,
    )
    waits = Patience() if patience is None else patience
    waits.only_while(lambda: lives.written(subject.source))
    matcher = Matcher(
        source=subject.source,
        family=subject.family,
        comparison=comparison,
        ledger=ledger,
        patience=waits,
        repairer=repairer if subject.repair else None,
    )
    await _files(matcher, wanted.files, report, on_progress)
    rest, hours, nowhere = await _without_files(subject.source, lives, wanted, report)
    pruned = PrunedLives(comparison, lives, waits, subject.source)
    await _lives(pruned, rest, waits, report, on_progress)
    report.missing_hours = missing_hours({*hours, *wanted.present}, wanted.scope.holds_hour)
    return report, nowhere


async def find_unexplained(
    comparison: Comparison, spans: Iterable[tuple[int, int]] | None, report: VerifyReport, on_progress: Listener
) -> None:
    """Of a whole collection, into the report of one of its sources. `spans`: of seconds; None: everything."""
    if not comparison.by_place:
        return
    strangers = Strangers(comparison.handles.data, comparison.retrier, Lives(comparison.handles, comparison.retrier))

    def tell(done: int, total: int) -> None:
        on_progress(Progress(path="", files_done=0, files=0, bytes_done=done, bytes=total, stage=STRANGERS))

    report.unexplained = await strangers.search(spans, tell)


async def _agree(subject: Subject) -> None:
    """What the ledger says the collection was filled with is what we compare with. Nothing is written."""
    comparison = subject.comparison
    stored = await comparison.retrier.call(
        lambda: comparison.handles.files.find_one({"_id": "settings"}), "comparing the settings"
    )
    ours = settings_document(subject.settings)
    changed = None if stored is None else first_difference(stored, ours)
    if changed is not None and stored is not None:
        raise SettingsChanged(settings_sentence(comparison.handles.data.full_name, changed, stored, ours))


async def _ledger(subject: Subject) -> Ledger:
    """For lives and fences only: it claims nothing."""
    handles, retrier = subject.comparison.handles, subject.comparison.retrier

    info = await retrier.call(lambda: info_of(handles.data), "looking at the collection")
    known = b"" if info is None else bytes(info["info"].get("uuid", b""))  # a view has none
    return Ledger(handles, retrier, source=subject.source, instance="verify", collection_uuid=known)


async def _files(matcher: Matcher, files: Sequence[SourceFile], report: VerifyReport, on_progress: Listener) -> None:
    size, done = sum(file.size for file in files), 0

    def tell(file: SourceFile, count: int, offset: int) -> None:
        reached = 0 if file.compression else min(offset, file.size)  # bytes on disk
        on_progress(Progress(path=file.path, files_done=count, files=len(files), bytes_done=done + reached, bytes=size))

    for count, file in enumerate(files):
        tell(file, count, 0)
        matcher.patience.next_file()
        report.files.append(await matcher.verify(file, lambda at, f=file, n=count: tell(f, n, at)))  # type: ignore[misc]  # bound now: the loop moves on
        done += file.size


async def _without_files(
    source: str, lives: Lives, wanted: Wanted, report: VerifyReport
) -> tuple[list[LedgerLife], set[int], set[str]]:
    """(lives in scope that no file was matched with, the hours of all lives, words that mean none of them)."""
    matched = {file.prefix for file in report.files}
    listed = {plain_path(file.path) for file in wanted.files}
    rest, hours, nowhere = [], set[int](), set(wanted.unmatched)
    async for entry in lives.of(source):
        life = entry.life
        path = entry.path
        hours.add(life.hour)
        nowhere = {word for word in nowhere if not matches(word, life.hour, path)}
        if life.prefix in matched or not wanted.scope.holds(life.hour, path):
            continue
        if path.startswith(wanted.tree + "/") and plain_path(path) not in listed and is_there(path):
            continue  # a file that appeared after they were listed
        rest.append(entry)
    return rest, hours, nowhere


async def _lives(
    pruned: PrunedLives,
    entries: Sequence[LedgerLife],
    patience: Patience,
    report: VerifyReport,
    on_progress: Listener,
) -> None:
    sizes = [1 if entry.progress is None else 1 + entry.progress.offset for entry in entries]
    done, total = 0, sum(sizes)
    for number, (entry, size) in enumerate(zip(entries, sizes, strict=True)):
        path = entry.life.path
        on_progress(
            Progress(path=path, files_done=number, files=len(entries), bytes_done=done, bytes=total, stage=LIVES)
        )
        patience.next_file()
        report.lives.append(await pruned.check(entry))
        done += size
