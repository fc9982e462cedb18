"""What can happen to files, with the real program: torn, late, gone, compressed, cut; beside it and while it is
stopped."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from tests.support.servers import Server
from tests.support.tailrace_process import Run, hour_file, tailrace, until

from tailrace.model import Framing
from tailrace.simulator import trade_lines

LINES = list(trade_lines(9, 60, framing=Framing.BARE))


class Place:
    """A tree and the collection that follows it."""

    def __init__(self, tmp_path: Path, server: Server, database: str) -> None:
        self.root = tmp_path / "data"
        self.flags = (
            *("--root", str(self.root / "node_trades"), "--mongodb-uri", server.uri, "--database", database),
            *("--state-dir", str(tmp_path / "state"), "--poll-interval", "50ms"),
        )
        self.client = MongoClient[dict[str, Any]](server.uri)
        self.trades = self.client[database].node_trades

    def file(self, name: str) -> Path:
        return hour_file(self.root, name)

    def append(self, name: str, data: bytes) -> Path:
        path = self.file(name)
        with path.open("ab") as out:
            out.write(data)
        return path

    def stored(self) -> set[tuple[int, ...]]:
        """The key of each document; fails when one is there twice."""
        found = [key_of(each) for each in self.trades.find()]
        assert len(found) == len(set(found)), "a line was stored twice"
        return set(found)

    def holds(self, *lines: bytes) -> bool:
        return self.stored() == {key(line) for line in lines}

    def once(self, *more: str) -> list[dict[str, Any]]:
        done = tailrace("run", "--once", "--http", "off", "--log-format", "json", *self.flags, *more)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stderr.splitlines()]


def key(line: bytes) -> tuple[int, ...]:
    """The order ids of the buyer and the seller, and the price's digits: no two simulated trades have the same."""
    entry = json.loads(line)
    return (*(side["oid"] for side in entry["side_info"]), int(entry["px"].replace(".", "")))


def key_of(document: dict[str, Any]) -> tuple[int, ...]:
    return (*(side["oid"] for side in document["side_info"]), int(str(document["px"]).replace(".", "")))


@pytest.fixture
def place(tmp_path: Path, standalone: Server, database_name: str) -> Iterator[Place]:
    it = Place(tmp_path, standalone, database_name)
    yield it
    it.client.close()


def test_a_root_that_does_not_exist_yet_is_waited_for(place: Place) -> None:
    """Started before the node's first file: it says so once, and the first line is stored when it comes."""
    with Run(*place.flags) as run:
        run.wait_for("waiting_for_root")
        place.append("20250310/9", LINES[0])
        until(lambda: place.holds(LINES[0]))
        run.stop()
        assert len(run.named("waiting_for_root")) == 1


@pytest.mark.parametrize("watch", ["native", "poll"])
def test_new_hours_days_and_late_lines(place: Place, watch: str) -> None:
    """With and without notifications: a new hour, a new day made by mkdir -p, a late line of the former hour."""
    place.append("20250310/22", LINES[0])
    with Run(*place.flags, "--watch", watch) as run:
        run.wait_for("live")
        place.append("20250310/23", LINES[1])
        place.append("20250311/0", LINES[2])
        place.append("20250310/23", LINES[3])
        until(lambda: place.holds(*LINES[:4]))
        run.stop()


def test_a_torn_line_waits_for_its_newline_across_restarts(place: Place) -> None:
    """Half a line is not stored and not lost: not while it runs, not when stopped and started, and one line at the
    end."""
    place.append("20250310/9", LINES[0] + LINES[1][:50])
    with Run(*place.flags) as run:
        run.wait_for("live")
        until(lambda: place.holds(LINES[0]))
        run.stop()
    place.append("20250310/9", LINES[1][50:100])
    with Run(*place.flags) as run:
        run.wait_for("live")
        place.append("20250310/9", LINES[1][100:])
        until(lambda: place.holds(*LINES[:2]))
        run.stop()


def test_once_takes_a_rest_that_is_whole_and_reports_one_that_is_not(place: Place) -> None:
    """`--once`: a last line without its newline is stored when it is a whole entry, and the newline arriving later
    changes
    nothing; half an entry is reported and stored when it is complete."""
    place.append("20250310/8", LINES[0] + LINES[1].rstrip(b"\n"))
    place.append("20250310/9", LINES[2] + LINES[3][:60])
    events = place.once()
    assert place.holds(*LINES[:3])
    (torn,) = [event for event in events if event["event"] == "torn_rest"]
    assert (Path(torn["path"]).name, torn["bytes"]) == ("9", 60)
    place.append("20250310/8", b"\n" + LINES[4])
    place.append("20250310/9", LINES[3][60:])
    place.once()
    assert place.holds(*LINES[:5])


def test_gzipped_while_stopped(place: Place) -> None:
    """`9` became `9.gz` while tailrace was not running and lagging: it goes on in the archive, and nothing is stored
    twice;
    an hour that was only ever seen compressed is read as well."""
    path = place.append("20250310/9", b"".join(LINES[:2]))
    place.once()
    path.unlink()
    place.file("20250310/9.gz").write_bytes(gzip.compress(b"".join(LINES[:5])))
    place.file("20250310/10.gz").write_bytes(gzip.compress(b"".join(LINES[5:7])))
    place.once()
    assert place.holds(*LINES[:7])


