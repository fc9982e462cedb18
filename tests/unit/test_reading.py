"""Readers: plain files and archives give the same bytes at the same offsets."""

from __future__ import annotations

import gzip
import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]  # lz4 ships no types
import pytest
import zstandard

from tailrace.errors import FileRewritten
from tailrace.ingest.files.reading import ArchiveReader, UnreadableFile, open_reader
from tailrace.model import Compression

Pack = Callable[[bytes], bytes]

PACKERS: dict[Compression, Pack] = {
    Compression.GZIP: gzip.compress,
    Compression.ZSTD: zstandard.ZstdCompressor().compress,
    Compression.LZ4: lz4.frame.compress,
}
ARCHIVES = pytest.mark.parametrize(("compression", "pack"), PACKERS.items(), ids=[c.value for c in PACKERS])
EVERY = pytest.mark.parametrize(
    ("compression", "pack"),
    [(Compression.NONE, bytes), *PACKERS.items()],
    ids=["plain", *[c.value for c in PACKERS]],
)


def lines(count: int, seed: int = 0) -> bytes:
    """Lines of real-shaped density: some of it repeats, some of it does not."""
    chance = random.Random(seed)
    return b"".join(
        b'{"coin":"BTC","px":"%d.0","hash":"0x%032x"}\n' % (i, chance.getrandbits(128)) for i in range(count)
    )


@EVERY
def test_any_read_gives_the_bytes_at_that_offset(tmp_path: Path, compression: Compression, pack: Pack) -> None:
    """Forward, overlapping, backward, empty, across the end and past it: exactly `data[offset:offset + size]`."""
    data = lines(20_000)
    (tmp_path / "9").write_bytes(pack(data))
    reader = open_reader(str(tmp_path / "9"), compression)
    chance = random.Random(1)
    places = [(0, 10), (5, 100), (100_000, 1), (99_000, 70_000), (99_000, 200_000), (3, 3), (len(data) - 5, 100)]
    places += [(len(data), 10), (len(data) + 1000, 10), (7, 0)]
    places += [(chance.randrange(len(data)), chance.randrange(100_000)) for _ in range(20)]
    for offset, size in places:
        assert reader.read_at(offset, size) == data[offset : offset + size]
    assert reader.read_at(0, len(data) + 1) == data
    assert reader.complete
    assert reader.size() == len(data)
    assert reader.stat().st_size == len(pack(data))
    reader.close()


@EVERY
def test_a_reopened_reader_is_independent(tmp_path: Path, compression: Compression, pack: Pack) -> None:
    """It reads on after the first is closed and the file's name is gone."""
    data = lines(1000)
    path = tmp_path / "9"
    path.write_bytes(pack(data))
    reader = open_reader(str(path), compression)
    assert reader.read_at(500, 10) == data[500:510]
    other = reader.reopen()
    reader.close()
    reader.close()
    path.unlink()
    assert other.read_at(0, 300) == data[:300]
    # another file gets the number of the closed descriptor: it must not be read for ours
    with (tmp_path / "another").open("wb+"), pytest.raises(OSError, match="Bad file descriptor"):
        reader.read_at(len(data), 10)
    other.close()


@ARCHIVES
def test_an_archive_in_the_making_gives_what_is_there(tmp_path: Path, compression: Compression, pack: Pack) -> None:
    """While it is written it is not complete; every byte that is given is right; with its end it is complete."""
    data = lines(20_000)
    packed = pack(data)
    path = tmp_path / "9"
    path.write_bytes(b"")
    reader = open_reader(str(path), compression)
    got = b""
    with path.open("ab") as file:
        for start in range(0, len(packed), 50_000):
            assert not reader.complete
            file.write(packed[start : start + 50_000])
            file.flush()
            got += reader.read_at(len(got), len(data))
            assert data.startswith(got)
    assert reader.read_at(len(got), 10) == b""
    assert got == data
    assert reader.complete
    reader.close()


@ARCHIVES
def test_the_size_of_reads_does_not_matter_to_an_unfinished_archive(
    tmp_path: Path, compression: Compression, pack: Pack
) -> None:
    """What a decompressor holds back because a read was small is given to the next one, not when more input comes."""
    packed = pack(b"x" * 5000)
    for missing in range(1, 13):
        path = tmp_path / "9"
        path.write_bytes(packed[:-missing])
        at_once = open_reader(str(path), compression)
        in_pieces = open_reader(str(path), compression)
        got = b""
        while data := in_pieces.read_at(len(got), 7):
            got += data
        assert got == at_once.read_at(0, 10_000)
        assert not in_pieces.complete
        assert not at_once.complete


@ARCHIVES
def test_members_follow_each_other(tmp_path: Path, compression: Compression, pack: Pack) -> None:
    """Concatenated archives are one file, also when the second is appended after the first was read to its end."""
    path = tmp_path / "9"
    path.write_bytes(pack(b"one\n") + pack(b"two\n"))
    reader = open_reader(str(path), compression)
    assert reader.read_at(0, 100) == b"one\ntwo\n"
    assert reader.complete
    with path.open("ab") as file:
        file.write(pack(b"three\n"))
    again = []
    for size, expected in ((1, b"t"), (100, b"three\n")):
        assert reader.read_at(8, size) == expected
        again.append(reader.complete)
    assert again == [False, True]
    reader.close()


