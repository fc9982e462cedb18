"""One life that is followed: what its checkpoint says while spans settle in any order."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from tailrace.ingest.files.reading import open_reader
from tailrace.ingest.files.tailer import Tailer, guard_digest
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.state.tracker import SettledPrefix
from tailrace.model import Chunk, Compression, Life, Offset, Outcome, Reason, SourceFile, Totals

LINES = [b'{"n":1}\n', b'{"n":22}\n', b'{"n":333}\n']
LIFE = Life(source="s", family="f", path="9", hour=3600, number=0, salt=0, fingerprint=bytes(32), start=Offset(0))
OUTCOMES = [
    Outcome(lines=1, inserted=1),
    Outcome(lines=1, duplicates=1),
    Outcome(lines=1, rejects={Reason.JSON: 1}),
]


def followed(path: Path) -> tuple[Follower, list[Chunk]]:
    """All three lines in flight, a span each."""
    path.write_bytes(b"".join(LINES))
    tailer = Tailer(open_reader(str(path), Compression.NONE))
    tailer.life = LIFE
    file = SourceFile(path=str(path), hour=3600, compression=Compression.NONE, device=1, inode=2, size=999, mtime_ns=3)
    follower = Follower(
        file=file,
        life=LIFE,
        tailer=tailer,
        tracker=SettledPrefix(0),
        totals=Totals(),
        guard=guard_digest(b""),
        known_up_to=None,
    )
    chunks = []
    for line in LINES:
        piece = tailer.next_chunk(len(line), 1000)
        assert isinstance(piece, Chunk)
        assert piece.data == line
        follower.begin(piece)
        chunks.append(piece)
    return follower, chunks


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_a_checkpoint_is_always_that_of_the_settled_prefix(tmp_path: Path, order: tuple[int, ...]) -> None:
    """Offset, guard and totals belong together, whatever order the acks come in: those of the lines below the first
    that is not settled."""
    follower, chunks = followed(tmp_path / "9")
    done: set[int] = set()
    for number in order:
        follower.unsaved = follower.unrecorded = False
        before = follower.settled
        follower.settle(chunks[number].span, OUTCOMES[number])
        done.add(number)
        count = next((n for n in range(3) if n not in done), 3)
        row = follower.checkpoint()
        assert row.offset == len(b"".join(LINES[:count]))
        assert row.guard == guard_digest(b"".join(LINES[:count]))
        assert (row.lines, row.inserted, row.duplicates, row.rejected) == (count, count > 0, count > 1, count > 2)
        assert (follower.known().offset, follower.known().guard) == (row.offset, row.guard)
        assert (follower.unsaved, follower.unrecorded) == ((row.offset != before),) * 2
        assert not row.finished
    assert follower.guards == {}
    assert follower.outcomes == {}
    follower.tailer.close()


def test_only_a_sealed_life_may_be_skipped_at_the_next_start(tmp_path: Path) -> None:
    """`finished` is for the last row of a sealed life; the last row of another has the size of what was read of it."""
    follower, chunks = followed(tmp_path / "9")
    follower.settle(chunks[0].span, OUTCOMES[0])
    for last, sealed, finished in [
        (False, False, False),
        (False, True, False),
        (True, False, False),
        (True, True, True),
    ]:
        follower.sealed = sealed
        row = follower.checkpoint(last=last)
        assert row.finished is finished
        if last:
            assert row.size == (999 if sealed else len(LINES[0]))
    follower.tailer.close()


def test_small_spans_are_a_hundred_a_second_and_what_comes_now_and_then_goes_at_once(tmp_path: Path) -> None:
    """Two in a row wait for nothing, then one goes each 10 ms, however many come; a pause is credited only so far."""
    it, _chunks = followed(tmp_path / "9")
    now, waits = 100.0, []
    for _ in range(6):
        it.pace(now, 0.010, 2)
        waits.append(max(0.0, it.not_before - now))
        now = max(now, it.not_before)
    assert waits == pytest.approx([0, 0, 0.010, 0.010, 0.010, 0.010])
    for _ in range(50):  # one every 10 ms, and one now and then between two
        now += 0.010
        assert it.not_before <= now + 1e-9
        it.pace(now, 0.010, 2)
    now += 60
    it.pace(now, 0.010, 2)
    assert it.not_before == pytest.approx(now - 0.010)
