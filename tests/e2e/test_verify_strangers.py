"""`tailrace verify` and documents whose `_id` no known file can have."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import MaxKey, MinKey, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from tests.support.bench import a_life, a_span, bench
from tests.support.ingested import Tree, trades
from tests.support.servers import Server
from tests.support.tailrace_process import tailrace

from tailrace.ingest.mongo.ledger_documents import document_of
from tailrace.verify.lives import Lives
from tailrace.verify.report import Unexplained
from tailrace.verify.strangers import Strangers

HOUR = "20250310/9"
NINE = 1741597200


@pytest.fixture(params=["plain", "clustered"])
def tree(tmp_path: Path, standalone: Server, database_name: str, request: pytest.FixtureRequest) -> Tree:
    """In either form of collection."""
    clustered = "true" if request.param == "clustered" else "false"
    tree = Tree(tmp_path, standalone.uri, database_name, clustered=clustered)
    tree.write(HOUR, trades(0, 20))
    tree.write("20250310/11", trades(20, 20))
    tree.ingest()
    with tree.database() as database:
        options = database.command("listCollections", filter={"name": tree.collection})["cursor"]["firstBatch"]
        assert ("clusteredIndex" in options[0]["options"]) is (request.param == "clustered")
    return tree


def unexplained(tree: Tree, *hours: str, deep: bool = True) -> Unexplained:
    report = tree.verify(*hours, deep=deep)
    found = report.unexplained
    assert found is not None
    assert [file.state.value for file in report.files] == ["ok"] * len(report.files)
    assert report.proven is (found.documents == 0)
    return found


def in_gap(seconds: int, rest: int = 0) -> ObjectId:
    return ObjectId(seconds.to_bytes(4, "big") + rest.to_bytes(8, "big"))


def test_a_document_in_a_gap_is_unexplained(tree: Tree) -> None:
    """Before all lives, between two, behind the last: found and named; within chosen hours only what lies there."""
    assert unexplained(tree).documents == 0
    places = [
        in_gap(5),
        in_gap(NINE),
        in_gap(NINE + 3600, 7),
        in_gap(NINE + 7200, (1 << 64) - 1),
        in_gap((1 << 32) - 1),
    ]
    with tree.documents() as documents:
        documents.insert_many([{"_id": place} for place in places])
    found = unexplained(tree)
    assert (found.documents, found.examples) == (5, [str(place) for place in places])
    assert unexplained(tree, deep=False).documents == 5
    assert unexplained(tree, HOUR).examples == [str(places[1])]
    assert unexplained(tree, "20250310/11").examples == [str(places[3])]
    assert unexplained(tree, "20250310").documents == 3
    path = tree.root / "node_trades" / "hourly" / "20250310" / "9"
    assert unexplained(tree, str(path)).examples == [str(places[1])]


@pytest.mark.parametrize("foreign", [7, "text", True, datetime(2025, 3, 10, tzinfo=UTC), MinKey(), MaxKey()])
def test_an_id_of_another_type_is_unexplained(tree: Tree, foreign: Any) -> None:
    """Whatever sorts before or after an ObjectId; only where everything was asked for, it belongs to no hour."""
    with tree.documents() as documents:
        documents.insert_one({"_id": foreign})
        found = unexplained(tree)
        assert (found.documents, len(found.examples)) == (1, 1)
        assert unexplained(tree, HOUR).documents == 0
        documents.delete_one({"_id": foreign})
    assert unexplained(tree).documents == 0


def test_many_of_them_are_counted_in_pages(tree: Tree) -> None:
    """More than are read at once, with a life that is entered among them."""
    with tree.documents() as documents:
        documents.insert_many([{"_id": in_gap(NINE + 3600, number)} for number in range(12_000)])
        documents.insert_many([{"_id": number} for number in range(300)])
    found = unexplained(tree)
    assert (found.documents, found.at_least, len(found.examples)) == (12_300, False, 5)


def test_a_life_whose_ledger_entry_is_gone_is_unexplained_until_it_is_repaired(tree: Tree) -> None:
    """The file is not ingested as far as the ledger knows, its documents are nobody's; entered again both are well."""
    with tree.database() as database:
        files = database[f"{tree.collection}.files"]
        assert files.delete_one({"path": {"$regex": "/9$"}}).deleted_count == 1
    report = tree.verify()
    assert [file.state.value for file in report.files] == ["not ingested", "ok"]
    assert report.unexplained is not None
    assert report.unexplained.documents == 20
    report = tree.verify(repair=True)
    assert report.proven
    assert [(file.repaired_file, file.repaired_documents) for file in report.files] == [(True, 0), (False, 0)]
    with tree.documents() as documents:
        assert documents.count_documents({}) == 40


