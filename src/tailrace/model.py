"""The values that pass between the stages. Imports nothing of ours but how checksums add up.

    SourceFile  what discovery saw of a name in the tree          (discovery -> pipeline)
    Life        one life of a source file, as the ledger knows it (ledger    -> everybody)
    Span        [start, end) bytes of one life, whole lines only  (tailer    -> everybody)
    Chunk       a Span and its bytes                              (tailer    -> codec)
    LongLine    a Span that is one line over the limit            (tailer    -> writer)
    Encoded     documents and rejects of a Chunk                  (codec     -> writer)
    Blocks      block numbers of wrapped lines, in their order    (codec     -> statistics)
    Outcome     what became of them                               (writer    -> tracker, statistics)
    Totals      sums of outcomes over the settled part of a life  (tracker   -> checkpoints, ledger)

One dataclass per file or span; nothing here is made per line except a `Reject`.
Offsets count bytes of the *uncompressed* file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from tailrace.checksum import plus

Offset = NewType("Offset", int)
"""Next byte to read, counted from the start of one life of the uncompressed file."""

SCHEMA_VERSION = 1
"""Version of what is stored (documents, rejects, ledger); kept in the ledger, see design: MongoDB."""


class Compression(StrEnum):
    """How a file is stored; the value is the extension of its name."""

    NONE = ""
    GZIP = "gz"
    ZSTD = "zst"
    LZ4 = "lz4"


class Framing(StrEnum):
    """How entries lie in a line; the value is the suffix of the stream's directory."""

    BARE = ""
    BY_BLOCK = "_by_block"
    STREAMING = "_streaming"

    @property
    def wrapped(self) -> bool:
        return self is not Framing.BARE


class Identity(StrEnum):
    """What an entry's `_id` is a function of."""

    POSITION = "position"
    CONTENT = "content"


class Numbers(StrEnum):
    """The BSON type that decimal strings become."""

    DECIMAL = "decimal"
    DOUBLE = "double"
    STRING = "string"


class DuplicateCause(StrEnum):
    """Why an entry was found to be stored already."""

    REPLAY = "replay"  # it was stored before this process sent it: read again after a restart, or by another source
    LOST_REPLY = "lost_reply"  # by ourselves, a moment ago: the acknowledgement did not arrive
    REPEATED = "repeated"  # content identity: the same event twice in one span


