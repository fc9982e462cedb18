"""Entries a second: of the past hour from `/history`, of now from successive answers of `/status`; and their chart.

Times are those of the instance, so a slow network or a clock that differs from ours changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise

from rich.text import Text

from tailrace.commands.watching.fields import Fields, count_words, seconds_words
from tailrace.commands.watching.view import name_of

WINDOW = 5.0
"""Seconds over which the rate of now is taken: shorter shows each write, longer hides a stop."""

_RECENT = 3  # steps of /history that stand for now in a report of one answer
_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = " ..::==##"
_ROWS = 3
_GUTTER = 17  # columns left of the chart

Point = tuple[float, float]
"""(epoch seconds, cumulative entries) or (epoch seconds, entries a second of the step that ends there)."""


class Meter:
    """Rates by `<source> -> <collection>`, of the answers of one instance after another."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[Point]] = {}
        self._process: tuple[object, ...] = ()

    def add(self, status: Fields, received: float) -> None:
        """`received`: our time, for an instance that does not tell its own. Another process begins anew."""
        process = (status.number("pid"), status.text("host"), status.number("now") is None)
        if process != self._process:
            self._seen, self._process = {}, process
        now = status.number("now")
        at = (received if now is None else now) - status.amount("figures_age_s")
        for source in status.all("sources"):
            settled = source.at("entries").number("settled")
            points = self._seen.setdefault(name_of(source), deque())
            if settled is None or (points and (settled < points[-1][1] or at < points[-1][0])):
                points.clear()
            if settled is not None and not (points and at == points[-1][0]):
                points.append((at, settled))
            while len(points) > 2 and points[1][0] <= at - WINDOW:
                points.popleft()

    def rates(self) -> dict[str, float]:
        """Only of sources that were seen twice."""
        return {name: _rate(points[0], points[-1]) for name, points in self._seen.items() if len(points) > 1}


def recent(history: Fields, names: Sequence[str]) -> dict[str, float]:
    """The rate of the last few steps of `/history`, for a report of one answer."""
    rates = {}
    for name in names:
        points = _cumulative(history.at("sources").at(name))[-_RECENT - 1 :]
        if len(points) > 1 and points[-1][1] >= points[0][1]:
            rates[name] = _rate(points[0], points[-1])
    return rates


def past(history: Fields, names: Sequence[str]) -> list[Point]:
    """Entries a second of all sources together at each step of `/history`, oldest first."""
    total: dict[float, float] = {}
    for name in names:
        points = _cumulative(history.at("sources").at(name))
        for before, after in pairwise(points):
            total[after[0]] = total.get(after[0], 0.0) + _rate(before, after)
    return sorted(total.items())


def _cumulative(source: Fields) -> list[Point]:
    """Points in order of time; what is unknown, or not after the one before, is left out."""
    points: list[Point] = []
    for at, entries in zip(source.numbers("t"), source.numbers("entries"), strict=False):
        if at is not None and entries is not None and (not points or at > points[-1][0]):
            points.append((at, entries))
    return points


def _rate(before: Point, after: Point) -> float:
    seconds = after[0] - before[0]
    return max(0.0, after[1] - before[1]) / seconds if seconds > 0 else 0.0


# -- the chart -------------------------------------------------------------------------------------------------------


def chart(steps: Sequence[Point], rates: Mapping[str, float], width: int, *, ascii_only: bool = False) -> list[Text]:
    """Three rows: the rate of now and the peak at the left, then the steps, several of them in a column if need be."""
    blocks = _ASCII_BLOCKS if ascii_only else _BLOCKS
    columns = _columns([rate for _, rate in steps], max(1, width - _GUTTER))
    peak = max(columns, default=0.0)
    span = steps[-1][0] - steps[0][0] if steps else 0.0
    gutter = (
        (f"{count_words(sum(rates.values()) if rates else None)} entries/s", "bold"),
        (f"peak {count_words(peak)}", "dim"),
        (f"last {seconds_words(span)}" if span else "", "dim"),
    )
    rows = []
    for (label, style), row in zip(gutter, range(_ROWS - 1, -1, -1), strict=True):
        cells = "".join(_cell(rate / peak if peak else 0.0, row, blocks) for rate in columns)
        rows.append(Text.assemble((f"{label:>{_GUTTER - 2}}  "[-_GUTTER:], style), (cells, "cyan")))
    return rows


def _columns(rates: list[float], room: int) -> list[float]:
    """Means of as many steps as make all of them fit; the newest column is always full."""
    each = -(-len(rates) // room) or 1
    ends = range(len(rates), 0, -each)
    return [sum(part) / len(part) for part in (rates[max(0, end - each) : end] for end in ends)][::-1]


def _cell(share: float, row: int, blocks: str) -> str:
    """The character in `row` (0 is the lowest) of a bar that is `share` of the chart's height."""
    full = len(blocks) - 1
    level = round(share * _ROWS * full) - row * full
    return blocks[max(1 if row == 0 else 0, min(full, level))]  # a step with nothing in it is still a step
