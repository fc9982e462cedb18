"""Work that may hang for ever (a dead network mount, a resolver without an answer), and is then left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def bounded(work: Callable[[], T], limit: float) -> T:
    """The result of `work`, which is called in a thread of its own. Raises what it raises, and TimeoutError after
    `limit` seconds.

    HAZARD: a thread of the event loop's own pool is waited for when the loop is closed, and would hold up the end of
    the process for as long as it hangs; a daemon thread is not.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return  # nobody waits any more
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # it is a T wherever there is no error

    def call() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as raised:  # noqa: BLE001  handed to whoever waits
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=call, name="tailrace-check", daemon=True).start()
    async with asyncio.timeout(limit):
        return await done