def test_deleted_while_stopped_is_an_error_that_counts(place: Place) -> None:
    """A file that was not read to its end and is gone: one error with the bytes at the next start, none at the one
    after."""
    path = place.append("20250310/9", LINES[0] + LINES[1][:70])
    place.once()
    path.unlink()
    place.append("20250310/10", LINES[2])
    (lost,) = [event for event in place.once() if event["event"] == "bytes_lost"]
    assert (lost["level"], lost["bytes"]) == ("error", 70)
    assert [event for event in place.once() if event["event"] == "bytes_lost"] == []


def test_rewritten_in_place_while_it_runs_and_while_it_does_not(place: Place) -> None:
    """Cut and written anew under an equal first line, past the old offset: the new lines are all stored, an alarm
    says so,
    and what was stored of the former life stays as it is."""
    path = place.append("20250310/9", LINES[0] + LINES[1])
    with Run(*place.flags) as run:
        run.wait_for("live")
        with path.open("r+b") as out:
            out.truncate(0)
            out.write(LINES[0] + b"".join(LINES[2:6]))
        event = run.wait_for("file_rewritten")
        assert event["level"] == "error"
        until(lambda: place.trades.count_documents({}) == 2 + 5)
        run.stop()
    with path.open("r+b") as out:
        out.truncate(0)
        out.write(LINES[0] + b"".join(LINES[10:20]))
    place.once()
    assert place.trades.count_documents({}) == 2 + 5 + 11
    assert {key(line) for line in (*LINES[:6], *LINES[10:20])} == {key_of(each) for each in place.trades.find()}


def test_a_file_deleted_while_it_is_read(place: Place, standalone: Server) -> None:
    """MongoDB hangs, the node prunes the file meanwhile: the descriptor is held, and all of it is stored afterwards."""
    place.append("20250310/8", LINES[0])
    with Run(*place.flags) as run:
        run.wait_for("live")
        until(lambda: place.holds(LINES[0]))
        with standalone.frozen():
            path = place.append("20250310/9", b"".join(LINES[1:30]))
            waited = Path(f"/proc/{run.process.pid}/fd")
            until(lambda: any(str(path) in _target(each) for each in waited.iterdir()), what="the file is held")
            path.unlink()
        until(lambda: place.holds(*LINES[:30]))
        stopped = run.stop()
        assert stopped["bytes_lost"] == 0


def head_of_hour(hour: int) -> ObjectId:
    """The smallest `_id` of an hour of 2025-03-10."""
    return ObjectId((1741564800 + 3600 * hour).to_bytes(4, "big") + bytes(8))


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def test_two_files_are_drained_while_the_head_stays_live(place: Place) -> None:
    """A backlog of hours beside a live head: a new line of the newest hour is stored long before the backlog is."""
    for hour in range(6):
        place.append(f"20250310/{hour}", b"".join(trade_lines(hour + 20, 8000, framing=Framing.BARE)))
    place.append("20250310/20", LINES[0])
    with Run(*place.flags) as run:
        run.wait_for("catching_up")
        place.append("20250310/20", LINES[1])
        oid = json.loads(LINES[1])["side_info"][0]["oid"]
        until(lambda: place.trades.count_documents({"side_info.oid": oid, "_id": {"$gte": head_of_hour(20)}}) > 0)
        behind = place.trades.count_documents({})
        run.wait_for("live")
        until(lambda: place.trades.count_documents({}) == 6 * 8000 + 2)
        run.stop()
    assert behind < 6 * 8000, "the head did not wait for the backlog"


def test_once_names_a_life_after_a_whole_line_only(place: Place) -> None:
    """A first line that is still being written is reported and not stored; a whole one without its newline is, and
    stays the same document when the newline comes."""
    place.append("20250310/8", LINES[0][:80])
    place.append("20250310/9", LINES[1].rstrip(b"\n"))
    events = place.once()
    assert [Path(each["path"]).name for each in events if each["event"] == "torn_rest"] == ["8"]
    assert place.holds(LINES[1])
    place.append("20250310/8", LINES[0][80:])
    place.append("20250310/9", b"\n" + LINES[2])
    place.once()
    assert place.holds(*LINES[:3])


def test_rejects_are_said(place: Place) -> None:
    """A line that is kept aside is a warning with its reason, once a minute at most, and the rest at the end."""
    place.append("20250310/9", LINES[0] + b"not json\n" + LINES[1])
    with Run(*place.flags) as run:
        event = run.wait_for("kept_aside")
        place.append("20250310/9", b"again not\n" + LINES[2])
        until(lambda: place.holds(*LINES[:3]))
        assert len(run.named("kept_aside")) == 1
        run.stop()
    assert (event["level"], event["reasons"]) == ("warning", {"json": 1})
    assert [each["reasons"] for each in run.named("kept_aside")] == [{"json": 1}, {"json": 1}]
