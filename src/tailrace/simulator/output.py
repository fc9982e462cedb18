"""One hour file's buffer: lines in, writes out, most of them torn. No I/O; the account of the file is kept here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tailrace.simulator.lines import Line
from tailrace.simulator.manifest import BadLine, FileRecord

TEAR_SHARE = 0.85  # of the writes end in mid-line; the others happen to end with one
SPLIT_SHARE = 0.7  # of those with a multi-byte character in them, end inside one
BARE_NEWLINE_SHARE = 0.1  # of the torn lines lack nothing but their newline

_CONTINUATION = re.compile(rb"[\x80-\xbf]")  # UTF-8: a cut before such a byte splits a character


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One write: append `data` to `path`, `at` seconds after the start of the run; empty data: the file appears.

    `lines`, `entries`, `bad`: of the lines that this write completes. `torn`: it ends in mid-line.
    `last`: nothing more comes to this file.
    """

    at: float
    path: Path
    data: bytes
    lines: int = 0
    entries: int = 0
    bad: int = 0
    torn: bool = False
    last: bool = False


@dataclass(slots=True)
class Output:
    """An hour file being written, and what waits for its next write: whole lines, the first may be a torn one's rest.

    A line is in `record` as soon as it waits here: it will be written, whatever happens but a crash.
    """

    path: Path
    record: FileRecord
    waiting: list[Line] = field(default_factory=list)
    torn: bool = False  # the last write ended in mid-line: its rest is the first that waits

    def add(self, lines: list[Line], time_ns: int) -> list[BadLine]:
        """Takes the lines of a block of that time. Returns the places of the bad entries among them."""
        record = self.record
        places = self._bad_places(lines) if any(line.bad for line in lines) else []
        for place in places:
            record.bad[place.reason] = record.bad.get(place.reason, 0) + 1
        entries = sum([line.entries for line in lines])
        if entries > len(places):
            record.last_event = time_ns
            record.first_event = time_ns if record.first_event is None else record.first_event
        record.bytes += sum([len(line.data) for line in lines])
        record.lines += len(lines)
        record.entries += entries
        self.waiting += lines
        return places

    def write(self, at: float, *, last: bool = False) -> Step:
        """All that waits."""
        lines, self.waiting = self.waiting, []
        return self._step(at, b"".join([line.data for line in lines]), lines, last=last)

    def write_torn(self, at: float, rng: Random, *, share: float = TEAR_SHARE) -> Step:
        """Most of what waits: a `share` of such writes ends in mid-line, and keeps the rest of it for the next.

        A rest alone is completed, unless `share` is 1: a line is torn once in most cases, twice when an hour ends.
        """
        data = b"".join([line.data for line in self.waiting])
        rest_alone = self.torn and len(self.waiting) == 1 and share < 1
        if not data or rest_alone or rng.random() >= share:
            return self.write(at)
        kept = _kept(self.waiting, data, rng)
        lines, self.waiting = _split(self.waiting, kept)
        return self._step(at, data[: len(data) - kept], lines)

    def _step(self, at: float, data: bytes, lines: list[Line], *, last: bool = False) -> Step:
        self.torn = bool(data) and not data.endswith(b"\n")
        return Step(
            at=at,
            path=self.path,
            data=data,
            lines=len(lines),
            entries=sum([line.entries for line in lines]),
            bad=sum([len(line.bad) for line in lines]),
            torn=self.torn,
            last=last,
        )

    def _bad_places(self, lines: list[Line]) -> list[BadLine]:
        record, places = self.record, []
        offset = record.start + record.bytes
        for number, line in enumerate(lines, start=record.lines):
            for index, fault in line.bad:
                place = BadLine(
                    path=record.path, line=number, offset=offset, index=index, kind=fault.kind, reason=fault.reason
                )
                places.append(place)
            offset += len(line.data)
        return places


def _kept(lines: list[Line], data: bytes, rng: Random) -> int:
    """How many of the last bytes stay back."""
    if not data.isascii() and rng.random() < SPLIT_SHARE:
        places = [match.start() for match in _CONTINUATION.finditer(data, 1)]
        if places:
            return len(data) - rng.choice(places)
    size = len(lines[-1].data)
    if size == 1 or rng.random() < BARE_NEWLINE_SHARE:
        return 1
    return rng.randrange(1, size)


def _split(lines: list[Line], kept: int) -> tuple[list[Line], list[Line]]:
    """Whole lines, and what waits: the last `kept` bytes. A torn line's counts go with its rest."""
    at = len(lines)
    while kept > 0:
        at -= 1
        size = len(lines[at].data)
        if kept < size:
            torn = lines[at]
            return lines[:at], [torn._replace(data=torn.data[size - kept :]), *lines[at + 1 :]]
        kept -= size
    return lines[:at], lines[at:]
