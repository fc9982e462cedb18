"""The newest hours of a source as one line of characters, with marks of the days below and a legend. Pure."""

from __future__ import annotations

from tailrace.commands.watching.fields import Fields, moment_of

_MARKS = {
    "sealed": "=",
    "live": ">",
    "reading": "+",
    "waiting": ".",
    "gone": "~",
    "unreadable": "x",
    "missing": "!",
}
"""State -> its mark, the worst last: of two files of one hour the worse is shown. No letter means a colour only."""

_MEANINGS = {
    "sealed": "stored",
    "live": "live",
    "reading": "being read",
    "waiting": "waiting",
    "gone": "file gone",
    "unreadable": "cannot be read",
    "missing": "missing",
}
_RANK = {state: rank for rank, state in enumerate(_MARKS)}
TIE = "\N{NO-BREAK SPACE}"
"""Between words of the legend that stay on one line; whoever lays it out puts a space for it."""

_HOUR = 3600
_MOST = 72


def timeline(hours: list[Fields], width: int) -> list[str]:
    """(marks, days, legend), the newest hour at the right; nothing without hours. Hours without any word are blank."""
    states = _states(hours)
    if not states or width < 1:
        return []
    newest = max(states)
    shown = range(max(min(states), newest - min(width, _MOST) + 1), newest + 1)
    marks = "".join(_MARKS.get(states.get(hour, ""), "?" if hour in states else " ") for hour in shown)
    present = {states[hour] for hour in shown if hour in states}
    legend = [f"{mark} {_MEANINGS[state]}".replace(" ", TIE) for state, mark in _MARKS.items() if state in present]
    legend += [f"?{TIE}unknown"] if present - _MARKS.keys() else []
    return [marks, _days(shown, width), "  ".join(legend)]


def _states(hours: list[Fields]) -> dict[int, str]:
    """By the hour's number since 1970."""
    states: dict[int, str] = {}
    for each in hours:
        at, state = each.number("hour"), each.text("state")
        if at is None or moment_of(at) is None:
            continue
        hour = int(at // _HOUR)
        if hour not in states or _RANK.get(state, -1) > _RANK.get(states[hour], -1):
            states[hour] = state
    return states


def _days(shown: range, width: int) -> str:
    """`|10 Mar` where a day begins, the first hour's time at the left where there is room, all in UTC."""
    line = " " * len(shown)
    for column, hour in enumerate(shown):
        moment = moment_of(hour * _HOUR)
        assert moment is not None
        if moment.hour == 0:
            line = _put(line, column, f"|{moment:%d %b}", width)
    first = moment_of(shown.start * _HOUR)
    assert first is not None
    return _put(line, 0, f"|{first:%d %b} {first:%H}h UTC", width).rstrip()


def _put(line: str, column: int, label: str, width: int) -> str:
    """`label` into `line` where nothing stands yet and the terminal does not end."""
    end = column + len(label)
    if end > width or line[column : end + 1].strip():
        return line
    return line[:column].ljust(column) + label + line[end:]
