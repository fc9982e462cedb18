"""The live view: every figure at every width, nothing wider than the terminal, trouble said in words."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from tailrace.ops.view import HISTORY, Clock, Server, Snapshot, View, plain_line, render

START = 1_741_642_200  # 2025-03-10T21:30:00Z
WIDTHS = (40, 80, 140)

SNAPSHOT = Snapshot(
    stage="live",
    elapsed=41.0,
    expected=62.0,
    rate=2803.4,
    rates=[1200.0, *(2800.0 + second for second in range(40))],
    inserted=114_803,
    duplicates=17,
    rejected=6,
    lag_bytes=1_520,
    lag_seconds=0.004,
    lines_in_flight=14,
    bytes_in_flight=7_300,
    file="/data/node_trades/hourly/20250311/0",
    rollovers=3,
    server=Server("MongoDB 6.0.5"),
    cpu=0.31,
    memory=82_000_000,
    clock=Clock(START, START + 41 * 300, START + 62 * 300, 300.0),
)


def drawn(snapshot: Snapshot, width: int, *, ascii_only: bool = False) -> list[str]:
    console = Console(width=width, file=io.StringIO(), record=True, force_terminal=True)
    console.print(render(snapshot, width, ascii_only=ascii_only))
    return console.export_text(styles=False).splitlines()


def chart(lines: list[str]) -> list[str]:
    """The rows of the chart, without the figures left of it."""
    first = next(number for number, line in enumerate(lines) if "2,803" in line)
    return [line[14:] for line in lines[first : first + 3]]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_every_figure_is_shown_at_every_width(width: int, *, ascii_only: bool) -> None:
    """A narrow terminal costs no figure: rate, lag in bytes and seconds, file, rollovers, counts, server, the clock."""
    lines = drawn(SNAPSHOT, width, ascii_only=ascii_only)
    text = "\n".join(lines)
    for figure in (
        *("2,803", "entries/s", "peak 2,839", "114,803", "14 lines, 7.3 kB", "20250311/0", "1.5 kB, 4 ms"),
        *("31% of a core, 82.0 MB", "MongoDB 6.0.5", "2025-03-11 00:55:00 UTC"),
    ):
        assert figure in text
    words = " ".join(text.split())
    for figure in ("duplicate 17", "rejected 6", "rollovers 3", "server ok"):
        assert figure in words
    assert max(map(len, lines)) <= width
    assert text.isascii() == ascii_only


@pytest.mark.parametrize("width", [1, 13, 14, 15, 20, 30, 63, 64, 65, 200, 500])
def test_no_width_breaks_it(width: int) -> None:
    """Whatever the terminal is resized to: no exception, no line wider than it."""
    assert max(map(len, drawn(SNAPSHOT, width))) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_trouble_is_said_in_words(width: int) -> None:
    """How long MongoDB has been in trouble, and why as far as there is room; never by colour alone."""
    trouble = Server("MongoDB 6.0.5", 12.3, "127.0.0.1:27017: connection refused " + "and on " * 30)
    snapshot = replace(SNAPSHOT, server=trouble, rates=[0.0] * HISTORY, rate=0.0)
    lines = drawn(snapshot, width)
    text = " ".join("\n".join(lines).split())
    assert "server in trouble for 12 s" in text
    assert "server ok" not in text
    assert ("connection refused" in text) == (width >= 80)
    assert max(map(len, lines)) <= width
    assert "in trouble for 12 s" in plain_line(snapshot)


def test_nothing_to_show_yet() -> None:
    """Before the first entry and without a clock the view stands, with zeros."""
    empty = replace(
        SNAPSHOT, rates=[], rate=0.0, inserted=0, file="", clock=None, elapsed=0.0, expected=0.0, lag_bytes=0
    )
    for width in WIDTHS:
        text = "\n".join(drawn(empty, width))
        assert "peak 0" in text
        assert "UTC" not in text
    assert "file -" in plain_line(empty)


def test_the_chart_is_to_scale() -> None:
    """The highest second fills the chart, half of it half the chart, an empty second only touches the ground."""
    rows = chart(drawn(replace(SNAPSHOT, rates=[2000.0, 1000.0, 0.0]), 80))
    assert [row.ljust(60)[57:60] for row in rows] == ["█  ", "█▄ ", "██▁"]


def test_the_last_minute_ends_at_the_right_edge() -> None:
    """Newest at the right, a wide terminal gives each second several columns, a narrow one shows fewer seconds."""
    rates = [1.0] * (HISTORY - 1) + [2803.0]
    for width, columns in ((80, 1), (140, 2)):
        top = chart(drawn(replace(SNAPSHOT, rates=rates), width))[0]
        assert top.rstrip() == " " * (columns * (HISTORY - 1)) + "█" * columns
    assert chart(drawn(replace(SNAPSHOT, rates=rates), 40))[0].rstrip() == " " * 25 + "█"


def test_hours_are_marked_where_their_files_begin() -> None:
    """Half an hour into the clock the first mark, then one an hour; midnight has its date; done and to come differ."""
    clock = Clock(START, START + 1800 + 3600, START + 5 * 3600, 300.0)
    lines = drawn(replace(SNAPSHOT, clock=clock), 100)
    bar = next(number for number, line in enumerate(lines) if "┿" in line)
    assert [column for column, mark in enumerate(lines[bar]) if mark == "┿"] == [10, 30, 50, 70, 90]
    assert lines[bar].startswith("━" * 10 + "┿" + "━" * 19 + "┿─")
    labels = lines[bar + 1]
    assert [labels[column:].split()[0] for column in (0, 10, 30, 50, 70, 90)] == ["21", "22", "23", "0", "1", "2"]
    assert "0  11 Mar" in labels


def test_many_hours_are_marked_by_the_day() -> None:
    """Two days on 40 columns: marks only where the days begin, with their dates."""
    clock = Clock(START, START, START + 48 * 3600, 3000.0)
    lines = drawn(replace(SNAPSHOT, clock=clock), 40)
    bar, labels = lines[-2:]
    assert len(labels) <= 40
    marks = [column for column, mark in enumerate(bar) if mark == "┿"]
    assert len(marks) == 2
    assert [labels[column:].split()[:3] for column in marks] == [["0", "11", "Mar"], ["0", "12", "Mar"]]


def test_a_view_takes_a_fresh_snapshot_each_time() -> None:
    """What is drawn is what is, at the width of the terminal as it is now."""
    taken = iter([SNAPSHOT, replace(SNAPSHOT, inserted=999_999)])
    console = Console(width=80, file=io.StringIO(), record=True, force_terminal=True)
    view = View(lambda: next(taken))
    console.print(view)
    assert "999,999" not in console.export_text()
    console.print(view)
    assert "999,999" in console.export_text()


def test_a_plain_line_holds_what_moves() -> None:
    """One line for a log of a terminal that is none."""
    line = plain_line(SNAPSHOT)
    assert "\n" not in line
    for figure in (
        "2,803 entries/s",
        "inserted 114,803",
        "duplicate 17",
        "rejected 6",
        "lag 1.5 kB, 4 ms",
        "20250311/0",
    ):
        assert figure in line
    assert line.endswith("rollovers 3  server ok")
