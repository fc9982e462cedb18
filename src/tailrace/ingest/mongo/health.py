"""What everybody who waits for MongoDB has seen, in one place: one state, and a log that stays readable.

An outage is one warning when it starts, at most one summary every 30 seconds, and one line when it is over; never
a line per retry. Trouble lasts as long as any operation is failing: others that succeed meanwhile do not end it. While
one of them is refused, that is what it is called, whatever happens to the others.

A server that answers nobody who does the same is in trouble, too, though nothing has failed: the next answer ends that.
One that is merely slow answers now one, now another, and is never called so, however long each of them waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from tailrace.errors import Verdict
from tailrace.ingest.mongo.retry_classes import RetryClass
from tailrace.words import size_words

SUMMARY_INTERVAL = 30.0
"""Seconds between two summaries of one trouble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthState:
    """`ok`, or in trouble `since` (monotonic seconds); `verdict` and `sentence` are those of the latest failure, or of
    the refusal of an operation that has not got on since.

    With OPERATOR only a human can mend it: `/readyz` is red at once. `retries` counts this trouble's failures: 0 when
    it only gives no answer.
    """

    ok: bool
    since: float = 0.0
    verdict: Verdict | None = None
    sentence: str = ""
    retries: int = 0


class ServerHealth:
    """One per client. Written from the event loop; `state` is replaced whole, so any thread may read it. `retries`:
    failures that were repeated, by class, since the start."""

    def __init__(
        self,
        *,
        in_flight_limit: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`in_flight_limit`: see `limit`."""
        self.state = HealthState(ok=True)
        self.retries = {kind.value: 0 for kind in RetryClass}
        self.clock = clock
        self._failing: dict[object, tuple[Verdict, str]] = {}
        self._refused = False  # said in this trouble
        self._unanswered: dict[object, str] = {}
        self._answered: dict[str, float] = {}
        self._next_summary = 0.0
        self._log = structlog.get_logger("tailrace.mongodb")
        self._meaning = ""
        self.limit(in_flight_limit)

    def limit(self, size: int | None) -> None:
        """Bytes in flight after which reading stops, for the log line that says so."""
        limit = "the in-flight limit is reached" if size is None else f"{size_words(size)} are in flight"
        self._meaning = f"nothing is lost; reading stops when {limit}; retrying until it is back"

    def failed(self, operation: object, verdict: Verdict, sentence: str, kind: str = RetryClass.OTHER) -> None:
        """`operation` (any hashable, one per run of attempts) failed and will be retried. `kind`: its class."""
        self._failing[operation] = verdict, sentence
        self.retries[kind] += 1
        if verdict is not Verdict.OPERATOR:
            refused = (each for each in self._failing.values() if each[0] is Verdict.OPERATOR)
            verdict, sentence = next(refused, (verdict, sentence))
        self._in_trouble(verdict, sentence, since=self.clock(), retries=self.state.retries + 1)

    def quiet(self, asked: float, doing: str) -> float:
        """Seconds in which nobody who does this, since one asked then (`clock`), has had an answer. HAZARD: reads are
        answered while writes wait for a majority that is gone; an answer to others says nothing."""
        return self.clock() - max(asked, self._answered.get(doing, asked))

    def silent(self, operation: object, doing: str, quiet: float) -> None:
        """`operation` waits, and nobody was answered while `doing` so for `quiet` seconds. Nothing has failed, so
        nothing is counted; what fails at the same time says more."""
        if self._failing:
            return
        self._unanswered[operation] = doing
        sentence = f"it has not answered for {quiet:.0f} s while {doing}"
        self._in_trouble(Verdict.RETRY, sentence, since=self.clock() - quiet, retries=self.state.retries)

    def _in_trouble(self, verdict: Verdict, sentence: str, *, since: float, retries: int) -> None:
        """`since`: when it began, if it begins now."""
        now, before = self.clock(), self.state
        self.state = HealthState(
            ok=False,
            since=since if before.ok else before.since,
            verdict=verdict,
            sentence=sentence,
            retries=retries,
        )
        if before.ok or (verdict is Verdict.OPERATOR and not self._refused):
            self._next_summary = now + SUMMARY_INTERVAL
            self._refused = verdict is Verdict.OPERATOR
            if self._refused:
                self._log.error(
                    "mongodb_refuses",
                    error=sentence,
                    meaning=self._meaning,
                    todo="mend it on the server",
                )
            else:
                self._log.warning("mongodb_trouble", error=sentence, meaning=self._meaning)
        elif now >= self._next_summary:
            self._next_summary = now + SUMMARY_INTERVAL
            self._say_still(sentence, round(now - self.state.since))

    def _say_still(self, sentence: str, for_s: int) -> None:
        retries = self.state.retries
        if self.state.verdict is Verdict.OPERATOR:
            self._log.error(
                "mongodb_still_refuses",
                error=sentence,
                for_s=for_s,
                retries=retries,
                meaning=self._meaning,
                todo="mend it on the server",
            )
        else:
            self._log.warning(
                "mongodb_still_in_trouble", error=sentence, for_s=for_s, retries=retries, meaning=self._meaning
            )

    def over(self, operation: object, *, succeeded: bool, doing: str = "") -> None:
        """`operation` succeeded, or was given up (cancelled, rejected)."""
        if succeeded:
            self._answered[doing] = self.clock()  # those who still wait are slow, not alone
            self._unanswered = {each: what for each, what in self._unanswered.items() if what != doing}
        self._failing.pop(operation, None)
        self._unanswered.pop(operation, None)
        if self.state.ok or self._failing or self._unanswered:
            return
        before, self.state = self.state, HealthState(ok=True)
        after = round(self.clock() - before.since, 3)
        if succeeded:
            self._log.info("mongodb_back", after_s=after, retries=before.retries)
        else:
            self._log.info("mongodb_not_asked", after_s=after, retries=before.retries)
