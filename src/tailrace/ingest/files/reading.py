"""Positional reads of plain and compressed files behind one interface. Offsets count uncompressed bytes.

Nothing here interprets bytes and nothing decides: an `OSError` passes with its path, whatever the file's format says
is wrong becomes `UnreadableFile`. Memory: what one read returns, plus a few hundred KiB. Not thread-safe: one thread
at a time uses a reader (`reopen` gives an independent one).
"""

from __future__ import annotations

import os
import stat
import weakref
import zlib
from collections.abc import Callable, Sequence
from typing import Protocol

import lz4.frame  # type: ignore[import-untyped]  # lz4 ships no types
import zstandard

from tailrace.errors import FileRewritten, TailraceError
from tailrace.ingest.files.names import lies_in
from tailrace.model import Compression

_FEED = 16 * 1024  # compressed bytes read from disk at once

_ZSTD_FEED = 512
"""Compressed bytes given to zstandard at once: it cannot be told how much to return. A block of 128 KiB of equal lines
takes some 11 bytes, so this makes 6 MB at worst; the calls cost about 2 ms per MB of archive."""

_SKIP = 1 << 20  # bytes decompressed at once on the way to an offset
_GUESS = 8  # uncompressed / compressed, before anything was read


class UnreadableFile(TailraceError):
    """Not a regular file, or an archive that is damaged: reading on is impossible, other files are not concerned."""


