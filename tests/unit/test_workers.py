"""What may be in flight."""

import asyncio

from tailrace.ingest.workers import Budget, Limits


def test_one_span_is_always_admitted() -> None:
    """A span larger than the whole budget goes when nothing else is in flight, and only then."""
    budget = Budget(Limits(spans=4, size=100))
    assert budget.admits(1000)
    budget.take(1)
    assert not budget.admits(1000)


def test_bytes_and_spans_are_both_bounded() -> None:
    """The limit of either stops admission."""
    budget = Budget(Limits(spans=2, size=100))
    budget.take(60)
    assert budget.admits(40)
    assert not budget.admits(41)
    budget.take(10)
    assert not budget.admits(1)


def test_room_waits_until_something_is_given_back() -> None:
    """A reader that waits for room goes on as soon as a span has settled, not before."""

    async def scenario() -> None:
        budget = Budget(Limits(spans=1, size=100))
        budget.take(50)
        waiting = asyncio.ensure_future(budget.room(50))
        await asyncio.sleep(0)
        assert not waiting.done()
        budget.give_back(50)
        await asyncio.wait_for(waiting, 1)

    asyncio.run(scenario())
