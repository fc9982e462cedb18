"""The live view of a running tailrace: figures at one moment -> what a terminal shows. No clock, no I/O.

    render(snapshot, width)   lines for a terminal of any width from 30 columns up
    plain_line(snapshot)      the same in one line, for where there is no terminal
    View                      renders a fresh snapshot whenever rich asks for one

Colours are only those that read well on light and dark backgrounds (cyan, green, red, magenta, bold, dim); nothing is
said by colour alone. Cheap on purpose: text of fixed width, no tables, about a millisecond each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.text import Text

from tailrace.words import duration_words, size_words

HISTORY = 60
"""Seconds that the chart shows."""

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = " ..::==##"
_CHART_ROWS = 3
_GUTTER = 14  # columns left of the chart
_TWO_COLUMNS = 64  # from this width on the figures stand in two columns
_KEY = 11  # columns of a figure's name
_TICK_ROOM = 3  # columns between two marks of the timeline
_HOUR = 3600
_DAY = 24 * _HOUR
_LOUD_LAG = 5.0  # seconds behind from which lag is coloured


@dataclass(frozen=True, slots=True)
class Clock:
    """The simulated node's clock: epoch seconds at its beginning, now, and at its end; `speed` times ours."""

    start: float
    now: float
    end: float
    speed: float


@dataclass(frozen=True, slots=True)
class Server:
    """`about`: what server it is. `trouble`: None when all is well, else seconds in trouble; `sentence` says why."""

    about: str = ""
    trouble: float | None = None
    sentence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is to be shown. `rates`: entries of each of the last seconds, oldest first, at most HISTORY of them.

    `lag_seconds`: age of the oldest byte that is not stored yet. `cpu`: share of one core, `memory`: bytes resident.
    `stage`: what is going on, in a word or two, with `elapsed` seconds of `expected` (0: no end).
    """

    stage: str
    elapsed: float
    expected: float
    rate: float
    rates: Sequence[float]
    inserted: int
    duplicates: int
    rejected: int
    lag_bytes: int
    lag_seconds: float
    lines_in_flight: int
    bytes_in_flight: int
    file: str
    rollovers: int
    server: Server
    cpu: float
    memory: int
    clock: Clock | None = None


@dataclass(frozen=True, slots=True)
class View:
    """Give this to `rich.live.Live`: every refresh takes a snapshot and renders it for the terminal's width of then."""

    take: Callable[[], Snapshot]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield render(self.take(), options.max_width, ascii_only=options.ascii_only)


def render(snapshot: Snapshot, width: int, *, ascii_only: bool = False) -> Group:
    """No line is wider than `width`: what does not fit ends in an ellipsis, or is left out (labels of hours)."""
    lines = [_title(snapshot, width), Text()]
    lines += _chart(snapshot, width, _ASCII_BLOCKS if ascii_only else _BLOCKS)
    lines += [Text(), *_figures(snapshot, width), _server(snapshot.server)]
    if snapshot.clock is not None:
        lines += [Text(), *_timeline(snapshot.clock, width, ("=", "-", "+") if ascii_only else ("━", "─", "┿"))]
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="crop" if ascii_only else "ellipsis")
    return Group(*lines)


def plain_line(snapshot: Snapshot) -> str:
    """One line with every figure that moves."""
    server = snapshot.server
    trouble = "ok" if server.trouble is None else f"in trouble for {duration_words(server.trouble)}"
    clock = "" if snapshot.clock is None else f"node {_moment(snapshot.clock.now)}  "
    return (
        f"{clock}{snapshot.rate:,.0f} entries/s  inserted {snapshot.inserted:,}  duplicate {snapshot.duplicates:,}  "
        f"rejected {snapshot.rejected:,}  lag {_lag(snapshot)}  file {_short(snapshot.file)}  "
        f"rollovers {snapshot.rollovers}  server {trouble}"
    )


def _title(snapshot: Snapshot, width: int) -> Text:
    name = Text.assemble(("tailrace", "bold cyan"), f"  {snapshot.stage}")
    of = f" of {snapshot.expected:.0f}" if snapshot.expected else ""
    return _ends(name, Text(f"{snapshot.elapsed:.0f}{of} s", style="dim"), width)


def _ends(left: Text, right: Text, width: int) -> Text:
    """`left` at the left edge, `right` at the right one if there is room for it."""
    gap = width - left.cell_len - right.cell_len
    return Text.assemble(left, " " * gap, right) if gap > 0 else left


# -- entries a second ------------------------------------------------------------------------------------------------


