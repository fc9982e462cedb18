"""Any bytes as a file, plain or compressed, whole or damaged, through the tailer: whole lines, in order, without a gap.

Input: compression, damage, place of the damage, chunk limit, longest line, blocks of a repeated body; then the content.
"""

from __future__ import annotations

import bz2
import gzip
import tempfile
import weakref
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]  # lz4 ships no types
import zstandard
from tests.fuzz.target import Target

from tailrace.errors import FileRewritten
from tailrace.ingest.files.reading import UnreadableFile, open_reader
from tailrace.ingest.files.tailer import Tailer, read_head
from tailrace.model import Chunk, Compression, Life, LongLine, Offset

DAMAGES = (
    "none",
    "none",
    "cut",
    "flip",
    "garbage after",
    "two members",
    "zeros after",
    "overwrite",
    "is another format",
)
LIMITS = (1, 2, 7, 64, 1000, 1 << 20)
LONGEST = (1, 3, 50, 4096, 1 << 20)
LIFE = Life(source="s", family="f", path="p", hour=3600, number=0, salt=0, fingerprint=bytes(32), start=Offset(0))
_COMPRESS = {
    Compression.NONE: bytes,
    Compression.GZIP: lambda data: gzip.compress(data, 1, mtime=0),
    Compression.ZSTD: zstandard.ZstdCompressor(level=1).compress,
    Compression.LZ4: lz4.frame.compress,
}
_directory = tempfile.TemporaryDirectory(prefix="tailrace-fuzz-")
_path = str(Path(_directory.name) / "9")
weakref.finalize(_directory, _directory.cleanup)


def check(data: bytes) -> None:
    head, truth = data[:6].ljust(6, b"\0"), data[6:]
    truth *= 1 + head[5] % 4 * 15
    compression = list(Compression)[head[0] % len(Compression)]
    damage = DAMAGES[head[1] % len(DAMAGES)]
    stored = _COMPRESS[compression](truth)
    if damage == "two members" and compression:
        stored += stored
        truth *= 2
    stored = _damaged(stored, damage, head[2] * len(stored) // 256, head[3])
    with open(_path, "wb") as file:
        file.write(stored)
    read, ended = _read_all(compression, LIMITS[head[3] % len(LIMITS)], LONGEST[head[4] % len(LONGEST)])

    if not compression:
        truth = stored  # a damaged plain file is another file
        assert ended, "a plain file that cannot be read"
    undamaged = not compression or damage in ("none", "two members", "zeros after")
    if undamaged:
        assert ended
        assert read == truth[: truth.rfind(b"\n") + 1], "lines lost"
    if damage in ("cut", "garbage after"):
        assert truth.startswith(read), "bytes that are not in the file"
    assert not read or read.endswith(b"\n")


def _damaged(stored: bytes, damage: str, at: int, value: int) -> bytes:
    if damage == "cut":
        return stored[:at]
    if damage == "flip" and stored:
        return stored[:at] + bytes((stored[at] ^ 1 << value % 8,)) + stored[at + 1 :]
    if damage == "overwrite":
        return stored[:at] + b"\n\xff\0" * (value % 20) + stored[at + 60 :]
    if damage == "garbage after":
        return stored + b"\x1fgarbage\n" * (1 + value % 3)
    if damage == "zeros after":
        return stored + bytes(value)
    return bz2.compress(stored) if damage == "is another format" else stored


def _read_all(compression: Compression, limit: int, longest: int) -> tuple[bytes, bool]:
    """What was delivered, and whether reading ended without an error. AssertionError when a span is not as it
    should."""
    delivered = bytearray()
    reader = open_reader(_path, compression)
    try:
        tailer = Tailer(reader, head=read_head(reader) or b"")
        tailer.life = LIFE
        while True:
            before = tailer.offset
            unit = tailer.next_chunk(limit, longest)
            if unit is None:
                break
            assert unit.span.start == before == len(delivered)
            assert unit.span.end == tailer.offset > before
            if isinstance(unit, LongLine):
                line = b"".join(unit.blocks())
                assert len(line) > longest
                assert b"\n" not in line
                delivered += line + b"\n"
            else:
                _check_chunk(unit, limit, longest)
                delivered += unit.data
            assert unit.span.end == len(delivered)
        rest = tailer.take_rest(longest)
        if rest is not None:
            assert rest.torn
            assert b"\n" not in rest.data
            assert rest.span.start == len(delivered) == tailer.offset
    except (UnreadableFile, FileRewritten):
        return bytes(delivered), False
    finally:
        reader.close()
    return bytes(delivered), True


def _check_chunk(chunk: Chunk, limit: int, longest: int) -> None:
    assert chunk.data.endswith(b"\n")
    assert len(chunk.data) == chunk.span.size
    lines = chunk.data.split(b"\n")
    assert max(map(len, lines)) <= longest
    assert len(chunk.data) <= limit or len(lines) == 2, "over the limit and more than one line"


def _seeds() -> list[bytes]:
    body = b'{"coin":"BTC","px":"1.5"}\n\n{"a":' + b"x" * 40 + b'}\n\xff\0\r\n"' + "é".encode() + b'"\n{"torn":'
    shapes = [(number, damage) for number in range(4) for damage in range(len(DAMAGES))]
    return [
        bytes((number, damage, 40 * damage % 256, number + damage, 4 - damage % 5, damage % 4)) + body
        for number, damage in shapes
    ]


SCRAPS = (
    b"",
    b"\n",
    b"\n\n",
    b"\r\n",
    b"\0",
    b"x" * 100,
    b"x" * 2000,
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18",
    b"\xff",
)

TARGET = Target(name="reading", check=check, seeds=_seeds(), scraps=SCRAPS)
