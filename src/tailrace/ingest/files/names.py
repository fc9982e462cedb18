"""Names in a node's tree: path <-> hour. What a name means is decided here and nowhere else.

    <root>/<stream>/hourly/<YYYYMMDD>/<H>[.gz|.zst|.lz4]      date and hour in UTC, H usually without leading zero

Everything but `locate` and `streams_in` is pure.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from tailrace.model import Compression

HOURLY = "hourly"

_DAY = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_HOUR = re.compile(r"([0-9]{1,2})(?:\.(gz|zst|lz4))?")
_EPOCH_LIMIT = 1 << 32  # an `_id` has four bytes for the hour
_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class HourlyTree:
    """One stream's `hourly` folder, found. Paths are real (links resolved once, here).

    `hourly` is what is scanned; links may lead anywhere inside `root` or `hourly`, and nowhere else.
    """

    root: str
    stream: str
    hourly: str

    @property
    def directory(self) -> str:
        """The stream's, links resolved as far as it exists: what the local state is bound to."""
        return os.path.dirname(os.path.realpath(self.hourly))

    def holds(self, real_path: str) -> bool:
        return lies_in(real_path, (self.root, self.hourly))


def lies_in(real_path: str, folders: Iterable[str]) -> bool:
    """Whether it is below one of these (real paths, too)."""
    return any(real_path.startswith(folder.rstrip("/") + "/") for folder in folders)


def day_of(name: str) -> int | None:
    """Epoch seconds of the UTC midnight that a day folder's name says; None when it is not such a name."""
    match = _DAY.fullmatch(name)
    if match is None:
        return None
    try:
        seconds = int(datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=UTC).timestamp())
    except ValueError:  # the 31st of February
        return None
    return seconds if 0 <= seconds < _EPOCH_LIMIT else None


@lru_cache(maxsize=256)
def hour_of(name: str) -> tuple[int, Compression] | None:
    """(0..23, compression) of an hour file's name, with or without leading zero; None for every other name."""
    match = _HOUR.fullmatch(name)
    if match is None or int(match[1]) > 23:
        return None
    return int(match[1]), Compression(match[2] or "")


def plain_path(path: str) -> str:
    """The path without the extension of a compression: `9` and the `9.gz` made of it are one source file."""
    stem, dot, extension = path.rpartition(".")
    return stem if dot and extension in ("gz", "zst", "lz4") else path


def forms_of(path: str) -> Iterator[tuple[str, Compression]]:
    """Every name that the source file of this path may have: plain, and with the extension of each compression."""
    plain = plain_path(path)
    for compression in Compression:
        yield (f"{plain}.{compression.value}" if compression else plain), compression


def pattern_of(name: str) -> str:
    """The name with its digits folded, so that `9.tmp` and `10.tmp` are one kind of name in a log."""
    return _DIGITS.sub("#", name)


def candidates(root: str, stream: str | None = None) -> Iterator[HourlyTree]:
    """Where the `hourly` folder of `stream` may be, likeliest first, none of it looked at (links unresolved).

    `root` is the node's data directory, a stream's directory, or its `hourly`. Without `stream` its name is taken from
    the path: the folder that holds `hourly`.
    """
    root = os.path.abspath(os.path.expanduser(root))
    name = os.path.basename(root)
    if name == HOURLY:
        yield HourlyTree(root, stream or os.path.basename(os.path.dirname(root)), root)
        return
    in_data = [HourlyTree(root, stream, os.path.join(root, stream, HOURLY))] if stream else []
    in_stream = [HourlyTree(root, stream or name, os.path.join(root, HOURLY))]
    yield from (in_stream + in_data if name == stream else in_data + in_stream)


def locate(root: str, stream: str | None = None) -> HourlyTree | None:
    """The first candidate that exists, resolved; None while there is none (the caller waits and asks again).

    OSError other than "not there" (no permission, a loop of links) passes: waiting would not mend it.
    """
    for tree in candidates(root, stream):
        try:
            hourly = os.path.realpath(tree.hourly, strict=True)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if os.path.isdir(hourly):
            return HourlyTree(os.path.realpath(tree.root), tree.stream, hourly)
    return None


def streams_in(root: str) -> list[str]:
    """Names of the folders below `root` that hold an `hourly`: what `stream` may be when `root` is a data directory."""
    try:
        with os.scandir(root) as entries:
            return sorted(entry.name for entry in entries if os.path.isdir(os.path.join(entry.path, HOURLY)))
    except (FileNotFoundError, NotADirectoryError):
        return []
