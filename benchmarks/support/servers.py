"""A mongod for measuring: the product's own way to start one, with its normal journal; alone, or a set of three."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.support.machine import cpu_seconds
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tailrace.embedded import CACHE_GB, MongodProcess

REPLICA_SET = "tailrace-bench"
DATABASE = "bench"
COLLECTION = "node_trades"
INDEX = ("coin", "time")  # what tailrace makes for node_trades by default

NOTE = f"mongod on the same machine, cache {CACHE_GB} GB, journal as it comes; w: majority, j: true for everybody"

_LIMIT = 60.0  # seconds for a set to elect


class Server:
    """What is measured against. `uri` for clients; `members`: the first is, or is preferred as, the primary."""

    def __init__(self, directory: Path, *, members: int = 1) -> None:
        arguments: Sequence[str] = ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        if members > 1:
            arguments = [*arguments, "--replSet", REPLICA_SET, "--oplogSize", "2048"]
        self.members = [MongodProcess(directory / f"mongod{n}", arguments=arguments) for n in range(members)]
        self.client: MongoClient[dict[str, Any]] = MongoClient(self.uri, connect=False)

    @property
    def uri(self) -> str:
        if len(self.members) == 1:
            return self.members[0].uri
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in self.members)
        return f"mongodb://{hosts}/?replicaSet={REPLICA_SET}"

    def start(self) -> None:
        for member in self.members:
            asyncio.run(member.start())
        if len(self.members) > 1:
            self._initiate()

    def _initiate(self) -> None:
        members = [
            {"_id": n, "host": f"127.0.0.1:{member.port}", "priority": 1 if n else 2}
            for n, member in enumerate(self.members)
        ]
        with MongoClient[dict[str, Any]](self.members[0].uri) as one:
            one.admin.command({"replSetInitiate": {"_id": REPLICA_SET, "members": members}})
            deadline = time.monotonic() + _LIMIT
            states: list[str] = []
            while states != ["PRIMARY", "SECONDARY", "SECONDARY"]:
                if time.monotonic() > deadline:
                    raise SystemExit(f"The replica set has not settled: {states}")
                time.sleep(0.1)
                try:
                    states = sorted(m["stateStr"] for m in one.admin.command({"replSetGetStatus": 1})["members"])
                except PyMongoError:
                    continue

    def stop(self) -> None:
        self.client.close()
        for member in self.members:
            member.kill()  # nothing in it is wanted any more

    def cpu(self) -> float:
        """CPU seconds of all members so far."""
        return sum(cpu_seconds(member.pid) for member in self.members if member.pid is not None)

    def fresh(self, *, index: bool | None = None) -> None:
        """Nothing in the database, and the last run's dirty pages on disk. `index`: make the collection, with the
        default index or with none; None leaves it to whoever writes."""
        self.client.drop_database(DATABASE)
        if index is not None:
            self.client[DATABASE].create_collection(COLLECTION)
            if index:
                self.client[DATABASE][COLLECTION].create_index([(name, 1) for name in INDEX])
        self.client.admin.command({"fsync": 1})

    def count(self) -> int:
        """From the collection's metadata: costs the server next to nothing."""
        return self.client[DATABASE][COLLECTION].estimated_document_count()


@contextmanager
def running(directory: Path, *, members: int = 1) -> Iterator[Server]:
    server = Server(directory, members=members)
    try:
        server.start()
        yield server
    finally:
        server.stop()
