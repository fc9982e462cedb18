"""The newest entry stored: when its event was, and how old it was when it was acknowledged.

    stored    once a part of a span: keeps one document       look    when figures are taken: reads its event time

By this machine's clock, and by what the node writes: nothing but figures rests on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tailrace.ingest.codec.event_time import event_seconds
from tailrace.ingest.mongo.proof import ID
from tailrace.ingest.stats import SourceStats

AHEAD = 3600.0
"""Seconds ahead of this machine's clock beyond which a time is none: one absurd entry would be the newest for good."""

_SECONDS = slice(ID.start, ID.start + 4)  # of a document: those that its `_id` begins with, of its hour or of its event


class Newest:
    """One per source. Fills `newest_entry` and `entry_lag` of `stats`. `event_time`: the field; None: there is none."""

    def __init__(self, stats: SourceStats, event_time: str | None) -> None:
        self._stats = stats
        self._event_time = event_time
        self._document: bytes | None = None
        self._stored_at = 0.0
        self._clock: Callable[[], float] = time.time

    def stored(self, document: bytes) -> None:
        """`document`, the last of its part, was acknowledged. Decoding it costs 10 us: that waits for `look`, and of
        those that come before it one is kept, by the time that their ids begin with, and of equals the last."""
        if self._event_time is None:
            return
        if self._document is None or document[_SECONDS] >= self._document[_SECONDS]:
            self._document, self._stored_at = document, self._clock()

    def look(self) -> None:
        """What was stored since the last call counts from now on."""
        if self._document is None or self._event_time is None:
            return
        at = event_seconds(self._document, self._event_time)
        self._document = None
        if at is None or at > self._stored_at + AHEAD or at < (self._stats.newest_entry or 0.0):
            return
        self._stats.newest_entry, self._stats.entry_lag = at, self._stored_at - at
