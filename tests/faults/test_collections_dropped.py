"""Collections dropped under a running instance: noticed within seconds, and all of it is there again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support.hour_tree import figures
from tests.support.ingested import Tree, line, trade, trades
from tests.support.load import Load
from tests.support.servers import Server
from tests.support.sums import recomputed, recorded
from tests.support.tailrace_process import Run, hour_file, tailrace, until
from tests.support.under_load import assert_exact, flags_for

Lives = dict[bytes, tuple[Any, ...]]


def lives(database: Any) -> Lives:
    """What the ledger says of each life that a document's `_id` follows from."""
    fields = ("source", "path", "hour", "life", "salt", "fingerprint", "start")
    found = database["node_trades.files"].find({"fingerprint": {"$exists": True}})
    return {bytes(life["_id"]): tuple(life[name] for name in fields) for life in found}


@pytest.mark.timeout(120)
def test_each_collection_dropped_in_turn_under_load(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """The collection, its rejects, its ledger, then the whole database, under load: each is one error in words within
    seconds; the files are stored again, with the index, under the same ids; what was kept aside is kept again; the
    ledger has every life as it was, and its sums are those of what is there."""
    flags = flags_for(tmp_path, standalone.uri, database_name)
    with (
        Load(tmp_path / "data", 60.0, rate=1000.0) as load,
        Run(*flags) as run,
        MongoClient[dict[str, Any]](standalone.admin_uri) as client,
    ):
        run.wait_for("live")
        database = client[database_name]
        until(lambda: database["node_trades.rejects"].find_one() is not None, what="something kept aside")
        took = {}
        for number, name in enumerate(("node_trades", "node_trades.rejects", "node_trades.files", ""), start=1):
            before = lives(database)
            if name:
                database.drop_collection(name)
            else:
                client.drop_database(database_name)
            dropped = time.monotonic()
            said = run.wait_for("collection_dropped", count=number)
            run.wait_for("live", count=number + 1)
            took[name or "all"] = round(time.monotonic() - dropped, 1)
            assert (f"{database_name}.{name}" if name else f"{database_name}.node_trades") in said["collections"]
            assert said["level"] == "error"
            assert before.items() <= lives(database).items()
            assert before
        print(f"seconds until all was live again: {took}")
        written = load.enough()
        assert sum(written.bad.values()) > 1
        assert_exact(run, flags, standalone.uri, database_name, written)
        assert "coin_1_time_1" in database["node_trades"].index_information()
        assert len(run.named("collection_dropped")) == 4
        assert {event["event"] for event in run.events if event.get("level") == "error"} == {
            "collection_dropped",
            "ledger_restored",
            "rejects_dropped",
        }
    sums = recorded(standalone.uri, database_name)
    assert sums == recomputed(standalone.uri, database_name)


def test_what_was_skipped_by_choice_stays_skipped(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """start_at = end, and the whole database dropped while it runs: the first start is not made up again. What was
    skipped then is not stored, everything after it is stored again."""
    tree = Tree(tmp_path, standalone.uri, database_name, start_at="end", poll_interval="100ms")
    tree.write("20250310/9", trades(0, 10))
    with Run(*tree.options) as run, MongoClient[dict[str, Any]](standalone.admin_uri) as client:
        run.wait_for("live")
        tree.write("20250310/9", trades(10, 5))
        tree.write("20250310/10", trades(20, 5))
        stored = client[database_name]["node_trades"]
        until(lambda: stored.count_documents({}) == 10, what="what came later is stored")
        client.drop_database(database_name)
        run.wait_for("live", count=2)
        tree.write("20250310/10", trades(30, 5))
        until(lambda: stored.count_documents({}) == 15, what="all but what was skipped")
        assert stored.count_documents({"hash": trade(9)["hash"]}) == 0
        run.stop()


def test_what_is_written_while_it_begins_anew_is_not_skipped(
    tmp_path: Path, standalone: Server, database_name: str
) -> None:
    """start_at = end and nothing was ever there: what is written after the drop is stored, however long the server
    keeps us from beginning anew."""
    tree = Tree(tmp_path, standalone.uri, database_name, start_at="end", poll_interval="100ms")
    hour_file(tree.root, "20250310/9")
    with Run(*tree.options) as run, MongoClient[dict[str, Any]](standalone.admin_uri) as client:
        run.wait_for("live")
        client.drop_database(database_name)
        until(lambda: bool(run.named("collection_dropped")), what="the drop is noticed")
        with standalone.frozen():
            tree.write("20250310/9", trades(0, 5))
        until(lambda: client[database_name]["node_trades"].count_documents({}) == 5, what="all of it is stored")
        run.stop()
    assert len(run.named("skipped_by_choice")) == 1


def test_dropped_while_a_root_is_waited_for(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """It is noticed then as well, and the lease goes on: nobody else may write under this name meanwhile."""
    tree = Tree(tmp_path, standalone.uri, database_name, poll_interval="100ms")
    with Run(*tree.options) as run, MongoClient[dict[str, Any]](standalone.admin_uri) as client:
        run.wait_for("waiting_for_root")
        client.drop_database(database_name)
        run.wait_for("waiting_for_root", count=2)
        assert len(run.named("collection_dropped")) == 1
        other = tailrace("run", "--once", "--http", "off", *Tree(tmp_path / "2", **_of(tree)).options)
        assert (other.returncode, "is being written by" in other.stderr) == (78, True), other.stderr
        tree.write("20250310/9", trades(0, 5))
        stored = client[database_name]["node_trades"]
        until(lambda: stored.count_documents({}) == 5, what="the root is followed")
        run.stop()


@pytest.mark.timeout(90)
def test_dropped_with_lines_in_flight_that_cannot_be_stored(
    tmp_path: Path, standalone: Server, database_name: str
) -> None:
    """Twice: what was in flight is given up, read again and stored; the account adds up all along, and in the end
    nothing is said to be in flight."""
    tree = Tree(tmp_path, standalone.uri, database_name, poll_interval="100ms", shutdown_grace="1s", http="127.0.0.1:0")
    tree.write("20250310/9", trades(0, 20))
    with Run(*tree.options) as run, MongoClient[dict[str, Any]](standalone.admin_uri) as client:
        run.wait_for("live")
        for number in (1, 2):
            with standalone.failing("insert", errorCode=91):
                tree.write("20250310/9", trades(100 * number, 10))
                until(lambda: figures(run)["lines"]["in_flight"] == 10, what="ten lines are in flight")
                client[database_name].drop_collection("node_trades")
                run.wait_for("spans_abandoned", count=number)
                run.wait_for("collection_dropped", count=number)
            stored = client[database_name]["node_trades"]
            expected = 20 + 10 * number
            until(lambda: stored.count_documents({}) == expected, what="all of it is stored again")  # noqa: B023
            until(lambda: figures(run)["lag"]["bytes"] == 0, what="nothing waits")
            until(lambda: figures(run)["lines"]["in_flight"] == 0, what="nothing is in flight")
            now = figures(run)
            assert (now["bytes"]["in_flight"], now["unaccounted"]) == (0, 0)
        stopped = run.stop()
    assert (stopped["lines_in_flight"], stopped["lines_read"]) == (0, stopped["lines"])
    assert stopped["lines"] == 20 + 30 + 40


def _of(tree: Tree) -> dict[str, str]:
    return {"uri": tree.flags["mongodb_uri"], "database": tree.flags["database"], "root": str(tree.root)}


def test_dropped_while_stopped(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """With the local state at hand: a ledger that was dropped is entered again, and what is stored is compared; rejects
    that were dropped are kept again; a collection that was dropped is filled again. Each is said once."""
    tree = Tree(tmp_path, standalone.uri, database_name)
    tree.write("20250310/9", trades(0, 10) + b"{bad\n")
    tree.write("20250310/10", trades(20, 10))
    tree.ingest()
    names = {"node_trades.files": "ledger_restored", "node_trades.rejects": "rejects_dropped", "node_trades": None}
    for number, (name, event) in enumerate(names.items()):
        with MongoClient[dict[str, Any]](standalone.admin_uri) as client:
            before = lives(client[database_name])
            client[database_name].drop_collection(name)
            tree.write("20250310/10", line(trade(40 + number)))
            with Run(*tree.options, "--once") as run:
                assert run.ended() == 0, run.lines
            assert lives(client[database_name]) == before
            stopped = run.named("stopped")[0]
            assert event is None or len(run.named(event)) == 1
            if name == "node_trades.files":
                assert stopped["duplicates"] == 20, "what a lost ledger called stored is compared, not believed"
            assert client[database_name]["node_trades"].count_documents({}) == 21 + number
            assert client[database_name]["node_trades.rejects"].count_documents({"reason": {"$exists": True}}) == 1
        assert tree.verify().proven
