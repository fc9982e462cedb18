"""`tailrace rejects` on a real server: what was kept aside is listed, shown, and stored once it is good."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.ingested import Tree, block, line, trade, trades
from tests.support.servers import Server
from tests.support.tailrace_process import Run, environment, tailrace, until

HOUR = "20250310/9"
BAD = b'{"coin":"\x1b[31mBTC"}'


@pytest.fixture
def tree(tmp_path: Path, standalone: Server, database_name: str) -> Tree:
    return Tree(tmp_path, standalone.uri, database_name)


def rejects(tree: Tree, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """The command with nothing but server, database and collection: no root, no state directory."""
    flags = ["--mongodb-uri", tree.flags["mongodb_uri"], "--database", tree.flags["database"]]
    return tailrace("rejects", arguments[0], "--collection", tree.collection, *flags, *arguments[1:], **more)


def replay(tree: Tree, *arguments: str) -> dict[str, Any]:
    done = rejects(tree, "replay", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def refuse(tree: Tree, **rule: Any) -> None:
    """Documents that match `rule` are refused by the server."""
    with tree.database() as database:
        database.create_collection(tree.collection, validator={"$nor": [rule]})


def accept(tree: Tree) -> None:
    with tree.database() as database:
        database.command({"collMod": tree.collection, "validator": {}})


def kept(tree: Tree) -> int:
    with tree.rejects() as collection:
        count: int = collection.count_documents({})
    return count


def stored(tree: Tree) -> int:
    with tree.documents() as documents:
        count: int = documents.count_documents({})
    return count


def test_list_gives_the_places_and_sums_up_by_reason(tree: Tree) -> None:
    """A row each in order of place, the summary last; --reason, --hour and --limit narrow it; --json has it all."""
    tree.write(HOUR, trades(0, 2) + b"\n" + BAD + b"\n" + trades(2, 2) + b"nope\n")
    tree.write("20250310/10", b"{}\n" + trades(4, 1))
    tree.ingest()
    done = rejects(tree, "list")
    assert done.returncode == 0, done.stderr
    heading, *rows, summary = done.stdout.splitlines()
    assert heading.split() == ["id", "reason", "file", "offset", "index", "size", "detail"]
    offset = len(trades(0, 2))
    places = [row.split()[1:6] for row in rows]
    assert places[0] == ["empty", "20250310/9", str(offset), "0", "0"]
    assert [(place[0], place[1]) for place in places[1:]] == [
        ("json", "20250310/9"),
        ("json", "20250310/9"),
        ("missing", "20250310/10"),
    ]
    assert summary == f"4 kept aside in {tree.flags['database']}.node_trades.rejects: json 2, empty 1, missing 1"
    assert "\x1b" not in done.stdout
    listed = json.loads(rejects(tree, "list", "--json", "--reason", "json", "--limit", "1").stdout)
    assert (listed["version"], listed["total"], listed["reasons"]) == (1, 2, {"json": 2})
    assert [(x["offset"], x["size"]) for x in listed["rejects"]] == [(offset + 1, len(BAD))]
    listed = json.loads(rejects(tree, "list", "--json", "--hour", "20250310/10").stdout)
    assert [(x["reason"], x["hour"]) for x in listed["rejects"]] == [("missing", "2025-03-10T10Z")]
    assert rejects(tree, "list", "--reason", "ugly").returncode == 2
    assert rejects(tree, "list", "--hour", "noon").returncode == 2


def test_show_gives_the_fields_and_the_very_bytes(tree: Tree, tmp_path: Path) -> None:
    """By the beginning of the id; escaped for a terminal; --raw and --output give the bytes as they were."""
    bytes_kept = b'\xff\x00\x1b[2J{"coin": "BTC"}'
    tree.write(HOUR, trades(0, 1) + bytes_kept + b"\n")
    tree.ingest()
    [reject] = json.loads(rejects(tree, "list", "--json").stdout)["rejects"]
    done = rejects(tree, "show", reject["id"][:24])
    assert done.returncode == 0, done.stderr
    fields = dict(row.split(maxsplit=1) for row in done.stdout.splitlines() if row and not row.startswith("\\"))
    assert (fields["id"], fields["reason"], fields["offset"]) == (reject["id"], "utf8", str(len(trades(0, 1))))
    assert done.stdout.splitlines()[-1] == r'\xff\x00\x1b[2J{"coin": "BTC"}'
    command = ["rejects", "show", reject["id"], "--raw", *("--collection", "node_trades")]
    server = ["--mongodb-uri", tree.flags["mongodb_uri"], "--database", tree.flags["database"]]
    raw = subprocess.run(
        [sys.executable, "-m", "tailrace", *command, *server], capture_output=True, env=environment(), check=True
    )
    assert raw.stdout == bytes_kept
    assert rejects(tree, "show", reject["id"], "--output", str(tmp_path / "kept")).returncode == 0
    assert (tmp_path / "kept").read_bytes() == bytes_kept
    assert rejects(tree, "show", "f" * 24).returncode == 2
    assert rejects(tree, "show", "not-an-id").returncode == 2


def test_replay_stores_what_is_good_now_and_leaves_what_is_not(tree: Tree) -> None:
    """A validator refused documents and is gone: they are stored, bad lines stay, `verify` proves it."""
    refuse(tree, coin="ODD")
    lines = [line(trade(number, coin="ODD" if number % 3 else "ENA")) for number in range(30)]
    tree.write(HOUR, b"".join(lines) + b"{\n")
    tree.ingest()
    assert (stored(tree), kept(tree)) == (10, 21)
    assert replay(tree) == {
        "version": 1,
        "dry_run": False,
        "rejects": 21,
        "stored": 0,
        "already_there": 0,
        "still_rejected": 21,
        "reasons": {"json": 1, "server_refused": 20},
    }
    assert (stored(tree), kept(tree)) == (10, 21)
    accept(tree)
    dry = replay(tree, "--dry-run")
    assert (dry["dry_run"], dry["stored"], dry["still_rejected"], stored(tree), kept(tree)) == (True, 20, 1, 10, 21)
    done = replay(tree, "--reason", "json")
    assert (done["rejects"], done["stored"], done["reasons"]) == (1, 0, {"json": 1})
    done = replay(tree)
    assert (done["stored"], done["already_there"], done["still_rejected"]) == (20, 0, 1)
    assert (stored(tree), kept(tree)) == (30, 1)
    file = tree.verify_file()
    assert (file.state, file.equal, file.kept) == ("ok", 30, 1)
    text = rejects(tree, "replay").stdout
    assert text == "1 rejects looked at: 0 stored, 0 already there, 1 still rejected (json 1)\n"


def test_replay_of_some_leaves_the_others(tree: Tree) -> None:
    """By id only those."""
    refuse(tree, coin="ODD")
    tree.write(HOUR, b"".join(line(trade(number, coin="ODD")) for number in range(4)) + trades(9, 1))
    tree.ingest()
    accept(tree)
    ids = [reject["id"] for reject in json.loads(rejects(tree, "list", "--json").stdout)["rejects"]]
    done = replay(tree, ids[1], ids[3][:24])
    assert (done["rejects"], done["stored"], kept(tree)) == (2, 2, 2)
    assert tree.verify_file().kept == 2


def test_entries_of_a_block_come_back_to_their_own_ids(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """Entries that only the server refused, in the middle of their lines; another entry is bad for good."""
    tree = Tree(tmp_path, standalone.uri, database_name, "node_trades_by_block")
    refuse(tree, coin="ODD")
    events: list[Any] = [trade(n, coin="ODD" if n in (1, 2, 4) else "ENA") for n in range(5)]
    tree.write(HOUR, line(block(1, events)) + line(block(2, [{"coin": 1}, *events])))
    tree.ingest()
    assert (stored(tree), kept(tree)) == (4, 7)
    accept(tree)
    done = replay(tree)
    assert (done["stored"], done["still_rejected"], kept(tree)) == (6, 1, 1)
    file = tree.verify_file()
    assert (file.state, file.equal, file.kept) == ("ok", 10, 1)


def test_a_whole_block_is_taken_apart_when_it_can_be_read(
    tmp_path: Path, standalone: Server, database_name: str
) -> None:
    """A block over the limit then, under it now: its entries are stored, its bad one kept aside alone."""
    tree = Tree(tmp_path, standalone.uri, database_name, "node_trades_by_block")
    events: list[Any] = [trade(n) for n in range(200)]
    events[77] = {"coin": None}
    tree.write(HOUR, line(block(1, [trade(0)])) + line(block(2, events)))
    tree.ingest(max_line_bytes="32KiB")
    assert (stored(tree), kept(tree)) == (1, 1)
    assert (tree.verify_file(max_line_bytes="32KiB").kept, tree.verify_file().kept) == (1, 200)
    done = replay(tree, "--max-line-bytes", "32KiB")
    assert (done["stored"], done["reasons"], kept(tree)) == (0, {"too_long": 1}, 1)
    done = replay(tree)
    assert (done["stored"], done["still_rejected"]) == (199, 1)
    [reject] = json.loads(rejects(tree, "list", "--json").stdout)["rejects"]
    assert (reject["index"], reject["size"] < 500) == (77, True)
    file = tree.verify_file()
    assert (file.state, file.equal, file.kept) == ("ok", 200, 1)


def test_a_reject_of_many_parts_leaves_none_behind(tree: Tree) -> None:
    """A line of 9 MB, kept in two parts: one document, and an empty collection of rejects."""
    long = line(trade(1, note="y" * 9_000_000))
    tree.write(HOUR, trades(0, 1) + long)
    tree.ingest(max_line_bytes="1MiB")
    assert kept(tree) == 2  # the head and a part
    assert replay(tree)["stored"] == 1
    assert kept(tree) == 0
    assert tree.verify_file().equal == 2


def test_replay_under_content_identity_counts_copies_as_there(
    tmp_path: Path, standalone: Server, database_name: str
) -> None:
    """Five refused copies of one event: one document, four already there, no reject left; a conflict stays."""
    tree = Tree(tmp_path, standalone.uri, database_name, identity="content")
    refuse(tree, coin="ODD")
    odd = line(trade(1, coin="ODD"))
    tree.write(HOUR, 5 * odd + trades(2, 3))
    tree.ingest()
    tree.write("20250310/10", line(trade(2, px="9.9")))
    tree.ingest()
    assert (stored(tree), kept(tree)) == (3, 6)
    accept(tree)
    done = replay(tree)
    assert (done["stored"], done["already_there"], done["reasons"]) == (1, 4, {"id_conflict": 1})
    assert (stored(tree), kept(tree)) == (4, 1)
    assert tree.verify().proven


def test_a_replay_killed_between_storing_and_deleting_loses_and_doubles_nothing(tree: Tree, standalone: Server) -> None:
    """The document is there, the reject too: the next replay finds it equal and deletes the reject."""
    refuse(tree, coin="ODD")
    tree.write(HOUR, b"".join(line(trade(number, coin="ODD")) for number in range(40)))
    tree.ingest(numbers="decimal")
    accept(tree)
    flags = ["--mongodb-uri", tree.flags["mongodb_uri"], "--database", tree.flags["database"]]
    command = [sys.executable, "-m", "tailrace", "rejects", "replay", "--collection", tree.collection, *flags]
    with standalone.failing("delete", closeConnection=True):
        process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: stored(tree) == 40, what="storing before deleting")
            assert process.poll() is None
        finally:
            process.kill()
            process.wait(10)
        assert kept(tree) == 40
    assert tree.verify_file().equal == 40
    done = replay(tree)
    assert (done["stored"], done["already_there"], done["still_rejected"]) == (0, 40, 0)
    assert (stored(tree), kept(tree)) == (40, 0)


def test_replay_beside_a_live_run(tree: Tree) -> None:
    """Rejects of the very file that `run` is reading: both go on, and `verify` proves the end."""
    refuse(tree, coin="ODD")
    tree.write(HOUR, trades(0, 5) + line(trade(5, coin="ODD")))
    with Run(*tree.options) as run:
        until(lambda: kept(tree) == 1, what="keeping the refused one aside")
        accept(tree)
        assert replay(tree)["stored"] == 1
        tree.write(HOUR, trades(6, 5))
        until(lambda: stored(tree) == 11, what="storing the rest")
        run.stop()
    file = tree.verify_file()
    assert (file.state, file.equal, file.kept) == ("ok", 11, 0)


def test_without_a_collection_it_says_what_to_set(tree: Tree) -> None:
    """One sentence and exit 78; and an empty collection has nothing kept aside."""
    done = tailrace("rejects", "list", "--mongodb-uri", tree.flags["mongodb_uri"])
    assert (done.returncode, done.stdout) == (78, "")
    assert "set --collection" in done.stderr
    done = rejects(tree, "list")
    assert (done.returncode, done.stdout.strip()) == (
        0,
        f"nothing is kept aside in {tree.flags['database']}.node_trades.rejects",
    )