def _chart(snapshot: Snapshot, width: int, blocks: str) -> Iterator[Text]:
    columns = max(1, (width - _GUTTER) // HISTORY)  # of a second
    shown = snapshot.rates[-max(1, (width - _GUTTER) // columns) :]
    peak = max(shown, default=0.0)
    gutter = [
        Text(f"{snapshot.rate:>10,.0f}", style="bold"),
        Text(f"{'entries/s':>10}"),
        Text(f"{f'peak {peak:,.0f}':>10}", style="dim"),
    ]
    room = " " * (columns * max(0, min(HISTORY, (width - _GUTTER) // columns) - len(shown)))
    for label, row in zip(gutter, range(_CHART_ROWS - 1, -1, -1), strict=True):
        cells = "".join(_cell(rate / peak if peak else 0.0, row, blocks) * columns for rate in shown)
        label.pad_right(_GUTTER - label.cell_len)
        yield Text.assemble(label, room, (cells, "cyan"))


def _cell(share: float, row: int, blocks: str) -> str:
    """The character in `row` (0 is the lowest) of a bar that is `share` of the chart's height."""
    full = len(blocks) - 1
    level = round(share * _CHART_ROWS * full) - row * full
    return blocks[max(1 if row == 0 else 0, min(full, level))]  # a second with nothing in it is still a second


# -- figures ---------------------------------------------------------------------------------------------------------


def _figures(snapshot: Snapshot, width: int) -> Iterator[Text]:
    loud = "bold red" if snapshot.lag_seconds >= _LOUD_LAG else "bold"
    left = [
        _figure("inserted", f"{snapshot.inserted:,}", "bold green"),
        _figure("duplicate", f"{snapshot.duplicates:,}", "bold"),
        _figure("rejected", f"{snapshot.rejected:,}", "bold magenta" if snapshot.rejected else "bold"),
        _figure("in flight", f"{snapshot.lines_in_flight:,} lines, {size_words(snapshot.bytes_in_flight)}"),
    ]
    right = [
        _figure("reading", _short(snapshot.file), "bold"),
        _figure("rollovers", f"{snapshot.rollovers}", "bold"),
        _figure("lag", _lag(snapshot), loud),
        _figure("uses", f"{snapshot.cpu:.0%} of a core, {size_words(snapshot.memory)}"),
    ]
    if width < _TWO_COLUMNS:
        yield from left
        yield from right
        return
    for one, other in zip(left, right, strict=True):
        one.pad_right(width // 2 - one.cell_len)
        yield Text.assemble(one, other)


def _figure(name: str, value: str, style: str = "") -> Text:
    return Text.assemble((f"{name:<{_KEY}}", "dim"), (value, style))


def _lag(snapshot: Snapshot) -> str:
    return f"{size_words(snapshot.lag_bytes)}, {duration_words(snapshot.lag_seconds)}"


def _server(server: Server) -> Text:
    if server.trouble is None:
        return Text.assemble((f"{'server':<{_KEY}}", "dim"), ("ok", "bold green"), f"  {server.about}")
    since = f"in trouble for {duration_words(server.trouble)}"
    return Text.assemble((f"{'server':<{_KEY}}", "dim"), (since, "bold red"), f"  {server.sentence}")


def _short(path: str) -> str:
    """`20250310/21`: the day and the hour of an hour file's path."""
    return "/".join(path.split("/")[-2:]) or "-"


# -- the node's clock ------------------------------------------------------------------------------------------------


def _timeline(clock: Clock, width: int, marks: tuple[str, str, str]) -> Iterator[Text]:
    """The node's hours from left to right, filled up to now. A mark is where the next hour's file begins; where that
    would be too many marks, where the next day's folder does."""
    done, rest, tick = marks
    span = max(1.0, clock.end - clock.start)
    now = round(min(1.0, (clock.now - clock.start) / span) * width)
    step = _HOUR if span / _HOUR * _TICK_ROOM <= width else _DAY
    hours = range(int(clock.start // step + 1) * step, int(clock.end) + 1, step)
    at = {min(width - 1, int((hour - clock.start) / span * width)): hour for hour in hours}
    bar = "".join(tick if column in at else (done if column < now else rest) for column in range(width))
    speed = f"{clock.speed:g} times as fast as yours" if clock.speed != 1 else "as fast as yours"
    yield _ends(
        Text.assemble((f"{'node':<{_KEY}}", "dim"), (_moment(clock.now), "bold")), Text(speed, style="dim"), width
    )
    yield Text.assemble((bar[:now], "cyan"), (bar[now:], "dim"))
    yield _hour_labels({0: int(clock.start), **at} if min(at, default=width) > 3 else at, width)


def _hour_labels(at: dict[int, int], width: int) -> Text:
    """Names of the hours at their columns: new days first, with their date, then what there is room left for."""
    line = Text(" " * width)
    for column, hour in sorted(at.items(), key=lambda item: (item[1] % _DAY != 0, item[0])):
        moment, midnight = datetime.fromtimestamp(hour, UTC), hour % _DAY == 0
        name = f"{moment.hour}"
        following = min((other for other in at if other > column), default=width + 1)
        dated = f"{name}  {moment:%d %b}"
        for text in (dated, name) if midnight or (column == 0 and len(dated) < following) else (name,):
            end = column + len(text)
            if end <= width and not line.plain[max(0, column - 1) : end + 1].strip():
                label = Text(text, style="bold" if midnight else "dim")
                line = Text.assemble(line[:column], label, line[end:])
                break
    line.rstrip()
    return line


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
