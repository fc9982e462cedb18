"""What `check` says of a server's version, its disk, the user's rights and another writer's lease."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from bson import DatetimeMS

from tailrace.commands.doctor import collection, rights, server
from tailrace.commands.doctor.finding import Level
from tailrace.commands.doctor.ledger import of_lease
from tailrace.commands.doctor.state import StateSeen
from tailrace.config import load
from tailrace.ingest.mongo import server as start_up
from tailrace.ingest.mongo.connection import ServerOptions, parse_write_concern
from tailrace.ingest.mongo.refusal_sentences import missing_privilege

OPTIONS = ServerOptions(uri="mongodb://h", database="hl", collection="t", write_concern=parse_write_concern("majority"))
EVERYTHING = ["find", "insert", "update", "remove", "listIndexes", "createIndex"]
ALL_THERE = ["t", "t.rejects", "t.files"]


def grants(pairs: Any) -> list[dict[str, Any]]:
    return [{"resource": {"db": "hl", "collection": f"t{suffix}"}, "actions": [action]} for suffix, action in pairs]


def test_the_limits_are_those_of_the_start() -> None:
    """`check` and `run` agree on the oldest server and on the first with clustered collections."""
    assert server.OLDEST == start_up._OLDEST
    assert collection.CLUSTERED_SINCE == start_up._CLUSTERED_SINCE


@pytest.mark.parametrize(
    ("version", "old", "clustered"),
    [((4, 2), Level.PROBLEM, Level.PROBLEM), ((5, 0), Level.OK, Level.PROBLEM), ((5, 3), Level.OK, Level.OK)],
)
def test_versions(version: tuple[int, int], old: Level, clustered: Level) -> None:
    """Too old for anything; too old for a clustered collection that is asked for. Not asked for, it is no matter."""
    assert server.of_version("x", version).level is old
    assert server.of_clustered("x", version, ["hl.t"]).level is clustered
    assert server.of_clustered("x", version, []).level is Level.OK


@pytest.mark.parametrize(
    ("free", "backlog", "level"),
    [(1 << 40, 1 << 30, Level.OK), (1 << 30, 0, Level.NOTE), (1 << 33, 1 << 34, Level.NOTE)],
)
def test_the_servers_disk(free: int, backlog: int, level: Level) -> None:
    """Next to nothing free, or less than the hour files hold: a note each."""
    assert server.of_disk(1 << 41, free, backlog).level is level


def test_every_missing_right_is_named() -> None:
    """Not only the first: by collection, and with the command that grants them, in which no user is named."""
    finding = rights.of_roles(grants([("", "find"), (".files", "insert")]), OPTIONS, ALL_THERE)
    assert finding.level is Level.PROBLEM
    assert "insert, listIndexes on hl.t;" in finding.sentence
    assert "find, insert, update, listIndexes on hl.t.rejects;" in finding.sentence
    assert "find, update, listIndexes on hl.t.files:" in finding.sentence
    assert 'grantRolesToUser("<user>", [{role: "readWrite", db: "hl"}])' in finding.remedy


@pytest.mark.parametrize("present", [[], ["t"], ALL_THERE])
def test_nothing_is_missing_exactly_when_run_would_say_so(present: list[str]) -> None:
    """With any one action withheld `check` and `run` agree; what `check` names, granted, satisfies `run`."""
    pairs = list(itertools.product(("", ".rejects", ".files"), EVERYTHING))
    assert rights.of_roles(grants(pairs), OPTIONS, present).level is Level.OK
    refused = 0
    for withheld in pairs:
        given = grants(pair for pair in pairs if pair != withheld)
        lacking = rights.missing(given, OPTIONS, present)
        assert (missing_privilege(given, OPTIONS, present) is not None) == bool(lacking)
        assert lacking in ({}, {withheld[0]: [withheld[1]]})
        refused += bool(lacking)
    assert refused >= 11
    every = [(suffix, action) for suffix, actions in rights.missing([], OPTIONS, present).items() for action in actions]
    assert missing_privilege(grants(every), OPTIONS, present) is None


@pytest.mark.parametrize(
    ("instance", "expires", "found"),
    [("theirs", 1010.0, True), ("theirs", 999.0, False), ("ours", 1010.0, False)],
)
def test_another_live_writer(instance: str, expires: float, found: bool) -> None:
    """A lease of another state directory that lives by the server's clock: a problem. One of our own, or one that has
    run out, is none."""
    settings = load({"root": "/d", "stream": "node_trades", "state_dir": "/s", "mongodb_uri": "mongodb://h"}, {}, None)
    lease = {"instance": instance, "host": "other-host", "pid": 7, "expires": DatetimeMS(int(expires * 1000))}
    findings = [*of_lease(settings.settings.sources[0], lease, StateSeen(instance="ours", known=True), 1000.0)]
    assert [each.level for each in findings] == ([Level.PROBLEM] if found else [])
    assert all("process 7 on other-host" in each.sentence for each in findings)
    assert [*of_lease(settings.settings.sources[0], None, StateSeen(), 1000.0)] == []
    unknown = [each.level for each in of_lease(settings.settings.sources[0], lease, StateSeen(), 1000.0)]
    assert unknown == ([Level.NOTE] if expires > 1000 else []), "a state that cannot be read is no second writer"
