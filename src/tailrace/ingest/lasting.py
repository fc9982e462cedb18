"""Problems that last, said so that a log stays readable: when one starts, now and then while it lasts, when it is over.

Pure: time is an argument (monotonic seconds). What is logged, and in which words, is the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SUMMARY_INTERVAL = 60.0
"""Seconds between two lines about something that lasts."""

_MOST = 10  # lines about things of one kind in that time


class Say(Enum):
    """What is to be said of a problem that was met again."""

    START = "start"
    STILL = "still"


class Lasting:
    """One problem. `times`: how often it was met since it started."""

    def __init__(self, interval: float = SUMMARY_INTERVAL) -> None:
        self.times = 0
        self._interval = interval
        self._since: float | None = None
        self._next = 0.0

    def met(self, now: float) -> Say | None:
        """It is there now. None: nothing is to be said."""
        self.times += 1
        if self._since is None:
            self._since, self._next = now, now + self._interval
            return Say.START
        if now < self._next:
            return None
        self._next = now + self._interval
        return Say.STILL

    def for_s(self, now: float) -> float:
        """Seconds since it started, 0 when it is not there."""
        return 0.0 if self._since is None else round(now - self._since, 1)

    def over(self, now: float) -> float | None:
        """It is not there now. Seconds that it lasted, once; None when it was not there before."""
        if self._since is None:
            return None
        lasted = self.for_s(now)
        self._since, self.times = None, 0
        return lasted


class Few:
    """Lines about many things of one kind: so many in an interval, and then their number."""

    def __init__(self, most: int = _MOST, interval: float = SUMMARY_INTERVAL) -> None:
        self._most = most
        self._interval = interval
        self._begun: float | None = None
        self._said = 0
        self._unsaid = 0

    def admit(self, now: float) -> int | None:
        """None: not to be said. Else how many were not, since the last that was."""
        if self._begun is None or now >= self._begun + self._interval:
            self._begun, self._said = now, 0
        if self._said >= self._most:
            self._unsaid += 1
            return None
        self._said += 1
        unsaid, self._unsaid = self._unsaid, 0
        return unsaid


@dataclass(frozen=True, slots=True)
class Standing:
    """What is in trouble at this moment: how many things, the one that is longest, and for how many seconds."""

    count: int
    longest: str
    for_s: float


class Several:
    """Many things of one kind, each with a problem of its own that may last: files that cannot be read.

    The first few are said one by one, and all together once an interval; of the ends the first few, and the last.
    """

    def __init__(self, most: int = _MOST, interval: float = SUMMARY_INTERVAL) -> None:
        self._since: dict[str, float] = {}  # in order of time
        self._interval = interval
        self._next = 0.0
        self._starts = Few(most, interval)
        self._ends = Few(most, interval)

    def __len__(self) -> int:
        return len(self._since)

    def met(self, what: str, now: float) -> bool:
        """`what` is in trouble now. Whether that is to be said by itself."""
        if what in self._since:
            return False
        if not self._since:
            self._next = now + self._interval
        self._since[what] = now
        return self._starts.admit(now) is not None

    def still(self, now: float) -> Standing | None:
        """To be asked now and then. None: nothing is to be said."""
        if not self._since or now < self._next:
            return None
        self._next = now + self._interval
        longest, since = next(iter(self._since.items()))
        return Standing(len(self._since), longest, round(now - since, 1))

    def over(self, what: str, now: float) -> float | None:
        """`what` is well now. Seconds that it was not, if that is to be said."""
        since = self._since.pop(what, None)
        if since is None:
            return None
        admitted = self._ends.admit(now) is not None
        return round(now - since, 1) if admitted or not self._since else None

    def forget(self, what: str) -> None:
        """`what` is not there any more: its trouble has no end."""
        self._since.pop(what, None)
