"""Tailer: whole lines and their spans, from files that are written, torn, cut and compressed under it."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tailrace.errors import FileRewritten
from tailrace.ingest.files.reading import PlainReader, open_reader
from tailrace.ingest.files.tailer import GUARD, Tailer, guard_digest, matches, read_head
from tailrace.model import Chunk, Compression, Life, LongLine, Offset

LIFE = Life(
    source="node_trades",
    family="node_trades",
    path="/20250310/9",
    hour=1741597200,
    number=0,
    salt=0,
    fingerprint=bytes(32),
    start=Offset(0),
)
MAX_LINE = 1 << 20


def tail(path: Path, offset: int = 0, compression: Compression = Compression.NONE, **options: bytes) -> Tailer:
    tailer = Tailer(open_reader(str(path), compression), offset, **options)
    tailer.life = LIFE
    return tailer


def chunks(tailer: Tailer, limit: int = 1 << 20, max_line: int = MAX_LINE) -> list[bytes]:
    """Everything there is, as bytes; a long line as its blocks and a newline. Spans must tile."""
    got = []
    while (piece := next_chunk(tailer, limit, max_line)) is not None:
        got.append(piece)
    return got


def next_chunk(tailer: Tailer, limit: int = 1 << 20, max_line: int = MAX_LINE) -> bytes | None:
    before = tailer.offset
    piece = tailer.next_chunk(limit, max_line)
    if piece is None:
        assert tailer.offset == before
        return None
    data = piece.data if isinstance(piece, Chunk) else b"".join(piece.blocks()) + b"\n"
    assert (piece.span.start, piece.span.end) == (before, tailer.offset)
    assert piece.span.size == len(data) > 0
    assert data.endswith(b"\n")
    assert not isinstance(piece, Chunk) or not piece.torn
    return data


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "9").touch()
    return tmp_path / "9"


class Counting(PlainReader):
    """Counts the bytes that are read."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), os.open(path, os.O_RDONLY))
        self.read = 0

    def read_at(self, offset: int, size: int) -> bytes:
        data = super().read_at(offset, size)
        self.read += len(data)
        return data


def test_lines_are_taken_whole_and_in_order(path: Path) -> None:
    """Chunks of at most `limit` bytes that end where a line ends, without gap or overlap, up to the last newline."""
    data = b"".join(b"line %d\n" % i for i in range(1000))
    path.write_bytes(data + b"torn")
    tailer = tail(path)
    got = chunks(tailer, limit=100)
    assert b"".join(got) == data
    assert max(map(len, got)) <= 100
    assert tailer.offset == len(data)
    assert tailer.torn == 4
    assert tailer.backlog_bytes == 4


def test_a_torn_rest_waits_for_its_newline(path: Path) -> None:
    """Over any number of looks, a multi-byte character split, nothing of it is delivered before its newline."""
    line = '{"coin":"日本"}\n'.encode()
    tailer = tail(path)
    for at in range(len(line) - 1):
        append(path, line[at : at + 1])
        assert next_chunk(tailer) is None
        assert tailer.torn == at + 1
    append(path, line[-1:] + b"next")
    assert chunks(tailer) == [line]
    assert tailer.torn == 4


def test_an_empty_file_and_blank_lines(path: Path) -> None:
    """Nothing is nothing; a blank line is a line (it is counted and kept aside by the codec)."""
    tailer = tail(path)
    assert next_chunk(tailer) is None
    append(path, b"\n\r\n")
    assert chunks(tailer) == [b"\n\r\n"]


@pytest.mark.parametrize("limit", [1, 7, 100, 1 << 20])
def test_a_line_longer_than_the_limit_comes_whole_and_alone(path: Path, limit: int) -> None:
    """The limit bounds batches, not lines."""
    lines = [b"a" * 5 + b"\n", b"b" * 150 + b"\n", b"c" * 10_000 + b"\n", b"d\n"]
    path.write_bytes(b"".join(lines))
    got = chunks(tail(path), limit)
    assert b"".join(got) == b"".join(lines)
    assert all(piece in lines for piece in got if len(piece) > limit)


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("limit", [10, 1000, 1 << 20])
def test_exactly_the_maximum_is_a_line_and_one_byte_more_is_too_long(path: Path, limit: int, over: int) -> None:
    """The newline does not count; neighbours are not concerned; no chunk ever holds a line that is too long."""
    long = b"x" * (1000 + over) + b"\n"
    path.write_bytes(b"before\n" + long + b"after\n")
    tailer = tail(path)
    pieces = []
    while (piece := tailer.next_chunk(limit, 1000)) is not None:
        pieces.append(piece)
    held = b"".join(piece.data for piece in pieces if isinstance(piece, Chunk))
    too_long = [piece for piece in pieces if isinstance(piece, LongLine)]
    assert held == (b"before\nafter\n" if over else b"before\n" + long + b"after\n")
    assert [b"".join(piece.blocks()) + b"\n" for piece in too_long] == ([long] if over else [])
    assert tailer.offset == path.stat().st_size


