"""What `status` shows: every figure at every width, trouble in words, nothing that a terminal would obey."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from tests.support.canned_instance import HOUR, NAME, NOW, history, hours, status

from tailrace.commands.watching.fields import Fields, in_ascii
from tailrace.commands.watching.hours import timeline
from tailrace.commands.watching.rates import Meter, chart, past, recent
from tailrace.commands.watching.view import plain_line, readiness, report
from tailrace.commands.watching.watch import Seen, screen
from tailrace.commands.watching.words import verdict

WIDTHS = (40, 50, 80, 140)


def shown(told: Any, width: int = 80, **rates: float) -> list[str]:
    return [line.plain for line in report(Fields(told), width, rates or {NAME: 2_803.4}, "http://127.0.0.1:9464")]


def words(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    told = status()
    inner: Any = told
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return told


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_is_shown_at_every_width(width: int) -> None:
    """A narrow terminal costs no figure and no sentence; no line is wider than it."""
    lines = shown(status(), width)
    assert max(map(len, lines)) <= width
    text = words(lines)
    for figure in (
        *("live: everything written so far is stored", "tailrace 0.1.0, on node-1, pid 4711, up 2.5 h"),
        *(NAME, "2,803 entries/s", "lag 0 bytes, 0 ms", "newest entry was 310 ms old when stored"),
        "1,234,530 inserted, 17 duplicate (12 replay, 5 lost_reply), 6 rejected (4 json, 2 utf8)",
        "1,234,567 lines read = 1,234,553 settled + 14 in flight, difference 0",
        "p50 1.9 ms, p99 9.7 ms in the last minute; 44,000 commands of 28 documents",
        "3 retries since the start (2 network, 1 no_primary)",
        *(
            "7.3 kB before the ends of the files; what is settled since waits for 400 ms",
            "20250310/21; 2 following, 70 sealed; 69 rollovers",
            "no hour, no block",
        ),
        *("server ok, MongoDB 6.0.5, replica set rs0", "h1:27017 primary, 0.4 ms", "unknown: connection refused"),
        *("1 busy of 4 allowed (limit 16)", "7.3 kB of 67.1 MB in flight"),
        *("changed at 2025-03-10 21:20:00 UTC", "poll_interval: 1s -> 2s", "left as it was: http:"),
        *("2025-03-10 21:25:00 UTC warning, 3 times:", "a line is no JSON; it is kept aside"),
    ):
        assert figure in text


def test_a_figure_stays_with_its_unit() -> None:
    """At no width does a line end in a number whose unit stands on the next."""
    units = ("ms", "s", "min", "h", "bytes", "kB", "MB", "UTC")
    for width in range(35, 100):
        for before, after in itertools.pairwise(shown(status(), width)):
            first = after.split()[:1] if after.startswith(" " * 11) else []
            assert not (first and first[0].rstrip(",;") in units and before[-1:].isdigit()), (before, after)


def of_server(**fields: Any) -> dict[str, Any]:
    told = changed("ready", to=False)
    told["server"].update(ok=False, trouble_s=40.0, **fields)
    told["why"] = [{"code": "mongodb_trouble", "sentence": "MongoDB has been in trouble for 40 s: no primary"}]
    return told


def test_trouble_is_said_in_words() -> None:
    """What is wrong, for how long, and what it means for the data; once, not twice."""
    text = words(shown(of_server(verdict="retry", sentence="no primary", retries=7), 140))
    assert "MongoDB in trouble for 40 s: no primary; reading stops, nothing is lost" in text
    assert "in trouble for 40 s, MongoDB 6.0.5, replica set rs0, 7 attempts so far" in text
    assert "not ready" not in text
    refused = words(shown(of_server(verdict="operator", sentence="no right to insert"), 140))
    assert "MongoDB refuses us for 40 s: no right to insert; only an operator can mend it" in refused


def with_why(code: str, sentence: str) -> dict[str, Any]:
    return {**status(), "ready": False, "why": [{"code": code, "sentence": sentence}]}


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (status(), "live: everything written so far is stored"),
        (changed("sources", 0, "lag", to={"bytes": 5_000, "seconds": 0.1}), "live: 5.0 kB, 100 ms behind"),
        (changed("sources", 0, "lag", to={"bytes": 1.2e9, "seconds": 4e3}), "catching up: 1.2 GB, 67 min behind"),
        (with_why("loop_hangs", "The event loop has not turned for 9 s."), "it hangs: nothing is read or stored"),
        (with_why("starting", "Start-up is not over."), "starting"),
        (with_why("waiting_for_root", "/data has no node_trades."), "waiting for the node's files"),
        (with_why("unreadable", "/data/9 cannot be read."), "live: everything written so far of what can be read is"),
        (changed("sources", 0, "unaccounted", to=-3), "the account does not balance by 3: this is a defect"),
        (
            changed("sources", 0, "quiet", to="Nothing was written for 9 h."),
            "everything written so far is stored, and the",
        ),
        (changed("sources", to=[]), "no source is followed: nothing is stored until a reload adds one"),
        ({"format": 1, "sources": [{}]}, "running; how far behind is not known"),
    ],
)
def test_the_verdict_says_what_is_going_on(told: dict[str, Any], sentence: str) -> None:
    """One sentence for each state, and the reasons of not being ready below it."""
    assert verdict(Fields(told)).sentence.startswith(sentence)
    for why in told.get("why", []):
        assert f"not ready: {why['sentence']}" in words(shown(told, 140))
        assert why["sentence"] in readiness(Fields(told))


def test_a_source_that_fell_behind_is_not_called_live() -> None:
    """Also where the instance says that it was live."""
    assert f"{NAME}: live" in shown(status())
    assert f"{NAME}: behind" in shown(changed("sources", 0, "lag", to={"bytes": 1, "seconds": 9.0}))
    assert f"{NAME}: catching up" in shown(changed("sources", 0, "live", to=False))


def test_a_checkpoint_in_words() -> None:
    """All saved; or how far it is from the ends of the files, and whether settled progress waits."""
    saved = shown(changed("sources", 0, "checkpoint", to={"age_s": 0.0, "lag_bytes": 0}))
    assert "checkpoint all is saved" in saved
    behind = shown(changed("sources", 0, "checkpoint", to={"age_s": 0.0, "lag_bytes": 5_000}))
    assert "checkpoint 5.0 kB before the ends of the files; all settled is saved" in behind


def test_a_difference_is_not_to_be_overlooked() -> None:
    """Nothing is said by colour alone: the line of the account says that it is wrong."""
    assert "difference 3 MUST BE 0" in words(shown(changed("sources", 0, "unaccounted", to=3)))


def test_what_is_lost_or_cannot_be_read_is_said() -> None:
    """Bytes that were cut before they were read, files without the right to read them."""
    told = changed("sources", 0, "bytes", "lost", to=12_000)
    told["sources"][0]["files"]["locked"] = 1
    text = words(shown(told, 140))
    assert "12.0 kB were cut or deleted before they were read: they are not stored" in text
    assert "1 file cannot be read: nothing of it is stored yet" in text


def test_a_source_with_nothing_to_do_says_so() -> None:
    """Also beside one that is live; then the verdict is that of the others."""
    told = changed("sources", 0, "quiet", to="There is no hour file yet.")
    assert "LOOK AT There is no hour file yet." in words(shown(told))
    assert not verdict(Fields(told)).sentence.startswith("live")
    told["sources"].append({**status()["sources"][0], "source": "other"})
    assert verdict(Fields(told)).sentence.startswith("live")
    assert "LOOK AT There is no hour file yet." in words(shown(told))


def test_missing_hours_and_blocks() -> None:
    """How many, and the first of them by the names that their files would have."""
    told = changed("sources", 0, "missing_hours", to=[NOW - HOUR * back for back in (30, 29)])
    told["sources"][0]["missing_blocks"] = 17
    assert "missing 2 hours (20250309/15, 20250309/16), 17 blocks" in words(shown(told))
    told["sources"][0]["stream"] = "node_trades_streaming"
    assert "; 17 blocks without a line, as this stream leaves out those without events" in words(shown(told))
    told["sources"][0]["missing_hours"] = [NOW - HOUR * back for back in range(100)]
    assert "100 hours or more (" in words(shown(told, 140))


# -- the hours -------------------------------------------------------------------------------------------------------


def test_the_hours_are_one_line() -> None:
    """One mark an hour, the newest at the right, days named where they begin, a legend of the marks that are there."""
    told = Fields({"hours": hours(72, h5="missing", h9="unreadable", h1="reading", h0="waiting", h3="new")})
    marks, days, legend = timeline(told.all("hours"), 100)
    assert len(marks) == 72
    assert marks.endswith("==x===!=?=+.")
    assert days.index("|10 Mar") == 72 - 22  # 00h of the day whose hour 21 is the newest
    for word in ("=\xa0stored", "x\xa0cannot", "!\xa0missing", ".\xa0waiting", "?\xa0unknown"):
        assert word in legend


def test_a_narrow_timeline_keeps_the_newest() -> None:
    """29 columns show 29 hours, with the newest among them."""
    marks, days, _legend = timeline(Fields({"hours": hours(72, h0="missing")}).all("hours"), 29)
    assert (len(marks), marks[-1]) == (29, "!")
    assert len(days) <= 29


def test_of_two_files_of_one_hour_the_worse_is_shown() -> None:
    """9 and 9.gz are one hour; an hour of which nothing is known is blank."""
    at = int(NOW // HOUR) * HOUR
    both = [
        {"hour": at, "state": "unreadable"},
        {"hour": at, "state": "sealed"},
        {"hour": at - 2 * HOUR, "state": "gone"},
    ]
    assert timeline(Fields({"hours": both}).all("hours"), 80)[0] == "~ x"
    assert timeline([], 80) == []


# -- rates and the chart ---------------------------------------------------------------------------------------------


def at(seconds: float, settled: int, pid: int = 1) -> Fields:
    told = {**status(), "now": NOW + seconds, "figures_age_s": 0.0, "pid": pid}
    told["sources"][0]["entries"]["settled"] = settled
    return Fields(told)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """By the instance's clock; another process, or figures that go back, begin anew."""
    meter = Meter()
    for second in range(20):
        meter.add(at(second, 1_000 * second if second < 10 else 10_000), 0.0)
    assert meter.rates() == {NAME: 0.0}
    meter.add(at(20, 10_500), 0.0)
    assert meter.rates()[NAME] == pytest.approx(100.0)
    meter.add(at(21, 3, pid=2), 0.0)
    assert meter.rates() == {}
    meter.add(at(22, 10, pid=2), 0.0)
    assert meter.rates() == {NAME: 7.0}
    meter.add(at(23, 1_000_000, pid=3), 0.0)  # it has caught up with more than the former had done
    assert meter.rates() == {}


