"""The answer of `/status` -> what a terminal shows. No clock, no I/O.

    report(status, width)   lines for people; at most `width` columns wide, from 30 up
    plain_line(status)      every figure that moves, on one line
    readiness(status)       the verdict and why it is not ready: for `--ready`

Nothing is said by colour alone, and nothing here raises for what an instance may answer: see `fields`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import NamedTuple

from rich.text import Text

from tailrace.commands.watching.fields import (
    UNKNOWN,
    Fields,
    breakdown,
    bytes_words,
    count_words,
    moment_words,
    number_of,
    seconds_words,
)
from tailrace.commands.watching.hours import TIE, timeline
from tailrace.commands.watching.words import (
    balance_words,
    checkpoint_words,
    counted,
    files_words,
    hour_of,
    losses,
    member_words,
    missing_words,
    obstacles,
    pace,
    reading,
    verdict,
    writes_words,
)

_KEY = 11  # columns of a figure's name
_NARROWEST = 30
_UNIT = re.compile(r"([0-9-]) (ms|s|min|h|days|bytes|kB|MB|GB|TB|UTC)\b")
PROBLEMS = 5
"""Of those that are told, the newest."""


SPARE = "dim"
"""The style of lines that a small screen does without."""


class Line(NamedTuple):
    """`value` is broken between words, under itself; without a key it begins at the left edge."""

    key: str
    value: str
    style: str = ""


def report(status: Fields, width: int, rates: Mapping[str, float] | None = None, where: str = "") -> list[Text]:
    """`rates`: entries a second by `<source> -> <collection>`; unknown ones are said to be."""
    lines = laid_out(head(status, where), width)
    for source in status.all("sources"):
        lines += [Text(), *laid_out(source_lines(source, rates or {}, width), width)]
    return [*lines, Text(), *laid_out(common_lines(status), width)]


def laid_out(lines: Iterator[Line], width: int) -> list[Text]:
    """No line is wider than `width`, but for wide characters, which whoever prints cuts off."""
    width, laid = max(width, _NARROWEST), []
    for line in lines:
        gutter = _KEY if line.key else 0
        # HAZARD: wrap() drops blanks at an edge, and a timeline begins with them.
        fits = len(line.value) <= width - gutter
        parts = [line.value] if fits else wrap(_tied(line.value), width - gutter, break_on_hyphens=False) or [""]
        for number, part in enumerate(parts):
            indent = " " * gutter if number or not line.key.strip() else f"{line.key:<{gutter}}"
            base = SPARE if line.style == SPARE else ""
            laid.append(Text.assemble((indent, "dim"), (part.replace(TIE, " "), line.style), style=base))
    return laid


def _tied(value: str) -> str:
    """A figure stays with its unit."""
    return _UNIT.sub(rf"\1{TIE}\2", value)


def name_of(source: Fields) -> str:
    """As `/history` names it."""
    return f"{source.text('source') or UNKNOWN} -> {source.text('collection') or UNKNOWN}"


def head(status: Fields, where: str = "") -> Iterator[Line]:
    """Who answers, and the verdict."""
    told = verdict(status)
    yield Line("", told.sentence, told.style)
    for sentence in obstacles(status):
        yield Line("", f"not ready: {sentence}", "bold yellow")
    about = [f"tailrace {status.text('version') or UNKNOWN}"]
    about += [f"on {status.text('host')}"] if status.text("host") else []
    pid = status.number("pid")
    about += [f"pid {pid}"] if pid is not None else []
    about += [f"up {seconds_words(status.number('uptime_s'))}"]
    about += [f"codec {status.text('codec')}"] if status.text("codec") else []
    yield Line("", ", ".join(about) + (f" ({where})" if where else ""), SPARE)


def source_lines(source: Fields, rates: Mapping[str, float] | None, width: int) -> Iterator[Line]:
    """One source. `rates`: None where the rate stands elsewhere."""
    lag, entries, files = source.at("lag"), source.at("entries"), source.at("files")
    newest = source.at("newest_entry").number("lag_s")
    yield Line("", f"{name_of(source)}: {pace(source)}", "bold cyan")
    if rates is not None:
        yield Line("rate", f"{count_words(rates.get(name_of(source)))} entries/s")
    yield Line(
        "lag",
        f"{bytes_words(lag.number('bytes'))}, {seconds_words(lag.number('seconds'))}"
        + (f"; the newest entry was {seconds_words(newest)} old when stored" if newest is not None else ""),
    )
    causes, reasons = breakdown(entries.counts("duplicate_causes")), breakdown(entries.counts("rejects"))
    yield Line(
        "entries",
        f"{count_words(entries.number('inserted'))} inserted, {count_words(entries.number('duplicates'))} "
        f"duplicate{causes}, {count_words(entries.number('rejected'))} rejected{reasons}",
    )
    yield Line("balance", balance_words(source))
    for sentence in losses(source):
        yield Line("LOOK AT", sentence, "bold yellow")
    yield Line("writes", writes_words(source))
    yield Line("checkpoint", checkpoint_words(source.at("checkpoint")))
    yield Line(
        "files",
        f"{hour_of(source.text('file'))}; {files_words(files)}; {number_of(source.number('rollovers'), 'rollover')}",
    )
    yield Line("missing", missing_words(source))
    marks = timeline(source.all("hours"), width - _KEY)
    for key, text, style in zip(("hours", " ", " "), marks, ("bold", SPARE, SPARE), strict=False):
        yield Line(key, text, style)


def common_lines(status: Fields) -> Iterator[Line]:
    """What all sources share: server, workers, reload, problems."""
    server, workers = status.at("server"), status.at("workers")
    trouble = "" if server.flag("ok") is not False else f"in trouble for {seconds_words(server.number('trouble_s'))}"
    state = {True: "ok", False: trouble, None: UNKNOWN}[server.flag("ok")]
    about = [f"MongoDB {server.text('version')}"] if server.text("version") else []
    about += [server.text("topology")] if server.text("topology") else []
    attempts, retries = server.amount("retries"), server.counts("retries_by_class")
    about += [f"{number_of(attempts, 'attempt')} so far"] if attempts and trouble else []
    about += (
        [f"{number_of(sum(retries.values()), 'retry', 'retries')} since the start{breakdown(retries)}"]
        if retries
        else []
    )
    about += [reading(status)] if reading(status) else []
    yield Line("server", ", ".join([state, *about]), "bold red" if trouble else "")
    members = server.all("members")
    for member in members if len(members) > 1 or any(member.text("error") for member in members) else []:
        yield Line(" ", member_words(member))
    yield from _problems(status.all("problems"))
    if workers:
        yield Line(
            "workers",
            f"{counted(workers, 'busy')} busy of {counted(workers, 'allowed')} allowed (limit "
            f"{counted(workers, 'limit')}); {bytes_words(workers.number('in_flight_bytes'))} of "
            f"{bytes_words(workers.number('in_flight_limit_bytes'))} in flight",
        )
    yield from _reload(status.at("reload"))


def plain_line(status: Fields, rates: Mapping[str, float]) -> str:
    """For where there is no terminal: the verdict, then each source."""
    parts = [verdict(status).sentence]
    for source in status.all("sources"):
        entries, lag = source.at("entries"), source.at("lag")
        parts.append(
            f"{name_of(source)}  {count_words(rates.get(name_of(source)))} entries/s  "
            f"inserted {counted(entries, 'inserted')}  duplicate {counted(entries, 'duplicates')}  "
            f"rejected {counted(entries, 'rejected')}  lag {bytes_words(lag.number('bytes'))}, "
            f"{seconds_words(lag.number('seconds'))}  file {hour_of(source.text('file'))}"
        )
    return "  |  ".join(parts)


def readiness(status: Fields) -> str:
    """The verdict, and why it is not ready."""
    return "; ".join([verdict(status).sentence, *obstacles(status)])


# -- parts of a line -------------------------------------------------------------------------------------------------


def _reload(reload: Fields) -> Iterator[Line]:
    last = reload.at("last")
    if not last:
        return
    outcome = last.text("outcome")
    yield Line(
        "reload", f"{outcome or UNKNOWN} at {moment_words(last.number('at'))} ({counted(reload, 'count')} in all)"
    )
    for key, name in (("changed", "changed"), ("left as it was", "left"), ("wrong", "problems")):
        for text in last.texts(name):
            yield Line(" ", f"{key}: {text}", "bold yellow" if name == "problems" else "")


def _problems(problems: list[Fields]) -> Iterator[Line]:
    for number, each in enumerate(problems[:PROBLEMS]):
        of = f" ({each.text('source')})" if each.text("source") else ""
        times = f", {counted(each, 'count')} times" if each.amount("count") > 1 else ""
        said = f"{each.text('level')}{of}{times}: {each.text('sentence')}"
        style = {"error": "bold red", "warning": "yellow"}.get(each.text("level"), "")
        yield Line("problems" if number == 0 else " ", f"{moment_words(each.number('at'))} {said}", style)
    if len(problems) > PROBLEMS:
        yield Line(" ", f"and {len(problems) - PROBLEMS} older ones (--json shows them)", "dim")
