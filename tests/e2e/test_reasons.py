"""Every reject reason, produced by a line in a file, kept with its bytes; the lines around it stored; replay works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from pymongo import MongoClient
from tests.support.servers import Server
from tests.support.tailrace_process import hour_file, tailrace

from tailrace.model import Framing, Reason
from tailrace.simulator import trade_lines

GOOD = [line.rstrip(b"\n") for line in trade_lines(3, 40, framing=Framing.BARE)]


def changed(line: bytes, **fields: Any) -> bytes:
    entry = json.loads(line)
    for name, value in fields.items():
        if value is None:
            del entry[name]
        else:
            entry[name] = value
    return json.dumps(entry, separators=(",", ":")).encode()


def with_extra(line: bytes, text: bytes) -> bytes:
    return line[:-1] + b"," + text + b"}"


BAD: dict[Reason, bytes] = {
    Reason.TOO_LONG: with_extra(GOOD[0], b'"note":"' + b"x" * 40_000_000 + b'"'),
    Reason.UTF8: with_extra(GOOD[1], b'"note":"\xff"'),
    Reason.JSON: GOOD[2][:-1],
    Reason.DEPTH: with_extra(GOOD[3], b'"note":' + b"[" * 120 + b"]" * 120),
    Reason.EMPTY: b" \t",
    Reason.MISSING: changed(GOOD[4], px=None),
    Reason.TYPE: changed(GOOD[5], coin=5),
    Reason.RANGE: changed(GOOD[6], sz="1" * 35),
    Reason.KEY: with_extra(GOOD[7], b'"a\\u0000b":1'),
    Reason.RESERVED_FIELD: changed(GOOD[8], time_ns=5),
    Reason.TOO_LARGE: with_extra(GOOD[9], b'"note":"' + b"x" * (16 << 20) + b'"'),
    Reason.SERVER_REFUSED: changed(GOOD[10], coin="REFUSED"),
    Reason.ID_CONFLICT: changed(GOOD[11], px="77.5"),
}


@pytest.fixture
def client(standalone: Server) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](standalone.uri) as connected:
        yield connected


@pytest.mark.timeout(180)
def test_every_reason(
    tmp_path: Path, standalone: Server, database_name: str, client: MongoClient[dict[str, Any]]
) -> None:
    """A file with one line for each reason between good ones: all good lines stored, each bad one kept with its
    reason and
    exactly its bytes; what can be mended on the server is replayed and then stored; verify proves all of it."""
    assert set(BAD) == set(Reason), "a line for every reason of the design"
    root = tmp_path / "data"
    flags = (
        *("--root", str(root / "node_trades"), "--mongodb-uri", standalone.uri, "--database", database_name),
        *("--state-dir", str(tmp_path / "state"), "--max-line-bytes", "32MiB", "--identity", "content"),
    )
    database = client[database_name]
    database.create_collection("node_trades", validator={"coin": {"$ne": "REFUSED"}})
    lines = [GOOD[20]]
    for number, (reason, line) in enumerate(BAD.items()):
        if reason is Reason.ID_CONFLICT:
            lines.append(GOOD[11])  # the same event with another price: one of the two is a conflict
        lines += [line, GOOD[21 + number]]
    hour_file(root, "20250310/21").write_bytes(b"".join(line + b"\n" for line in lines))

    done = tailrace("run", "--once", "--http", "off", *flags, timeout=150)
    assert done.returncode == 0, done.stderr

    good = {GOOD[11], GOOD[20], *GOOD[21 : 21 + len(BAD)]}
    assert database.node_trades.count_documents({}) == len(good)
    stored = {document["time_ns"] for document in database.node_trades.find({}, {"time_ns": 1})}
    assert len(stored) <= len(good)
    kept = {head["reason"]: head for head in database["node_trades.rejects"].find({"reason": {"$exists": True}})}
    assert set(kept) == {reason.value for reason in Reason}
    for reason, line in BAD.items():
        assert bytes_of(database, kept[reason.value]) == line, reason

    listed = tailrace("rejects", "list", "--json", *flags)
    assert listed.returncode == 0, listed.stderr
    assert all(reason.value in listed.stdout for reason in Reason)

    client[database_name].command({"collMod": "node_trades", "validator": {}})
    replayed = tailrace("rejects", "replay", "--reason", "server_refused", *flags)
    assert replayed.returncode == 0, replayed.stderr
    assert database.node_trades.count_documents({"coin": "REFUSED"}) == 1
    assert database["node_trades.rejects"].count_documents({"reason": "server_refused"}) == 0
    proof = tailrace("verify", *flags, timeout=150)
    assert proof.returncode == 0, proof.stdout + proof.stderr


def bytes_of(database: Any, head: dict[str, Any]) -> bytes:
    """The kept bytes, put together without tailrace's code."""
    rejects = database["node_trades.rejects"]
    further = [head["_id"] + number.to_bytes(4, "big") for number in range(1, head["parts"])]
    packed = [head["bytes"], *(rejects.find_one({"_id": key})["bytes"] for key in further)]
    return b"".join(zstandard.ZstdDecompressor().decompress(part, max_output_size=8 << 20) for part in packed)


def test_one_bad_entry_of_a_block(
    tmp_path: Path, standalone: Server, database_name: str, client: MongoClient[dict[str, Any]]
) -> None:
    """In a wrapped line the bad entry alone is kept, in a wrapper with its block's fields; its siblings are stored."""
    entries = [json.loads(line) for line in GOOD[:3]]
    del entries[1]["px"]
    block = {"local_time": "2025-03-10T21:00:01.5", "block_time": "2025-03-10T21:00:01.25", "block_number": 7}
    line = json.dumps({**block, "events": entries}, separators=(",", ":"))
    root = tmp_path / "data"
    hour_file(root, "20250310/21", "node_trades_by_block").write_text(line + "\n")
    done = tailrace(
        *("run", "--once", "--http", "off", "--root", str(root / "node_trades_by_block")),
        *("--mongodb-uri", standalone.uri, "--database", database_name, "--state-dir", str(tmp_path / "state")),
    )
    assert done.returncode == 0, done.stderr
    database = client[database_name]
    assert database.node_trades.count_documents({"block_number": 7}) == 2
    (head,) = database["node_trades.rejects"].find()
    assert (head["reason"], head["index"]) == ("missing", 1)
    assert json.loads(bytes_of(database, head)) == {**block, "events": [entries[1]]}
