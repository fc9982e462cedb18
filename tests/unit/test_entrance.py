"""Entering a file: what is asked of the ledger and the collection, and what is resumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tailrace import identity
from tailrace.ingest.files.reading import Reader, open_reader
from tailrace.ingest.files.tailer import guard_digest
from tailrace.ingest.lives.choice import Known
from tailrace.ingest.lives.entrance import Entrance, LifeBusy, Name
from tailrace.ingest.mongo.ledger_documents import life_of
from tailrace.model import Compression, Life, Offset, SourceFile, Totals

HEAD = b'{"n":1}'
DATA = HEAD + b'\n{"n":2}\n'
HIGHEST = b"highest id 1"


class Books:
    """Answers from memory, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    async def allocate(self, *, hour: int, head: bytes, number: int, path: str, start: int) -> Life:
        self.asked.append(("allocate", number))
        return life(number)

    async def highest_id(self, life: Life) -> bytes | None:
        self.asked.append(("highest_id", life.number))
        return HIGHEST


def life(number: int = 0) -> Life:
    return life_of(hour=3600, head=HEAD, number=number, source="s", family="f", path="9", start=Offset(0), salt=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "9"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def reader(path: Path) -> Iterator[Reader]:
    reader = open_reader(str(path), Compression.NONE)
    yield reader
    reader.close()


def file_of(path: Path) -> SourceFile:
    return SourceFile(
        path=str(path), hour=3600, compression=Compression.NONE, device=1, inode=1, size=len(DATA), mtime_ns=1
    )


async def test_a_new_file_is_in_the_ledger_before_it_is_followed(path: Path, reader: Reader) -> None:
    """Its first life, from the beginning; nothing can be stored of it, so nothing is compared first."""
    books = Books()
    entrance = Entrance(Name("s", "f"), books)
    follower = await entrance.follow(file_of(path), reader, HEAD, set())
    assert follower is not None
    assert books.asked == [("allocate", 0)]
    assert (follower.life, follower.settled, follower.known_up_to) == (life(), 0, None)
    assert entrance.knows(3600, life().prefix)
    assert life().fingerprint == identity.fingerprint(source="s", family="f", life=0, salt=0, head=HEAD)


async def test_a_known_life_goes_on_where_it_was_settled(path: Path, reader: Reader) -> None:
    """With its totals and its guard; what may have been stored beyond is asked for, to be compared before inserting."""
    books = Books()
    entrance = Entrance(Name("s", "f"), books)
    offset = len(HEAD) + 1
    counts = Totals(lines=1, inserted=1)
    entrance.know(Known(life=life(), offset=Offset(offset), guard=guard_digest(DATA[:offset]), counts=counts))
    follower = await entrance.follow(file_of(path), reader, HEAD, set())
    assert follower is not None
    assert books.asked == [("highest_id", 0)]
    assert (follower.settled, follower.tailer.offset, follower.known_up_to) == (offset, offset, HIGHEST)
    assert follower.guard == guard_digest(DATA[:offset])
    assert follower.totals == counts
    assert follower.totals is not counts


async def test_a_life_with_spans_in_flight_waits(path: Path, reader: Reader) -> None:
    """One life has one tracker; a rewritten file's next life need not wait."""
    books = Books()
    entrance = Entrance(Name("s", "f"), books)
    entrance.know(Known(life=life(), offset=Offset(5), guard=guard_digest(DATA[:5]), counts=Totals()))
    with pytest.raises(LifeBusy):
        await entrance.follow(file_of(path), reader, HEAD, {life().prefix})
    assert books.asked == []
    entrance.know(Known(life=life(), offset=Offset(5), guard=guard_digest(b"other"), counts=Totals()))
    follower = await entrance.follow(file_of(path), reader, HEAD, {life().prefix})
    assert follower is not None
    assert (follower.life.number, books.asked) == (1, [("allocate", 1)])
