"""One file by its name: opened, matched with a life of the ledger, checked. What goes wrong is its state.

open (or what it was compressed to since) -> head -> life of the ledger -> FileCheck -> FileReport
                                               no life: counted; with --repair entered, then checked
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from tailrace.errors import FileRewritten
from tailrace.ingest.books import known_of
from tailrace.ingest.files import tailer as tailing
from tailrace.ingest.files.names import forms_of, plain_path
from tailrace.ingest.files.reading import Reader, UnreadableFile, open_reader
from tailrace.ingest.lives.choice import Known, NextLife, choose_life
from tailrace.ingest.mongo.ledger import Ledger, LedgerLife
from tailrace.model import Life, SourceFile
from tailrace.verify.file import FileCheck
from tailrace.verify.look import Comparison, Looker
from tailrace.verify.patience import Patience
from tailrace.verify.pieces import unknown_life
from tailrace.verify.repair import Repairer
from tailrace.verify.report import FileReport, FileState


@dataclass(frozen=True, slots=True)
class _Opened:
    """`end`: bytes to verify, the size at first; None for an archive: all of it. `within`: as in `SourceFile`."""

    reader: Reader
    head: bytes
    end: int | None
    on_progress: Callable[[int], None]
    within: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """What the files of one source are matched and compared with. `repairer` None: nothing is written."""

    source: str
    family: str
    comparison: Comparison
    ledger: Ledger
    patience: Patience
    repairer: Repairer | None = None

    async def verify(self, file: SourceFile, on_progress: Callable[[int], None]) -> FileReport:
        """`on_progress` is told the offset that was reached. Raises RuntimeFailure only."""
        report = FileReport(path=file.path, hour=file.hour)
        try:
            reader = await asyncio.to_thread(_open, file, report)
        except FileNotFoundError:
            report.state, report.detail = FileState.GONE, "it vanished after it was listed"
            return report
        except (OSError, UnreadableFile) as error:
            report.state, report.detail = FileState.UNREADABLE, _why(error)
            return report
        try:
            await self._check(report, reader, file.within, on_progress)
        except (OSError, UnreadableFile, FileRewritten) as error:
            report.state, report.detail = FileState.UNREADABLE, _why(error)
        finally:
            reader.close()
        report.conclude()
        return report

    async def _check(
        self, report: FileReport, reader: Reader, within: Sequence[str], on_progress: Callable[[int], None]
    ) -> None:
        end = reader.size() if reader.complete else None  # an archive does not grow, and does not know its size
        head = await asyncio.to_thread(tailing.read_head, reader)
        whole = head is not None
        if head is None:  # `--once` takes an unterminated first line for a head
            head = await asyncio.to_thread(lambda: tailing.read_head(reader, final=True))
        if head is None:
            report.torn = end or 0
            return
        opened = _Opened(reader, head, end, on_progress, within)
        choice = await self._choose(report.hour, opened)
        while isinstance(choice, NextLife) and whole and await self.patience.again():
            choice = await self._choose(report.hour, opened)
        if isinstance(choice, Known):
            await self._compare(report, opened, choice.life, choice.offset if choice.guard else 0)
        elif whole:
            await self._not_ingested(report, opened, choice.number)
        else:
            report.torn = end if end is not None else len(head)

    async def _compare(self, report: FileReport, opened: _Opened, life: Life, vouched: int | None) -> None:
        report.prefix = life.prefix
        mender = None if self.repairer is None else self.repairer.mender(vouched)
        check = FileCheck(self.comparison, report, self.patience, opened.on_progress, mender)
        await check.run(opened.reader, life, opened.head, opened.end)

    async def _not_ingested(self, report: FileReport, opened: _Opened, number: int) -> None:
        """HAZARD: an archive in the making is shorter than the life that it will be. It is read to its end before it
        may count as another life: entered as one, its lines would be stored a second time."""
        reader, repairer = opened.reader, self.repairer
        enters = repairer is not None and not repairer.skips
        counted = FileReport(path=report.path, hour=report.hour)
        if not (enters and reader.complete):
            unknown = unknown_life(self.source, self.family, report.path, report.hour)
            check = FileCheck(self.comparison, counted, self.patience, opened.on_progress)
            await check.count(reader, unknown, opened.head, opened.end)
        if not reader.complete:
            raise UnreadableFile(f"{reader.path} is an archive that does not end: its last lines may be missing")
        if repairer is not None and enters:
            life = await repairer.enter(report, opened.head, number)
            report.repaired_file = True
            report.detail = "it was not ingested: entered in the ledger, and ingested"
            await self._compare(report, opened, life, None)
            return
        report.state = FileState.NOT_INGESTED
        report.detail = "the ledger has no life with these bytes: not read yet, or cut or rewritten since"
        if repairer is not None:
            report.detail = "not repaired: this source was never started, and start_at = end would skip what lies there"
        report.lines, report.entries = counted.lines, counted.entries
        report.missing, report.unread, report.torn = counted.missing, counted.unread, counted.torn

    async def _choose(self, hour: int, opened: _Opened) -> Known | NextLife:
        """The life of the ledger that this file is, or the number of the one that it would be."""
        known = [known_of(entry) for entry in await self.ledger.lives(hour)]
        choice = await self._choose_of(known, opened)
        if isinstance(choice, Known):
            return choice
        # Of an hour with two names (`9` and `09`), and of a file that was moved back, the latest life is another's.
        for earlier in reversed([entry for entry in known if entry.guard]):
            if isinstance(await self._choose_of([earlier], opened), Known):
                return earlier
        return await self._renamed(hour, opened) or choice

    async def _renamed(self, hour: int, opened: _Opened) -> Known | None:
        """The life of another hour that this file is, when it was renamed to this one (decisions/0006).

        HAZARD: taken for a file of its own it would be entered by `--repair`, and all its lines stored again. `verify`
        does not know the inode that a life had: so the file is also that life when no other file with its bytes stands
        where it was seen last, for the ledger's word where that is comes late. Without a guard, something of it must be
        stored.
        """
        for entry in await self.ledger.namesakes(self.family, opened.head):
            if entry.life.hour == hour:
                continue
            choice = await self._choose_of([known_of(entry)], opened)
            if isinstance(choice, NextLife) or await asyncio.to_thread(self._stands_elsewhere, entry, opened):
                continue
            if choice.guard or await Looker(self.comparison).highest_id(choice.life) is not None:
                return choice
        return None

    def _stands_elsewhere(self, entry: LedgerLife, opened: _Opened) -> bool:
        """Whether another file with this life's bytes is where it was seen last."""
        here = opened.reader.stat()
        if plain_path(entry.path) == plain_path(opened.reader.path):
            return False
        for path, compression in forms_of(entry.path):
            with (
                suppress(OSError, UnreadableFile, FileRewritten),
                closing(open_reader(path, compression, opened.within)) as other,
            ):
                head = tailing.read_head(other, final=True)
                if head is not None and not os.path.samestat(other.stat(), here):
                    return isinstance(self._life_of([known_of(entry)], other, head), Known)
        return False

    async def _choose_of(self, known: list[Known], opened: _Opened) -> Known | NextLife:
        return await asyncio.to_thread(self._life_of, known, opened.reader, opened.head)

    def _life_of(self, known: list[Known], reader: Reader, head: bytes) -> Known | NextLife:
        return choose_life(
            known,
            source=self.source,
            family=self.family,
            head=head,
            matches=lambda offset, guard: tailing.matches(reader, offset, guard),
        )


def is_there(path: str) -> bool:
    """Whether a file stands at this name, compressed or not."""
    return any(os.path.exists(each) for each, _ in forms_of(path))


def _open(file: SourceFile, report: FileReport) -> Reader:
    """The file, or what it was compressed to since it was listed."""
    try:
        return open_reader(file.path, file.compression, file.within)
    except FileNotFoundError:
        for path, compression in forms_of(file.path):
            with suppress(FileNotFoundError):
                reader = open_reader(path, compression, file.within)
                report.path = path
                return reader
        raise


def _why(error: Exception) -> str:
    """Without the number and the path that Python puts around it: the report names the file."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
