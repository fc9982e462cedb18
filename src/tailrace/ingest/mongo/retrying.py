"""Attempts without limit, with backoff, under one time limit each: how everybody here talks to MongoDB.

What the driver raises ends here as a verdict: RETRY and OPERATOR wait and go on (OPERATOR raises `ServerRefusesUs`
while starting), REJECT and STOP raise `RuntimeFailure` unless the caller handles them itself, as the writer does.
`CancelledError` passes at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import pymongo

from tailrace.errors import RuntimeFailure, ServerRefusesUs, Verdict
from tailrace.ingest.mongo import backoff
from tailrace.ingest.mongo.describing import describe
from tailrace.ingest.mongo.health import ServerHealth
from tailrace.ingest.mongo.retry_classes import retry_class
from tailrace.ingest.mongo.verdicts import DRIVER_ERRORS, verdict

SILENCE = 3.0
"""Seconds without an answer to anybody who does the same, after which that is trouble, though nothing has failed."""

_SILENCE_AGAIN = 1.0  # seconds after which that is looked at again: the sentence says for how long

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """Seconds. `timeout` bounds one attempt (setting `write_timeout`), `cap` one wait (`retry_max_delay`)."""

    timeout: float = 30.0
    base: float = backoff.BASE
    cap: float = backoff.CAP
    operator_base: float = backoff.OPERATOR_BASE
    operator_cap: float = backoff.OPERATOR_CAP


class Retrier:
    """Shared by writer, ledger and rejects of one client.

    `starting`: while True an OPERATOR verdict ends start-up (exit 78); the pipeline sets it to False when live.
    """

    def __init__(
        self,
        health: ServerHealth,
        options: RetryOptions | None = None,
        *,
        starting: bool = False,
    ) -> None:
        self.health = health
        self.options = options if options is not None else RetryOptions()
        self.starting = starting

    def attempts(self, doing: str) -> Attempts:
        """A run of attempts at one thing; `doing` completes "while ..." in messages."""
        return Attempts(self, doing)

    async def call(self, operation: Callable[[], Awaitable[T]], doing: str) -> T:
        """The result of `operation`, which must be safe to repeat. Raises RuntimeFailure for REJECT and STOP."""
        with self.attempts(doing) as attempts:
            while True:
                try:
                    with attempts.limited():
                        return await operation()
                except DRIVER_ERRORS as error:
                    await attempts.failed(error)


class Attempts:
    """One operation's attempts. A context: on leaving it, the operation fails no longer (done, or given up)."""

    def __init__(self, retrier: Retrier, doing: str) -> None:
        self._retrier = retrier
        self._doing = doing
        self.failures = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._retrier.health.over(self, succeeded=error is None, doing=self._doing)

    @contextmanager
    def limited(self) -> Iterator[None]:
        """The limits of one attempt, as a context: its time reaches server selection, the server, and the socket.

        The driver looks for a primary until that time is up, so it goes on the moment there is one again; but a
        server that is gone or hangs must not be called well for so long: `SILENCE` is reported as trouble.
        """
        self._listen(self._retrier.health.clock(), SILENCE)
        try:
            with pymongo.timeout(self._retrier.options.timeout):
                yield
        finally:
            self._listening.cancel()

    def _listen(self, asked: float, seconds: float) -> None:
        """In so many seconds, and again until the attempt of `asked` ends, see whether anybody is answered."""
        self._listening = asyncio.get_running_loop().call_later(seconds, self._look, asked)

    def _look(self, asked: float) -> None:
        health = self._retrier.health
        quiet = health.quiet(asked, self._doing)
        if quiet >= SILENCE:
            health.silent(self, self._doing, quiet)
        self._listen(asked, SILENCE - quiet if quiet < SILENCE else _SILENCE_AGAIN)

    def succeeded(self) -> None:
        """The server answered well: the next failure is the first again."""
        self.failures = 0
        self._retrier.health.over(self, succeeded=True, doing=self._doing)

    async def failed(self, error: BaseException) -> None:
        """Wait before the next attempt, or raise what ends the attempts. `error`: what the driver raised."""
        what = verdict(error)
        if what is Verdict.REJECT or what is Verdict.STOP:
            raise RuntimeFailure(f"MongoDB failed while {self._doing}: {describe(error)}") from error
        await self.wait(what, describe(error), error)

    async def wait(self, what: Verdict, sentence: str, said: BaseException | int = 0) -> None:
        """Report the failure and wait. `what` is RETRY or OPERATOR; `said`: an error or a code, for counting by class.
        Raises ServerRefusesUs for OPERATOR at start-up."""
        if what is Verdict.OPERATOR and self._retrier.starting:
            raise ServerRefusesUs(f"MongoDB refuses {self._doing}: {sentence}")
        self._retrier.health.failed(self, what, sentence, retry_class(said, what))
        await self.pause(what)

    async def pause(self, what: Verdict = Verdict.RETRY) -> None:
        """Wait without reporting trouble: the server is well, we only came too early."""
        options = self._retrier.options
        base, cap = (
            (options.operator_base, options.operator_cap) if what is Verdict.OPERATOR else (options.base, options.cap)
        )
        self.failures += 1
        await asyncio.sleep(backoff.delay(self.failures, random.random(), base=base, cap=cap))
