"""Ready, or why not; figures that belong together."""

from __future__ import annotations

import json

import pytest
from tests.support.monitored import World

from tailrace.errors import Verdict
from tailrace.model import Outcome, Reason
from tailrace.ops.status import BEAT, HANG, document


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
    stats.settled(10, 100, 10, Outcome(lines=10, inserted=7, duplicates=2, rejects={Reason.JSON: 1}))
    stats.file, stats.live = "/data/20250310/9", True
    running.monitor.beat()
    running.clock.now += BEAT
    shown = json.loads(json.dumps(document(running.monitor.moment(), running.monitor.readiness())))
    assert (shown["format"], shown["ready"], shown["why"]) == (1, True, [])
    assert (shown["uptime_s"], shown["figures_age_s"]) == (BEAT, BEAT)
    assert shown["server"] == {"ok": True, "trouble_s": 0.0, "verdict": None, "sentence": "", "retries": 0}
    (source,) = shown["sources"]
    assert (source["source"], source["collection"]) == ("tokyo", "db.trades")
    assert (source["file"], source["live"], source["unaccounted"]) == ("/data/20250310/9", True, 0)
    assert source["lines"] == {"read": 12, "settled": 10, "in_flight": 2}
    assert source["bytes"] == {"read": 120, "settled": 100, "in_flight": 20, "lost": 0}
    rejects = source["entries"].pop("rejects")
    assert source["entries"] == {"settled": 10, "inserted": 7, "duplicates": 2, "rejected": 1}
    assert rejects == {reason.value: int(reason is Reason.JSON) for reason in Reason}
