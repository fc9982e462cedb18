"""Checksums of lives: sums that come out the same in whatever order spans are acknowledged."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from random import Random
from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.checksum import MODULUS, checksum, minus, plus
from tailrace.ingest.files.reading import open_reader
from tailrace.ingest.files.tailer import Tailer, read_head
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.mongo.ledger import life_of
from tailrace.ingest.state.tracker import SettledPrefix
from tailrace.model import Chunk, Compression, Offset, Outcome, SourceFile, Totals

_LAWFUL = settings(deadline=None, max_examples=100)
_Sums = st.one_of(st.none(), st.integers(0, MODULUS - 1))
_SPAN = 64  # bytes of file in one span


def a_follower(path: Path, totals: Totals) -> Follower:
    """Of a real file, from its beginning."""
    status = path.stat()
    file = SourceFile(
        path=str(path),
        hour=1_741_600_800,
        compression=Compression.NONE,
        device=status.st_dev,
        inode=status.st_ino,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
    )
    reader = open_reader(file.path, file.compression)
    head = read_head(reader)
    assert head is not None
    life = life_of(hour=file.hour, head=head, number=0, source="a", family="f", path=file.path, start=Offset(0), salt=0)
    tailer = Tailer(reader, Offset(0), head=head, digest=b"")
    tailer.life = life
    return Follower(
        file=file,
        life=life,
        tailer=tailer,
        tracker=SettledPrefix(Offset(0)),
        totals=totals,
        guard=tailer.guard_digest(),
        known_up_to=None,
    )


@_LAWFUL
@given(
    lines=st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"n") + b"\n"), min_size=1, max_size=40),
    before=_Sums,
    unknown=st.sets(st.integers(0, 39)),
    rng=st.randoms(use_true_random=False),
)
def test_a_life_s_checksum_is_that_of_its_settled_prefix(
    lines: list[bytes], before: int | None, unknown: set[int], rng: Random
) -> None:
    """However the acknowledgements come: at each step the checkpoint's sum is exactly that of the lines below its
    offset, carried on from what was known before; None once one of them, or what was before, was unknown, and for
    ever."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "9"
        path.write_bytes(b"first\n" + b"".join(lines))
        follower = a_follower(path, Totals(checksum=before))
        pieces: list[Chunk] = []
        while (piece := follower.tailer.next_chunk(_SPAN, 1 << 20)) is not None:
            assert isinstance(piece, Chunk)
            follower.begin(piece)
            pieces.append(piece)
        sums = [None if n in unknown else checksum(piece.data.splitlines()) for n, piece in enumerate(pieces)]
        order = list(range(len(pieces)))
        rng.shuffle(order)
        for index in order:
            piece = pieces[index]
            follower.settle(piece.span, Outcome(lines=piece.data.count(b"\n"), checksum=sums[index]))
            settled = [sums[n] for n, piece in enumerate(pieces) if piece.span.end <= follower.settled]
            known = [each for each in settled if each is not None]
            expected = None if before is None or len(known) < len(settled) else (before + sum(known)) % MODULUS
            assert follower.checkpoint().checksum == expected
        assert follower.settled == path.stat().st_size
        assert replace(follower.known().counts) == follower.totals
        follower.tailer.close()


@_LAWFUL
@given(documents=st.lists(st.binary(max_size=60), max_size=50), cut=st.integers(0, 50), one=_Sums, other=_Sums)
def test_checksums_add_up(documents: list[bytes], cut: int, one: int | None, other: int | None) -> None:
    """Parts add up to the whole, in any order; what is taken out again was never there; unknown stays unknown; and it
    is the sum that the documentation gives."""
    whole = checksum(documents)
    assert whole == sum(crc32(document) for document in documents) % 2**63 == checksum(documents[::-1])
    assert plus(checksum(documents[:cut]), checksum(documents[cut:])) == whole
    assert minus(whole, checksum(documents[cut:])) == checksum(documents[:cut])
    assert plus(one, other) == plus(other, one)
    assert (plus(one, other) is None) == (one is None or other is None)
    total = plus(one, other)
    assert total is None or 0 <= total < MODULUS
    assert minus(None, 3) is None
