"""Ready, or why not; figures that belong together."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from itertools import pairwise

import pytest
from tests.support.monitored import World

from tailrace.errors import Verdict
from tailrace.ingest.lives.census import FileState, Hour
from tailrace.ingest.mongo.topology import Member
from tailrace.ingest.stats import SourceStats
from tailrace.model import Outcome, Reason
from tailrace.ops.documents import document, quiet
from tailrace.ops.history import STEP, History
from tailrace.ops.status import BEAT, HANG, Reload, ReloadOutcome, SourceMoment


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def running(world: World) -> World:
    world.monitor.started()
    assert world.codes() == []
    return world


def test_not_ready_before_start_up_is_over(world: World) -> None:
    """`starting`, with the server's trouble beside it when there is any."""
    assert world.codes() == ["starting"]
    world.health.failed("connect", Verdict.RETRY, "connection refused")
    assert world.codes() == ["starting", "mongodb_trouble"]
    world.health.over("connect", succeeded=True)
    assert world.monitor.moment().sources == ()
    world.monitor.started()
    assert world.codes() == []
    assert len(world.monitor.moment().sources) == 1, "ready with figures"


def test_not_ready_without_its_tree(running: World) -> None:
    """Each source that waits says so in its own sentence; when it comes, ready."""
    running.waits = ["There is no a.", "There is no b."]
    assert [obstacle.sentence for obstacle in running.monitor.readiness()] == running.waits
    assert running.codes() == ["waiting_for_root"] * 2
    running.waits = []
    assert running.codes() == []


def test_not_ready_without_a_source(running: World) -> None:
    """A reload may have left none: that is as red as anything, and the metric says the same."""
    running.stats.clear()
    running.monitor.beat()
    assert running.codes() == ["no_source"]
    assert not running.monitor.moment().ready


def test_not_ready_while_mongodb_is_in_trouble(running: World) -> None:
    """For how long and why; and ready again when it is over."""
    running.health.failed("write", Verdict.RETRY, "no primary")
    running.clock.now += 8
    running.monitor.beat()
    (obstacle,) = running.monitor.readiness()
    assert obstacle.code == "mongodb_trouble"
    assert obstacle.sentence == "MongoDB has been in trouble for 8 s: no primary"
    running.health.over("write", succeeded=True)
    assert running.codes() == []


def test_an_operator_is_called(running: World) -> None:
    """What only an operator can mend has a code of its own, and no secret of the connection string is shown."""
    running.health.failed("write", Verdict.OPERATOR, "not authorized at mongodb://me:secret@host/")
    (obstacle,) = running.monitor.readiness()
    assert obstacle.code == "mongodb_refuses"
    assert "operator" in obstacle.sentence
    shown = json.dumps(document(running.monitor.moment(), [obstacle]))
    assert "not authorized" in shown
    assert "secret" not in shown


def test_a_loop_that_hangs_is_not_ready(running: World) -> None:
    """Exactly HANG seconds without a beat are still well. The file system is not asked while it hangs."""
    running.clock.now += HANG
    assert running.monitor.hanging() is None
    assert running.codes() == []
    asked = running.asked
    running.clock.now += 0.01
    assert "5 s" in (running.monitor.hanging() or "")
    assert running.codes() == ["loop_hangs"]
    assert running.asked == asked
    running.monitor.beat()
    assert running.monitor.hanging() is None


def test_figures_of_one_moment(running: World) -> None:
    """A look in the middle of a settlement shows the figures before it: they add up at every moment."""
    stats = running.stats["tokyo -> db.trades"]
    stats.read(10, 100)
    running.monitor.beat()
    stats.lines_in_flight -= 10  # the first half of what `settled` does
    stats.done.rejects[Reason.JSON] = 1
    assert stats.imbalance() != 0
    (source,) = running.monitor.moment().sources
    assert (source.source, source.collection) == ("tokyo", "db.trades")
    assert source.stats.imbalance() == 0
    assert source.stats.done.rejects == {}
    stats.lines_in_flight += 10
    stats.done.rejects.clear()
    stats.settled(10, 100, 10, Outcome(lines=10, inserted=10))
    assert source.stats.lines_in_flight == 10, "a moment never changes"
    running.monitor.beat()
    (source,) = running.monitor.moment().sources
    assert (source.stats.lines_in_flight, source.stats.done.inserted) == (0, 10)


def test_the_document(running: World) -> None:
    """What `/status` says of a source, with its format; all of it JSON."""
    stats = running.stats["tokyo -> db.trades"]
    stats.read(12, 120)
    stats.settled(10, 100, 10, Outcome(lines=10, inserted=7, duplicates=2, lost_reply=1, rejects={Reason.JSON: 1}))
    stats.file, stats.live = "/data/20250310/9", True
    running.monitor.beat()
    running.clock.now += BEAT
    shown = json.loads(json.dumps(document(running.monitor.moment(), running.monitor.readiness())))
    assert (shown["format"], shown["ready"], shown["why"]) == (1, True, [])
    assert (shown["uptime_s"], shown["figures_age_s"]) == (BEAT, BEAT)
    server = {"ok": True, "trouble_s": 0.0, "verdict": None, "sentence": "", "retries": 0}
    assert shown["server"].items() >= server.items()
    assert shown["workers"] == {
        "busy": 1,
        "allowed": 2,
        "limit": 16,
        "in_flight_bytes": 100,
        "in_flight_limit_bytes": 1000,
    }
    assert shown["reload"] == {"count": 0, "last": None}
    (source,) = shown["sources"]
    assert (source["source"], source["collection"]) == ("tokyo", "db.trades")
    assert (source["file"], source["live"], source["unaccounted"]) == ("/data/20250310/9", True, 0)
    assert source["lines"] == {"read": 12, "settled": 10, "in_flight": 2}
    assert source["bytes"] == {"read": 120, "settled": 100, "in_flight": 20, "lost": 0}
    assert source["hours"] is None, "nobody asked the event loop"
    rejects, causes = source["entries"].pop("rejects"), source["entries"].pop("duplicate_causes")
    assert causes == {"replay": 1, "lost_reply": 1, "repeated": 0}
    assert source["entries"] == {"settled": 10, "inserted": 7, "duplicates": 2, "rejected": 1}
    assert rejects == {reason.value: int(reason is Reason.JSON) for reason in Reason}


