"""`status --watch`: one answer after another, in a live view on a terminal, one line each elsewhere.

An instance that goes away is said to be gone and is asked again, until it is back or somebody presses Ctrl-C.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import FrameType

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.text import Text

from tailrace.commands.watching.fields import Fields, in_ascii, seconds_words
from tailrace.commands.watching.rates import Meter, Point, chart, past
from tailrace.commands.watching.view import SPARE, Line, common_lines, head, laid_out, name_of, plain_line, source_lines
from tailrace.errors import TailraceError
from tailrace.ops.client import Place, Unanswered, fetch_history, fetch_status, must_understand

REFRESHES = 2
"""Of the view, a second: it follows the terminal's size and says how old its figures are."""

_PATIENCE = 3.0  # seconds for one answer: less than for a single report, somebody looks on
_HISTORY_EVERY = 5.0  # seconds; the step of /history
_OWN_STEPS = 720  # of an instance that keeps no history


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known by now; replaced whole. `at`: when the last answer came, by our monotonic clock."""

    status: Fields = field(default_factory=lambda: Fields(None))
    at: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)
    steps: Sequence[Point] = ()
    trouble: str = ""
    where: str = ""


class Watcher:
    """`find` says where the instance is, and raises TailraceError when there is none."""

    def __init__(self, find: Callable[[], Place], *, ascii_only: bool = False) -> None:
        self.seen = Seen()
        self._find = find
        self._ascii_only = ascii_only
        self._meter = Meter()
        self._own: list[Point] = []
        self._asked = float("-inf")  # for history

    def poll(self) -> Seen:
        """Asks once. What goes wrong is told, not raised."""
        try:
            self.seen = self._answered(self._find())
        except TailraceError as error:
            self._asked = float("-inf")  # whoever answers next has another history
            trouble = str(in_ascii(str(error))) if self._ascii_only else str(error)
            self.seen = replace(self.seen, trouble=trouble, rates={})
        return self.seen

    def _answered(self, place: Place) -> Seen:
        status = fetch_status(place, timeout=_PATIENCE)
        must_understand(status, place)
        fields, now = self._fields(status), time.monotonic()
        self._meter.add(fields, now)
        rates = self._meter.rates()
        steps = self.seen.steps
        if now - self._asked >= _HISTORY_EVERY:
            names = [name_of(source) for source in fields.all("sources")]
            steps = past(self._history(place), names)
            self._asked = now
        if rates:
            self._own = [*self._own, (now, sum(rates.values()))][-_OWN_STEPS:]
        return Seen(status=fields, at=now, rates=rates, steps=steps or list(self._own), where=str(place))

    def _history(self, place: Place) -> Fields:
        try:
            return self._fields(fetch_history(place, timeout=_PATIENCE))
        except Unanswered:  # the figures are there: the chart can wait
            return Fields(None)

    def _fields(self, content: object) -> Fields:
        return Fields(in_ascii(content) if self._ascii_only else content)


@dataclass(frozen=True, slots=True)
class View:
    """Give this to `rich.live.Live`: every refresh renders what was seen last for the terminal's size of then."""

    take: Callable[[], Seen]
    clock: Callable[[], float] = time.monotonic

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or console.height
        seen = self.take()
        age = self.clock() - seen.at
        yield screen(seen, age, options.max_width, height, ascii_only=options.ascii_only)


def screen(seen: Seen, age: float, width: int, height: int, *, ascii_only: bool = False) -> Group:
    """As much as fits: what matters most stands highest, and what is left out is counted. `age`: of the figures."""
    lines = list(_lines(seen, age, width, ascii_only=ascii_only))
    if len(lines) > height > 0:
        lines = [line for line in lines if line.plain.strip() and line.style != SPARE]
    if len(lines) > height > 0:
        left = len(lines) - height + 1
        lines = [*lines[: height - 1], Text(f"({left} more lines: make the terminal higher)", style="dim")]
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="crop")
    return Group(*lines)


def _lines(seen: Seen, age: float, width: int, *, ascii_only: bool) -> Iterator[Text]:
    status = seen.status
    if seen.trouble:
        yield from _gone(seen, age, width)
        if not status:
            return
    elif not status:
        yield Text("asking ...")
        return
    else:
        yield from laid_out(head(status, seen.where), width)
    yield Text()
    yield from chart(seen.steps, seen.rates, width, ascii_only=ascii_only)
    sources = status.all("sources")
    for source in sources:
        yield Text()
        yield from laid_out(source_lines(source, seen.rates if len(sources) > 1 else None, width), width)
    yield Text()
    yield from laid_out(common_lines(status), width)


def _gone(seen: Seen, age: float, width: int) -> Iterator[Text]:
    """In place of a verdict: what was true of an instance that answers no more is not said of it."""
    yield Text("NO ANSWER", style="bold red")
    for sentence in seen.trouble.splitlines():
        yield from _wrapped(sentence, width)
    if seen.status:
        told = f"What {seen.where} said {seconds_words(age)} ago stands below."
        yield from _wrapped(f"{told} It is asked again and again.", width)
    else:
        yield from _wrapped("It is asked again and again; Ctrl-C ends this.", width)


def _wrapped(sentence: str, width: int) -> list[Text]:
    return laid_out(iter([Line("", sentence)]), width)


def keep_watching(find: Callable[[], Place], interval: float, console: Console) -> None:
    """Until Ctrl-C or SIGTERM, which are its good ends: the terminal is left as it was."""
    watcher = Watcher(find, ascii_only=console.options.ascii_only)
    with _ended_by_signals():
        if console.is_terminal and not console.is_dumb_terminal:
            _live(watcher, interval, console)
        else:
            _plain(watcher, interval)


def _live(watcher: Watcher, interval: float, console: Console) -> None:
    view = View(lambda: watcher.seen)
    with Live(view, console=console, screen=True, refresh_per_second=REFRESHES) as live:
        while True:
            started = time.monotonic()
            watcher.poll()
            live.refresh()
            time.sleep(max(0.0, interval - (time.monotonic() - started)))


def _plain(watcher: Watcher, interval: float) -> None:
    while True:
        started = time.monotonic()
        seen = watcher.poll()
        said = " ".join(seen.trouble.splitlines()) if seen.trouble else plain_line(seen.status, seen.rates)
        print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}  {said}", flush=True)
        time.sleep(max(0.0, interval - (time.monotonic() - started)))


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """HAZARD: killed without this, it would leave the terminal on its second screen, without a cursor."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
