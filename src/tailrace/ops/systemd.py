"""What systemd is told: the notify protocol of sd_notify(3), one datagram to the socket that NOTIFY_SOCKET names.

    Notifier.take(os.environ)     takes the variables away, so that no child speaks in our name
    ready, reloading, stopping    where we are; ready again ends a reload
    watchdog                      a task of the event loop: a loop that hangs is silent, and systemd ends the process
    notifying(...)                a context that keeps the watchdog fed and the status line of `systemctl status` true
    status_line(...)              that line; pure

Without NOTIFY_SOCKET nothing is sent. Nothing here raises, and nothing waits: a manager that is busy, or gone, must not
stop the ingestion.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager, suppress

import structlog

from tailrace.errors import Verdict
from tailrace.ops.status import Moment, Monitor
from tailrace.words import duration_words, size_words

log = structlog.get_logger("tailrace.systemd")

EVERY = 3.0
"""Seconds between two looks at the status line, and between two extensions of a long start-up."""

EXTENSION = 60.0
"""Seconds by which start-up is extended each time: it goes on as long as the event loop turns."""

STOP_MARGIN = 30.0
"""Seconds that a stop may take beyond `shutdown_grace`: connections and the state are closed after it."""

_AGAIN = 0.2  # seconds that a task has to end before it is told again
_OWED = 16  # messages that are kept for a manager that takes none now


class Notifier:
    """`address`: as in NOTIFY_SOCKET, None: nobody listens. `watchdog`: seconds until systemd ends a silent process."""

    def __init__(self, address: str | None, *, watchdog: float | None = None) -> None:
        self._address = None if address is None else _address(address)
        self.watchdog_limit = None if self._address is None else watchdog
        self._owed: deque[str] = deque(maxlen=_OWED)
        self._line = ""
        self._complained = False
        self.is_ready = False
        self.is_stopping = False
        self.news = asyncio.Event()

    @classmethod
    def take(cls, environ: MutableMapping[str, str], pid: int | None = None) -> Notifier:
        """From the variables that systemd sets, which are removed. `pid`: ours, unless a test says otherwise."""
        address = environ.pop("NOTIFY_SOCKET", "") or None
        limit, whose = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        ours = whose in ("", str(os.getpid() if pid is None else pid))
        usable = ours and limit.isascii() and limit.isdigit() and int(limit) > 0
        return cls(address, watchdog=int(limit) / 1e6 if usable else None)

    @property
    def listening(self) -> bool:
        """Whether there is anybody to tell."""
        return self._address is not None

    def ready(self) -> None:
        """Start-up is over, or a reload is, whatever came of it."""
        self.is_ready = True
        self._state("READY=1")
        self.news.set()

    def reloading(self) -> None:
        """The configuration is being read again. HAZARD: without a `ready` after it the unit stays in `reloading`."""
        self._state(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, grace: float) -> None:
        """The end has begun and may take `grace` seconds, and a little, whatever TimeoutStopSec says."""
        self.is_stopping = True
        self._state("STOPPING=1\nSTATUS=stopping: what is in flight is stored first")
        self.extend(grace + STOP_MARGIN)

    def extend(self, seconds: float) -> None:
        """The start or stop that is going on may take that much longer from now. systemd never shortens by this."""
        self._send(f"EXTEND_TIMEOUT_USEC={seconds * 1e6:.0f}")

    def status(self, line: str) -> None:
        """The line of `systemctl status`, sent when it changes. Not while we stop."""
        line = " ".join(line.split())
        if line != self._line and not self.is_stopping and self._send(f"STATUS={line}"):
            self._line = line

    async def watchdog(self, healthy: Callable[[], bool] = lambda: True) -> None:
        """Until cancelled, or at once without a watchdog: say that we live, twice as often as we must, while `healthy`.

        HAZARD: what a restart does not mend is not ill health. A restart because MongoDB is gone only loses time.
        """
        while self.watchdog_limit is not None:
            if healthy():
                self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_limit / 2)

    def _state(self, message: str) -> None:
        """Kept when it cannot be sent, and sent before whatever comes next: a lost READY=1 would end the process."""
        if self._address is not None:
            self._owed.append(message)
            self._pay()

    def _pay(self) -> bool:
        while self._owed:
            if not self._out(self._owed[0]):
                return False
            self._owed.popleft()
        return True

    def _send(self, message: str) -> bool:
        return self._address is not None and self._pay() and self._out(message)

    def _out(self, message: str) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.setblocking(False)
                out.sendto(message.encode(), self._address or "")
        except OSError as error:
            if not self._complained:
                log.debug("notify_failed", error=str(error), meaning="ingestion goes on; systemd hears of us later")
            self._complained = True
            return False
        self._complained = False
        return True


def _address(given: str) -> str | bytes | None:
    """For the socket: `@name` is an abstract one. None for a kind that we do not speak (vsock of a virtual machine)."""
    if given.startswith("@"):
        return b"\0" + os.fsencode(given[1:])
    return given if given.startswith("/") else None


@asynccontextmanager
async def notifying(notifier: Notifier, monitor: Monitor, *, every: float = EVERY) -> AsyncIterator[None]:
    """Feed the watchdog and keep the status line, in this event loop. Nobody to tell: nothing is done.

    Until `ready`, start-up is extended as long as the loop turns: a ledger of many files takes its time.
    """
    if not notifier.listening:
        yield
        return
    tasks = [asyncio.create_task(notifier.watchdog()), asyncio.create_task(_tell(notifier, monitor, every))]
    try:
        yield
    finally:
        await _end(tasks)


async def _tell(notifier: Notifier, monitor: Monitor, every: float) -> None:
    before: Moment | None = None
    while True:
        if not (notifier.is_ready or notifier.is_stopping):
            notifier.extend(EXTENSION)
        monitor.beat()  # without the HTTP endpoint nobody else does
        moment = monitor.moment()
        notifier.status(status_line(moment, before) if notifier.is_ready else _starting(moment))
        before = moment
        with suppress(TimeoutError):  # the line of one that is ready does not wait
            async with asyncio.timeout(every):
                await notifier.news.wait()
        notifier.news.clear()


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """As `ingest.ending.end`, which says why: one that was told to end once and went on would keep the process, with
    its watchdog fed, for ever."""
    left = {*tasks}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN)


def status_line(moment: Moment, before: Moment | None) -> str:
    """`live, 2,812 entries/s, lag 0 s`, or what is wrong. `before`: an earlier moment, for the rate."""
    if not moment.server.ok:
        return _trouble(moment)
    if not moment.sources:
        return "no source is followed: nothing is stored until a reload adds one"
    locked = sum(len(each.stats.locked) for each in moment.sources)
    if locked:
        return f"{locked} of the node's files cannot be read: give this user the right to read them"
    behind = sum(each.stats.lag_bytes for each in moment.sources)
    rate = "" if before is None else f", {_rate(moment, before):,.0f} entries/s"
    if all(each.stats.live for each in moment.sources):
        return f"live{rate}, lag {_lag_words(moment)}"
    if not behind:
        return f"waiting for files{rate}"
    return f"catching up{rate}, {size_words(behind)} behind"


def _starting(moment: Moment) -> str:
    return "starting" if moment.server.ok else f"starting: {_trouble(moment)}"


def _trouble(moment: Moment) -> str:
    lasting = duration_words(moment.trouble)
    if moment.server.verdict is Verdict.OPERATOR:
        return f"MongoDB has refused us for {lasting}: an operator must mend it, the log says what"
    return f"MongoDB in trouble for {lasting}: reading waits, nothing is lost"


def _lag_words(moment: Moment) -> str:
    """Of the source that is furthest behind, in whole seconds: a line that changes every time says nothing more."""
    lag = max((each.stats.lag_seconds for each in moment.sources), default=0.0)
    return duration_words(lag) if lag >= 1 else "0 s"


def _rate(moment: Moment, before: Moment) -> float:
    """Entries settled a second, between the copies of the figures. A source that came or went does not count."""
    past = {(each.source, each.collection): each.stats.entries_settled for each in before.sources}
    now = {(each.source, each.collection): each.stats.entries_settled for each in moment.sources}
    settled = sum(now[key] - past[key] for key in now.keys() & past.keys())
    seconds = (moment.uptime - moment.age) - (before.uptime - before.age)
    return max(0.0, settled / seconds) if seconds > 0 else 0.0
