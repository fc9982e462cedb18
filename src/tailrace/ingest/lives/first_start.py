"""`start_at = "end"`: what lies in the tree at the first start of a source is skipped by choice, and recorded so.

Each file that has a complete line enters the ledger with `start` behind its last complete line. A file without
one is read from its beginning when it gets one. If we die half-way, the source is not `started` in the ledger: the
next start is the first again, keeps what was entered and adds the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import structlog

from tailrace.errors import TailraceError
from tailrace.ingest.files.reading import Reader, open_reader
from tailrace.ingest.files.tailer import read_head
from tailrace.ingest.mongo.ledger import Ledger, life_of
from tailrace.model import Life, Offset, SourceFile

log = structlog.get_logger("tailrace.files")

_PIECE = 1 << 20  # bytes looked at for a newline at once


def end_of_lines(reader: Reader) -> int:
    """Offset behind the last newline. From the end backwards; an archive has to be read through."""
    if not reader.complete:
        return _last_newline_forwards(reader)
    end = reader.size()
    while end > 0:
        begin = max(0, end - _PIECE)
        newline = reader.read_at(begin, end - begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0


def _last_newline_forwards(reader: Reader) -> int:
    offset = last = 0
    while data := reader.read_at(offset, _PIECE):
        newline = data.rfind(b"\n")
        if newline >= 0:
            last = offset + newline + 1
        offset += len(data)
    return last


def lives_at_end(files: Iterable[SourceFile], source: str, family: str) -> Iterator[tuple[Life, bytes]]:
    """(life, head) of each file that has a complete line, with `start` behind the last one. Reads the files."""
    for file in files:
        try:
            reader = open_reader(file.path, file.compression, file.within)
        except (OSError, TailraceError) as error:
            _say_not_passed_over(file, error)
            continue
        try:
            head = read_head(reader)
            start = end_of_lines(reader) if head is not None else 0
        except (OSError, TailraceError) as error:
            _say_not_passed_over(file, error)
            continue
        finally:
            reader.close()
        if head is not None and start:
            life = life_of(
                hour=file.hour,
                head=head,
                number=0,
                source=source,
                family=family,
                path=file.path,
                start=Offset(start),
                salt=0,
            )
            yield life, head


async def skip_what_is_there(ledger: Ledger, lives: Sequence[tuple[Life, bytes]]) -> int:
    """Enter the lives. Returns the bytes that are skipped."""
    heads = {life.prefix: head for life, head in lives}
    entered = [life for life, _head in lives]
    skipped = sum(life.start for life in entered)
    for life in await ledger.enter_many(entered):  # their prefix is another's: one by one, with the next salt
        await ledger.allocate(
            hour=life.hour,
            head=heads[life.prefix],
            number=0,
            source=life.source,
            family=life.family,
            path=life.path,
            start=life.start,
        )
    return skipped


def _say_not_passed_over(file: SourceFile, error: Exception) -> None:
    log.warning(
        "file_not_passed_over",
        path=file.path,
        why=str(error),
        meaning="start_at = end, but where this file ends cannot be seen: once it can be read, all of it is stored",
    )
