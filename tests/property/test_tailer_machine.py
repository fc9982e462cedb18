"""A file lives through everything that happens to files, at random; the tailer delivers every line once.

The model is the list of lines that are complete in the present content. Lines are all different, so what is
delivered says by itself whether anything was lost, doubled, torn or mixed.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from io import FileIO
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tailrace.errors import FileRewritten
from tailrace.ingest.files.reading import Reader, open_reader
from tailrace.ingest.files.tailer import Tailer
from tailrace.model import Chunk, Compression, Life, LongLine, Offset

MAX_LINE = 200
LIMITS = st.sampled_from([1, 40, 150, 10_000])
SIZES = st.sampled_from([0, 1, 30, 150, MAX_LINE, MAX_LINE + 1, 3000])
"""Bytes of padding in a line: empty, short, at the limits, over them, longer than a guard."""


class FileLife(RuleBasedStateMachine):
    """`content`: what the file holds now, as it was written. `delivered`: what this life's reading has given."""

    folder: Path | None = None
    writer: FileIO
    tailer: Tailer

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tailer"))
        self.path = self.folder / "9"
        self.archive = self.folder / "9.gz"
        self.serial = 0
        self.plain = True
        self.unlinked = False
        self.open_name()

    def teardown(self) -> None:
        if self.folder is not None:
            self.tailer.close()
            self.writer.close()
            shutil.rmtree(self.folder)

    # -- helpers

    def open_name(self) -> None:
        """A file is made under the name, its writer and our first life of it begin."""
        self.content = b""
        self.writer = self.path.open("ab", buffering=0)
        self.next_life(open_reader(str(self.path), Compression.NONE))

    def next_life(self, reader: Reader) -> None:
        """What the pipeline does after `FileRewritten`: from the beginning of what the open file holds now."""
        self.delivered = b""
        self.use(Tailer(reader))

    def use(self, tailer: Tailer) -> None:
        self.tailer = tailer
        self.tailer.life = Life(
            source="s",
            family="node_trades",
            path=str(self.path),
            hour=0,
            number=0,
            salt=0,
            fingerprint=bytes(32),
            start=Offset(0),
        )

    def line(self, padding: int) -> bytes:
        self.serial += 1
        return b"%d:" % self.serial + "é".encode() * (padding // 2) + b"x" * (padding % 2)

    def write(self, data: bytes) -> None:
        self.writer.write(data)
        self.content += data

    def rewrite(self, content: bytes) -> None:
        """The same inode with other content, as `open(path, "w")` does it."""
        with self.path.open("r+b") as file:
            file.truncate(0)
            file.write(content)
        self.content = content

    @property
    def touched(self) -> bool:
        """Whether bytes that were delivered are not there any more."""
        return not self.content.startswith(self.delivered)

    def read_one(self, limit: int) -> bool:
        """One `next_chunk`, against the model. False when it was None."""
        before = self.tailer.offset
        piece = self.tailer.next_chunk(limit, MAX_LINE)
        assert not self.touched, "delivered from a file that was rewritten below the offset"
        whole = self.content[: self.content.rfind(b"\n") + 1]
        if piece is None:
            assert self.tailer.offset == before == len(whole), "complete lines are left unread"
            assert self.tailer.torn == len(self.content) - len(whole)
            return False
        data = piece.data if isinstance(piece, Chunk) else b"".join(piece.blocks()) + b"\n"
        assert (piece.span.start, piece.span.end) == (before, before + len(data)) == (before, self.tailer.offset)
        assert data.endswith(b"\n")
        lines = data.splitlines()
        assert isinstance(piece, LongLine) == (max(map(len, lines)) > MAX_LINE)
        assert len(lines) == 1 or len(data) <= limit
        self.delivered += data
        return True

    # -- what a node does

    @precondition(lambda self: self.plain)
    @rule(padding=SIZES)
    def append_line(self, padding: int) -> None:
        self.write(self.line(padding) + b"\n")

    @precondition(lambda self: self.plain)
    @rule(padding=SIZES, share=st.floats(0, 1))
    def append_torn(self, padding: int, share: float) -> None:
        line = self.line(padding)
        self.write(line[: max(1, int(len(line) * share))])

    @precondition(lambda self: self.plain and not self.content.endswith(b"\n"))
    @rule()
    def finish_line(self) -> None:
        self.write(b"\n")

    @precondition(lambda self: self.plain)
    @rule(count=st.integers(2, 40), padding=st.sampled_from([0, 5, 100]))
    def burst(self, count: int, padding: int) -> None:
        self.write(b"".join(self.line(padding) + b"\n" for _ in range(count)) + self.line(padding))

    # -- what others do

    @precondition(lambda self: self.plain and not self.unlinked)
    @rule(share=st.floats(0, 1))
    def truncate(self, share: float) -> None:
        size = int(len(self.content) * share)
        os.truncate(self.path, size)
        self.content = self.content[:size]

    @precondition(lambda self: self.plain and not self.unlinked)
    @rule(count=st.integers(0, 5), more=st.booleans())
    def rewrite_in_place(self, count: int, more: bool) -> None:
        """Other lines, as many bytes as before and more when `more`: no size gives it away."""
        content = b"".join(self.line(20) + b"\n" for _ in range(count))
        while more and len(content) <= len(self.content):
            content += self.line(90) + b"\n"
        self.rewrite(content)

    @precondition(lambda self: self.plain and not self.unlinked)
    @rule()
    def cut_and_grow_again(self) -> None:
        """copytruncate in the middle: the beginning stays, other lines follow past the old end."""
        kept = self.content[: len(self.content) // 2]
        content = kept
        while len(content) <= len(self.content):
            content += self.line(90) + b"\n"
        self.rewrite(content)

    @precondition(lambda self: self.plain and not self.unlinked)
    @rule()
    def replace_by_new_file(self) -> None:
        """Another inode takes the name; the open one is read to its end, then the name's next life begins."""
        if not self.touched:
            while self.read_one(10_000):
                pass
        self.path.unlink()
        self.make_new()

    def make_new(self) -> None:
        old = self.writer, self.tailer
        self.open_name()
        for file in old:
            file.close()
        self.write(self.line(10) + b"\n")

    @precondition(lambda self: self.plain and not self.unlinked)
    @rule()
    def delete_while_open(self) -> None:
        """The writer and we hold it open; writing goes on."""
        self.path.unlink()
        self.unlinked = True

    @precondition(lambda self: self.unlinked)
    @rule()
    def make_again(self) -> None:
        if not self.touched:
            while self.read_one(10_000):
                pass
        self.unlinked = False
        self.make_new()

    @precondition(lambda self: self.plain and not self.unlinked and not self.touched)
    @rule()
    def gzip_in_place(self) -> None:
        """While lagging: read on in the archive at the uncompressed offset. Nobody writes any more."""
        self.archive.write_bytes(gzip.compress(self.content, compresslevel=1))
        self.path.unlink()
        self.plain = False
        self.resume(self.archive, Compression.GZIP)

    @precondition(lambda self: not self.plain)
    @rule()
    def gunzip(self) -> None:
        """And back: the next hour of the machine's life needs a file that is written to."""
        self.path.write_bytes(self.content)
        self.archive.unlink()
        self.plain = True
        self.writer.close()
        self.writer = self.path.open("ab", buffering=0)
        self.resume(self.path, Compression.NONE)

    # -- what we do

    @rule(limit=LIMITS)
    def read(self, limit: int) -> None:
        """Looks once. Rewritten below the offset is noticed always, and never when nothing was."""
        if not self.touched:
            self.read_one(limit)
            return
        try:
            piece = self.tailer.next_chunk(limit, MAX_LINE)
        except FileRewritten:
            self.next_life(self.tailer.reader.reopen())
            return
        raise AssertionError(f"not noticed: {piece}")

    @precondition(lambda self: not self.touched)
    @rule(limit=LIMITS)
    def read_to_the_end(self, limit: int) -> None:
        while self.read_one(limit):
            pass

    @precondition(lambda self: not self.touched)
    @rule()
    def take_the_rest(self) -> None:
        """What `--once` does at its end moves nothing."""
        while self.read_one(10_000):
            pass
        before = self.tailer.offset
        rest = self.tailer.take_rest(MAX_LINE)
        expected = self.content[before:]
        assert (rest.data if rest else b"") == (expected if len(expected) <= MAX_LINE else b"")
        assert self.tailer.offset == before

    @precondition(lambda self: not self.unlinked)
    @rule()
    def restart(self) -> None:
        """From offset and digest, as a checkpoint keeps them; a file rewritten while we were down is noticed."""
        path, compression = (self.path, Compression.NONE) if self.plain else (self.archive, Compression.GZIP)
        if not self.touched:
            self.resume(path, compression)
            return
        try:
            self.resume(path, compression)
        except FileRewritten:
            self.next_life(open_reader(str(path), compression))
            return
        raise AssertionError("not noticed at the restart")

    def resume(self, path: Path, compression: Compression) -> None:
        before = self.tailer
        tailer = Tailer(open_reader(str(path), compression), before.offset, digest=before.guard_digest())
        before.close()
        self.use(tailer)

    @invariant()
    def spans_tile(self) -> None:
        """What was delivered is exactly the bytes before the offset: no gap, no overlap, nothing made up."""
        if self.folder is not None:
            assert len(self.delivered) == self.tailer.offset
            assert not self.delivered or self.delivered.endswith(b"\n")


TestFileLife = FileLife.TestCase
TestFileLife.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
