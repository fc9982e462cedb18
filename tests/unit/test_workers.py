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
        async with asyncio.timeout(1):
            await waiting

    asyncio.run(scenario())


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def grown(clock: Clock) -> Budget:
    """A pool that had a backlog, and a server that took no longer for eight spans than for one."""
    budget = Budget(Limits(spans=8, size=1 << 30), clock=clock)
    assert budget.workers == 2
    for _ in range(400):
        while budget.admits(1):
            budget.take(1)
        clock.now += 0.1 / budget.spans
        budget.settled(0.1, 1 << 20)
        budget.give_back(1)
    return budget


def test_workers_are_added_while_more_of_them_store_more() -> None:
    """With a backlog the pool grows to its limit; without one it shrinks."""
    clock = Clock()
    budget = grown(clock)
    assert budget.workers == 8
    while budget.spans:
        budget.give_back(1)
    for _ in range(100):
        clock.now += 0.1
        budget.caught_up()
    assert budget.workers == 2


def test_an_overloaded_server_gets_less() -> None:
    """What it says counts at once; a source that has nothing to read says nothing while others have."""
    budget = grown(Clock())
    budget.take(1)
    budget.caught_up()
    assert budget.workers == 8
    budget.overloaded()
    assert budget.workers == 4


def test_a_source_that_is_refused_does_not_stop_the_others() -> None:
    """Whoever has nothing in flight is admitted, however much of it others hold."""
    budget = Budget(Limits(spans=4, size=100), sources=2)
    for _ in range(4):
        budget.take(25)
    budget.failed()
    assert not budget.admits(1)
    assert budget.admits(1, first=True)


def test_each_source_has_a_worker_of_its_own() -> None:
    """With more sources than two the pool never goes below one for each, within its limit."""
    assert Budget(Limits(spans=32, size=100), sources=5).workers == 5
    assert Budget(Limits(spans=3, size=100), sources=5).workers == 3
    assert Budget(Limits(spans=1, size=100)).workers == 1


def test_other_limits_hold_at_once() -> None:
    """Less: nothing is admitted until what is in flight is below it. More: who waits for room goes on."""

    async def scenario() -> None:
        budget = Budget(Limits(spans=8, size=1000))
        budget.take(400)
        budget.take(400)
        budget.change(Limits(spans=1, size=500), sources=1)
        assert (budget.workers, budget.admits(10)) == (1, False)
        budget.give_back(400)
        assert not budget.admits(10)
        waiting = asyncio.ensure_future(budget.room(500))
        await asyncio.sleep(0)
        budget.change(Limits(spans=8, size=1000), sources=1)
        async with asyncio.timeout(1):
            await waiting

    asyncio.run(scenario())


def test_more_sources_have_more_workers() -> None:
    """Each has one of its own, as at the start."""
    budget = Budget(Limits(spans=8, size=1000))
    budget.change(Limits(spans=8, size=1000), sources=5)
    assert budget.workers == 5
