"""The roles of docs/security.md: each is enough for what the page says, and nothing in it is too much."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support import roles
from tests.support.ingested import Tree, line, trade, trades
from tests.support.servers import Server
from tests.support.tailrace_process import Run, tailrace, until
from typer.testing import CliRunner

from tailrace.cli import app
from tailrace.errors import Exit, ServerRefusesUs, Verdict
from tailrace.ingest.instance import Instance
from tailrace.ingest.mongo import server as start_up
from tailrace.ingest.mongo.connection import connect
from tailrace.ingest.wiring import server_options

HOUR = "20250310/9"
USER = "tailrace"
FULL, NARROW, READING = "tailrace", "tailraceRun", "tailraceVerify"
BAD_LINES = b"{\n" + line({"coin": "BTC"})  # json, missing

Client = MongoClient[dict[str, Any]]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for a password."""
    server = Server(tmp_path_factory.mktemp("guarded"), "--auth")
    server.start()
    try:
        roles.make_users(server.uri)
        yield server
    finally:
        server.kill()


@pytest.fixture
def admin(guarded: Server) -> Iterator[Client]:
    with Client(roles.as_user(guarded.process.uri, roles.ADMIN)) as client:
        yield client


@pytest.fixture
def tree(tmp_path: Path, guarded: Server, database_name: str) -> Tree:
    return Tree(tmp_path, roles.as_user(guarded.process.uri, USER), database_name, shutdown_grace="100ms")


def allow(admin: Client, tree: Tree, role: str) -> None:
    roles.make_user(admin, USER, roles.documented(role, tree.flags["database"]))


def counts(admin: Client, tree: Tree) -> tuple[int, int]:
    """Documents, kept rejects; counted without tailrace."""
    database = admin[tree.flags["database"]]
    return database.node_trades.count_documents({}), database["node_trades.rejects"].count_documents({})


def succeeds(tree: Tree, *command: str) -> str:
    flags = tree.options if command[0] != "rejects" else without_root(tree)
    done = tailrace(*command, *flags)
    assert done.returncode == Exit.DONE, (command, done.stdout, done.stderr)
    assert "mongodb_refuses" not in done.stderr
    return done.stdout


def refuses(tree: Tree, *command: str) -> str:
    """Exit 78 and one sentence, which is returned."""
    done = tailrace(*command, *tree.options, "--log-format", "text")
    said = done.stdout + done.stderr
    assert done.returncode == Exit.CONFIGURATION, said
    assert "Traceback" not in said
    [sentence] = [each for each in said.splitlines() if each.startswith(("PROBLEM", "tailrace: "))]
    return sentence


def without_root(tree: Tree) -> list[str]:
    given = {"--mongodb-uri": tree.flags["mongodb_uri"], "--database": tree.flags["database"]}
    return [word for pair in {**given, "--collection": tree.collection}.items() for word in pair]


def test_the_documented_role_is_enough_for_every_command(admin: Client, tree: Tree) -> None:
    """A fresh database, rejects, a second start and a replay: nothing is refused, everything is there."""
    allow(admin, tree, FULL)
    tree.write(HOUR, trades(0, 20) + BAD_LINES)
    assert "run would start" in succeeds(tree, "check")
    succeeds(tree, "run", "--once")
    assert counts(admin, tree) == (20, 2)
    tree.write(HOUR, trades(20, 5))
    tree.ingest()
    assert tree.verify().proven
    assert json.loads(succeeds(tree, "rejects", "list", "--json"))["total"] == 2
    assert counts(admin, tree) == (25, 2)
    assert json.loads(succeeds(tree, "rejects", "replay", "--json"))["still_rejected"] == 2


def test_the_narrow_role_runs_and_repairs_but_deletes_nothing(admin: Client, tree: Tree) -> None:
    """Refused while the collection is missing, in one sentence; enough once it is there, for a repair, too."""
    allow(admin, tree, NARROW)
    tree.write(HOUR, trades(0, 10) + BAD_LINES)
    assert f"may not createIndex on {tree.flags['database']}.node_trades:" in refuses(tree, "check")
    assert admin[tree.flags["database"]].list_collection_names() == []
    allow(admin, tree, FULL)
    tree.ingest()
    allow(admin, tree, NARROW)
    tree.write(HOUR, trades(10, 10))
    assert "run would continue" in succeeds(tree, "check")
    tree.ingest()
    assert admin[tree.flags["database"]].node_trades.find_one_and_delete({}) is not None
    assert not tree.verify().proven
    succeeds(tree, "verify", "--repair")
    assert tree.verify().proven
    assert counts(admin, tree) == (20, 2)


def test_the_reading_role_proves_and_cannot_write(admin: Client, tree: Tree) -> None:
    """`verify` and `rejects list` work under it; `run` says what it lacks."""
    allow(admin, tree, FULL)
    tree.write(HOUR, trades(0, 10) + BAD_LINES)
    tree.ingest()
    allow(admin, tree, READING)
    succeeds(tree, "verify")
    assert json.loads(succeeds(tree, "rejects", "list", "--json"))["total"] == 2
    assert f"may not insert on {tree.flags['database']}.node_trades:" in refuses(tree, "run", "--once")
    assert counts(admin, tree) == (10, 2)


