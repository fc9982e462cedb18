"""Stage 2: one life of one open file -> chunks of whole lines, each with its span.

Synchronous and without a clock; the caller decides when to ask, and in which thread. The crash story: a tailer
holds nothing that matters. Its offset is ahead of the checkpoint by what is in flight, and a restart begins at the
checkpoint.

Two things are remembered besides the offset, both bounded:

- the guard: the last (up to) 1,024 bytes before the offset. Each read begins with them and they must match; so a file
  that was cut, or rewritten in place past the old offset between two looks, is seen (`FileRewritten`), always before
  any of its bytes is delivered.
- how far the rest after the offset was searched for a newline. A rest that grows to gigabytes in small steps is read
  once, not once per step.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from tailrace.errors import FileRewritten
from tailrace.identity import HEAD_LIMIT, head_of
from tailrace.ingest.files.reading import Reader
from tailrace.model import Chunk, Life, LongLine, Offset, Span

GUARD = 1024
"""Bytes before an offset that are compared. About two entries, with their times and hashes."""

_PIECE = 1 << 20  # bytes held while searching a rest, and per block of a long line


def read_head(reader: Reader, *, final: bool = False) -> bytes | None:
    """What the life's fingerprint is made of, or None when it is not there yet (see `identity.head_of`)."""
    return head_of(reader.read_at(0, HEAD_LIMIT), final=final)


def guard_digest(guard: bytes) -> bytes:
    """16 bytes that stand for the guard in a checkpoint."""
    return blake2b(guard, digest_size=16, person=b"tailrace guard").digest()


def matches(reader: Reader, offset: int, digest: bytes) -> bool:
    """Whether the bytes before `offset` are those that `digest` was made of: reading may go on there.

    An empty digest stands for "never recorded": then the file has to be long enough, no more.
    """
    guard = _before(reader, offset)
    return guard is not None and (not digest or guard_digest(guard) == digest)


def _before(reader: Reader, offset: int) -> bytes | None:
    size = min(offset, GUARD)
    guard = reader.read_at(offset - size, size)
    return guard if len(guard) == size else None


