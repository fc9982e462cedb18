"""What lasts: one line when it starts, one now and then, one when it is over. Time is an argument."""

from __future__ import annotations

import pytest

from tailrace.ingest.lasting import SUMMARY_INTERVAL, Few, Lasting, Say, Several


def test_a_problem_that_lasts_is_not_said_each_time() -> None:
    """Met four times a second for two and a half minutes: one start, two summaries, one end with its duration."""
    problem = Lasting()
    said = [problem.met(100.0 + tick / 4) for tick in range(600)]
    assert said[0] is Say.START
    assert [tick / 4 for tick, say in enumerate(said) if say is Say.STILL] == [SUMMARY_INTERVAL, 2 * SUMMARY_INTERVAL]
    assert problem.times == 600
    assert problem.for_s(250.0) == 150.0
    assert problem.over(250.0) == 150.0
    assert problem.over(251.0) is None, "its end is said once"
    assert problem.for_s(251.0) == 0.0


def test_a_problem_that_comes_back_is_said_again() -> None:
    """Its end is the end of it: the next one starts anew, also at time 0."""
    problem = Lasting()
    assert problem.over(0.0) is None
    for start in (0.0, 10.0):
        assert problem.met(start) is Say.START
        assert problem.over(start + 1) == 1.0


def test_ten_thousand_lines_of_a_kind_are_ten_and_a_number() -> None:
    """What is not said within a minute is counted, and the next line that is said tells how many."""
    few = Few()
    said = [few.admit(5.0) for _ in range(10_000)]
    assert said[:10] == [0] * 10
    assert set(said[10:]) == {None}
    assert few.admit(5.0 + SUMMARY_INTERVAL) == 9_990
    assert few.admit(6.0 + SUMMARY_INTERVAL) == 0, "each is counted once"


def test_many_things_in_trouble() -> None:
    """A thousand files: ten by name, all of them once a minute with the one that waits longest; then their ends, the
    last of them always."""
    files = Several()
    names = [f"{number}" for number in range(1000)]
    for now in (0.0, 1.0, 30.0):
        said = [name for name in names if files.met(name, now)]
        assert said == (names[:10] if now == 0.0 else [])
        assert files.still(now) is None
    standing = files.still(SUMMARY_INTERVAL)
    assert standing is not None
    assert (standing.count, standing.longest, standing.for_s) == (1000, "0", 60.0)
    assert files.still(SUMMARY_INTERVAL + 1) is None
    ends = [name for name in names if files.over(name, 70.0) is not None]
    assert ends == [*names[:10], names[-1]]
    assert len(files) == 0
    assert files.still(1000.0) is None
    assert files.over("0", 1001.0) is None


@pytest.mark.parametrize("gone", [True, False])
def test_what_is_gone_is_in_no_trouble(gone: bool) -> None:
    """A file that was deleted while it could not be read is not counted any more, and has no end to be said."""
    files = Several()
    files.met("a", 0.0)
    files.met("b", 0.0)
    if gone:
        files.forget("a")
    assert (files.over("a", 1.0) is None) is gone
    assert len(files) == 1
