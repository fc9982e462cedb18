"""Real mongods for tests: a standalone, a replica set of three, and what can be done to them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from tests.support import roles

from tailrace.embedded import MongodProcess, find_mongod

TEST_COMMANDS = (
    *("--setParameter", "enableTestCommands=1", "--setParameter", "diagnosticDataCollectionEnabled=false"),
    # A fresh mongod reserves 300 MB for its journal; the suite starts dozens, and a full disk fails everything.
    *("--wiredTigerEngineConfigString", "log=(file_max=16MB,prealloc=false)"),
)
REPLICA_SET = "tailrace-test"
_LIMIT = 45.0  # seconds for a set to elect or to catch up


def program() -> Path:
    """TAILRACE_TEST_MONGOD, or what the product itself would start."""
    return find_mongod(os.environ.get("TAILRACE_TEST_MONGOD"))


class Server:
    """One mongod with test commands. Every test that breaks it brings it back."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        # One that is started with --auth has users of its own.
        self.guarded = roles.authenticated() and "--auth" not in arguments
        self.has_users = False
        self._in_set = "--replSet" in arguments  # its users are made by the set, on the primary
        guard = roles.arguments(directory) if self.guarded else []
        self.process = MongodProcess(directory, program=program(), arguments=[*TEST_COMMANDS, *guard, *arguments])

    @property
    def uri(self) -> str:
        """For tailrace: with authentication on, that of a user with the documented role only."""
        return roles.as_user(self.process.uri, roles.PRODUCT) if self.guarded else self.process.uri

    @property
    def admin_uri(self) -> str:
        """For what a test does to the server, as soon as it has users."""
        return roles.as_user(self.process.uri, roles.ADMIN) if self.has_users else self.process.uri

    def start(self) -> None:
        """Also after `kill` or `stop`: same port, same data."""
        asyncio.run(self.process.start())
        if self.guarded and not self.has_users and not self._in_set:
            roles.make_users(self.process.uri)
            self.has_users = True

    def stop(self) -> None:
        asyncio.run(self.process.stop())

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It holds its connections and answers nothing."""
        pid = self.process.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def command(self, command: dict[str, Any] | str, database: str = "admin") -> dict[str, Any]:
        with MongoClient[dict[str, Any]](self.admin_uri) as client:
            return client[database].command(command)

    @contextmanager
    def failing(self, *commands: str, times: int | str = "alwaysOn", **data: Any) -> Iterator[None]:
        """The fail point failCommand: `errorCode`, `errorLabels`, `closeConnection`, `writeConcernError`, ..."""
        mode = times if isinstance(times, str) else {"times": times}
        data = {"failCommands": list(commands), "appName": None, **data}
        data = {name: value for name, value in data.items() if value is not None}
        self.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
        try:
            yield
        finally:
            self.command({"configureFailPoint": "failCommand", "mode": "off"})


class ReplicaSet:
    """Three members; member 0 is preferred as primary."""

    def __init__(self, directory: Path) -> None:
        arguments = ("--replSet", REPLICA_SET, "--oplogSize", "64")
        self.members = [Server(directory / str(number), *arguments) for number in range(3)]

    @property
    def ports(self) -> list[int]:
        """Where clients and the other members reach each member."""
        return [member.process.port for member in self.members]

    @property
    def uri(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        uri = f"mongodb://{hosts}/?replicaSet={REPLICA_SET}"
        return roles.as_user(uri, roles.PRODUCT) if self.members[0].guarded else uri

    @property
    def admin_uri(self) -> str:
        return roles.as_user(self.uri, roles.ADMIN) if self.members[0].guarded else self.uri

    @property
    def primary(self) -> Server:
        for member in self.members:
            if member.process.pid is not None and member.command("hello")["isWritablePrimary"]:
                return member
        raise AssertionError("no primary")

    @property
    def secondaries(self) -> list[Server]:
        primary = self.primary
        return [member for member in self.members if member is not primary]

    def start(self) -> None:
        for member in self.members:
            member.start()
        config = {
            "_id": REPLICA_SET,
            "members": [
                {"_id": number, "host": f"127.0.0.1:{port}", "priority": 2 if number == 0 else 1}
                for number, port in enumerate(self.ports)
            ],
            "settings": {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500},
        }
        self.members[0].command({"replSetInitiate": config})
        if self.members[0].guarded:
            wait_until(lambda: self.members[0].command("hello")["isWritablePrimary"], "no primary to make users on")
            roles.make_users(self.members[0].process.uri)
            for member in self.members:
                member.has_users = True
        self.settled()

    def settled(self) -> None:
        """Wait until there is a primary and two secondaries that follow it."""

        def states() -> list[str]:
            status = self.members[0].command({"replSetGetStatus": 1})
            return sorted(member["stateStr"] for member in status["members"])

        wait_until(lambda: states() == ["PRIMARY", "SECONDARY", "SECONDARY"], "the replica set has not settled")
        wait_until(lambda: self.primary is not None, "no writable primary")

    def stop(self) -> None:
        for member in self.members:
            member.kill()


def wait_until(condition: Any, complaint: str, limit: float = _LIMIT) -> None:
    """Look until it holds; exceptions of the driver and AssertionError count as "not yet"."""
    deadline = time.monotonic() + limit
    while True:
        try:
            if condition():
                return
        except (PyMongoError, AssertionError):
            pass
        assert time.monotonic() < deadline, complaint
        time.sleep(0.05)