@pytest.mark.parametrize("tree", ["plain"], indirect=True)
def test_two_sources_in_one_collection_are_not_each_other_s(tree: Tree, tmp_path: Path) -> None:
    """Each is proven by itself, also when it knows nothing of the other's tree; a stranger is still found."""
    flags = {name: tree.flags[name] for name in ("clustered",)}
    other = Tree(tmp_path / "b", tree.flags["mongodb_uri"], tree.flags["database"], source="b", **flags)
    other.write(HOUR, trades(0, 20))
    other.ingest()
    with tree.documents() as documents:
        assert documents.count_documents({}) == 60
        for each in (tree, other):
            report = each.verify()
            assert (report.proven, report.lives) == (True, [])
            assert report.unexplained == Unexplained()
        config = tmp_path / "both.toml"
        config.write_text(
            f'database = "{tree.flags["database"]}"\nhttp = "off"\n'
            + "".join(
                f'[[sources]]\nroot = "{each.root}"\nstream = "node_trades"\nsource = "{name}"\n'
                for name, each in (("node_trades", tree), ("b", other))
            )
        )
        uri = tree.flags["mongodb_uri"]
        both = tailrace("verify", "--config", str(config), TAILRACE_MONGODB_URI=uri)
        assert (both.returncode, both.stderr) == (0, "")
        documents.insert_one({"_id": in_gap(NINE, 3)})
    assert not tree.verify().proven
    assert not other.verify().proven
    report = json.loads(tailrace("verify", "--config", str(config), "--json", TAILRACE_MONGODB_URI=uri).stdout)
    assert report["totals"]["unexplained"] == 1
    assert [source["unexplained"] is None for source in report["sources"]] == [False, True]


class _MeanwhileEntered(Lives):
    """The ledger, into which another process enters a life right after it was read."""

    enter: Callable[[], None]

    async def prefixes(self) -> list[bytes]:
        known = await super().prefixes()
        self.enter()
        return known


async def test_a_life_that_is_entered_while_it_looks_is_explained(standalone: Server, database_name: str) -> None:
    """Its ids are read before the ledger is asked for them: a live `run` raises no alarm, a stranger beside it does."""
    async with bench(standalone.uri, database_name) as ours:
        lives = _MeanwhileEntered(ours.handles, ours.retrier)
        life = a_life(head=b"new")
        chunk, encoded = a_span(life, 6_000)

        def enter() -> None:
            with MongoClient[dict[str, Any]](standalone.uri) as client:
                database = client[database_name]
                database["trades.files"].insert_one({"_id": life.prefix, **document_of(life)})
                database["trades"].insert_many([RawBSONDocument(each) for each in encoded.documents])
                database["trades"].insert_one({"_id": ObjectId(life.prefix[:6] + b"\xff" * 6)})

        lives.enter = enter
        assert life.prefix[6] != 0xFF
        found = await Strangers(ours.handles.data, ours.retrier, lives).search(None, lambda _done, _all: None)
        assert found.documents == 1
        assert len(chunk.data) > 0


def test_known_lives_are_passed_over_without_reading_them(tree: Tree) -> None:
    """Seeks in the index of `_id`, one for each gap: no document of a known life is examined."""
    with tree.database() as database:
        files = database[f"{tree.collection}.files"]
        entry = files.find_one({"fingerprint": {"$exists": True}})
        assert entry is not None
        hours = range(3, 303)
        begin = [(NINE + 3600 * hour).to_bytes(4, "big") + b"abc" for hour in hours]
        files.insert_many([{**entry, "_id": prefix, "source": "another"} for prefix in begin])
        database[tree.collection].insert_many([{"_id": ObjectId(prefix + bytes(5))} for prefix in begin])
        database.command({"profile": 2})
        try:
            assert unexplained(tree).documents == 0
        finally:
            database.command({"profile": 0})
        seen = database["system.profile"].find({"op": "query", "ns": re.compile("node_trades$")})
        gaps = [each for each in seen if "$lte" in str(each["command"].get("filter")) and "limit" in each["command"]]
        assert len(gaps) >= 300
        assert sum(each["docsExamined"] + each["keysExamined"] for each in gaps) < 2 * len(gaps)
