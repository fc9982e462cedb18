"""What can be done to an hour file, and what must be stored and said to be lost of it afterwards.

A scene has three parts of numbered lines: `first`, which is stored before the fault; `unread`, which lies in the file
and is known to tailrace but not read; `fresh`, which the fault may write.
"""

from __future__ import annotations

import gzip
import os
import stat
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]  # lz4 ships no types
import zstandard
from tests.support.ingested import trades

FIRST, UNREAD, FRESH = 20, 10, 40


@dataclass(frozen=True, slots=True)
class Scene:
    """`base`: the number of its first trade. `outside`: a folder that is not below the root. `pause`: between the steps
    of a fault that takes time, so that scans see it half done."""

    path: Path
    base: int
    outside: Path
    pause: float

    def lines(self, first: int, count: int) -> bytes:
        return trades(self.base + first, count)

    @property
    def first(self) -> bytes:
        return self.lines(0, FIRST)

    @property
    def unread(self) -> bytes:
        return self.lines(FIRST, UNREAD)

    def fresh(self, count: int) -> bytes:
        return self.lines(FIRST + UNREAD, count)

    @property
    def beside(self) -> Path:
        """A name that is no hour's, in the same folder."""
        return self.path.with_name(self.path.name + ".1")

    def wait(self) -> None:
        time.sleep(self.pause)


@dataclass(frozen=True, slots=True)
class Result:
    """Line numbers of the scene that are stored (with how many documents), bytes said to be lost."""

    stored: Counter[int]
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """`reading`: the result when the file is open and behind; `stopped`: when tailrace was killed while it was.
    `said`: an event that must be logged for it, once, by every process that sees the place."""

    name: str
    do: Callable[[Scene], None]
    reading: Callable[[Scene], Result]
    stopped: Callable[[Scene], Result]
    said: str | None = None


def _span(first: int, count: int) -> Counter[int]:
    return Counter(range(first, first + count))


FIRST_LINES, UNREAD_LINES = _span(0, FIRST), _span(FIRST, UNREAD)


def _fresh(count: int) -> Counter[int]:
    return _span(FIRST + UNREAD, count)


def _everything(_: Scene) -> Result:
    return Result(FIRST_LINES + UNREAD_LINES)


def _unread_lost(scene: Scene) -> Result:
    return Result(FIRST_LINES, len(scene.unread))


def _unread_lost_and(more: Counter[int]) -> Callable[[Scene], Result]:
    return lambda scene: Result(FIRST_LINES + more, len(scene.unread))


# -- what is done ------------------------------------------------------------------------------------------------------


def _packed_over(pack: Callable[[bytes], bytes], extension: str) -> Callable[[Scene], None]:
    def do(scene: Scene) -> None:
        making = scene.path.with_name(f".{scene.path.name}.making")
        making.write_bytes(pack(scene.path.read_bytes()))
        making.rename(f"{scene.path}.{extension}")
        scene.path.unlink()

    return do


def _packed_slowly(scene: Scene) -> None:
    packed = gzip.compress(scene.path.read_bytes())
    with Path(f"{scene.path}.gz").open("wb") as out:
        for at in range(0, len(packed), len(packed) // 3 + 1):
            out.write(packed[at : at + len(packed) // 3 + 1])
            out.flush()
            scene.wait()
    scene.path.unlink()


def _cut_to(size: Callable[[Scene], int]) -> Callable[[Scene], None]:
    return lambda scene: os.truncate(scene.path, size(scene))


def _copytruncate(scene: Scene) -> None:
    scene.beside.write_bytes(scene.path.read_bytes())
    os.truncate(scene.path, 0)
    scene.wait()
    with scene.path.open("ab") as out:
        out.write(scene.fresh(5))


def _rewritten(count: int) -> Callable[[Scene], None]:
    def do(scene: Scene) -> None:
        with scene.path.open("r+b") as out:  # in place, one write: no look finds it empty
            out.write(scene.lines(0, 1) + scene.fresh(count))
            out.truncate()

    return do


def _rotated(scene: Scene) -> None:
    scene.path.rename(scene.beside)
    scene.wait()
    scene.path.write_bytes(scene.fresh(5))


def _replaced(put: Callable[[Scene], object]) -> Callable[[Scene], None]:
    def do(scene: Scene) -> None:
        scene.path.unlink()
        put(scene)

    return do


def _link_out(scene: Scene) -> None:
    target = scene.outside / f"target-{scene.path.name}"
    target.write_bytes(scene.fresh(5))
    scene.path.symlink_to(target)


def _device(scene: Scene) -> None:
    os.mknod(scene.path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))


def _lines_kept(scene: Scene) -> int:
    return len(scene.first) + len(scene.lines(FIRST, 4))


def _cut_above(scene: Scene) -> Result:
    return Result(FIRST_LINES + _span(FIRST, 4), len(scene.lines(FIRST + 4, UNREAD - 4)))


def _rotated_while_stopped(scene: Scene) -> Result:
    return Result(FIRST_LINES + _fresh(5), len(scene.unread))


def _gone(name: str, do: Callable[[Scene], None], said: str | None = None) -> Fault:
    """The name is not a file's any more: an open descriptor is read to its end, without one the rest is lost."""
    return Fault(name, do, _everything, _unread_lost, said)


def _same_either_way(name: str, do: Callable[[Scene], None], result: Callable[[Scene], Result]) -> Fault:
    return Fault(name, do, result, result)


FAULTS = (
    _gone("deleted", lambda scene: scene.path.unlink()),
    _same_either_way("gzipped", _packed_over(gzip.compress, "gz"), _everything),
    _same_either_way("zstd", _packed_over(zstandard.ZstdCompressor().compress, "zst"), _everything),
    _same_either_way("lz4", _packed_over(lz4.frame.compress, "lz4"), _everything),
    _same_either_way("gzipped slowly beside", _packed_slowly, _everything),
    _same_either_way("emptied", _cut_to(lambda _: 0), _unread_lost),
    _same_either_way(
        "cut below the offset", _cut_to(lambda scene: len(scene.lines(0, 5))), _unread_lost_and(_span(0, 5))
    ),
    _same_either_way("cut above the offset", _cut_to(_lines_kept), _cut_above),
    _same_either_way("copytruncate", _copytruncate, _unread_lost_and(_fresh(5))),
    _same_either_way("rewritten with an equal head", _rewritten(5), _unread_lost_and(_span(0, 1) + _fresh(5))),
    _same_either_way("regrown past the offset", _rewritten(FRESH), _unread_lost_and(_span(0, 1) + _fresh(FRESH))),
    Fault(
        "renamed and made again",
        _rotated,
        lambda _: Result(FIRST_LINES + UNREAD_LINES + _fresh(5)),
        _rotated_while_stopped,
    ),
    _gone("replaced by a folder", _replaced(lambda scene: scene.path.mkdir()), "not a regular file"),
    _gone("replaced by a FIFO", _replaced(lambda scene: os.mkfifo(scene.path)), "not a regular file"),
    _gone("replaced by a device", _replaced(_device), "not a regular file"),
    _gone("replaced by a link out of the root", _replaced(_link_out), "a link that leads out of the root"),
    _gone(
        "replaced by a dangling link",
        _replaced(lambda scene: scene.path.symlink_to("nowhere")),
        "not a regular file",
    ),
    _gone("replaced by a loop", _replaced(lambda scene: scene.path.symlink_to(scene.path)), "not a regular file"),
)
