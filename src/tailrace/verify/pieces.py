"""A file's lines as `verify` reads them: pieces of whole lines, each with what it must have become.

Reading and encoding happen in a thread, one piece ahead of the comparison. Bytes only; MongoDB is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from tailrace.identity import position_id, reject_id
from tailrace.ingest.codec.codec import Codec
from tailrace.ingest.files.tailer import Tailer
from tailrace.ingest.mongo.writer import EntryOf, line_at, locate
from tailrace.model import Chunk, Encoded, Life, LongLine, Offset, Reason, Span

CHUNK = 1 << 20
"""Bytes of a piece, unless one line is longer: memory, and the documents that one query reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLine:
    """A reject that must be there: its `_id`, and the place of its line. `line_key`: the `_id` if the whole line was
    kept aside instead (for a bare line the same), as a smaller `max_line_bytes` has it."""

    key: bytes
    line_key: bytes
    offset: int
    index: int
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """`documents` in file order; `kept` what must have been kept aside. `chunk` is None for a line over the limit,
    which is `long` then."""

    span: Span
    lines: int
    documents: Sequence[bytes]
    kept: list[KeptLine]
    chunk: Chunk | None
    encoded: Encoded
    long: LongLine | None = None

    def place(self, index: int) -> tuple[int, int]:
        """(offset of the line, index of the entry in it) of a document."""
        assert self.chunk is not None
        return locate(self.chunk, self.encoded, index)

    def keys_if_kept(self, index: int, entry_of: EntryOf) -> tuple[bytes, bytes]:
        """The reject that a document became if the server refused it: as an entry, or its line as a whole."""
        assert self.chunk is not None
        start, entry = self.place(index)
        line, _end = line_at(self.chunk, start)
        prefix = self.span.life.prefix
        alone = reject_id(position_id(prefix, start, entry), entry_of(line, entry))
        return alone, reject_id(position_id(prefix, start), line)


class Pieces:
    """The pieces of one life from `start` to `end` (None: to the end of the file).

    After `each` or `collect` returned, `offset` is the end of the last line given out. Not thread-safe.
    """

    def __init__(self, tailer: Tailer, codec: Codec, *, end: int | None, max_line_bytes: int) -> None:
        self.offset = tailer.offset
        self._tailer = tailer
        self._codec = codec
        self._end = end
        self._max_line_bytes = max_line_bytes

    @property
    def torn(self) -> int:
        """Bytes after the last line given out that were there when we began, or when the end was reached."""
        return self._tailer.torn if self._end is None else max(0, self._end - self.offset)

    async def each(self, handle: Callable[[Piece], Awaitable[None]]) -> None:
        """Raises FileRewritten, UnreadableFile, OSError, and what `handle` raises."""
        ahead = asyncio.create_task(asyncio.to_thread(self.next))
        try:
            # HAZARD: a thread cannot be cancelled, and the descriptor is closed after us: always wait for it.
            while (piece := await asyncio.shield(ahead)) is not None:
                ahead = asyncio.create_task(asyncio.to_thread(self.next))
                await handle(piece)
                self.offset = piece.span.end
        finally:
            await asyncio.wait([ahead])
            if not ahead.cancelled():
                ahead.exception()  # raised above, or of no interest any more

    def next(self) -> Piece | None:
        if self._end is not None and self._tailer.offset >= self._end:
            return None
        read = self._tailer.next_chunk(CHUNK, self._max_line_bytes)
        if isinstance(read, LongLine):
            return None if self._end is not None and read.span.end > self._end else _long(read)
        chunk = read if read is None or self._end is None else cut(read, self._end)
        return None if chunk is None else encode(self._codec, chunk)

    def rest(self) -> Piece | None:
        """What the unterminated rest would be, if it is a whole line by itself. Call when `next` gives None."""
        chunk = self._tailer.take_rest(self._max_line_bytes)
        return None if chunk is None else encode(self._codec, chunk)


def encode(codec: Codec, chunk: Chunk) -> Piece:
    span, prefix = chunk.span, chunk.span.life.prefix
    encoded = codec.encode(chunk.data, prefix, span.start)
    kept = [
        KeptLine(
            key=reject_id(position_id(prefix, reject.start, reject.index), reject.data),
            line_key=reject_id(position_id(prefix, reject.start), line_at(chunk, reject.start)[0]),
            offset=reject.start,
            index=reject.index,
            reason=reject.reason,
        )
        for reject in encoded.rejects
    ]
    return Piece(span=span, lines=encoded.lines, documents=encoded.documents, kept=kept, chunk=chunk, encoded=encoded)


def cut(chunk: Chunk, end: int) -> Chunk | None:
    """The chunk's lines that end at or before `end`; None when there is none. Pure."""
    span = chunk.span
    if span.end <= end:
        return chunk
    size = chunk.data.rfind(b"\n", 0, end - span.start) + 1
    return Chunk(Span(span.life, span.start, Offset(span.start + size)), chunk.data[:size]) if size else None


def unknown_life(source: str, family: str, path: str, hour: int) -> Life:
    """Stands for a life that the ledger does not know, so that its lines can be counted."""
    return Life(
        source=source,
        family=family,
        path=path,
        hour=hour,
        number=0,
        salt=0,
        fingerprint=bytes(32),
        start=Offset(0),
    )


def _long(line: LongLine) -> Piece:
    digest = blake2b(digest_size=8)  # as identity.reject_id, over a line that is never in memory whole
    for block in line.blocks():
        digest.update(block)
    span = line.span
    key = position_id(span.life.prefix, span.start) + digest.digest()
    kept = KeptLine(key=key, line_key=key, offset=span.start, index=0, reason=Reason.TOO_LONG)
    return Piece(span=span, lines=1, documents=[], kept=[kept], chunk=None, encoded=Encoded([], [], 1), long=line)