def test_a_long_line_is_read_anew_in_bounded_blocks(path: Path) -> None:
    """As often as wanted, without its newline, after the tailer is closed and the file deleted."""
    line = bytes(range(32, 127)) * 40_000
    path.write_bytes(b"first\n" + line + b"\nlast\n")
    tailer = tail(path)
    assert next_chunk(tailer) == b"first\n"
    piece = tailer.next_chunk(1 << 16, MAX_LINE)
    assert isinstance(piece, LongLine)
    assert next_chunk(tailer) == b"last\n"
    tailer.close()
    path.unlink()
    for _ in range(2):
        blocks = list(piece.blocks())
        assert b"".join(blocks) == line
        assert max(map(len, blocks)) <= 1 << 20


@pytest.mark.parametrize("damage", ["cut", "newline inside", "other bytes before"])
def test_a_long_line_that_is_gone_says_so(path: Path, damage: str) -> None:
    """Its bytes are never made up from what stands there now."""
    path.write_bytes(b"first\n" + b"x" * 3_000_000 + b"\n")
    tailer = tail(path)
    next_chunk(tailer)
    piece = tailer.next_chunk(1 << 16, MAX_LINE)
    assert isinstance(piece, LongLine)
    with path.open("r+b") as file:
        if damage == "cut":
            file.truncate(2_000_000)
        else:
            file.seek(1_500_000 if damage == "newline inside" else 0)
            file.write(b"\n")
    with pytest.raises(FileRewritten, match="long line at offset 6"):
        list(piece.blocks())


def test_a_long_line_in_the_making_is_read_once(path: Path) -> None:
    """60 steps of a rest that grows far over the maximum: each byte is searched once, and no more than a piece held."""
    path.write_bytes(b"first\n")
    reader = Counting(path)
    tailer = Tailer(reader)
    tailer.life = LIFE
    assert next_chunk(tailer) == b"first\n"
    step = 100_000
    for _ in range(60):
        append(path, b"x" * step)
        assert next_chunk(tailer, limit=1 << 16) is None
    assert tailer.torn == 60 * step
    # once, plus the growing reads of the first few up to the maximum, plus a guard each time
    assert reader.read < 60 * step + 4 * MAX_LINE + 60 * 2 * GUARD
    append(path, b"\nnext\n")
    assert next_chunk(tailer) == b"x" * 60 * step + b"\n"
    assert next_chunk(tailer) == b"next\n"


def test_a_torn_rest_below_the_limit_is_not_read_again_either(path: Path) -> None:
    """10,000 looks at a rest of 500 KB in the making: not 2.5 GB."""
    reader = Counting(path)
    tailer = Tailer(reader)
    tailer.life = LIFE
    with path.open("ab", buffering=0) as file:
        for _ in range(1000):
            file.write(b"x" * 500)
            assert next_chunk(tailer) is None
        looks = reader.read
        for _ in range(1000):
            assert next_chunk(tailer) is None
        assert reader.read - looks <= 1000 * GUARD
        assert looks < 500_000 + 1000 * 2 * GUARD
        file.write(b"\n")
    assert next_chunk(tailer) == b"x" * 500_000 + b"\n"


@pytest.mark.parametrize("size", [0, 3, 11])
def test_a_file_that_is_cut_is_noticed(path: Path, size: int) -> None:
    """To nothing, into the lines read, and by one byte."""
    path.write_bytes(b"line 1\nline\n")
    tailer = tail(path)
    chunks(tailer)
    os.truncate(path, size)
    with pytest.raises(FileRewritten, match=r"9 was truncated or rewritten: the bytes before offset 12"):
        tailer.next_chunk(1 << 20, MAX_LINE)


def test_a_file_rewritten_past_the_old_offset_is_noticed_before_a_byte_is_delivered(path: Path) -> None:
    """copytruncate between two looks, grown beyond where we were: seen though no size says so."""
    path.write_bytes(b"".join(b"old %d\n" % i for i in range(100)))
    tailer = tail(path)
    chunks(tailer)
    path.write_bytes(b"".join(b"new %d\n" % i for i in range(10_000)))
    with pytest.raises(FileRewritten):
        tailer.next_chunk(1 << 20, MAX_LINE)


