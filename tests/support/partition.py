"""A replica set whose members and clients reach each other only through proxies: a network that can be cut anywhere.

Every member is known by the port of its proxy. Who connects is found by the port he comes from: the process that holds
that socket (proc(5)) is a member, or else it is a client. So a member can be cut off from the others, from clients, or
both, in both directions, without privileges.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import PyMongoError
from tests.support.proxy import CLIENT, Proxy
from tests.support.servers import ReplicaSet, Server, wait_until

_IMPATIENT: dict[str, Any] = {"serverSelectionTimeoutMS": 1000, "connectTimeoutMS": 1000, "socketTimeoutMS": 1000}
_HEALTHY = ["PRIMARY", "SECONDARY", "SECONDARY"]


class ProxiedSet(ReplicaSet):
    """Three members, each behind a proxy."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._closing = ExitStack()
        self.proxies: list[Proxy] = []

    @property
    def ports(self) -> list[int]:
        return [proxy.port for proxy in self.proxies]

    def start(self) -> None:
        for member in self.members:
            self.proxies.append(self._closing.enter_context(Proxy(member.process.port, origin=self._origin)))
        super().start()

    def stop(self) -> None:
        super().stop()
        self._closing.close()

    def _origin(self, port: int) -> str:
        inode = _inode_of(port)
        for number, member in enumerate(self.members):
            if member.process.pid is not None and inode in _sockets_of(member.process.pid):
                return str(number)
        return CLIENT

    @contextmanager
    def isolated(self, member: Server, *, members: bool = True, clients: bool = True) -> Iterator[None]:
        """Nothing passes between it and the other members, or clients, or both, either way. Nothing is closed: it is a
        cable that is pulled and plugged in again."""
        me = self.members.index(member)
        others = {str(number) for number in range(len(self.members)) if number != me}
        inbound = (others if members else set()) | ({CLIENT} if clients else set())
        with ExitStack() as stack:
            stack.enter_context(self.proxies[me].holding(inbound))
            if members:
                for number, proxy in enumerate(self.proxies):
                    if number != me:
                        stack.enter_context(proxy.holding({str(me)}))
            yield

    def healthy(self) -> bool:
        """One primary that can be written, two secondaries, as each of them sees it."""
        for member in self.members:
            status = ask(member, {"replSetGetStatus": 1})
            if status is None or sorted(each["stateStr"] for each in status["members"]) != _HEALTHY:
                return False
        return leader(self) is not None

    def settled(self) -> None:
        wait_until(self.healthy, "the replica set has not settled")


def ask(member: Server, command: dict[str, Any]) -> dict[str, Any] | None:
    """The answer of this member, past the proxy; None when it does not answer within a second."""
    with suppress(PyMongoError), pymongo.MongoClient[dict[str, Any]](member.admin_uri, **_IMPATIENT) as client:
        return client.admin.command(command)
    return None


def leader(members: ReplicaSet) -> Server | None:
    """The member that says it can be written, that of the newest term; None when none does. Asked past the proxies."""
    found: list[tuple[Any, int]] = []
    for number, member in enumerate(members.members):
        hello = None if member.process.pid is None else ask(member, {"hello": 1})
        if hello is not None and hello["isWritablePrimary"]:
            found.append((hello["electionId"], number))
    return members.members[max(found)[1]] if found else None


def _inode_of(port: int) -> str:
    """Of the loopback socket with this local port (proc(5), net/tcp)."""
    local = f"0100007F:{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == local:
            return fields[9]
    return ""


def _sockets_of(pid: int) -> set[str]:
    """Inodes of the sockets that a process holds."""
    found = set()
    folder = f"/proc/{pid}/fd"
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(OSError):  # closed meanwhile
                found.add(os.readlink(f"{folder}/{name}").removeprefix("socket:[").removesuffix("]"))
    return found
