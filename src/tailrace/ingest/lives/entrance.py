"""Entering a file: which life it is, where reading begins, what is entered in the ledger first.

The order is the promise (invariant 8): a life is in the ledger, with majority, before its first line is read.
If we die between the two, the next start finds a life with nothing settled and begins at its start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from tailrace.ingest.blocks import BlockGaps
from tailrace.ingest.files import tailer as tailing
from tailrace.ingest.files.names import plain_path
from tailrace.ingest.files.reading import Reader
from tailrace.ingest.files.tailer import Tailer
from tailrace.ingest.lives.choice import Known, NextLife, choose_life
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.state.tracker import SettledPrefix
from tailrace.model import Life, SourceFile, Totals

log = structlog.get_logger("tailrace.files")


class Books(Protocol):
    """The ledger and the collection, behind the two questions that entering has."""

    async def allocate(self, *, hour: int, head: bytes, number: int, path: str, start: int) -> Life:
        """A new life, entered durably before this returns."""

    async def highest_id(self, life: Life) -> bytes | None:
        """The greatest `_id` stored of this life."""


@dataclass(frozen=True, slots=True)
class Name:
    """Of the source and its stream family: part of every fingerprint."""

    source: str
    family: str


class LifeBusy(Exception):
    """Spans of the life that a file goes on with are in flight still, or it is followed elsewhere: come again later."""


class Entrance:
    """All lives known of one source, by hour; the roster asks it, in the event loop."""

    def __init__(self, name: Name, books: Books, gaps: BlockGaps | None = None) -> None:
        """`gaps`: hears of the block numbers of a wrapped stream."""
        self._name = name
        self._books = books
        self.gaps = gaps
        self._known: dict[int, dict[bytes, Known]] = {}
        self._stood: dict[tuple[int, int] | str, tuple[int, bytes]] = {}  # inode or plain path -> hour, prefix

    def know(self, entry: Known) -> None:
        self._known.setdefault(entry.life.hour, {})[entry.life.prefix] = entry

    def remember(self, entry: Known) -> None:
        """A life that was known before this process read anything of it."""
        self.know(entry)
        if self.gaps is not None:
            self.gaps.was_known(entry.life.hour, entry.life.prefix)

    def stood(self, hour: int, prefix: bytes, path: str, inode: tuple[int, int] | None = None) -> None:
        """Where this life was seen last: `inode` is (device, inode)."""
        self._stood[plain_path(path)] = hour, prefix
        if inode is not None:
            self._stood[inode] = hour, prefix

    def knows(self, hour: int, prefix: bytes) -> bool:
        return prefix in self._known.get(hour, {})

    def hours(self) -> set[int]:
        """All hours that lives are known of."""
        return set(self._known)

    def latest(self, hour: int) -> Known | None:
        """The latest life known of this hour."""
        return max(self._known.get(hour, {}).values(), key=lambda entry: entry.life.number, default=None)

    def offset_of(self, hour: int) -> int:
        """The furthest offset settled of any life of this hour, 0 when there is none."""
        known = self._known.get(hour)
        return max(entry.offset for entry in known.values()) if known else 0

    async def follow(self, file: SourceFile, reader: Reader, head: bytes, busy: set[bytes]) -> Follower | None:
        """Begin or resume the life that this file is. None: an archive in the making, come again when it has changed.

        `busy`: prefixes of lives with spans still in flight from an earlier descriptor. HAZARD: resuming one of
        these would give one life two trackers, and a checkpoint could pass a span that never settles.
        Raises LifeBusy then, and OSError, FileRewritten, UnreadableFile when the file changes under our hands.
        """
        here = (entry for entry in self._here(file) if self._choose([entry], reader, head) is entry)
        choice = next(here, None) or self._choose(self._known.get(file.hour, {}).values(), reader, head)
        known_up_to = None
        if isinstance(choice, NextLife):
            choice = self._renamed(file, reader, head) or choice
        if isinstance(choice, NextLife):
            if choice.replaced is not None:
                if _in_the_making(reader, choice.replaced.offset):
                    return None
                _report_rewritten(file, choice.replaced)
            life = await self._books.allocate(hour=file.hour, head=head, number=choice.number, path=file.path, start=0)
            choice = Known(life=life, offset=life.start, guard=b"", counts=Totals())
        elif choice.life.prefix in busy:
            raise LifeBusy
        else:
            known_up_to = await self._books.highest_id(choice.life)
        self.know(choice)
        tailer = Tailer(reader, choice.offset, head=head, digest=choice.guard)
        tailer.life = choice.life
        return Follower(
            file=file,
            life=choice.life,
            tailer=tailer,
            tracker=SettledPrefix(choice.offset),
            totals=replace(choice.counts),
            guard=tailer.guard_digest(),
            known_up_to=known_up_to,
            gaps=self.gaps,
        )

    def _stood_at(self, *places: tuple[int, int] | str) -> Iterator[Known]:
        """The lives that were seen last in these places, if anything of them was read."""
        for place in places:
            hour, prefix = self._stood.get(place, (0, b""))
            entry = self._known.get(hour, {}).get(prefix)
            if entry is not None and entry.offset > 0:
                yield entry

    def _here(self, file: SourceFile) -> Iterator[Known]:
        """The lives of its hour that this very file, or the one before it under its name, was last.

        HAZARD: an hour may have two names (`9` and `09`), and its latest life be that of the other: a file would be
        another life each time that the two take turns, and all its lines stored again.
        """
        entries = self._stood_at((file.device, file.inode), plain_path(file.path))
        return (entry for entry in entries if entry.life.hour == file.hour)

    def _renamed(self, file: SourceFile, reader: Reader, head: bytes) -> Known | None:
        """The life of another hour that this file is, when it was renamed to this one: its ids are those of the hour it
        had. The same inode, or the name where that life was seen last, and then the same bytes (decisions/0006)."""
        for entry in self._stood_at((file.device, file.inode), plain_path(file.path)):
            if entry.life.hour != file.hour and self._choose([entry], reader, head) is entry:
                before = entry.life.path  # where it was seen last: at the next start that is here
                if plain_path(before) != plain_path(file.path):
                    log.info("file_renamed", path=file.path, before=before, meaning="its ids stay those it had")
                return entry
        return None

    def place(self, file: SourceFile, head: bytes, follower: Follower | None) -> int:
        """The offset at which a file with this head will be compared, and perhaps read on."""
        if follower is not None:
            return follower.tailer.offset
        for known in (*([entry] for entry in self._here(file)), self._known.get(file.hour, {}).values()):
            choice = self._choice(known, head, lambda _offset, _guard: True)
            if isinstance(choice, Known):
                return choice.offset
        return 0

    def concerns(self, follower: Follower, head: bytes) -> bool:
        """Whether a file with this head may be the life that `follower` reads, or the one after it."""
        return isinstance(self._choice([_reached(follower)], head, lambda _offset, _guard: True), Known)

    def continues(self, follower: Follower, file: SourceFile, reader: Reader, head: bytes) -> bool | None:
        """Whether another file holds the life that `follower` has read to its end elsewhere (compressed, copied).

        True: its tailer now reads there, and the caller closes the former reader. False: another life. None: an
        archive in the making, ask again later.
        """
        before = follower.tailer
        for was in self._stood_at((file.device, file.inode)):
            further = was.life.hour == file.hour and was.offset > before.offset
            if further and was.life.prefix != follower.life.prefix and self._choose([was], reader, head) is was:
                return False  # more of this very file was read already, under another name
        choice = self._choose([_reached(follower)], reader, head)
        if isinstance(choice, NextLife):
            return None if choice.replaced is not None and _in_the_making(reader, before.offset) else False
        follower.tailer = Tailer(reader, before.offset, head=head, digest=before.guard_digest())
        follower.tailer.life = follower.life
        return True

    def _choose(self, known: Iterable[Known], reader: Reader, head: bytes) -> Known | NextLife:
        return self._choice(known, head, lambda offset, guard: tailing.matches(reader, offset, guard))

    def _choice(self, known: Iterable[Known], head: bytes, matches: Callable[[int, bytes], bool]) -> Known | NextLife:
        return choose_life(known, source=self._name.source, family=self._name.family, head=head, matches=matches)


def _reached(follower: Follower) -> Known:
    """Its life, up to what was read of it."""
    tailer = follower.tailer
    return Known(life=follower.life, offset=tailer.offset, guard=tailer.guard_digest(), counts=Totals())


def _in_the_making(reader: Reader, offset: int) -> bool:
    """An archive that is not complete and does not reach `offset` yet: it is shorter than it will be."""
    return not reader.complete and offset > 0 and not reader.read_at(offset - 1, 1)


def _report_rewritten(file: SourceFile, replaced: Known) -> None:
    log.error(
        "file_rewritten",
        path=file.path,
        life=replaced.life.number + 1,
        former_offset=int(replaced.offset),
        meaning="truncated or rewritten under an equal first line: all of it is read as the next life of this file; "
        "what was stored of the former one stays",
        todo="find out what rewrites the node's files; entries that stand in both lives are stored twice, except with "
        "identity = content",
    )