@ARCHIVES
def test_a_damaged_archive_is_one_clear_error(tmp_path: Path, compression: Compression, pack: Pack) -> None:
    """Flipped bytes and foreign content: an `UnreadableFile` that names the file, never wrong bytes in silence."""
    packed = bytearray(pack(lines(20_000)))
    middle = len(packed) // 2
    packed[middle : middle + 64] = bytes(255 - byte for byte in packed[middle : middle + 64])
    for content in (bytes(packed), b"not an archive at all, just text\n" * 10, pack(b"good\n") + b"garbage behind it"):
        path = tmp_path / "9"
        path.write_bytes(content)
        reader = open_reader(str(path), compression)
        with pytest.raises(UnreadableFile, match="9 is damaged"):
            reader.read_at(0, 10_000_000)
        reader.close()


def test_padding_behind_gzip_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "9.gz"
    path.write_bytes(gzip.compress(b"x\n") + bytes(10_000))
    reader = open_reader(str(path), Compression.GZIP)
    assert reader.read_at(0, 10) == b"x\n"
    assert reader.complete
    reader.close()


def test_an_archive_truncated_under_us_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "9.gz"
    path.write_bytes(gzip.compress(os.urandom(100_000)))
    reader = open_reader(str(path), Compression.GZIP)
    assert len(reader.read_at(0, 50_000)) == 50_000
    os.truncate(path, 100)
    with pytest.raises(FileRewritten, match="truncated"):
        reader.read_at(50_000, 50_000)
    reader.close()


@ARCHIVES
def test_a_tailers_way_through_an_archive_decompresses_once(
    tmp_path: Path, compression: Compression, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each read begins a little before the end of the last one, or in the same place: none starts from the start."""
    data = lines(20_000)
    path = tmp_path / "9"
    path.write_bytes(pack(data))
    reader = open_reader(str(path), compression)
    restarts: list[None] = []
    real = ArchiveReader._restart

    def counted(self: ArchiveReader) -> None:
        restarts.append(None)
        real(self)

    monkeypatch.setattr(ArchiveReader, "_restart", counted)
    offset = 0
    while offset < len(data):
        start = max(0, offset - 1024)
        assert reader.read_at(start, 51_024) == data[start : start + 51_024]
        assert reader.read_at(start, 101_024) == data[start : start + 101_024]
        offset += 40_000
    assert not restarts
    assert reader.read_at(0, 10) == data[:10]
    assert len(restarts) == 1
    reader.close()


@ARCHIVES
def test_memory_does_not_grow_with_the_archive(tmp_path: Path, compression: Compression, pack: Pack) -> None:
    """60 MB of the densest real-shaped content (equal lines) in 256 KiB reads, and on the way to a far offset."""
    line = lines(1)
    path = tmp_path / "9"
    path.write_bytes(pack(line * (60_000_000 // len(line))))
    tracemalloc.start()
    try:
        reader = open_reader(str(path), compression)
        for offset in range(0, 30_000_000, 1 << 18):
            reader.read_at(offset, 1 << 18)
        reader.read_at(59_000_000, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reader.size() >= 59_000_000
    # the bound for zstd is stated in `reading._ZSTD_FEED`; a read holds its result twice while it is made
    assert peak < (16_000_000 if compression is Compression.ZSTD else 6_000_000)
    reader.close()


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A FIFO does not block us, a folder is refused; a missing file is the usual OSError with its path."""
    os.mkfifo(tmp_path / "fifo")
    for name, kind in (("fifo", "p"), (".", "d")):
        with pytest.raises(UnreadableFile, match=f"not a regular file .type '{kind}'"):
            open_reader(str(tmp_path / name), Compression.NONE)
    with pytest.raises(FileNotFoundError, match="missing"):
        open_reader(str(tmp_path / "missing"), Compression.NONE)


def test_short_reads_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network file systems return less than asked for; only the end of the file ends a read."""
    (tmp_path / "9").write_bytes(b"0123456789")
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: real(fd, min(size, 3), offset))
    reader = open_reader(str(tmp_path / "9"), Compression.NONE)
    assert reader.read_at(1, 8) == b"12345678"
    assert reader.read_at(1, 100) == b"123456789"
    reader.close()


def test_an_error_of_the_disk_carries_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ESTALE and EIO pass as OSError, with the path that `pread` does not know."""

    def stale(*_: int) -> bytes:
        raise OSError(116, "Stale file handle")

    (tmp_path / "9").write_bytes(b"x")
    reader = open_reader(str(tmp_path / "9"), Compression.NONE)
    monkeypatch.setattr(os, "pread", stale)
    with pytest.raises(OSError, match=r"Stale file handle.*/9") as caught:
        reader.read_at(0, 1)
    assert caught.value.errno == 116
    reader.close()


def test_a_quiet_file_costs_no_buffer(tmp_path: Path) -> None:
    """A read at the end of a file allocates for what is there, not for what was asked."""
    (tmp_path / "9").write_bytes(b"x" * 100)
    reader = open_reader(str(tmp_path / "9"), Compression.NONE)
    tracemalloc.start()
    try:
        assert reader.read_at(90, 64 << 20) == b"x" * 10
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    reader.close()


def test_a_forgotten_reader_closes_its_descriptor(tmp_path: Path) -> None:
    """A long line keeps a descriptor and no stage owns its end: it goes with the last reference."""
    (tmp_path / "9").write_bytes(b"x")
    before = len(os.listdir("/proc/self/fd"))
    reader = open_reader(str(tmp_path / "9"), Compression.NONE).reopen()
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del reader
    assert len(os.listdir("/proc/self/fd")) == before
