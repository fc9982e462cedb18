"""A simulated day: started in the middle, stopped for hours, started again, state lost. Counted without tailrace's
code."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support.servers import Server
from tests.support.tailrace_process import Run, tailrace, until

from tailrace.model import Framing
from tailrace.simulator import Manifest, Node, Plan

HOURS = 26  # 24 hour files and the next day's folder
PER_HOUR = 400
START = int(datetime(2025, 3, 10, tzinfo=UTC).timestamp())


@dataclass
class Day:
    """A node that writes a day of files in some ten seconds, and a database to follow it with."""

    root: Path
    state: Path
    server: Server
    database: str
    node: Node
    stop: threading.Event
    manifest: list[Manifest]
    thread: threading.Thread

    @property
    def flags(self) -> tuple[str, ...]:
        return (
            *("--root", str(self.root / "node_trades"), "--mongodb-uri", self.server.uri),
            *("--database", self.database, "--state-dir", str(self.state), "--poll-interval", "100ms"),
        )

    def hours(self) -> int:
        return len(list((self.root / "node_trades" / "hourly").glob("*/*")))

    def written(self) -> Manifest:
        self.thread.join(60)
        assert not self.thread.is_alive()
        return self.manifest[0]


@pytest.fixture
def day(tmp_path: Path, standalone: Server, database_name: str) -> Iterator[Day]:
    node = Node(
        Plan(
            root=tmp_path / "data",
            stream="node_trades",
            framing=Framing.BARE,
            rate=1000.0,
            speed=9000.0,
            start=START,
            entries=None,
            hours=float(HOURS),
            duration=None,
            bad=0.002,
            seed=11,
            buffer=0.02,
        )
    )
    stop = threading.Event()
    manifest: list[Manifest] = []
    thread = threading.Thread(target=lambda: manifest.append(node.run(stop)))
    it = Day(tmp_path / "data", tmp_path / "state", standalone, database_name, node, stop, manifest, thread)
    thread.start()
    yield it
    stop.set()
    thread.join(20)


def count(day: Day) -> tuple[int, int, int]:
    """(documents, distinct trades, rejects), as MongoDB counts them."""
    with MongoClient[dict[str, Any]](day.server.uri) as client:
        data = client[day.database]["node_trades"]
        key = {"t": "$time_ns", "c": "$coin", "b": {"$first": "$side_info.oid"}, "s": {"$last": "$side_info.oid"}}
        distinct = next(data.aggregate([{"$group": {"_id": key}}, {"$count": "n"}], allowDiskUse=True), {"n": 0})
        rejects = client[day.database]["node_trades.rejects"].count_documents({"reason": {"$exists": True}})
        return data.count_documents({}), distinct["n"], rejects


def follow_the_day(day: Day, *flags: str) -> None:
    """Start in the middle, stop, miss at least three hours, start again, stop at the end."""
    until(lambda: day.hours() >= 8, what="eight hours")
    with Run(*day.flags, *flags) as run:
        run.wait_for("live")
        until(lambda: day.hours() >= 13, what="thirteen hours")
        run.stop()
    missed = day.hours()
    until(lambda: day.hours() >= missed + 3, what="three hours written while nobody follows")
    with Run(*day.flags, *flags) as run:
        run.wait_for("live")
        day.written()
        run.wait_for("live")
        until(lambda: _settled(day), what="everything is settled")
        assert run.stop()["unaccounted"] == 0


def _settled(day: Day) -> bool:
    documents, _distinct, rejects = count(day)
    with MongoClient[dict[str, Any]](day.server.uri) as client:
        lives = list(client[day.database]["node_trades.files"].find({"fingerprint": {"$exists": True}}))
    skipped = {Path(life["path"]): life["start"] for life in lives}
    return documents + rejects == sum(
        lines_after(Path(r.path), skipped.get(Path(r.path), 0)) for r in day.written().files
    )


def lines_after(path: Path, offset: int) -> int:
    return path.read_bytes()[offset:].count(b"\n")


@pytest.mark.timeout(120)
def test_a_day_with_gaps_and_a_lost_state_directory(day: Day) -> None:
    """Everything of 26 hours is stored once: what lay there before, what came live, what was written while stopped;
    and a lost state directory changes nothing."""
    follow_the_day(day)
    written = day.written()
    assert written.entries > HOURS * PER_HOUR / 2
    assert len(written.files) >= 25
    assert len({Path(record.path).parent for record in written.files}) == 2
    expected = (written.good, written.good, sum(written.bad.values()))
    assert expected[2] > 0
    assert count(day) == expected
    shutil.rmtree(day.state)
    done = tailrace("run", "--once", "--http", "off", *day.flags)
    assert done.returncode == 0, done.stderr
    assert count(day) == expected
    proof = tailrace("verify", *day.flags)
    assert proof.returncode == 0, proof.stdout + proof.stderr


@pytest.mark.timeout(120)
def test_starting_at_the_end_skips_what_is_there_and_nothing_else(day: Day) -> None:
    """`start_at = end`: what lay there at the first start is skipped and recorded with its offset; everything after is
    stored once, also what was written while stopped, and with the state directory lost."""
    follow_the_day(day, "--start-at", "end")
    written = day.written()
    with MongoClient[dict[str, Any]](day.server.uri) as client:
        lives = list(client[day.database]["node_trades.files"].find({"fingerprint": {"$exists": True}}))
    starts = {life["path"]: life["start"] for life in lives}
    skipped = [record for record in written.files if starts[str(record.path)] > 0]
    assert len(skipped) >= 7, "what lay there before is on record"
    after = sum(lines_after(Path(record.path), starts[str(record.path)]) for record in written.files)
    assert 0 < after < written.lines
    documents, distinct, rejects = count(day)
    assert (documents, documents + rejects) == (distinct, after)
    shutil.rmtree(day.state)
    done = tailrace("run", "--once", "--http", "off", *day.flags, "--start-at", "end")
    assert done.returncode == 0, done.stderr
    assert count(day) == (documents, distinct, rejects)
