"""The one-shot of the compose example that makes the replica set, against three real mongods."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support import roles
from tests.support.servers import TEST_COMMANDS, program, wait_until

from tailrace.embedded import MongodProcess

SCRIPT = Path(__file__).parents[2] / "deploy" / "container" / "init_replica_set.py"
NAME = "rs0"

pytestmark = pytest.mark.skipif(roles.authenticated(), reason="the example's members have no users")


@pytest.fixture
def members(tmp_path: Path) -> Iterator[list[MongodProcess]]:
    arguments = [*TEST_COMMANDS, "--replSet", NAME, "--oplogSize", "64"]
    members = [MongodProcess(tmp_path / str(n), program=program(), arguments=arguments) for n in range(3)]
    try:
        for member in members:
            asyncio.run(member.start())
        yield members
    finally:
        for member in members:
            member.kill()


def address(member: MongodProcess) -> str:
    return f"127.0.0.1:{member.port}"


def init(members: list[MongodProcess], limit: float = 40) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(SCRIPT), NAME, *map(address, members)]
    return subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=55, env={"INIT_LIMIT": str(limit)}
    )


def has_members(members: list[MongodProcess]) -> set[str]:
    with MongoClient[dict[str, Any]](address(members[0]), directConnection=True) as client:
        return {each["host"] for each in client.admin.command("replSetGetConfig")["config"]["members"]}


def test_makes_the_set_once(members: list[MongodProcess]) -> None:
    """The first run initiates it with all members and waits for the primary; the second finds it and changes nothing;
    with a member down there is still a primary."""
    first = init(members)
    assert first.returncode == 0, first.stderr
    assert "has been initiated" in first.stdout
    assert has_members(members) == set(map(address, members))
    with MongoClient[dict[str, Any]]([*map(address, members)], replicaSet=NAME, w="majority") as client:
        client["test"]["test"].insert_one({"majority": True})
        assert first.stdout.splitlines()[-1] == "primary: {}:{}".format(*(client.primary or ("", 0)))
        version = client.admin.command("replSetGetConfig")["config"]["version"]

        second = init(members)
        assert second.returncode == 0, second.stderr
        assert "is there already" in second.stdout
        assert client.admin.command("replSetGetConfig")["config"]["version"] == version

        wait_until(lambda: len(client.secondaries) == 2, "no two secondaries")
        idle = next(member for member in members if ("127.0.0.1", member.port) in client.secondaries)
        idle.kill()
    third = init(members)
    assert third.returncode == 0, third.stderr
    assert "is there already" in third.stdout


def test_makes_no_set_without_all(members: list[MongodProcess]) -> None:
    """With a member that does not answer nothing is initiated: one sentence names it, exit 1."""
    members[2].kill()
    done = init(members, limit=1)
    assert done.returncode == 1
    assert done.stderr.strip() == f"replica set {NAME}: no answer from {address(members[2])}: is mongod running there?"
    members[2:] = []
    with pytest.raises(Exception, match="no replset config"):
        has_members(members)
