"""Writes that a default read shows and a failover takes back: none was settled, and all are there in the end."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern
from tests.support.load import Load
from tests.support.partition import leader
from tests.support.servers import ReplicaSet, Server
from tests.support.tailrace_process import Run, until
from tests.support.under_load import assert_calm, assert_exact, flags_for

Document = dict[str, Any]


@contextmanager
def not_replicating(secondaries: list[Server]) -> Iterator[None]:
    """They fetch nothing from the primary and answer its heartbeats: it stays primary, but has no majority."""
    for each in secondaries:
        each.command({"configureFailPoint": "stopReplProducer", "mode": "alwaysOn"})
    try:
        yield
    finally:
        for each in secondaries:
            each.command({"configureFailPoint": "stopReplProducer", "mode": "off"})


@contextmanager
def paused(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def ids(collection: Collection[Document], level: str) -> set[Any]:
    reading = collection.with_options(read_concern=ReadConcern(level))
    return {document["_id"] for document in reading.find({}, {"_id": 1})}


def settled_lines(directory: Path) -> int:
    """Lines below the checkpoints of the state directory; one entry each here, stored or kept aside."""
    with closing(sqlite3.connect(f"file:{directory}/state/checkpoints.sqlite3?mode=ro", uri=True)) as state:
        [(total,)] = state.execute("SELECT coalesce(sum(lines), 0) FROM checkpoint")
    return int(total)


def kept(member: Server, collection: Collection[Document]) -> Path:
    """Where a member keeps what it takes back from a collection: `rollback/<its UUID>` (MongoDB manual,
    createRollbackDataFiles). Beside it may lie what the server wrote for itself, such as its sessions."""
    [about] = collection.database.list_collections(filter={"name": collection.name})
    return member.process.dbpath / "rollback" / str(about["info"]["uuid"].as_uuid())


def rolled_back(folder: Path) -> set[Any]:
    """The `_id`s of what was taken back."""
    return {
        document["_id"] for path in folder.glob("removed.*.bson") for document in bson.decode_all(path.read_bytes())
    }


@pytest.mark.timeout(300)
def test_what_is_rolled_back_was_never_settled(tmp_path: Path, replica_set: ReplicaSet, database_name: str) -> None:
    """Inserts that no majority has are seen by a default read, time out again and again, and are rolled back in a
    failover: no checkpoint had passed them, and afterwards every line is stored once."""
    replica_set.settled()
    old = replica_set.primary
    secondaries = replica_set.secondaries
    flags = flags_for(tmp_path, replica_set.uri, database_name, write_timeout="1s")
    with ExitStack() as stack:
        # No hour begins meanwhile: entering its file waits for a majority, and nothing would be inserted.
        load = stack.enter_context(Load(tmp_path / "data", 300, rate=500.0, speed=20.0))
        run = stack.enter_context(Run(*flags))
        direct = stack.enter_context(MongoClient[Document](old.uri))
        theirs = direct[database_name]["node_trades"]
        run.wait_for("live", timeout=60)
        until(lambda: settled_lines(tmp_path) > 0, what="a first checkpoint")
        folder = kept(old, theirs)

        with ExitStack() as outage:
            outage.enter_context(not_replicating(secondaries))
            run.wait_for("mongodb_trouble")
            time.sleep(4)  # several attempts of 1 s each, each with a proof that must not believe what it could see
            assert leader(replica_set) is old
            ghosts = ids(theirs, "local") - ids(theirs, "majority")
            assert ghosts, "a default read shows what no majority has"
            rejects = direct[database_name]["node_trades.rejects"].with_options(read_concern=ReadConcern("majority"))
            majority = len(ids(theirs, "majority")) + rejects.count_documents({"reason": {"$exists": True}})
            before = settled_lines(tmp_path)
            assert before <= majority, "nothing is settled that could be rolled back"

            outage.enter_context(old.frozen())
            with paused(run.process.pid):  # or it would store them anew before we look
                until(lambda: leader(replica_set) in secondaries, 40, "another primary")
                new = leader(replica_set)
                assert new is not None
                with MongoClient[Document](new.uri) as client:
                    gone = ghosts - ids(client[database_name]["node_trades"], "local")
                assert gone == ghosts, "the new primary never had them"
                assert settled_lines(tmp_path) == before
        run.wait_for("mongodb_back", timeout=40)
        replica_set.settled()
        until(lambda: ghosts <= rolled_back(folder), 30, "a rollback of the old primary")
        print(f"{len(ghosts)} documents were seen, and taken back")

        assert_exact(run, flags, replica_set.uri, database_name, load.enough())
        assert_calm(run, 3)
