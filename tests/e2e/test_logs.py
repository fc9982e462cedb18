"""What an operator reads: state changes and problems, once, as JSON lines without a secret."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support.ingested import trades
from tests.support.servers import Server
from tests.support.tailrace_process import Run, hour_file, until

from tailrace.ops.logs_catalogue import MEANINGS, calls

SECRET = "correct-horse-battery"  # a password that is looked for in the logs
OUTAGE = 8.0  # seconds: several attempts of 1 s, and more than the 3 s after which silence counts as trouble
EVENTS = {call.event: call for call in calls()}


def append(root: Path, name: str, data: bytes) -> None:
    with hour_file(root / "data", name).open("ab") as file:
        file.write(data)


def flags_for(root: Path, uri: str, database: str) -> tuple[str, ...]:
    return (
        *("--root", str(root / "data"), "--stream", "node_trades", "--mongodb-uri", uri, "--database", database),
        *("--state-dir", str(root / "state"), "--poll-interval", "50ms", "--shutdown-grace", "2s"),
        *("--write-timeout", "1s", "--retry-max-delay", "200ms"),
    )


def must_be_well_formed(run: Run) -> None:
    """Every line is JSON with a time, a level and an event of the catalogue, and says what it means where it must."""
    assert run.lines
    for line in run.lines:
        event = json.loads(line)
        assert datetime.fromisoformat(event["timestamp"]).tzinfo is not None, line
        call = EVENTS[event["event"]]
        assert event["level"] in call.levels, line
        if event["level"] in {"warning", "error"}:
            assert "meaning" in event or event["event"] in MEANINGS, line


def with_password(server: Server) -> str:
    """The server's URI with a user made for this, whose password is SECRET."""
    roles = [{"role": "root", "db": "admin"}]
    server.command({"createUser": "operator", "pwd": SECRET, "roles": roles})
    return f"mongodb://operator:{SECRET}@127.0.0.1:{server.process.port}/?authSource=admin&directConnection=true"


@pytest.mark.timeout(60)
def test_an_outage_is_two_lines(tmp_path: Path, own_server: Server, database_name: str) -> None:
    """MongoDB answers nothing for 8 s while lines come in: one line when it starts, one when it is over, none a retry,
    and in no line a password."""
    flags = flags_for(tmp_path, with_password(own_server), database_name)
    append(tmp_path, "20250310/11", trades(1, 1))
    with Run(*flags) as run:
        run.wait_for("live")
        before = len(run.events)
        with own_server.frozen():
            ends = time.monotonic() + OUTAGE
            number = 1
            while time.monotonic() < ends:
                number += 1
                append(tmp_path, "20250310/11", trades(number, 1))
                time.sleep(0.1)
        back = run.wait_for("mongodb_back", timeout=20)
        append(tmp_path, "20250310/11", trades(number + 1, 1))
        stopped = run.stop()
        assert [each["event"] for each in run.events[before:]] == [
            "mongodb_trouble",
            "mongodb_back",
            "stopping",
            "stopped",
        ]
        assert back["retries"] >= 3, "the precondition: it was tried again and again"
        assert back["after_s"] > OUTAGE / 4
        assert "nothing is lost" in run.named("mongodb_trouble")[0]["meaning"]
        assert stopped["bytes_lost"] == 0
        must_be_well_formed(run)
        assert SECRET not in "".join(run.lines)
        assert "operator:" not in "".join(run.lines)


def test_a_flood_of_rejects_and_a_new_hour(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """5,000 lines that are kept aside are at most two lines of log; a new hour is one line, with what the hour before
    came to; no file but these has a line above debug."""
    append(tmp_path, "20250310/11", trades(0, 300))
    with Run(*flags_for(tmp_path, standalone.uri, database_name)) as run:
        run.wait_for("live")
        before = len(run.events)
        for first in range(0, 5000, 100):
            append(tmp_path, "20250310/11", b"".join(b"not json %d\n" % number for number in range(first, first + 100)))
            time.sleep(0.01)
        run.wait_for("kept_aside")
        with MongoClient[dict[str, Any]](standalone.uri) as client:
            database = client[database_name]
            until(lambda: database["node_trades.rejects"].count_documents({}) == 5000, what="all are kept aside")
            time.sleep(0.3)  # nothing more must be said: there is no condition to wait for
            append(tmp_path, "20250310/12", trades(1000, 1))
            rolled = run.wait_for("rolled_over")
            until(lambda: database["node_trades"].count_documents({}) == 301, what="the new hour is stored")
        stopped = run.stop()
        assert (stopped["rejected"], stopped["inserted"]) == (5000, 301)
        names = [each["event"] for each in run.events[before:]]
        assert 1 <= names.count("kept_aside") <= 2
        assert sum(sum(each["reasons"].values()) for each in run.named("kept_aside")) == 5000, "each is counted once"
        assert [name for name in names if name != "kept_aside"] == ["rolled_over", "stopping", "stopped"]
        assert (rolled["hour"], rolled["unsaid"]) == ("2025-03-10T12Z", 0)
        assert rolled["path"].endswith("/20250310/12")
        account = rolled["before"]
        assert account["path"].endswith("/20250310/11")
        assert (account["inserted"], account["rejected"], account["lines"]) == (300, 5000, 5300)
        size = hour_file(tmp_path / "data", "20250310/11").stat().st_size
        assert (account["bytes"], account["bytes_unsettled"]) == (size, 0)
        must_be_well_formed(run)


def test_a_root_that_comes_goes_and_comes_back(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """Awaited, found, unmounted, back: each is one line with its end, not one a scan."""
    with Run(*flags_for(tmp_path, standalone.uri, database_name)) as run:
        run.wait_for("waiting_for_root")
        time.sleep(0.3)  # six looks
        append(tmp_path, "20250310/11", trades(1, 1))
        run.wait_for("root_found")
        run.wait_for("live")
        before = len(run.events)
        (tmp_path / "data").rename(tmp_path / "away")
        run.wait_for("tree_absent")
        time.sleep(0.3)
        (tmp_path / "away").rename(tmp_path / "data")
        back = run.wait_for("tree_back")
        assert back["after_s"] >= 0.2
        run.stop()
        assert [each["event"] for each in run.events[before:]] == ["tree_absent", "tree_back", "stopping", "stopped"]
        assert len(run.named("waiting_for_root")) == len(run.named("root_found")) == 1
        must_be_well_formed(run)
