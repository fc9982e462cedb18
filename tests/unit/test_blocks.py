"""Missing block numbers: what a sequence of lines leaves out, however it is cut, and what is claimed between files."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.ingest.blocks import GAPS_KEPT, LIVES_KEPT, BlockGaps
from tailrace.model import Blocks, blocks_joined

HOUR = 3600


def prefix(number: int) -> bytes:
    return number.to_bytes(7, "big")


def of(*numbers: int) -> Blocks:
    """By the definition: each against the highest before it."""
    gaps = []
    for place, number in enumerate(numbers[1:], 1):
        high = max(numbers[:place])
        if number > high + 1:
            gaps.append((high + 1, number - 1))
    return Blocks(numbers[0], max(numbers), tuple(gaps))


class Files:
    """A `BlockGaps` and how it is told of files: one life each, known by a number."""

    def __init__(self) -> None:
        self.gaps = BlockGaps()
        self.hours: dict[int, int] = {}
        self.at: dict[int, int] = {}

    def read(self, life: int, *numbers: int, hour: int | None = None, start: int = 0, done: bool = False) -> int:
        self.hours.setdefault(life, HOUR * (life if hour is None else hour))
        at = self.at.setdefault(life, start)
        self.gaps.settled(self.hours[life], prefix(life), at, of(*numbers) if numbers else None)
        self.at[life] = at + 100
        return self.end(life) if done else self.gaps.missing

    def end(self, life: int) -> int:
        self.gaps.ended(prefix(life))
        return self.gaps.missing


NUMBERS = st.lists(st.one_of(st.integers(0, 30), st.integers(-(1 << 63), (1 << 63) - 1)), min_size=1, max_size=40)


@settings(deadline=None, max_examples=500)
@given(numbers=NUMBERS, cuts=st.sets(st.integers(0, 40)))
def test_a_sequence_may_be_cut_anywhere(numbers: list[int], cuts: set[int]) -> None:
    """Numbers that go on, jump and go back: spans of any size say together what the whole says, joined or told one by
    one; and that is what the definition counts."""
    edges = sorted({0, len(numbers)} | {cut for cut in cuts if cut < len(numbers)})
    spans = [of(*numbers[start:end]) for start, end in pairwise(edges)]
    whole = of(*numbers)
    assert blocks_joined(spans) == whole
    assert blocks_joined([None, *spans, None]) == whole
    highest = [max(numbers[:place]) for place in range(1, len(numbers))]
    counted = sum(max(0, number - high - 1) for number, high in zip(numbers[1:], highest, strict=True))
    assert whole.missing == counted
    gaps = BlockGaps()
    for number, span in enumerate(spans):
        gaps.settled(0, prefix(1), number, span)
    assert gaps.missing == counted


def test_what_goes_back_is_no_gap() -> None:
    """A node that was restarted appends blocks again that it had written; only what lies above the highest counts."""
    files = Files()
    assert files.read(1, *range(100, 111)) == 0
    assert files.read(1, *range(95, 105)) == 0
    assert files.read(1, 97, 99, 108, 113) == 2
    assert files.read(1, 111, 112, 114) == 2
    assert files.read(1) == 2
    assert files.read(1, 117) == 4


def test_between_hours_once_the_older_is_done() -> None:
    """Nothing is claimed while the older hour may still get lines; then what lies between the two."""
    files = Files()
    assert files.read(1, 1, 2, 3) == 0
    assert files.read(2, 7, 8) == 0
    assert files.read(1, 4) == 0
    assert files.end(1) == 2
    assert files.read(2, 9, done=True) == 2
    assert files.read(3, 10, 11, done=True) == 2
    assert files.read(5, 15) == 2 + 3, "an hour without a file is stepped over"


def test_an_hour_that_begins_with_blocks_of_the_one_before() -> None:
    """Blocks that are appended again after the hour has changed are no gap, nor do they make one."""
    files = Files()
    files.read(1, *range(1, 101), done=True)
    assert files.read(2, 95, 96, 103) == 2, "not 97 to 100, which the older hour has"


def test_reading_from_the_middle_claims_nothing_before() -> None:
    """After a restart the numbers before the checkpoint are unknown, not missing; those after it are known."""
    files = Files()
    files.read(1, 1, 2, done=True)
    assert files.read(2, 500, 501, start=4096) == 0
    assert files.read(2, 503) == 1
    files.end(2)
    assert files.read(3, 505) == 2


def test_hours_that_a_former_process_read() -> None:
    """Nothing is claimed across an hour that is stored already, also where nothing more of it is read; between hours
    that are read from their start by this process it is, as ever."""
    files = Files()
    for hour in (4, 5, 6):
        files.gaps.was_known(HOUR * hour, prefix(hour))
    assert files.read(4, 50, 51, start=4096, done=True) == 0
    assert files.read(7, 301, 302, done=True) == 0, "5 and 6 have the numbers between, or may"
    assert files.read(8, 305, done=True) == 2
    assert files.read(6, start=4096, done=True) == 2, "its last lines had no number; those before may"
    assert files.read(5, 290, start=4096, done=True) == 2


def test_years_that_a_former_process_read_cost_nothing() -> None:
    """Only those at or after the oldest hour of this process are looked at."""
    files = Files()
    for hour in range(20_000):
        files.gaps.was_known(HOUR * hour, prefix(hour))
    files.read(30_000, 1, 2, done=True)
    assert files.read(30_001, 5) == 2
    assert len(files.gaps._unread()) == 1, "the one that is being read"


def test_a_first_span_without_numbers_is_still_the_beginning() -> None:
    """A life whose first lines cannot be read was read from its first byte on all the same."""
    files = Files()
    files.read(1, 1, done=True)
    assert files.read(2) == 0
    assert files.read(2, 4) == 2


def test_hours_in_any_order() -> None:
    """Newest and oldest in turn: with the hours that are awaited nothing is claimed too early, without them what is
    claimed shrinks to what is true."""
    for told in (True, False):
        files, seen = Files(), []
        for left, hour in (((2, 3, 4), 5), ((2, 3, 4), 1), ((2, 3), 4), ((3,), 2), ((), 3)):
            if told:
                files.gaps.await_hours(HOUR * other for other in left)
            numbers = range(hour * 10, hour * 10 + 10 - (hour == 3))
            seen.append(files.read(hour, *numbers, done=True))
        assert seen == ([0, 0, 0, 0, 1] if told else [0, 30, 20, 10, 1])


def test_an_hour_that_is_being_read_is_not_stepped_over() -> None:
    """Also while none of its numbers is known."""
    files = Files()
    files.read(1, 1, done=True)
    files.read(2)
    assert files.read(3, 9, done=True) == 0
    assert files.read(2, 2, 3) == 0
    assert files.end(2) == 5


def test_a_rewritten_hour() -> None:
    """What two lives of an hour leave out is missing once; what the later one has is not missing."""
    files = Files()
    assert files.read(1, 1, 2, 5, 6, 9, done=True) == 4
    assert files.read(11, 1, 2, hour=1) == 4
    assert files.read(11, 3, hour=1) == 3
    assert files.read(11, 5, 6, hour=1, done=True) == 3
    assert files.read(12, 12, 13, hour=1) == 3 + 2, "cut and continued: what lies between was lost"


def test_a_late_file_fills_a_gap() -> None:
    files = Files()
    files.read(1, 1, 2, done=True)
    assert files.read(2, 8, 9, done=True) == 5
    assert files.read(11, 3, 4, 5, 6, 7, hour=1, done=True) == 0


def test_two_files_of_an_hour_at_once() -> None:
    """Nothing is claimed between two files that are both being read."""
    files = Files()
    assert files.read(1, 500, 501, hour=1) == 0
    assert files.read(2, 1, 2, hour=1) == 0
    assert files.read(2, 4, hour=1) == 1
    assert files.read(1, 502, hour=1, done=True) == 1


def test_numbers_that_begin_anew() -> None:
    """A chain that starts again at a low number in a later hour: nothing lies between the two."""
    files = Files()
    files.read(1, 1000, 1001, done=True)
    assert files.read(2, 1, 2, done=True) == 0
    assert files.read(3, 4, 5, done=True) == 1


def test_a_life_that_was_left_and_goes_on() -> None:
    """It is no longer at its end: nothing above it is claimed until it is again."""
    files = Files()
    files.read(1, 1, 2, done=True)
    assert files.read(2, 6) == 3
    assert files.read(1, 3) == 0
    assert files.end(1) == 2
    assert files.end(77) == 2, "a life that nobody knows"


ORDERS: dict[str, Callable[[list[int]], list[int]]] = {
    "oldest first": lambda hours: hours,
    "newest first": lambda hours: hours[::-1],
    "in turn": lambda hours: [hours[at // 2] if at % 2 else hours[-1 - at // 2] for at in range(len(hours))],
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("told", [True, False])
def test_a_thousand_hours_are_not_kept(order: str, told: bool) -> None:
    """However they are read, the total is exact, and what is kept is bounded."""
    rng, files, count = Random(1), Files(), 5 * LIVES_KEPT
    left_out = set(rng.sample(range(10, count * 10 - 10), count // 2))
    hours = ORDERS[order](list(range(count)))
    waiting = set(hours)
    for hour in hours:
        waiting.discard(hour)
        if told:
            files.gaps.await_hours(HOUR * other for other in waiting)
        numbers = [number for number in range(hour * 10, hour * 10 + 10) if number not in left_out]
        files.gaps.settled(HOUR * hour, prefix(hour), 0, of(*numbers) if numbers else None)
        files.gaps.ended(prefix(hour))
        assert len(files.gaps._lives) <= LIVES_KEPT
    present = [n for n in range(count * 10) if n not in left_out]
    assert files.gaps.missing == present[-1] - present[0] + 1 - len(present)


def test_islands_of_hours_are_left_out_in_the_end() -> None:
    """Hours that do not follow one another cannot become runs: the oldest are left out, their gaps stay in the total,
    and what comes of such an hour later is not counted."""
    files, count = Files(), 3 * LIVES_KEPT
    for number in range(count):
        files.read(number, number * 10, number * 10 + 2, hour=number * 5, done=True)
        assert len(files.gaps._lives) <= LIVES_KEPT
    total = count + (count - 1) * 7
    assert files.gaps.missing == total
    assert files.read(count, 3, 5, hour=1, done=True) == total
    assert files.read(count + 1, count * 10, hour=5 * count, done=True) == total + 7


def test_gaps_of_one_life_are_bounded() -> None:
    """A file that leaves out every other number: all are counted, a few are remembered."""
    files = Files()
    for number in range(20):
        files.read(1, *range(number * 100, number * 100 + 100, 2))
    (life,) = files.gaps._lives.values()
    assert life.blocks is not None
    assert len(life.blocks.gaps) == GAPS_KEPT
    assert files.gaps.missing == 999


@settings(deadline=None, max_examples=500)
@given(seed=st.integers(0, 1 << 32), absent=st.sets(st.integers(1, 58)), cuts=st.sets(st.integers(1, 59)))
def test_hours_read_by_turns_say_what_one_file_says(seed: int, absent: set[int], cuts: set[int]) -> None:
    """Numbers 0 to 59 over hours, read by turns in spans: in the end the missing ones; on the way never more, as long
    as the hours that are not begun are known."""
    rng, edges = Random(seed), [0, *sorted(cuts), 60]
    left = {}
    for hour, (start, end) in enumerate(pairwise(edges)):
        left[hour] = [number for number in range(start, end) if number not in absent]
    files = Files()
    begun = set[int]()
    while left:
        hour = rng.choice(sorted(left))
        begun.add(hour)
        files.gaps.await_hours(HOUR * other for other in left if other not in begun)
        size = rng.randint(0, 5)
        files.read(hour, *left[hour][:size])
        del left[hour][:size]
        if not left[hour] and rng.random() < 0.5:
            del left[hour]
            files.end(hour)
        assert files.gaps.missing <= len(absent)
    assert files.gaps.missing == len(absent)


@settings(deadline=None, max_examples=500)
@given(seed=st.integers(0, 1 << 32), absent=st.sets(st.integers(1, 58)), cuts=st.sets(st.integers(1, 59)))
def test_a_restart_claims_nothing_that_is_there(seed: int, absent: set[int], cuts: set[int]) -> None:
    """Numbers 0 to 59 over hours, of which a former process read some in part and some to their end: whatever is read
    after it, and in whatever order, no more is claimed than is missing."""
    rng, edges = Random(seed), [0, *sorted(cuts), 60]
    files, left, begun = Files(), dict[int, list[int]](), dict[int, int]()
    for hour, (start, end) in enumerate(pairwise(edges)):
        numbers = [number for number in range(start, end) if number not in absent]
        former = rng.choice([0, 0, len(numbers), rng.randint(0, len(numbers))])
        if former or rng.random() < 0.1:
            files.gaps.was_known(HOUR * hour, prefix(hour))
        if former < len(numbers):
            left[hour], begun[hour] = numbers[former:], former
    waiting = set(left)
    while left:
        hour = rng.choice(sorted(left))
        waiting.discard(hour)
        files.gaps.await_hours(HOUR * other for other in waiting)
        size = rng.randint(0, 5)
        files.read(hour, *left[hour][:size], start=begun[hour])
        del left[hour][:size]
        if not left[hour]:
            del left[hour]
            files.end(hour)
        assert files.gaps.missing <= len(absent)