def test_without_a_role_verify_says_what_it_lacks(admin: Client, tree: Tree) -> None:
    """A user without any right: one sentence that names the action, the collection and the page, exit 78."""
    roles.make_user(admin, USER, [])
    tree.write(HOUR, trades(0, 1))
    where = re.escape(tree.flags["database"])
    sentence = refuses(tree, "verify")
    assert re.search(
        rf"the user may not \w+ on {where}(\.node_trades\S*)? \(docs/security\.md has the roles\)", sentence
    )


def without_one(role: str) -> list[tuple[str, str]]:
    """(suffix of the collection, or "db" for the database; action) of every privilege of a role."""
    found = []
    for privilege in roles.documented(role):
        name = privilege["resource"]["collection"]
        found += [(name.removeprefix(roles.COLLECTION) if name else "db", action) for action in privilege["actions"]]
    return found


def allow_without(admin: Client, tree: Tree, role: str, suffix: str, action: str) -> str:
    """Grant the role without one privilege; where it is missing."""
    granted = roles.documented(role, tree.flags["database"])
    name = "" if suffix == "db" else roles.COLLECTION + suffix
    [privilege] = [each for each in granted if each["resource"]["collection"] == name]
    privilege["actions"].remove(action)
    roles.make_user(admin, USER, [each for each in granted if each["actions"]])
    return tree.flags["database"] + (f".{name}" if name else "")


async def run_until_refused(tree: Tree) -> None:
    """`run --once`, ended as soon as the server refuses something, which is raised."""
    stop = asyncio.Event()
    instance = Instance(tree.settings(), once=True)
    running = asyncio.create_task(instance.run(stop))
    refused = None
    while not running.done():
        if instance.health.state.verdict is Verdict.OPERATOR:
            refused = instance.health.state.sentence
            stop.set()
        await asyncio.wait([running], timeout=0.01)
    if refused is not None:
        raise ServerRefusesUs(refused)
    await running


def everything(tree: Tree) -> None:
    """All that the product does with the server, in this process."""
    for _start in range(2):
        asyncio.run(run_until_refused(tree))
    tree.verify()
    result = CliRunner().invoke(app, ["rejects", "replay", *without_root(tree)])
    if result.exception is not None:
        raise result.exception


@pytest.mark.parametrize(("suffix", "action"), without_one(FULL))
def test_each_privilege_is_needed_and_named_when_it_is_missing(
    admin: Client, tree: Tree, monkeypatch: pytest.MonkeyPatch, suffix: str, action: str
) -> None:
    """Without it the server refuses something that tailrace does (start-up's own check put aside), in a sentence that
    names the privilege and the collection; and start-up's check says so before anything is done."""
    tree.write(HOUR, trades(0, 3) + BAD_LINES + line(trade(4, coin="ODD")))
    where = allow_without(admin, tree, FULL, suffix, action)
    if (suffix, action) != (".rejects", "remove"):  # `rejects replay` alone needs it
        with pytest.raises(ServerRefusesUs) as early:
            asyncio.run(look(tree))
        assert f"may not {action} on {where}" in str(early.value)
    else:
        # A reject that becomes good is removed: the odd one, which the server refuses for now.
        database = admin[tree.flags["database"]]
        database.create_collection("node_trades", validator={"coin": {"$ne": "ODD"}})
        asyncio.run(run_until_refused(tree))
        assert counts(admin, tree) == (3, 3)
        database.command({"collMod": "node_trades", "validator": {}})
    if action == "insert":  # who may not insert may not create either: creating must not be the reason
        for name in (tree.collection, f"{tree.collection}.rejects", f"{tree.collection}.files"):
            admin[tree.flags["database"]].create_collection(name)
    monkeypatch.setattr(start_up, "missing_privilege", lambda *_: None)
    with pytest.raises(ServerRefusesUs) as late:
        everything(tree)
    sentence = str(late.value)
    assert action in sentence.partition("may not ")[2].partition(" on ")[0], sentence
    assert f" on {where} " in sentence or f" on {where}:" in sentence, sentence
    assert "\n" not in sentence
    assert "lsid" not in sentence


async def look(tree: Tree) -> None:
    """What `check` and the start of `run` do with the server first."""
    settings = tree.settings()
    options = server_options(settings, settings.sources[0], settings.connection_string)
    client = connect(options)
    try:
        await start_up.inspect(client, options)
    finally:
        await client.close()


def test_a_right_taken_away_at_run_time_is_waited_for(admin: Client, tree: Tree) -> None:
    """An error that names it, nothing lost, and on it goes when the right is back; every entry once."""
    allow(admin, tree, FULL)
    tree.write(HOUR, trades(0, 10))
    with Run(*tree.options, "--poll-interval", "50ms") as run:
        run.wait_for("live")
        where = allow_without(admin, tree, FULL, "", "insert")
        tree.write(HOUR, trades(10, 10))
        refused = run.wait_for("mongodb_refuses")
        assert f"may not insert on {where}" in refused["error"]
        assert counts(admin, tree) == (10, 0)
        allow(admin, tree, FULL)
        until(lambda: counts(admin, tree) == (20, 0), what="what was refused is stored")
        run.wait_for("mongodb_back")
        assert run.stop()["unaccounted"] == 0
    succeeds(tree, "verify")