class Reader(Protocol):
    """An open file. It stays readable after its name is deleted or renamed.

    `complete`: nothing is missing from what is stored: always true of a plain file; an archive is complete once its end
    marker has been read (an archive in the making delivers what is there and is not complete).
    """

    path: str

    @property
    def complete(self) -> bool: ...

    def read_at(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes unless the file ends before. Raises OSError, UnreadableFile, FileRewritten."""

    def stat(self) -> os.stat_result:
        """Of the open file, on disk."""

    def size(self) -> int:
        """Uncompressed bytes; of an archive that is not read to its end, an estimate."""

    def reopen(self) -> Reader:
        """An independent reader of the same open file, valid however long."""

    def close(self) -> None:
        """Close the descriptor; again is a no-op."""


def open_reader(path: str, compression: Compression, within: Sequence[str] = ()) -> Reader:
    """Open a file for reading. `within`: as in `SourceFile`. Nothing of a file that is refused has been read.

    Raises OSError (not there, not allowed), UnreadableFile (not a regular file, or a link led out of the root).
    """
    # O_NONBLOCK: opening a FIFO without a writer would block for ever. It changes nothing for regular files.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise UnreadableFile(f"{path} is not a regular file (type {stat.filemode(mode)[0]!r}); it is not read")
        if within and not lies_in(_opened_path(path, fd), within):
            raise UnreadableFile(f"{path} is reached by a link that leads out of the root; it is not read")
    except BaseException:
        os.close(fd)
        raise
    return _reader(path, fd, compression)


def _opened_path(path: str, fd: int) -> str:
    """Where what is open lies. HAZARD: asked of the descriptor, not of the name: since the scan, or since the open, any
    part of the name may have become a link, or have been one for a moment."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:  # no /proc: another system, or a container without one
        return os.path.realpath(path)


def _reader(path: str, fd: int, compression: Compression) -> Reader:
    return ArchiveReader(path, fd, compression) if compression else PlainReader(path, fd)


class _File:
    """A descriptor that is closed once: by `close`, else when nobody refers to it any more (a `LongLine` keeps one
    for as long as it lives, and no stage owns its end)."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._close = weakref.finalize(self, os.close, fd)

    def pread(self, size: int, position: int) -> bytes:
        try:
            return os.pread(self._fd, size, position)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from error

    def stat(self) -> os.stat_result:
        return os.fstat(self._fd)

    def close(self) -> None:
        self._close()
        self._fd = -1  # the number may be another file's by the next read


class PlainReader(_File):
    """Reads the file as it is."""

    complete = True

    def read_at(self, offset: int, size: int) -> bytes:
        # Without this a poll of a quiet file would allocate the whole read buffer each time.
        size = min(size, self.size() - offset)
        if size <= 0:
            return b""
        data = self.pread(size, offset)
        if len(data) == size or not data:
            return data
        parts = [data]  # a short read, as network file systems give them
        have = len(data)
        while have < size and (data := self.pread(size - have, offset + have)):
            parts.append(data)
            have += len(data)
        return b"".join(parts)

    def size(self) -> int:
        return self.stat().st_size

    def reopen(self) -> Reader:
        return PlainReader(self.path, os.dup(self._fd))


class ArchiveReader(_File):
    """Reads gzip (any number of members), zstd and lz4 frames.

    Invariant: the decompressor has produced exactly `_start + len(_buffer)` bytes, and `_buffer` is what the last read
    returned (and what came with it). So a reader that moves forward, or re-reads what it was just given (a tailer
    does: guard bytes, a rest, a line that it takes to be longer), never decompresses twice. Going back further starts
    again at the first byte.
    """

    def __init__(self, path: str, fd: int, compression: Compression) -> None:
        super().__init__(path, fd)
        self._compression = compression
        self._restart()

    def _restart(self) -> None:
        self._member: _Member | None = None
        self._input = b""
        self._consumed = 0  # compressed bytes read from disk
        self._start = 0
        self._buffer = b""
        self._ended = False

    @property
    def complete(self) -> bool:
        return self._ended

    def read_at(self, offset: int, size: int) -> bytes:
        if offset < self._start:
            self._restart()
        while self._start + len(self._buffer) < offset:
            self._start += len(self._buffer)
            self._buffer = self._produce(_SKIP)
            if not self._buffer:
                return b""
        parts = [self._buffer[offset - self._start :]]
        have = len(parts[0])
        while have < size and (data := self._produce(size - have)):
            parts.append(data)
            have += len(data)
        self._buffer = b"".join(parts)
        self._start = offset
        return self._buffer[:size]

    def size(self) -> int:
        produced = self._start + len(self._buffer)
        if self._ended:
            return produced
        left = max(0, self.stat().st_size - self._consumed)
        ratio = produced / self._consumed if self._consumed and produced else _GUESS
        return produced + int(left * ratio)

    def reopen(self) -> Reader:
        return ArchiveReader(self.path, os.dup(self._fd), self._compression)

    def _produce(self, limit: int) -> bytes:
        """The next uncompressed bytes, about `limit` of them; empty when no more can be had now."""
        while True:
            if not self._input and (self._member is None or self._member.hungry):
                self._input = self._fill()
                if not self._input:
                    self._ended = self._member is None and self._consumed > 0
                    return b""
            if self._member is None:
                self._input = self._input.lstrip(b"\0")  # gzip's padding, as on tapes; no format begins with a zero
                if not self._input:
                    continue
                self._member = _MEMBERS[self._compression]()
            data, self._input = self._input, b""
            try:
                made = self._member.feed(data, limit)
            except (zlib.error, zstandard.ZstdError, RuntimeError) as error:  # lz4 raises RuntimeError
                raise UnreadableFile(
                    f"{self.path} is damaged before byte {self._consumed} of the archive ({error}); "
                    f"{self._start + len(self._buffer)} uncompressed bytes could be read"
                ) from error
            if self._member.finished:
                self._input = self._member.unused
                self._member = None
            if made:
                return made

    def _fill(self) -> bytes:
        data = self.pread(_FEED, self._consumed)
        if not data and self.stat().st_size < self._consumed:
            raise FileRewritten(f"{self.path} was truncated while it was read")
        self._ended = False
        self._consumed += len(data)
        return data


class _Member(Protocol):
    """One gzip member, zstd or lz4 frame. `unused` is what follows it, once `finished`."""

    hungry: bool
    finished: bool
    unused: bytes

    def feed(self, data: bytes, limit: int) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # | 16: with gzip's header and trailer
        self.hungry, self.finished, self.unused = True, False, b""

    def feed(self, data: bytes, limit: int) -> bytes:
        made = self._inner.decompress(self._inner.unconsumed_tail + data, limit)
        self.finished = self._inner.eof
        self.unused = self._inner.unused_data
        # Output that filled the limit may have more behind it inside zlib, even with no input left.
        self.hungry = not self._inner.unconsumed_tail and len(made) < limit
        return made


class _Zstd:
    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor().decompressobj()
        self._input = b""
        self.hungry, self.finished, self.unused = True, False, b""

    def feed(self, data: bytes, limit: int) -> bytes:
        self._input += data
        parts: list[bytes] = []
        made = at = 0
        while made < limit and at < len(self._input) and not self._inner.eof:
            parts.append(self._inner.decompress(self._input[at : at + _ZSTD_FEED]))
            made += len(parts[-1])
            at += _ZSTD_FEED
        self._input = self._input[at:]
        self.finished = self._inner.eof
        self.unused = self._inner.unused_data + self._input if self.finished else b""
        self.hungry = not self._input
        return b"".join(parts)


class _Lz4:
    def __init__(self) -> None:
        self._inner = lz4.frame.LZ4FrameDecompressor()
        self.hungry, self.finished, self.unused = True, False, b""

    def feed(self, data: bytes, limit: int) -> bytes:
        made: bytes = self._inner.decompress(data, max_length=limit)
        self.finished = self._inner.eof
        self.unused = self._inner.unused_data or b""
        # It says that it needs input, though what filled the limit has more behind it inside.
        self.hungry = self._inner.needs_input and len(made) < limit
        return made


_MEMBERS: dict[Compression, Callable[[], _Member]] = {
    Compression.GZIP: _Gzip,
    Compression.ZSTD: _Zstd,
    Compression.LZ4: _Lz4,
}
