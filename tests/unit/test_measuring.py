"""What is said of where a source stands: behind, keeping up again, an hour without a file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from tests.unit.test_roster import Scene, lines

from tailrace.ingest.measuring import Measuring
from tailrace.model import Outcome, Span


class Quiet:
    """A feeder and books that have nothing to say."""

    live = False
    looks = 0

    def is_live(self) -> None:
        self.live = True

    def look_at_newest(self) -> None:
        self.looks += 1

    def unsaved(self, _now: float) -> tuple[float, int]:
        return 2.5, 11


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def measuring(scene: Scene) -> Measuring:
    quiet: Any = Quiet()
    return Measuring(scene.roster, quiet, quiet, scene.stats, structlog.get_logger(), once=False)


def said(logs: list[Any], *events: str) -> list[str]:
    return [entry["event"] for entry in logs if entry["event"] in events]


async def test_falling_behind_is_said_once_a_minute_and_its_end_once(scene: Scene) -> None:
    """Only of a source that was live; with how far; over once it is well below the bound."""
    watch = measuring(scene)
    scene.write("20250310/9", lines(1))
    await scene.turn()
    scene.write("20250310/9", lines(2))
    scene.look()
    with capture_logs() as logs:
        watch.measure(scene.now + 500)
        assert said(logs, "falling_behind") == [], "at the start it is catching up"
        scene.stats.live = True
        for second in range(59, 181):
            watch.measure(scene.now + second)
        assert said(logs, "falling_behind") == ["falling_behind"] * 3
        assert scene.stats.lag_seconds == 180
        await scene.turn()
        for second in range(181, 200):
            watch.measure(scene.now + second)
        assert said(logs, "falling_behind", "keeping_up_again")[3:] == ["keeping_up_again"]
    behind = next(entry for entry in logs if entry["event"] == "falling_behind")
    assert (behind["log_level"], behind["lag_bytes"]) == ("warning", len(lines(2)))


async def test_a_missing_hour_is_said_once_and_so_is_its_file(scene: Scene) -> None:
    """Not at every look, and with its name."""
    watch = measuring(scene)
    for hour in (5, 7):
        scene.write(f"20250310/{hour}", lines(hour))
    await scene.turn()
    with capture_logs() as logs:
        for second in range(30):
            watch.measure(scene.now + second)
        scene.write("20250310/6", lines(6))
        await scene.turn()
        watch.measure(scene.now + 30)
    assert said(logs, "hour_missing", "hour_found") == ["hour_missing", "hour_found"]
    assert {entry["hour"] for entry in logs if "hour" in entry["event"]} == {"2025-03-10T06Z"}


async def test_it_is_not_live_while_a_file_is_being_entered(scene: Scene) -> None:
    """A slow MongoDB is asked for its life, and nothing of it is read yet: it does not count as stored."""
    feeder: Any = Quiet()
    watch = Measuring(scene.roster, feeder, feeder, scene.stats, structlog.get_logger(), once=False)
    scene.write("20250310/9", lines(1))
    scene.look()
    asked, answer = asyncio.Event(), asyncio.Event()
    allocate = scene.books.allocate

    async def slowly(**given: Any) -> Any:
        asked.set()
        await answer.wait()
        return await allocate(**given)

    scene.books.allocate = slowly  # type: ignore[method-assign]  # a server that takes its time
    entering = asyncio.create_task(scene.roster.enter_next(scene.now))
    await asked.wait()
    for second in range(5):
        watch.measure(scene.now + second)
        assert (scene.stats.lag_bytes, scene.stats.lag_seconds) == (len(lines(1)), second)
    assert not feeder.live
    answer.set()
    assert await entering
    await scene.turn()
    for second in range(5, 10):
        watch.measure(scene.now + second)
    assert feeder.live


async def test_a_file_is_behind_from_when_it_was_noticed(scene: Scene) -> None:
    """Not only from when it is entered, which waits for MongoDB and for its turn: its bytes are not stored before, and
    when it is entered they are no younger."""
    watch = measuring(scene)
    scene.write("20250310/9", lines(1))
    await scene.turn()
    scene.write("20250310/10", lines(2, 3))
    scene.look()
    noticed, stats = scene.now, scene.stats
    scene.write("20250310/11", lines(4))
    scene.now += 70
    scene.look()
    watch.measure(scene.now)
    assert (stats.lag_bytes, stats.lag_seconds, stats.files_backlog) == (len(lines(2, 3, 4)), 71.0, 2)
    assert stats.checkpoint_lag == stats.lag_bytes + 11
    await scene.turn(settle=False)
    watch.measure(scene.now)
    assert (stats.lag_bytes, stats.lag_seconds) == (len(lines(2, 3, 4)), scene.now - noticed)
    for follower in scene.roster.followers():
        span = Span(follower.life, follower.settled, follower.tailer.offset)
        if span.size:
            follower.settle(span, Outcome(lines=1))
    watch.measure(scene.now)
    assert (stats.lag_bytes, stats.lag_seconds, stats.files_backlog) == (0, 0.0, 0)


async def test_the_gauges(scene: Scene) -> None:
    """Files by state, the newest hour, and what a restart would read again: lag and what is not saved."""
    watch = measuring(scene)
    scene.write("20250310/5", lines(1))
    scene.write("20250310/6", lines(2))
    await scene.turn()
    scene.write("20250310/6", lines(3))
    scene.look()
    watch.measure(scene.now)
    stats = scene.stats
    assert (stats.files_following, stats.files_waiting, stats.files_sealed) == (2, 0, 0)
    assert (stats.checkpoint_age, stats.checkpoint_lag) == (2.5, len(lines(3)) + 11)
    assert stats.newest_hour % 86400 == 6 * 3600
