"""Tasks that are told to end do end, also when a library swallows the first cancellation."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from tailrace.ingest.ending import beside_it, end, unless, within


async def deaf(times: int) -> str:
    """Goes on after so many cancellations, as a task inside `asyncio.wait_for` may (Python 3.11)."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


@pytest.mark.timeout(10)
async def test_a_swallowed_cancellation_is_repeated() -> None:
    """Ended, however often it did not hear; one that failed or is over already is no trouble."""
    failed = asyncio.get_running_loop().create_future()
    failed.set_exception(ValueError("seen"))
    tasks = [asyncio.create_task(deaf(2)), asyncio.create_task(asyncio.sleep(60)), failed]
    await asyncio.sleep(0)
    await end(tasks)
    assert [task.done() for task in tasks] == [True, True, True]


@pytest.mark.timeout(10)
async def test_a_stop_is_not_lost() -> None:
    """What is begun unless told to stop ends when told so, and so does what may take only so long."""
    stop = asyncio.Event()
    waiting = asyncio.create_task(unless(stop, deaf(1)))
    await asyncio.sleep(0)
    stop.set()
    assert await waiting is None
    with pytest.raises(TimeoutError):
        await within(0.01, deaf(1))
    assert await within(5, asyncio.sleep(0, "done")) == "done"


@pytest.mark.timeout(10)
async def test_its_own_cancellation_passes() -> None:
    """Cancelled while it waits, it does not hold its caller up."""
    task = asyncio.create_task(deaf(10))
    await asyncio.sleep(0)
    ending = asyncio.create_task(end([task]))
    await asyncio.sleep(0)
    ending.cancel()
    with suppress(asyncio.CancelledError):
        await ending
    assert ending.cancelled()
    await end([task])


async def test_what_fails_beside_it_is_said() -> None:
    """At once, and the body goes on; what is ended with the body has not failed."""

    async def defect() -> None:
        raise LookupError("of ours")

    with capture_logs() as logs:
        async with beside_it(asyncio.sleep(60)), beside_it(defect()):
            await asyncio.sleep(0.01)
            assert [(each["event"], each["error"]) for each in logs] == [("part_failed", "LookupError: of ours")]
    assert len(logs) == 1
