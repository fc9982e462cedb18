"""Replies that mix refusals, duplicates and a write concern that is not met; commands that fail for one document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard
from pymongo import MongoClient
from tests.support.ingested import Tree, block, line, trade
from tests.support.proxy import Proxy
from tests.support.servers import Server
from tests.support.tailrace_process import Run, tailrace, until
from tests.support.under_load import checkpoint, through

Document = dict[str, Any]
HOUR = "20250310/9"
REFUSED = "REFUSED"  # the coin that the validator does not want


@contextmanager
def collections(server: Server, database: str) -> Iterator[tuple[Any, Any]]:
    """(documents, rejects)"""
    with MongoClient[Document](server.uri) as client:
        yield client[database]["node_trades"], client[database]["node_trades.rejects"]


def kept(rejects: Any) -> dict[str, list[bytes]]:
    """The bytes that were kept aside, by reason, in file order."""
    found: dict[str, list[bytes]] = {}
    for head in rejects.find({"reason": {"$exists": True}}).sort("_id", 1):
        parts = [head, *rejects.find({"reject": head["_id"]}).sort("part", 1)]
        data = b"".join(zstandard.ZstdDecompressor().decompress(part["bytes"]) for part in parts)
        found.setdefault(head["reason"], []).append(data)
    return found


def once(tree: Tree, **more: str) -> Document:
    """`run --once`; its `stopped` event."""
    options = [word for name, value in more.items() for word in (f"--{name.replace('_', '-')}", value)]
    done = tailrace("run", "--once", "--log-format", "json", *tree.options, *options)
    assert done.returncode == 0, done.stderr
    event: Document = json.loads(done.stderr.splitlines()[-1])
    assert event["event"] == "stopped"
    return event


def test_refusals_duplicates_and_a_write_concern_error_in_one_reply(
    tmp_path: Path, standalone: Server, database_name: str
) -> None:
    """A reply with validator errors, duplicate keys and a write-concern error settles nothing. Once the concern is met,
    what is there and equal is a duplicate, and what the validator refuses is kept aside with its bytes."""
    with MongoClient[Document](standalone.uri) as client:
        client[database_name].create_collection("node_trades", validator={"coin": {"$ne": REFUSED}})
    lines = [line(trade(number, coin=REFUSED if number % 10 == 3 else "ENA")) for number in range(60)]
    refused = [each for number, each in enumerate(lines) if number % 10 == 3]
    # Content ids: of them nobody knows the highest, so nothing is compared before it is inserted.
    first = Tree(tmp_path / "first", standalone.uri, database_name, identity="content", source="first")
    first.write(HOUR, b"".join(each for each in lines[:30] if each not in refused))
    assert once(first)["inserted"] == 27

    with Proxy(standalone.process.port) as proxy:
        uri = through(standalone, proxy)
        second = Tree(tmp_path, uri, database_name, identity="content", source="second")
        second.write(HOUR, b"".join(lines))
        proxy.watch = {"insert"}
        with Run(*second.options, "--write-timeout", "5s") as run:
            with standalone.failing("insert", writeConcernError={"code": 64, "errmsg": "waiting timed out"}):
                until(lambda: len(proxy.seen) >= 4, what="attempts")
                assert checkpoint(tmp_path) == 0, "nothing is settled"
                with collections(standalone, database_name) as (_documents, rejects):
                    assert kept(rejects) == {}, "nor kept aside"
            run.wait_for("live", timeout=60)
            stopped = run.stop()
    codes = sorted({error["code"] for error in proxy.seen[0]["writeErrors"]})
    assert codes == [121, 11000], "the reply mixes both"
    assert proxy.seen[0]["writeConcernError"]["code"] == 64
    assert (stopped["inserted"], stopped["duplicates"], stopped["rejected"]) == (0, 54, 6), "all of it was proven"
    with collections(standalone, database_name) as (documents, rejects):
        assert documents.count_documents({}) == 54
        assert kept(rejects) == {"server_refused": [each.rstrip(b"\n") for each in refused]}


def test_a_document_nested_deeper_than_the_server_takes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A server that takes less nesting than we do refuses the whole command: the documents that are the cause are found
    and kept aside with their bytes, their siblings are stored."""
    directory = tmp_path_factory.mktemp("shallow")
    server = Server(directory, "--setParameter", "maxBSONDepth=30")
    server.start()
    try:
        deep: Any = "bottom"
        for _ in range(60):
            deep = {"in": deep}
        lines = [line(trade(number)) for number in range(200)]
        lines[70], lines[150] = line(trade(70, extra=deep)), line(trade(150, extra=deep))
        tree = Tree(directory / "tree", server.uri, "shallow")
        tree.write(HOUR, b"".join(lines))
        stopped = once(tree)
        assert (stopped["inserted"], stopped["rejected"]) == (198, 2)
        with collections(server, "shallow") as (documents, rejects):
            assert documents.count_documents({}) == 198
            assert kept(rejects) == {"server_refused": [lines[70].rstrip(b"\n"), lines[150].rstrip(b"\n")]}
        assert once(tree)["lines"] == 0, "the file is not held up by it"
    finally:
        server.kill()


def _wide(number: int, megabytes: float) -> Document:
    """A trade with an array of small integers: two bytes each in JSON, about eleven in BSON."""
    return trade(number, extra=[1] * int(megabytes * 1e6 / 11))


def test_a_document_over_sixteen_mebibytes(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """A line of 4 MB that becomes more than 16 MiB of BSON is kept aside whole, the lines around it are stored."""
    big = line(_wide(5, 20))
    tree = Tree(tmp_path, standalone.uri, database_name)
    tree.write(HOUR, b"".join(line(trade(number)) for number in range(5)) + big + line(trade(6)))
    stopped = once(tree)
    assert (stopped["inserted"], stopped["rejected"]) == (6, 1)
    with collections(standalone, database_name) as (documents, rejects):
        assert documents.count_documents({}) == 6
        assert kept(rejects) == {"too_large": [big.rstrip(b"\n")]}
    assert len(big) < 5e6


def test_entries_of_one_line_that_exceed_a_message(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """A wrapped line whose entries make 50 MB of BSON, more than the server takes in one message (48 MB): all are
    stored."""
    events = [trade(0), *(_wide(number, 10) for number in range(1, 6)), trade(6)]
    whole = line(block(7, events))
    tree = Tree(tmp_path, standalone.uri, database_name, "node_trades_by_block", collection="node_trades")
    tree.write(HOUR, whole)
    stopped = once(tree)
    assert (stopped["inserted"], stopped["rejected"]) == (7, 0)
    with collections(standalone, database_name) as (documents, _rejects):
        sizes = [each["size"] for each in documents.aggregate([{"$project": {"size": {"$bsonSize": "$$ROOT"}}}])]
        assert (len(sizes), sum(sizes) > 48_000_000) == (7, True)