@pytest.mark.parametrize("rest", [10, 100_000, 3_000_000])
def test_a_file_rewritten_under_a_torn_rest_is_noticed(path: Path, rest: int) -> None:
    """The search of the rest does not hide that what lies before it is gone."""
    path.write_bytes(b"old\n" + b"x" * rest)
    tailer = tail(path)
    assert chunks(tailer, 1 << 16) == [b"old\n"]
    assert tailer.torn == rest
    path.write_bytes(b"new line\n" * 1_000_000)
    with pytest.raises(FileRewritten):
        tailer.next_chunk(1 << 16, MAX_LINE)


def test_a_rest_that_was_cut_or_rewritten_is_just_looked_at_again(path: Path) -> None:
    """It was never delivered: what stands there now is the line, whole, and nothing is lost or alarmed about."""
    path.write_bytes(b"kept\nxxxxxxxxxxxxxxx")
    tailer = tail(path)
    assert chunks(tailer) == [b"kept\n"]
    os.truncate(path, 7)
    assert next_chunk(tailer) is None
    assert tailer.torn == 2
    os.truncate(path, 5)
    append(path, b"yy\nzzzzzzzzzzzzzzzzzzzzzzzzz")
    assert next_chunk(tailer) == b"yy\n"


def test_no_content_is_delivered_under_another_contents_head(path: Path) -> None:
    """Replaced between the reading of the head and the first chunk: the life was made for other bytes."""
    path.write_bytes(b"head\nmore\n")
    reader = open_reader(str(path), Compression.NONE)
    head = read_head(reader)
    assert head == b"head"
    path.write_bytes(b"HEAD\nmore\n")
    tailer = Tailer(reader, head=head)
    tailer.life = LIFE
    with pytest.raises(FileRewritten):
        tailer.next_chunk(1 << 20, MAX_LINE)
    path.write_bytes(b"head\n")
    assert tailer.next_chunk(1 << 20, MAX_LINE) is not None


def test_the_head_is_the_first_line_or_not_there_yet(path: Path) -> None:
    """`final` takes an unterminated one; it is the same head once its newline has come."""
    reader = open_reader(str(path), Compression.NONE)
    assert read_head(reader) is None
    append(path, b"\n{1")
    assert read_head(reader) is None
    assert read_head(reader, final=True) == b"\n{1"
    append(path, b"\n{2}\n")
    assert read_head(reader) == b"\n{1"


@pytest.mark.parametrize("offset", [0, 7, GUARD, 5000])
def test_reading_resumes_where_the_digest_matches(path: Path, offset: int) -> None:
    """The digest covers the bytes before the offset, wherever spans ended before; other bytes do not match."""
    line = b"%06d\n"
    data = b"".join(line % i for i in range(5000))[:offset] + b"tail\n"
    path.write_bytes(data)
    first = tail(path)
    while first.offset < offset:
        first.next_chunk(1000, MAX_LINE)
    digest = guard_digest(data[max(0, offset - GUARD) : offset])
    assert first.offset != offset or first.guard_digest() == digest
    reader = open_reader(str(path), Compression.NONE)
    assert matches(reader, offset, digest)
    assert chunks(tail(path, offset, digest=digest)) == [b"tail\n"]
    if offset:
        with path.open("r+b") as file:
            file.seek(offset - 1)
            file.write(b"!")
        assert not matches(reader, offset, digest)
        with pytest.raises(FileRewritten):
            tail(path, offset, digest=digest)
        os.truncate(path, offset - 1)
        assert not matches(reader, offset, b"")


def test_without_a_digest_the_file_must_only_be_long_enough(path: Path) -> None:
    """An offset from the ledger (start_at = "end") has no digest yet."""
    path.write_bytes(b"skipped\nread\n")
    assert matches(open_reader(str(path), Compression.NONE), 8, b"")
    assert chunks(tail(path, 8)) == [b"read\n"]
    with pytest.raises(FileRewritten):
        tail(path, 14)


def test_the_digest_is_known() -> None:
    """It is stored in checkpoints: changing it would make every checkpoint look rewritten."""
    assert guard_digest(b"").hex() == "c18bc97530a57f7d63a3e6f046d40e0e"
    assert guard_digest(b"tailrace").hex() == "cd354d0783d3230f7b7b76f354a577c3"


