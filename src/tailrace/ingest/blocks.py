"""Block numbers that no file of a source has. Pure; for a gauge, and never for what is stored.

    in a life        what lies between the numbers of its lines (`model.Blocks`), wherever its spans were cut.
    in several       a number that any of them has is not missing: a rewritten hour is not counted twice, a late file
                     fills a gap. So the total can shrink.
    between lives    what lies between the highest number of one and the first of the next, when the first of the two is
                     of the same hour or an earlier one, the second was read from byte 0, and no life from the one hour
                     to the other is awaited or still being read (but the second), or was read by a former process
                     alone. So hours may be read in any order.
    not claimed      what came before the first span that was seen of a life which is read from its middle: after a
                     restart, or with `start_at = "end"`. Nor what came before this process.

What is kept is bounded. Hours that are done and follow one another become one run, whose gaps stay in the total for
good; where that is not enough, the oldest are left out, and what comes of such hours later is not counted.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from tailrace.model import Blocks

LIVES_KEPT = 240
"""Ten days of hours. Runs are made when there are more, until half as many are left."""

GAPS_KEPT = 64
"""Of one life. Older ones stay in the total, whatever other lives have."""

_HOUR = 3600


@dataclass(slots=True, eq=False)
class _Life:
    """One life, or a run of them: hours `hour` to `until`. `whole`: read from its first byte on."""

    hour: int
    until: int
    whole: bool
    ended: bool = False
    blocks: Blocks | None = None

    @property
    def unknown(self) -> bool:
        """Its middle had no numbers, and what was read before by another process may have some."""
        return self.blocks is None and not self.whole


class BlockGaps:
    """One per source in a wrapped framing."""

    def __init__(self) -> None:
        self._lives: dict[bytes, _Life] = {}
        self._awaited: list[int] = []
        self._former: dict[bytes, int] = {}  # prefix -> hour of lives known from before, of which nothing was heard
        self._former_hours: list[int] | None = []  # in order; None: to be sorted
        self._beyond = 0  # missing numbers of which only the count is kept
        self._left_out = -1  # the newest hour that was left out
        self._missing: int | None = 0  # None: to be counted

    def was_known(self, hour: int, prefix: bytes) -> None:
        """A life that was entered before this process: nobody knows the numbers of what was read of it. Until something
        of it is read here, nothing is claimed across it."""
        self._former[prefix] = hour
        self._former_hours = self._missing = None

    def settled(self, hour: int, prefix: bytes, start: int, blocks: Blocks | None) -> None:
        """The settled prefix of a life has passed a span that begins at byte `start`, in the order of the file. Also
        one without numbers: the first span of a life tells whether it is read from its start. O(1), but for gaps."""
        life = self._lives.get(prefix)
        if life is None:
            if hour <= self._left_out:
                return
            if len(self._lives) >= LIVES_KEPT:
                self._make_room()
            life = self._lives[prefix] = _Life(hour, hour, whole=start == 0)
            if self._former.pop(prefix, None) is not None:
                self._former_hours = None
        life.ended = False  # left and taken up again
        self._missing = None
        if blocks is None:
            return
        life.blocks = blocks if life.blocks is None else life.blocks.then(blocks)
        gaps = life.blocks.gaps
        if len(gaps) > GAPS_KEPT:
            life.blocks = Blocks(life.blocks.first, life.blocks.last, gaps[-GAPS_KEPT:])
            self._beyond += sum(end - start + 1 for start, end in gaps[:-GAPS_KEPT])

    def ended(self, prefix: bytes) -> None:
        """The life was read to its end, which is sealed, or it was left for good. One that nobody knows is none."""
        life = self._lives.get(prefix)
        if life is not None and not life.ended:
            life.ended = True
            self._missing = None

    def await_hours(self, hours: Iterable[int]) -> None:
        """Hours of which a file lies there that nobody has begun to read, all of them: across these nothing is claimed
        yet. Without it, a gap stands between two hours until those between them are read."""
        awaited = sorted(hours)
        if awaited != self._awaited:
            self._awaited = awaited
            self._missing = None

    @property
    def missing(self) -> int:
        """How many numbers are missing as far as is known. Counted when asked, when something has changed."""
        if self._missing is None:
            self._missing = max(0, self._beyond + self._counted())
        return self._missing

    def _counted(self) -> int:
        """The numbers between those of all lives, from the lowest on, as far as they may be claimed."""
        lives = [life for life in self._lives.values() if life.blocks is not None]
        pieces = sorted((start, end, index) for index, life in enumerate(lives) for start, end in _pieces(life))
        unread = self._unread()
        missing = high = reach = 0
        owner: _Life | None = None  # of the highest number so far
        for start, end, index in pieces:
            life = lives[index]
            first, last = _ends(life)
            if owner is None:
                owner, high, reach = life, end, last
                continue
            # Within a life: this one, or one that goes on above. Else between two.
            if start > high + 1 and (start > first or start <= reach or _follows(owner, life, unread)):
                missing += start - high - 1
            if end > high:
                owner, high = life, end
            reach = max(reach, last)
        return missing

    def _unread(self) -> list[int]:
        """Hours that may have numbers which are not known, in order, one for each file."""
        if self._former_hours is None:
            self._former_hours = sorted(self._former.values())
        oldest = min((life.hour for life in self._lives.values()), default=0)
        former = self._former_hours[bisect_left(self._former_hours, oldest) :]  # years of them may lie below
        unknown = (life.until for life in self._lives.values() if not life.ended or life.unknown)
        return sorted([*self._awaited, *former, *unknown])

    def _make_room(self) -> None:
        """The total stays as it is: what is no longer between the lives that are left is kept as a count."""
        before = self._counted()
        self._make_runs()
        by_age = sorted(self._lives.items(), key=lambda item: item[1].until)
        for prefix, life in by_age[: max(0, len(by_age) + 1 - LIVES_KEPT)]:
            del self._lives[prefix]
            self._left_out = max(self._left_out, life.until)
        self._beyond += before - self._counted()

    def _make_runs(self) -> None:
        """From the oldest on, lives that are done become one with the next, until half are left."""
        self._lives = {
            prefix: life
            for prefix, life in self._lives.items()
            if not life.ended or life.blocks is not None or life.unknown
        }
        unread = self._unread()
        in_order = sorted(self._lives.items(), key=lambda item: (item[1].hour, item[1].until))
        spare = len(in_order) - LIVES_KEPT // 2
        for (prefix, life), (_, later) in pairwise(in_order):
            if spare > 0 and _are_done(life, later, unread):
                (first, last), (second, end) = _ends(life), _ends(later)
                later.blocks = Blocks(min(first, second), max(last, end))
                later.hour, later.whole = life.hour, life.whole
                del self._lives[prefix]
                spare -= 1


def _ends(life: _Life) -> tuple[int, int]:
    return (0, 0) if life.blocks is None else (life.blocks.first, life.blocks.last)


def _pieces(life: _Life) -> Iterator[tuple[int, int]]:
    """The numbers that a life has, without its gaps: (first, last) of each run of them."""
    if life.blocks is None:
        return
    start = life.blocks.first
    for gap, end in life.blocks.gaps:
        yield start, gap - 1
        start = end + 1
    yield start, life.blocks.last


def _follows(earlier: _Life, life: _Life, unread: list[int]) -> bool:
    """Whether what lies between two lives may be claimed."""
    if not life.whole or earlier.until > life.hour:
        return False
    between = bisect_right(unread, life.hour) - bisect_left(unread, earlier.until)
    return between == (not life.ended and life.until == life.hour)  # the later one may still grow


def _are_done(life: _Life, later: _Life, unread: list[int]) -> bool:
    """Whether nothing more can be learned between two lives that are next to each other in time."""
    if not (life.ended and later.ended and later.hour - life.until <= _HOUR and _ends(life) <= _ends(later)):
        return False
    return bisect_left(unread, life.until) == bisect_right(unread, later.hour)
