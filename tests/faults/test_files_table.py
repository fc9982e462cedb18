"""Every fault that a file can have, while it is being read and while tailrace is stopped: one run for all of a form.

Each fault has an hour of its own in one tree; a healthy newest hour goes on beside them. MongoDB is frozen at a known
place: the first lines are stored, more lie in every file and are known to be there, none of them has been read. Then
all faults happen, in the second form after a kill -9. What is stored is counted by hour with plain pymongo.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from tests.support.hour_faults import FAULTS, Fault, Scene
from tests.support.hour_tree import DAY, HourTree, figures, lost
from tests.support.ingested import trades
from tests.support.servers import Server
from tests.support.tailrace_process import Event, Run, until

HEALTHY = "20250311/0"
HEALTHY_FIRST = 900_000
FORMS = ("while being read", "while stopped")
_trees = count(1)


@dataclass
class Storm:
    """All faults of one form, over: what was stored after it and after one more start, and what was logged."""

    tree: HourTree
    stored: dict[int, Counter[int]] = field(default_factory=dict)
    again: dict[int, Counter[int]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    events_again: list[Event] = field(default_factory=list)
    stopped: Event = field(default_factory=dict)
    reading: bool = True

    def expected(self, number: int) -> Counter[int]:
        base, fault = 1000 * number, FAULTS[number]
        result = (fault.reading if self.reading else fault.stopped)(scene_of(number, Path("/nowhere"), 0))
        return Counter({base + line: documents for line, documents in result.stored.items()})

    def expected_lost(self, number: int) -> int:
        fault = FAULTS[number]
        return (fault.reading if self.reading else fault.stopped)(scene_of(number, Path("/nowhere"), 0)).lost


def scene_of(number: int, directory: Path, pause: float) -> Scene:
    outside = directory / "outside"
    path = directory / "data" / "node_trades" / "hourly" / DAY / str(number)
    return Scene(path, 1000 * number, outside, pause)


def let_it_rage(tree: HourTree, server: Server, storm: Storm) -> None:
    """Fill `storm`. Fails where the preconditions do: nothing is behind, something was read."""
    pause = 0.15 if storm.reading else 0.0
    scenes = [scene_of(number, tree.directory, pause) for number in range(len(FAULTS))]
    tree.directory.joinpath("outside").mkdir()
    for number, scene in enumerate(scenes):
        tree.append(f"{DAY}/{number}", scene.first)
    tree.append(HEALTHY, trades(HEALTHY_FIRST, 1))
    with tree.served("--max-workers", "1") as run:
        run.wait_for("live")
        with server.frozen():
            tree.append(HEALTHY, trades(HEALTHY_FIRST + 1, 1))  # in flight, and with one worker nothing else is read
            until(lambda: figures(run)["lines"]["in_flight"] == 1, what="the healthy line is in flight")
            for number, scene in enumerate(scenes):
                tree.append(f"{DAY}/{number}", scene.unread)
            behind = sum(len(scene.unread) for scene in scenes) + len(trades(HEALTHY_FIRST + 1, 1))
            until(lambda: figures(run)["lag"]["bytes"] == behind, what="all of it is known to be there")
            if not storm.reading:
                run.kill()
            for fault, scene in zip(FAULTS, scenes, strict=True):
                fault.do(scene)
        if storm.reading:
            follow(tree, run, storm)
    if not storm.reading:
        with tree.served() as second:
            second.wait_for("live")
            follow(tree, second, storm)
    storm.events_again = tree.once()
    storm.again = tree.by_hour()


def follow(tree: HourTree, run: Run, storm: Storm) -> None:
    """Until all that can be stored is, or time is up: what is wrong then is said by the test of its fault."""
    tree.append(HEALTHY, trades(HEALTHY_FIRST + 2, 1))
    wanted = {number: storm.expected(number) for number in range(len(FAULTS))}
    wanted[24] = Counter(range(HEALTHY_FIRST, HEALTHY_FIRST + 3))
    wanted_lost = sum(storm.expected_lost(number) for number in range(len(FAULTS)))
    try:
        until(lambda: tree.by_hour() == wanted and sum(lost(run.events).values()) >= wanted_lost, timeout=15)
    except AssertionError:
        print("".join(run.lines))
    storm.stopped = run.stop()
    storm.stored, storm.events = tree.by_hour(), run.events


@pytest.fixture(scope="module", params=FORMS)
def storm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, standalone: Server
) -> Iterator[Storm]:
    with HourTree(tmp_path_factory.mktemp("storm"), standalone, f"test_{os.getpid()}_storm_{next(_trees)}") as tree:
        it = Storm(tree, reading=request.param == FORMS[0])
        let_it_rage(tree, standalone, it)
        yield it


@pytest.mark.timeout(120)  # the first test of a form waits for all of it
@pytest.mark.parametrize("number", range(len(FAULTS)), ids=[fault.name for fault in FAULTS])
def test_exactly_what_can_be_stored_is_stored_once(storm: Storm, number: int) -> None:
    """What must be stored is, once, also after one more start; what is lost by nature is said once, to the byte."""
    name = f"{DAY}/{number}"
    assert storm.stored.get(number, Counter()) == storm.expected(number)
    said = {key.removesuffix(".gz"): size for key, size in lost(storm.events).items()}
    assert said.get(name, 0) == storm.expected_lost(number)
    assert storm.again.get(number, Counter()) == storm.expected(number), "one more start changes nothing"
    assert name not in lost(storm.events_again), "a loss is said once"
    warned_about(FAULTS[number], name, storm.events)


def warned_about(fault: Fault, name: str, events: list[Event]) -> None:
    """A place that is no file any more is warned about once."""
    skipped = [event for event in events if event["event"] == "file_skipped" and event.get("name") == Path(name).name]
    assert [event["why"] for event in skipped] == ([] if fault.said is None else [fault.said])


def test_the_healthy_hour_goes_on(storm: Storm) -> None:
    """Whatever happens to other files: the newest hour's lines are stored, those before, during and after."""
    assert storm.stored[24] == Counter(range(HEALTHY_FIRST, HEALTHY_FIRST + 3))


def test_every_line_and_entry_is_accounted_for(storm: Storm) -> None:
    """Lines read = settled, entries = inserted + duplicates + rejected; the bytes said to be lost are those counted."""
    assert storm.stopped["unaccounted"] == 0
    assert storm.stopped["bytes_lost"] == sum(lost(storm.events).values())


def test_verify_proves_what_is_there(storm: Storm) -> None:
    """Every file that is there is proven: nothing missing, nothing different, nothing that no line explains."""
    _code, files = storm.tree.verified()
    there = {name: file["state"] for name, file in files.items()}
    assert set(there.values()) == {"ok"}, there
    assert HEALTHY in there
