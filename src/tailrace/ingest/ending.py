"""Ending tasks: cancel them until they have ended.

HAZARD: one `cancel` may be lost. Up to Python 3.11 `asyncio.wait_for` swallows it when what it waits for is done at
that very moment (python/cpython#81839, mended in 3.12), and the driver sends every message in a `wait_for` (PyMongo
4.20, `network_layer.async_sendall`). A loop that was told to end once would then go on for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog

_AGAIN = 0.2  # seconds that a task has for what it does on its way out, before it is told again

T = TypeVar("T")

log = structlog.get_logger("tailrace")


async def end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Returns when all have ended. Their exceptions count as seen; ask those that matter for theirs."""
    ending = list(tasks)
    left = {task for task in ending if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN)
    for task in ending:
        if not task.cancelled():
            task.exception()


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. Raises TimeoutError when it takes longer; it has ended then, too."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task], timeout=seconds)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        await end([task])


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`, or None when told to stop before: a start that waits for MongoDB can be ended."""
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        await end([task, stopping])


async def beside(watch: asyncio.Future[Any], work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, unless `watch` ends before: what that failed with is raised, and `work` has ended, too."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task, watch], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            watch.result()
        return await task
    finally:
        await end([task])


@asynccontextmanager
async def beside_it(work: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """`work` goes on beside the body, and has ended when that has. What it fails with by itself is logged, at once: the
    body goes on without it."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(_say_failed)
    try:
        yield
    finally:
        await end([task])


def _say_failed(task: asyncio.Future[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error(
            "part_failed",
            error=f"{type(error).__name__}: {error}",
            meaning="nothing is lost, the ingestion goes on; it reloads no more until it is started again",
            todo="a defect of tailrace: please report it",
        )


async def first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    """Until one of them is over; the others end, too."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(tasks)
