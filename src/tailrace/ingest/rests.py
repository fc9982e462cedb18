"""`--once`: what is done about rests, the bytes after the last newline, when everything else is settled.

A rest that is a whole entry is stored; no checkpoint covers it, so the newline that comes later changes nothing. Others
are reported and wait.
"""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from tailrace.errors import FileRewritten
from tailrace.identity import PREFIX_SIZE, head_of
from tailrace.ingest.codec.codec import Codec
from tailrace.ingest.files.reading import UnreadableFile
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.lives.roster import Roster
from tailrace.ingest.lives.slots import Held
from tailrace.ingest.mongo.writer import Writer
from tailrace.ingest.stats import SourceStats
from tailrace.model import Chunk, Encoded, Offset, Span


class Rests:
    """The rests of one source. Used when nothing is read and nothing is in flight any more."""

    def __init__(
        self,
        roster: Roster,
        codec: Codec,
        writer: Writer,
        stats: SourceStats,
        log: FilteringBoundLogger,
        *,
        max_line_bytes: int,
    ) -> None:
        self._roster = roster
        self._codec = codec
        self._writer = writer
        self._stats = stats
        self._log = log
        self.max_line_bytes = max_line_bytes

    async def take(self) -> None:
        """Store or report every rest."""
        for follower in self._roster.followers():
            await self._take_rest(follower)
        for held in self._roster.headless():
            if not await self._take_first_line(held):
                self._torn(held.file.path, held.file.size)

    async def _take_rest(self, follower: Follower) -> None:
        try:
            chunk = follower.tailer.take_rest(self.max_line_bytes)
        except (OSError, FileRewritten, UnreadableFile):
            return  # changed under our hands: the next start reads it
        stored = chunk is not None and await self._store_rest(chunk)
        if not stored and follower.tailer.torn:
            self._torn(follower.file.path, follower.tailer.torn)

    async def _take_first_line(self, held: Held) -> bool:
        """A file whose only line has no newline. HAZARD: its life is named after that line, so the line must be whole
        before the life is entered: judged, and entered, from one read."""
        if held.reader is None:
            return False
        data = held.reader.read_at(0, self.max_line_bytes + 1)
        head = head_of(data, final=True)
        if head is None or len(data) > self.max_line_bytes or b"\n" in data.strip():
            return False
        if not is_whole(self._codec.encode(data, bytes(PREFIX_SIZE), 0)):
            return False
        follower = await self._roster.enter_rest(held, head)
        if follower is None:
            return False
        chunk = Chunk(Span(follower.life, Offset(0), Offset(len(data))), data, torn=True)
        return await self._store_rest(chunk)

    async def _store_rest(self, chunk: Chunk) -> bool:
        encoded = self._codec.encode(chunk.data, chunk.span.life.prefix, chunk.span.start)
        if not is_whole(encoded):
            return False
        outcome = await self._writer.write(chunk, encoded, compare_first=True)
        self._stats.read(encoded.lines, 0)
        self._stats.settled(encoded.lines, 0, encoded.entries, outcome)
        return True

    def _torn(self, path: str, size: int) -> None:
        self._log.warning(
            "torn_rest",
            path=path,
            bytes=size,
            meaning="not stored yet: the last line waits for its newline, and is read once it has it",
        )


def is_whole(encoded: Encoded) -> bool:
    """Every byte became part of a document."""
    return bool(encoded.documents) and not encoded.rejects