def test_the_age_of_the_figures_counts() -> None:
    """Figures are of when they were copied, not of when they were told."""
    meter = Meter()
    for now, age, settled in ((10.0, 0.0, 0), (12.0, 1.0, 100)):
        told = {**status(), "now": NOW + now, "figures_age_s": age}
        told["sources"][0]["entries"]["settled"] = settled
        meter.add(Fields(told), 0.0)
    assert meter.rates() == {NAME: 100.0}


def test_the_rate_of_one_answer_comes_from_the_history() -> None:
    """The last steps of it; none of a source that it does not know."""
    times = [NOW + 5 * step for step in range(10)]
    told = Fields({"sources": {NAME: {"t": times, "entries": [0, 0, 0, 0, 0, 0, 0, 100, 200, 300]}}})
    assert recent(told, [NAME, "other -> other"]) == {NAME: pytest.approx(20.0)}
    assert recent(Fields(None), [NAME]) == {}


def test_the_chart_has_an_hour_at_any_width() -> None:
    """Three rows, as high as the peak, the newest at the right; in ASCII where nothing else can be shown."""
    steps = past(Fields(history()), [NAME])
    assert len(steps) == 719
    for width in WIDTHS:
        for ascii_only in (False, True):
            rows = [row.plain for row in chart(steps, {NAME: 2_800.0}, width, ascii_only=ascii_only)]
            assert max(map(len, rows)) <= width
            assert "2,800 entries/s" in rows[0]
            assert "last 60 min" in rows[2]
            assert all(row.isascii() for row in rows) == ascii_only
    flat = [(NOW + step, 10.0 if step > 5 else 0.0) for step in range(10)]
    top = chart(flat, {}, 80)[0].plain
    assert top.endswith("    ████")