def test_the_guard_of_every_span_end_is_a_function_of_the_bytes(path: Path) -> None:
    """Whatever the chunks were, long lines among them: two readers agree on every offset they share."""
    data = b"".join(b"%d" % i * (i % 400) + b"\n" for i in range(300)) + b"y" * 5000 + b"\n" + b"end\n" * 10
    path.write_bytes(data)
    for limit in (1, 500, 3000, 1 << 20):
        tailer = tail(path)
        while next_chunk(tailer, limit, 4000) is not None:
            assert tailer.guard_digest() == guard_digest(data[max(0, tailer.offset - GUARD) : tailer.offset])
        assert tailer.offset == len(data)


def test_a_deleted_file_is_read_to_its_end(path: Path) -> None:
    """Deleted or renamed while lagging, and still written to: the open descriptor has it all."""
    file = path.open("ab", buffering=0)
    file.write(b"one\n")
    tailer = tail(path)
    path.unlink()
    file.write(b"two\n")
    assert b"".join(chunks(tailer)) == b"one\ntwo\n"
    file.write(b"three\n")
    assert next_chunk(tailer) == b"three\n"
    file.close()


def test_gzip_in_place_goes_on_at_the_uncompressed_offset(path: Path) -> None:
    """The archive of the same bytes is the same life: the digest matches, no line is read twice."""
    data = b"".join(b"line %d\n" % i for i in range(10_000))
    path.write_bytes(data[:50_000])
    before = tail(path)
    chunks(before)
    archive = path.with_name("9.gz")
    archive.write_bytes(gzip.compress(data))
    path.unlink()
    after = tail(archive, before.offset, Compression.GZIP, digest=before.guard_digest())
    assert b"".join(chunks(after, limit=1000)) == data[before.offset :]
    assert after.backlog_bytes == 0
    archive.write_bytes(gzip.compress(data.upper()))
    with pytest.raises(FileRewritten):
        tail(archive, before.offset, Compression.GZIP, digest=before.guard_digest())


def test_the_rest_is_taken_at_the_very_end_without_moving(path: Path) -> None:
    """A torn chunk for `--once`: the offset stays, so that its newline, arriving later, is found by the next run."""
    path.write_bytes(b"whole\nrest")
    tailer = tail(path)
    assert chunks(tailer) == [b"whole\n"]
    for _ in range(2):
        rest = tailer.take_rest(MAX_LINE)
        assert rest is not None
        assert (rest.data, rest.torn, rest.span.start, rest.span.end) == (b"rest", True, 6, 10)
        assert tailer.offset == 6
    assert tailer.take_rest(3) is None
    append(path, b"\n")
    assert tailer.take_rest(MAX_LINE) is None
    assert next_chunk(tailer) == b"rest\n"
    assert tailer.take_rest(MAX_LINE) is None


def test_the_life_must_be_known(path: Path) -> None:
    path.write_bytes(b"x\n")
    with pytest.raises(ValueError, match="the life must be known"):
        Tailer(open_reader(str(path), Compression.NONE)).next_chunk(10, 10)


def test_a_failed_read_leaves_the_offset(path: Path) -> None:
    """EIO in the middle: the same lines come once the disk is back."""

    class Failing(Counting):
        failing = False

        def read_at(self, offset: int, size: int) -> bytes:
            if self.failing:
                raise OSError(5, "Input/output error", self.path)
            return super().read_at(offset, size)

    path.write_bytes(b"1\n2\n")
    reader = Failing(path)
    tailer = Tailer(reader)
    tailer.life = LIFE
    reader.failing = True
    with pytest.raises(OSError, match="Input/output"):
        tailer.next_chunk(2, MAX_LINE)
    reader.failing = False
    assert chunks(tailer, 2) == [b"1\n", b"2\n"]


def test_bounded_pieces_while_searching(path: Path) -> None:
    """A 20 MB line under a 1 MiB maximum: no single read over a few MiB."""
    path.write_bytes(b"x" * 20_000_000 + b"\n")
    sizes: list[int] = []

    class Measuring(Counting):
        def read_at(self, offset: int, size: int) -> bytes:
            data = super().read_at(offset, size)
            sizes.append(len(data))
            return data

    tailer = Tailer(Measuring(path))
    tailer.life = LIFE
    piece = tailer.next_chunk(1 << 16, MAX_LINE)
    assert isinstance(piece, LongLine)
    assert piece.span.size == 20_000_001
    assert max(sizes) <= MAX_LINE + 2 * GUARD + 1
