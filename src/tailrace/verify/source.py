"""`verify`: files against the database, by the ledger. Reads only; no local state, no lease, no lock.

    settings of the collection -> for each file: its life (by head and bytes) -> FileCheck -> VerifyReport

Beside a live `run` nothing is a false alarm: a plain file is verified up to the size that it had at first, what is
missing is looked at again (`Patience`), and a document is only extra when the file, read after it, does not explain it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tailrace.errors import FileRewritten, SettingsChanged
from tailrace.ingest.files import tailer as tailing
from tailrace.ingest.files.names import plain_path
from tailrace.ingest.files.reading import Reader, UnreadableFile, open_reader
from tailrace.ingest.lives.choice import Known, NextLife, choose_life
from tailrace.ingest.mongo.ledger import Ledger, LedgerLife, StoredSettings
from tailrace.ingest.mongo.ledger_documents import first_difference, settings_document, settings_sentence
from tailrace.model import Compression, Life, Offset, SourceFile, Totals
from tailrace.verify.file import FileCheck, Patience
from tailrace.verify.look import Comparison
from tailrace.verify.pieces import unknown_life
from tailrace.verify.report import FileReport, FileState, VerifyReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is verified: one source and how its entries are compared. `settings`: what we believe to be stored."""

    source: str
    family: str
    settings: StoredSettings
    comparison: Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Bytes on disk, of the files given; `path` is being read."""

    path: str
    files_done: int
    files: int
    bytes_done: int
    bytes: int


async def verify_source(
    subject: Subject,
    files: Sequence[SourceFile],
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    patience: Patience | None = None,
    everything: bool = False,
) -> VerifyReport:
    """Every line of `files` (see `selection`), file after file, in constant memory.

    `everything`: these are all the files there are; hours of the ledger without a file are counted then.

    Raises SettingsChanged when the collection was filled with other settings; RuntimeFailure.
    """
    await _agree(subject)
    comparison = subject.comparison
    report = VerifyReport(
        source=subject.source,
        namespace=comparison.handles.data.full_name,
        identity=comparison.identity,
        deep=comparison.deep,
    )
    ledger = await _ledger(subject)
    waits = Patience() if patience is None else patience
    size, done = sum(file.size for file in files), 0

    def tell(file: SourceFile, count: int, offset: int) -> None:
        reached = 0 if file.compression else min(offset, file.size)  # bytes on disk
        on_progress(Progress(path=file.path, files_done=count, files=len(files), bytes_done=done + reached, bytes=size))

    for count, file in enumerate(files):
        tell(file, count, 0)
        waits.next_file()
        report.files.append(
            await _verify_file(subject, ledger, file, waits, lambda at, f=file, n=count: tell(f, n, at))  # type: ignore[misc]  # bound now: the loop moves on
        )
        done += file.size
    if everything:
        hours = {entry.life.hour async for entry in ledger.all_lives()}
        report.fileless = len(hours - {file.hour for file in files})
    return report


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
    """For reading lives only: it claims nothing."""
    handles, retrier = subject.comparison.handles, subject.comparison.retrier

    async def uuid() -> bytes:
        async for info in await handles.database.list_collections(filter={"name": handles.data.name}):
            return bytes(info["info"].get("uuid", b""))
        return b""

    known = await retrier.call(uuid, "looking at the collection")
    return Ledger(handles, retrier, source=subject.source, instance="verify", collection_uuid=known)


async def _verify_file(
    subject: Subject, ledger: Ledger, file: SourceFile, patience: Patience, on_progress: Callable[[int], None]
) -> FileReport:
    report = FileReport(path=file.path, hour=file.hour)
    check = FileCheck(subject.comparison, report, patience, on_progress)
    try:
        reader = await asyncio.to_thread(_open, file, report)
    except FileNotFoundError:
        report.state, report.detail = FileState.GONE, "it vanished after it was listed; nothing is said about it"
        return report
    except (OSError, UnreadableFile) as error:
        report.state, report.detail = FileState.UNREADABLE, str(error)
        return report
    try:
        await _check(subject, ledger, check, report, reader, patience)
    except (OSError, UnreadableFile, FileRewritten) as error:
        report.state, report.detail = FileState.UNREADABLE, str(error)
    finally:
        reader.close()
    report.conclude()
    return report


async def _check(
    subject: Subject, ledger: Ledger, check: FileCheck, report: FileReport, reader: Reader, patience: Patience
) -> None:
    end = reader.size() if reader.complete else None  # an archive does not grow, and does not know its size
    head = await asyncio.to_thread(tailing.read_head, reader)
    whole = head is not None
    if head is None:  # `--once` takes an unterminated first line for a head
        head = await asyncio.to_thread(lambda: tailing.read_head(reader, final=True))
    life = None if head is None else await _life(subject, ledger, report.hour, reader, head)
    while life is None and whole and await patience.again():
        life = await _life(subject, ledger, report.hour, reader, head or b"")
    if life is not None and head is not None:
        await check.run(reader, life, head, end)
    elif whole and head is not None:
        report.state = FileState.NOT_INGESTED
        report.detail = "the ledger has no life with these bytes: not read yet, or cut or rewritten since"
        unknown = unknown_life(subject.source, subject.family, report.path, report.hour)
        await check.count(reader, unknown, head, end)
    else:
        report.torn = end if end is not None else len(head or b"")


async def _life(subject: Subject, ledger: Ledger, hour: int, reader: Reader, head: bytes) -> Life | None:
    """The life of the ledger that this file is, or None."""
    known = [_known(entry) for entry in await ledger.lives(hour)]
    choice = await asyncio.to_thread(
        lambda: choose_life(
            known,
            source=subject.source,
            family=subject.family,
            head=head,
            matches=lambda offset, guard: tailing.matches(reader, offset, guard),
        )
    )
    return None if isinstance(choice, NextLife) else choice.life


def _known(entry: LedgerLife) -> Known:
    progress = entry.progress
    if progress is None or progress.offset < entry.life.start:
        return Known(life=entry.life, offset=entry.life.start, guard=b"", counts=Totals())
    return Known(life=entry.life, offset=Offset(progress.offset), guard=progress.guard, counts=Totals())


def _open(file: SourceFile, report: FileReport) -> Reader:
    """The file, or what it was compressed to since it was listed."""
    try:
        return open_reader(file.path, file.compression)
    except FileNotFoundError:
        for compression in (Compression.GZIP, Compression.ZSTD, Compression.LZ4):
            archive = replace(file, path=f"{plain_path(file.path)}.{compression.value}", compression=compression)
            try:
                reader = open_reader(archive.path, compression)
            except FileNotFoundError:
                continue
            report.path = archive.path
            return reader
        raise
