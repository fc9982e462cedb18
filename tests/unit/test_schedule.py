"""Which file is read next."""

from dataclasses import dataclass

from tailrace.ingest.lives.schedule import choose


@dataclass
class File:
    hour: int
    has_work: bool = True


def test_turns_alternate_between_the_newest_and_the_oldest() -> None:
    """A backlog takes every second turn at most, and the live head never takes all of them."""
    files = [File(2), File(1), File(3)]
    picks = [choose(files, turn) for turn in range(4)]
    assert [pick.hour for pick in picks if pick] == [3, 1, 3, 1]


def test_files_without_work_are_passed_over() -> None:
    """An idle live head leaves every turn to the backlog; nothing to do is None."""
    files = [File(1), File(2), File(3, has_work=False)]
    assert [choose(files, turn) for turn in range(2)] == [files[1], files[0]]
    assert choose([File(1, has_work=False)], 0) is None