def test_servers_retries_and_reloads(running: World) -> None:
    """The members as the driver saw them, what was retried by class, and what the last reload came to."""
    running.servers = (
        Member("a:1", "primary", 0.0004, ""),
        Member("b:1", "unknown", None, "refused mongodb://me:pw@b"),
    )
    running.health.retries["no_primary"] = 3
    running.monitor.beat()
    running.monitor.reloaded(Reload(at=5.0, outcome=ReloadOutcome.REFUSED, problems=("mongodb://me:pw@b is wrong",)))
    shown = document(running.monitor.moment(), [])
    first, second = shown["server"]["members"]
    assert first == {"address": "a:1", "kind": "primary", "rtt_ms": 0.4, "error": ""}
    assert (second["kind"], second["rtt_ms"]) == ("unknown", None)
    assert shown["server"]["retries_by_class"]["no_primary"] == 3
    assert (shown["reload"]["count"], shown["reload"]["last"]["outcome"]) == (1, "refused")
    assert "pw" not in json.dumps(shown)


async def test_hours_are_asked_of_the_event_loop(world: World) -> None:
    """By another thread; one that gets no answer in time says that it has none, and does not wait for ever."""
    world.files["tokyo -> db.trades"] = [Hour(hour=3600, path="/data/1", state=FileState.LIVE, size=5, settled=3)]
    assert await asyncio.to_thread(world.monitor.hours) is None, "no loop yet"
    beats = asyncio.create_task(world.monitor.beats())
    await asyncio.sleep(0)
    hours = await asyncio.to_thread(world.monitor.hours)
    assert hours == world.files
    shown = document(world.monitor.moment(), [], hours=hours)
    assert shown["sources"][0]["hours"][0] == {
        "hour": 3600,
        "path": "/data/1",
        "state": "live",
        "size": 5,
        "compressed": False,
        "settled": 3,
        "lines": None,
        "rejected": None,
    }
    asking = asyncio.get_running_loop().run_in_executor(None, world.monitor.hours)
    time.sleep(1.3)  # noqa: ASYNC251  a loop that hangs
    assert await asking is None
    beats.cancel()


def test_an_hour_of_history(world: World) -> None:
    """A sample every STEP seconds, at most an hour of them; a source that is removed is forgotten, another begins."""
    stats = world.stats["tokyo -> db.trades"]
    for _ in range(2000):
        stats.entries_settled += 10
        world.clock.now += STEP / 2
        world.monitor.beat()
    (series,) = world.monitor.history.document(0.0)["sources"].values()
    assert {len(values) for values in series.values()} == {720}
    assert [after - before for before, after in pairwise(series["entries"])] == [20] * 719
    assert series["write_ms"] == [None] * 720
    stats.wrote(0.004, 100)
    stats.wrote(0.002, 100)
    world.clock.now += STEP
    world.monitor.beat()
    (series,) = world.monitor.history.document(0.0)["sources"].values()
    assert series["write_ms"][-1] == 3.0
    world.stats["other -> db.x"] = world.stats.pop("tokyo -> db.trades")
    world.clock.now += STEP
    world.monitor.beat()
    assert list(world.monitor.history.document(0.0)["sources"]) == ["other -> db.x"]


def test_a_node_that_has_stopped() -> None:
    """Said of a source that is live, once nothing was read for a minute while its newest hour began over two hours ago;
    not of one that reads old hours, nor of one that has yet to catch up."""
    now = 1_741_642_200.0
    stats = SourceStats(live=True, newest_hour=int(now) - 8000)
    sentence = "Nothing was written for 80 s, and the newest hour, 2025-03-10T19Z, began 2.2 h ago: the node"
    assert quiet(stats, 80.0, now).startswith(sentence)
    assert quiet(stats, 55.0, now) == ""
    assert quiet(stats, 80.0, now - 1000) == ""
    assert quiet(replace(stats, live=False), 80.0, now) == ""
    assert quiet(replace(stats, newest_hour=0), 0.0, now).startswith("There is no hour file yet")


def test_how_long_nothing_was_read() -> None:
    """Counted from the last step in which bytes were read, or from the first look."""
    history, stats = History(), SourceStats()
    source = SourceMoment("tokyo", "db.trades", stats)
    assert history.idle(source, 5000.0) == 0
    for step, read in enumerate((0, 100, 100, 100)):
        stats.bytes_read = read
        history.take(step * STEP, 5000 + step * STEP, [source])
    assert history.idle(source, 5000 + 3 * STEP) == 2 * STEP


def test_percentiles_of_the_last_minute(world: World) -> None:
    """What was slow an hour ago is not shown as what is slow now."""
    stats = world.stats["tokyo -> db.trades"]
    stats.wrote(20.0, 1)
    for _ in range(20):
        world.clock.now += STEP
        stats.wrote(0.002, 1)
        world.monitor.beat()
    (source,) = document(world.monitor.moment(), [], history=world.monitor.history)["sources"]
    assert source["writes"]["count"] == 21
    assert 1 <= source["writes"]["p50_ms"] <= 2.5
    assert source["writes"]["p99_ms"] <= 2.5
