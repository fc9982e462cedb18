"""A name's place in the tree and the files that have stood in it: the state that the roster's parts share.

One slot per plain path (`9` and the `9.gz` made of it share one). A file that appears waits in the slot's queue with
its descriptor held, so that it is read even if its name is gone before its turn; its turn comes when what stood there
before is read to its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from tailrace.ingest.files.names import plain_path
from tailrace.ingest.files.reading import Reader
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.lives.noted import Noted
from tailrace.model import Compression, SourceFile


@dataclass(frozen=True, slots=True)
class Placed:
    """An archive's reader was moved to where its life goes on. `seen`: (size, mtime) of the file then; `head`: its
    first line, which cannot be read again without beginning anew; `error`: why it could not be moved."""

    seen: tuple[int, int]
    head: bytes
    error: Exception | None


@dataclass(slots=True)
class Held:
    """A file that waits for its life. `reader` is None while descriptors are short.

    `tried`: (size, mtime) when its head was last looked for in vain; it is looked at again when they changed.
    `retry_at`: monotonic seconds before which a failed opening is not repeated, `retry_in`: seconds until then (0: it
    has not failed). `placing`: a thread moves the reader, nobody else may touch it; `placed`: what came of it. `asked`:
    MongoDB is being asked for its life. `noted`: the sizes of `file`, bytes on disk.
    """

    file: SourceFile
    reader: Reader | None
    tried: tuple[int, int] | None = None
    retry_at: float = 0.0
    retry_in: float = 0.0
    placing: bool = False
    placed: Placed | None = None
    asked: bool = False
    noted: Noted = field(default_factory=Noted)

    @property
    def due(self) -> bool:
        """It can be opened, and what it holds was not looked at in vain: it waits for nothing but its turn."""
        return not self.retry_in and (self.tried is None or self.worth_trying or self.placing or self.asked)

    def seen(self, file: SourceFile, now: float) -> None:
        """A scan saw it, as `file`, at `now` (monotonic seconds)."""
        self.file = file
        self.noted.cut(file.size)
        self.noted.grown(file.size, now)

    @property
    def worth_trying(self) -> bool:
        return self.tried != (self.file.size, self.file.mtime_ns)

    def put_off(self, now: float, first: float, most: float) -> None:
        """Opening failed: again later, each time twice as much later."""
        self.retry_in = min(most, 2 * self.retry_in or first)
        self.retry_at = now + self.retry_in


@dataclass(slots=True)
class Slot:
    """`sealed`: the file that was read to its end and closed, as it was seen last. `missing`: no file has this
    hour's name now, `gone_at` (monotonic seconds) since when; what is open is read to its end all the same. `gone`:
    missing for so long that no archive of it is to be expected any more."""

    key: str
    hour: int
    queue: deque[Held] = field(default_factory=deque)
    follower: Follower | None = None
    sealed: SourceFile | None = None
    missing: bool = False
    gone_at: float | None = None
    gone: bool = False
    unreadable: bool = False

    @property
    def newest(self) -> SourceFile | None:
        """The file that stands at this hour's name, as it was seen last."""
        if self.queue:
            return self.queue[-1].file
        if self.follower is not None:
            return self.follower.file
        return self.sealed

    @property
    def enterable(self) -> bool:
        """A file waits, worth trying, and nothing before it is still to be read."""
        waits = bool(self.queue) and self.queue[0].worth_trying and not self.queue[0].placing
        return waits and (self.follower is None or not self.follower.dirty)

    @property
    def headless(self) -> bool:
        """Its file was looked at in vain for a complete first line, and holds a descriptor."""
        held = self.queue[0] if self.queue else None
        return (
            self.follower is None
            and held is not None
            and held.reader is not None
            and not (held.worth_trying or held.placing)
        )

    @property
    def outlived(self) -> bool:
        """What is followed was read to its end, and what has taken its name has no line yet, or is in the making."""
        if self.follower is None or self.follower.dirty or self.follower.reading or not self.queue:
            return False
        return not (self.queue[0].worth_trying or self.queue[0].placing)

    @property
    def undecided(self) -> bool:
        """A file waits that may be any life of its hour: only one that is whole and holds no complete line is none."""
        return any(held.worth_trying or held.reader is None or not held.reader.complete for held in self.queue)

    @property
    def torn(self) -> int:
        """Bytes of the followed file that were seen without a newline."""
        return 0 if self.follower is None else self.follower.tailer.torn

    @property
    def empty(self) -> bool:
        return not self.queue and self.follower is None


class Slots:
    """The names of one source, by plain path. `all` that were seen; `active`: those that hold a descriptor or wait for
    one; `following`: those whose file is followed. `newest`: the latest of their hours, `head`: its slot.
    `unlisted`: day (epoch seconds) -> path of the folders that are there and cannot be listed now. `version`: another
    number whenever a name or such a folder came, went, or became readable or unreadable."""

    def __init__(self) -> None:
        self.all: dict[str, Slot] = {}
        self.active: dict[str, Slot] = {}
        self.following: dict[str, Slot] = {}
        self.newest = 0
        self.head: Slot | None = None
        self.unlisted: Mapping[int, str] = {}
        self.version = 0

    def add(self, file: SourceFile) -> Slot:
        slot = self.all[plain_path(file.path)] = Slot(plain_path(file.path), file.hour)
        self.version += 1
        if file.hour >= self.newest:
            self.newest, self.head = file.hour, slot
        return slot

    def of(self, file: SourceFile) -> Slot:
        """The slot of a file that was seen."""
        return self.all[plain_path(file.path)]

    def tidy(self, slot: Slot) -> None:
        """Something left this slot: it is not active with nothing in it, and forgotten when its name is gone too."""
        if slot.empty:
            self.active.pop(slot.key, None)
            if slot.missing:
                self.all.pop(slot.key, None)
                self.version += 1
                if slot is self.head and self.all:  # one with an hour of the far future must not be the newest for good
                    self.head = max(self.all.values(), key=by_hour)
                    self.newest = self.head.hour

    def followers(self) -> list[Follower]:
        return [slot.follower for slot in self.following.values() if slot.follower is not None]

    def renamed(self, file: SourceFile, slot: Slot) -> bool:
        """Whether this file, which had the name of `slot`, stands under another name now."""
        others = (other.newest for other in self.active.values() if other is not slot and not other.missing)
        return any(other is not None and same_file(other, file) for other in others)


def by_hour(slot: Slot) -> int:
    return slot.hour


def same_file(one: SourceFile, other: SourceFile) -> bool:
    """Whether two looks saw one file on disk. An inode is used again after a deletion: the bytes decide in the end."""
    return (one.device, one.inode, one.compression) == (other.device, other.inode, other.compression)


def unchanged(one: SourceFile, other: SourceFile) -> bool:
    return same_file(one, other) and (one.size, one.mtime_ns) == (other.size, other.mtime_ns)


def plain_size(file: SourceFile) -> int | None:
    """Uncompressed bytes if the scan can tell."""
    return file.size if file.compression is Compression.NONE else None