class MemberKind(StrEnum):
    """What a server of MongoDB is, as far as it matters here. In the order in which they are shown."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    STANDALONE = "standalone"
    MONGOS = "mongos"
    ARBITER = "arbiter"
    OTHER = "other"  # a member that takes no part yet, or one of another set
    UNKNOWN = "unknown"  # it cannot be reached


class StartAt(StrEnum):
    """Where reading begins in files that lie there at the first start of a source."""

    BEGINNING = "beginning"
    END = "end"


class Reason(StrEnum):
    """Why an entry or a line was kept aside. The order is the order of precedence: the first that applies."""

    TOO_LONG = "too_long"
    UTF8 = "utf8"
    JSON = "json"
    DEPTH = "depth"
    EMPTY = "empty"
    MISSING = "missing"
    TYPE = "type"
    RANGE = "range"
    KEY = "key"
    RESERVED_FIELD = "reserved_field"
    TOO_LARGE = "too_large"
    SERVER_REFUSED = "server_refused"
    ID_CONFLICT = "id_conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One hour file as a scan saw it. A name and what `stat` said, not yet a life.

    `hour` is the UTC hour of the path, in epoch seconds (a multiple of 3600). `size` is the size on disk:
    compressed bytes when `compression` is not NONE. `within`: real paths of the folders that links must not lead out
    of; whoever opens the file holds it to them (empty: anywhere).
    """

    path: str
    hour: int
    compression: Compression
    device: int
    inode: int
    size: int
    mtime_ns: int
    within: tuple[str, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One life of a source file: from its first byte until it is cut or rewritten.

    `number` counts the lives with an equal head (0 is the first), `salt` the collisions of the 24-bit prefix.
    `start` is where reading began (`start_at = "end"` skips what lies before). `fingerprint` is 32 bytes.
    Invariant: `prefix` is unique in a collection's ledger and never given to another life.
    """

    source: str
    family: str
    path: str
    hour: int
    number: int
    salt: int
    fingerprint: bytes
    start: Offset

    @property
    def prefix(self) -> bytes:
        """The 7 bytes that begin the `_id` of every document of this life (position identity)."""
        return self.hour.to_bytes(4, "big") + self.fingerprint[:3]


@dataclass(frozen=True, slots=True)
class Span:
    """`[start, end)` bytes of one life: whole lines, the unit of work and of settlement."""

    life: Life
    start: Offset
    end: Offset

    @property
    def size(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Chunk:
    """The bytes of a span. `len(data) == span.size`; ends with a newline unless it is the torn rest
    that `--once` takes at the very end (`torn`), which no checkpoint ever covers."""

    span: Span
    data: bytes
    torn: bool = False


@dataclass(frozen=True, slots=True)
class LongLine:
    """One line over `max_line_bytes`, never held in memory whole.

    `blocks()` reads it anew from its file, in order, without its newline, each call from the beginning.
    It raises `OSError` or `errors.FileRewritten` when the bytes are no longer there.
    """

    span: Span
    blocks: Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """An entry or a line kept aside with its reason.

    `start`, `end`: the line's place in its life, terminator left out of `data` but counted in `end`.
    `index`: the entry's index in its line (0 for a whole line). `data`: the line's bytes without its
    newline; for one entry of a wrapped line, that entry alone in a wrapper with its block fields.
    """

    start: Offset
    end: Offset
    index: int
    reason: Reason
    detail: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Blocks:
    """The block numbers of wrapped lines that follow one another: what is known of them, and which are missing.

    `first`: of the first line that has one. `last`: the highest of all, on whatever line. `gaps`: the numbers left out,
    as (first, last) of each run, ascending: those between a line and the highest number before it, when it is above it.
    A line at or below it adds nothing and fills nothing. Law: cut anywhere, the parts joined are those of the whole.
    """

    first: int
    last: int
    gaps: tuple[tuple[int, int], ...] = ()

    @property
    def missing(self) -> int:
        return sum(end - start + 1 for start, end in self.gaps)

    def then(self, later: Blocks) -> Blocks:
        """Both, `later` being of the lines after these."""
        return blocks_joined((self, later)) or self


def blocks_joined(parts: Iterable[Blocks | None]) -> Blocks | None:
    """Those of lines that follow one another. None when no part has any."""
    whole: Blocks | None = None
    gaps: list[tuple[int, int]] = []
    first = last = 0
    for part in parts:
        if part is None:
            continue
        if whole is None:
            whole, first, last = part, part.first, part.last
            gaps += part.gaps
            continue
        over = last + 1
        if part.first > over:
            gaps.append((over, part.first - 1))
        gaps += [(max(start, over), end) for start, end in part.gaps if end >= over]
        last = max(last, part.last)
    return whole and Blocks(first, last, tuple(gaps))


@dataclass(slots=True)
class Encoded:
    """What a codec made of a chunk.

    `documents` are BSON, `_id` first, in file order; `document_lines` is unset in position identity (the place
    is in the `_id`) and holds the (line start, entry index) of each document in content identity.
    `checksum`: of `documents` (`tailrace.checksum`); None in content identity, and where nobody asks.
    `blocks`: of the wrapped lines that are JSON objects with a block number that fits int64, also without entries, or
    kept aside for another fault; None without such a line, in bare framing, and where nobody asks.
    Law: `lines` counts every line of the chunk, `entries == len(documents) + len(rejects)`.
    """

    documents: Sequence[bytes]
    rejects: list[Reject]
    lines: int
    document_lines: list[tuple[int, int]] | None = None
    checksum: int | None = None
    blocks: Blocks | None = None

    @property
    def entries(self) -> int:
        return len(self.documents) + len(self.rejects)


@dataclass(slots=True)
class Outcome:
    """What became of a settled span's entries. Law: `entries == inserted + duplicates + rejected`.

    `lost_reply`, `repeated`: those of the duplicates that have this cause; the others are replays.
    `checksum`: of the documents that were inserted or proven to be stored; None: unknown.
    """

    lines: int = 0
    inserted: int = 0
    duplicates: int = 0
    lost_reply: int = 0
    repeated: int = 0
    rejects: dict[Reason, int] = field(default_factory=dict)
    checksum: int | None = 0

    def add(self, other: Outcome) -> None:
        self.lines += other.lines
        self.inserted += other.inserted
        self.duplicates += other.duplicates
        self.lost_reply += other.lost_reply
        self.repeated += other.repeated
        for reason, count in other.rejects.items():
            self.rejects[reason] = self.rejects.get(reason, 0) + count
        self.checksum = plus(self.checksum, other.checksum)

    @property
    def causes(self) -> dict[DuplicateCause, int]:
        """The duplicates by their cause, all causes."""
        return {
            DuplicateCause.REPLAY: self.duplicates - self.lost_reply - self.repeated,
            DuplicateCause.LOST_REPLY: self.lost_reply,
            DuplicateCause.REPEATED: self.repeated,
        }

    @property
    def rejected(self) -> int:
        return sum(self.rejects.values())

    @property
    def entries(self) -> int:
        return self.inserted + self.duplicates + self.rejected


@dataclass(slots=True)
class Totals:
    """Sums of the outcomes of a life's settled prefix.

    `checksum`: of all its documents that were inserted or proven to be stored (`tailrace.checksum`). None: unknown, for
    ever, because part of them was not summed (content identity, or counts begun by a version without it).
    """

    lines: int = 0
    inserted: int = 0
    duplicates: int = 0
    rejected: int = 0
    checksum: int | None = 0

    def add(self, outcome: Outcome) -> None:
        self.lines += outcome.lines
        self.inserted += outcome.inserted
        self.duplicates += outcome.duplicates
        self.rejected += outcome.rejected
        self.checksum = plus(self.checksum, outcome.checksum)