# -- what others may say ---------------------------------------------------------------------------------------------

HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**30, 1e308, float("inf"), float("nan"), "\x1b[2J\x9b31m\r\n\u202e", "\ud800", "x" * 5_000),
    *([], {}, [None], [[]], {"\x1b[2J": 1e25, "a": "b"}, [{"hour": 1e17, "state": "\x1b"}], [1e300, -5], 2**64),
)


def places(content: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to every field; of a list, to the first three."""
    inner: Iterable[tuple[str | int, Any]] = ()
    if isinstance(content, dict):
        inner = content.items()
    elif isinstance(content, list):
        inner = enumerate(content[:3])
    return [path, *(each for key, value in inner for each in places(value, (*path, key)))]


def test_nothing_that_an_instance_says_breaks_it() -> None:
    """Any field absent, of another type, huge or hostile: no exception, no wide line, all of it prints."""
    found = [path for path in places(status()) if path]
    assert len(found) > 100
    for path in found:
        for value in ("absent", *HOSTILE):
            told: Any = copy.deepcopy(status())
            inner = told
            for step in path[:-1]:
                inner = inner[step]
            if value == "absent":
                del inner[path[-1]]
            else:
                inner[path[-1]] = value
            for line in shown(told, 60):
                assert line.isprintable(), (path, value, line)
                assert len(line) <= 60, (path, value, line)
            assert plain_line(Fields(told), {}).isprintable()
            meter = Meter()
            meter.add(Fields(told), 0.0)
            meter.add(Fields(told), 1.0)


@pytest.mark.parametrize("told", [None, [], 3, "x", {}, {"format": 1}, {"sources": [None, 3]}])
def test_an_answer_of_nothing(told: Any) -> None:
    """As little as may be: unknown figures are a dash."""
    assert shown(told)
    assert plain_line(Fields(told), {})


def test_an_older_instance_lacks_fields() -> None:
    """The first version of format 1: what it tells is shown, the rest is a dash, not a zero."""
    told = status()
    for name in ("now", "pid", "host", "codec", "workers", "reload", "problems"):
        del told[name]
    for name in ("version", "topology", "members", "retries_by_class"):
        del told["server"][name]
    source = told["sources"][0]
    for name in ("checkpoint", "newest_entry", "writes", "missing_hours", "missing_blocks", "hours"):
        del source[name]
    source["files"] = {"open": 2, "backlog": 3, "rewritten": 0, "locked": 0}
    text = words(shown(told, 140))
    assert "1,234,530 inserted" in text
    assert "p50 -, p99 - in the last minute; - commands" in text
    assert "checkpoint -" in text
    assert "missing -" in text
    assert "2 open, 3 waiting" in text


@pytest.mark.parametrize("host", ["node-1", "knöten-☃", "\ud800"])
def test_a_terminal_without_utf8(host: str) -> None:
    """Escapes instead of an encoding error."""
    text = "".join(shown(in_ascii({**status(), "host": host})))
    assert text.isascii()
    assert f"on {host.encode('ascii', 'backslashreplace').decode()}, pid" in text


# -- the live view ---------------------------------------------------------------------------------------------------


def drawn(seen: Seen, width: int, height: int, age: float = 0.3) -> list[str]:
    return [line.plain for line in screen(seen, age, width, height).renderables]  # type: ignore[union-attr]  # lines


SEEN = Seen(
    status=Fields(status()), at=0.0, rates={NAME: 2_803.4}, steps=past(Fields(history()), [NAME]), where="http://h"
)


@pytest.mark.parametrize(("width", "height"), [(100, 40), (80, 24), (50, 30), (40, 10), (30, 3), (8, 2), (1, 1)])
def test_the_live_view_fits(width: int, height: int) -> None:
    """Never higher or wider than the terminal; the verdict stands highest, what is left out is counted."""
    lines = drawn(SEEN, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    if width >= 40:
        assert lines[0].startswith("live: everything written so far")
    if width == 80:
        assert "more lines: make the terminal higher" in lines[-1]
        assert any(line.startswith("server     ok") for line in lines)
    if width == 100:
        assert "workers    1 busy" in "\n".join(lines)


def test_an_instance_that_is_gone_is_said_to_be_gone() -> None:
    """In the highest line, with the address, how old the figures below are, and that it is asked again."""
    trouble = "no tailrace answers at http://h: nothing listens there"
    gone = Seen(status=SEEN.status, at=0.0, steps=SEEN.steps, trouble=trouble, where="http://h")
    lines = drawn(gone, 100, 40, age=12.0)
    assert lines[:2] == ["NO ANSWER", trouble]
    assert "What http://h said 12 s ago stands below. It is asked again" in lines[2]
    assert "everything written so far is stored" not in "\n".join(lines)
    assert "1,234,530 inserted" in "\n".join(lines)
    assert "Ctrl-C" in "\n".join(drawn(Seen(trouble=trouble), 80, 24))


def test_the_plain_line_has_every_figure_that_moves() -> None:
    """One line, for a log."""
    line = plain_line(SEEN.status, SEEN.rates)
    for figure in ("live: everything", NAME, "2,803 entries/s", "inserted 1,234,530", "rejected 6", "file 20250310/21"):
        assert figure in line