class Tailer:
    """Reads one life forward. `offset` is the next byte to read; `[start of reading, offset)` was delivered, without
    gap or overlap, as the spans of chunks and long lines.

    `life` is set by the caller before the first `next_chunk` (it takes the head, hence the reader, to know it).
    After `FileRewritten` the tailer is of no more use: the caller opens the file's next life.
    """

    def __init__(self, reader: Reader, offset: int = 0, *, head: bytes = b"", digest: bytes = b"") -> None:
        """`head`: what `read_head` gave, compared once more with the first read, so that no content is delivered under
        another content's fingerprint. `digest`: of the guard, from the checkpoint, as in `matches`.

        Raises FileRewritten, UnreadableFile, OSError.
        """
        self.reader = reader
        self.offset = Offset(offset)
        self.life: Life | None = None
        self._head = head
        guard = _before(reader, offset)
        if guard is None or (digest and guard_digest(guard) != digest):
            raise self._rewritten()
        self._guard = guard
        self._searched = offset
        self._search_guard = b""

    def guard_digest(self) -> bytes:
        """Digest of the bytes before `offset`, for the checkpoint that will stand there."""
        return guard_digest(self._guard)

    @property
    def torn(self) -> int:
        """Bytes after `offset` that were seen without a newline."""
        return self._searched - self.offset

    @property
    def backlog_bytes(self) -> int:
        """Bytes after `offset`, a torn rest included; of an archive not read to its end, an estimate."""
        return max(0, self.reader.size() - self.offset)

    def intact(self) -> bool:
        """Whether the bytes before `offset` are still those that were read. Plain files only: an archive would have
        to be decompressed."""
        before = self._guard if self.offset else self._head
        return self.reader.read_at(self.offset - len(self._guard), len(before)) == before

    def forget_rest(self) -> None:
        """What was searched after `offset` is gone: the search begins again there."""
        self._searched, self._search_guard = self.offset, b""

    def next_chunk(self, limit: int, max_line_bytes: int) -> Chunk | LongLine | None:
        """The next whole lines: at most `limit` bytes, or one line that is longer; None when there is no complete line.

        A line of up to `max_line_bytes` (newline not counted) is in a chunk, a longer one is a `LongLine`, never held
        in memory. Raises FileRewritten, UnreadableFile, OSError; the offset has not moved then.
        """
        limit = min(limit, max_line_bytes + 1)  # a chunk can so hold no line that is too long
        if self.torn:
            end = self._search_rest()
            if end is not None and end - 1 - self.offset > max_line_bytes:
                return self._long_line(end)
            if end is None and self.torn:
                return None
            limit = max(limit, (end or 0) - self.offset)
        data = self._read(limit)
        cut = data.rfind(b"\n") + 1
        while not cut and len(data) == limit and limit <= max_line_bytes:
            searched, limit = limit, min(2 * limit, max_line_bytes + 1)
            data = self._read(limit)
            cut = data.find(b"\n", searched) + 1
        if cut:
            return self._chunk(data[:cut])
        self._searched = self.offset + len(data)
        self._search_guard = data[-GUARD:]
        if len(data) <= max_line_bytes:
            return None
        end = self._search_rest()
        return None if end is None else self._long_line(end)

    def take_rest(self, max_line_bytes: int) -> Chunk | None:
        """The unterminated rest, as a torn chunk; the offset stays. For the end of `--once` and backfill.

        None when there is none, when it is over `max_line_bytes` (see `torn`), or when its newline has come meanwhile:
        call `next_chunk` until it returns None, before.
        """
        data = self._read(max_line_bytes + 1)
        if not data or len(data) > max_line_bytes or b"\n" in data:
            return None
        return Chunk(self._span(self.offset + len(data)), data, torn=True)

    def close(self) -> None:
        self.reader.close()

    def _read(self, size: int) -> bytes:
        """`[offset, offset + size)`, as far as it is there, after the guard was found in its place."""
        size_of_guard = len(self._guard)
        data = self.reader.read_at(self.offset - size_of_guard, size_of_guard + size)
        if not data.startswith(self._guard):
            raise self._rewritten()
        data = data[size_of_guard:]
        if self.offset == 0 and not data.startswith(self._head[:size]):
            raise self._rewritten()
        return data

    def _search_rest(self) -> int | None:
        """The end of the line that the rest has become, else None. Goes on where it stopped, in bounded pieces.

        A rest that was itself cut or rewritten was never delivered: the search just begins again (`torn` is 0 then).
        """
        while True:
            known = len(self._search_guard)
            data = self.reader.read_at(self._searched - known, known + _PIECE)
            if not data.startswith(self._search_guard):
                self._searched, self._search_guard = self.offset, b""
                return None
            newline = data.find(b"\n", known)
            if newline >= 0:
                return self._searched - known + newline + 1
            if len(data) == known:
                return None
            self._searched += len(data) - known
            self._search_guard = data[-GUARD:]

    def _chunk(self, data: bytes) -> Chunk:
        chunk = Chunk(self._span(self.offset + len(data)), data)
        self._advance(chunk.span.end, (self._guard + data[-GUARD:])[-GUARD:])
        return chunk

    def _long_line(self, end: int) -> LongLine:
        self._read(0)  # the guard, before the line is delivered
        guard = _before(self.reader, end)
        if guard is None:
            raise self._rewritten()
        span = self._span(end)
        blocks = _Blocks(self.reader.reopen(), self._guard, span)
        self._advance(span.end, guard)
        return LongLine(span, blocks)

    def _advance(self, end: Offset, guard: bytes) -> None:
        self.offset = end
        self._guard = guard
        self._searched, self._search_guard = end, b""

    def _span(self, end: int) -> Span:
        if self.life is None:
            raise ValueError(f"{self.reader.path}: the life must be known before its lines are read")
        return Span(self.life, self.offset, Offset(end))

    def _rewritten(self) -> FileRewritten:
        return FileRewritten(
            f"{self.reader.path} was truncated or rewritten: "
            f"the bytes before offset {self.offset} are not those read before"
        )


class _Blocks:
    """The blocks of one long line, from a descriptor of its own: the tailer may be closed, the file deleted."""

    def __init__(self, reader: Reader, guard: bytes, span: Span) -> None:
        self._reader = reader
        self._guard = guard
        self._span = span

    def __call__(self) -> Iterator[bytes]:
        start, end = self._span.start, self._span.end
        if self._reader.read_at(start - len(self._guard), len(self._guard)) != self._guard:
            raise self._rewritten()
        for offset in range(start, end - 1, _PIECE):
            size = min(_PIECE, end - 1 - offset)
            block = self._reader.read_at(offset, size)
            if len(block) != size or b"\n" in block:
                raise self._rewritten()
            yield block
        if self._reader.read_at(end - 1, 1) != b"\n":
            raise self._rewritten()

    def _rewritten(self) -> FileRewritten:
        return FileRewritten(f"{self._reader.path}: the long line at offset {self._span.start} is not there any more")
