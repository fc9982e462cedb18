"""From a line in an hour file to a document in MongoDB, field by field, through the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient
from tests.support.servers import Server
from tests.support.tailrace_process import hour_file, tailrace

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
DECIMALS = {"px", "sz", "start_pos", "startPosition", "closedPnl", "fee", "builderFee", "deployerFee", "markPx"}
HOUR = datetime(2025, 3, 10, 11, tzinfo=UTC)

HASH, BUYER, SELLER = "0x" + "ab" * 32, "0x" + "1" * 40, "0x" + "2" * 40
ENA = (
    '{"coin":"ENA","side":"B","time":"2025-03-10T11:24:42.070019819","px":"0.4511","sz":"2133.0",'
    f'"hash":"{HASH}","trade_dir_override":"Na","side_info":['
    f'{{"user":"{BUYER}","start_pos":"1157009.0","oid":78656316952,"twap_id":545248,"cloid":null}},'
    f'{{"user":"{SELLER}","start_pos":"-9617.0","oid":78656314500,"twap_id":null,"cloid":null}}]}}\n'
)


class Deployment:
    """One tree, one database, one state directory."""

    def __init__(self, root: Path, server: Server, database: str, stream: str) -> None:
        self.root, self.stream = root / "data", stream
        self.flags = (
            *("--root", str(self.root / stream), "--mongodb-uri", server.uri),
            *("--database", database, "--state-dir", str(root / "state")),
        )
        self._client: MongoClient[dict[str, Any]] = MongoClient(server.uri)
        family = re.sub("_(by_block|streaming)$", "", stream)
        options: CodecOptions[dict[str, Any]] = CodecOptions(
            tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME
        )
        self.collection = self._client[database].get_collection(family, codec_options=options)
        self.rejects = self._client[database][f"{family}.rejects"]

    def ingest(self, data: bytes, name: str = "20250310/11", *more: str) -> list[dict[str, Any]]:
        hour_file(self.root, name, self.stream).write_bytes(data)
        done = tailrace("run", "--once", "--http", "off", *self.flags, *more)
        assert done.returncode == 0, done.stderr
        return list(self.collection.find({}).sort("_id", 1))

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def deploy(tmp_path: Path, standalone: Server, database_name: str) -> Iterator[Any]:
    made: list[Deployment] = []

    def make(stream: str) -> Deployment:
        made.append(Deployment(tmp_path, standalone, database_name, stream))
        return made[-1]

    yield make
    for deployment in made:
        deployment.close()


def test_the_documented_line_becomes_this_document(deploy: Any) -> None:
    """The line of the README becomes one document with these fields, values and types, exactly."""
    (document,) = deploy("node_trades").ingest(ENA.encode())
    key = document.pop("_id")
    assert isinstance(key, ObjectId)
    assert key.generation_time == HOUR
    assert key.binary[7:] == bytes(5), "the first line lies at offset 0"
    assert list(document.items()) == [
        ("coin", "ENA"),
        ("side", "B"),
        ("time", datetime(2025, 3, 10, 11, 24, 42, 70_000, tzinfo=UTC)),
        ("time_ns", 1741605882070019819),
        ("px", Decimal128("0.4511")),
        ("sz", Decimal128("2133.0")),
        ("hash", HASH),
        ("trade_dir_override", "Na"),
        (
            "side_info",
            [
                {
                    "user": BUYER,
                    "start_pos": Decimal128("1157009.0"),
                    "oid": 78656316952,
                    "twap_id": 545248,
                    "cloid": None,
                },
                {
                    "user": SELLER,
                    "start_pos": Decimal128("-9617.0"),
                    "oid": 78656314500,
                    "twap_id": None,
                    "cloid": None,
                },
            ],
        ),
    ]
    assert isinstance(document["time_ns"], Int64)
    assert [type(side["oid"]) for side in document["side_info"]] == [Int64, Int64]


def test_equal_lines_under_either_identity(deploy: Any, database_name: str) -> None:
    """A thousand equal lines are a thousand documents by position and one by content."""
    assert len(deploy("node_trades").ingest(ENA.encode() * 1000)) == 1000
    by_content = Deployment.ingest
    other = deploy("node_trades")
    other.flags = (*other.flags, "--collection", "by_content", "--source", "c", "--identity", "content")
    other.collection = other.collection.database["by_content"]
    (document,) = by_content(other, ENA.encode() * 1000)
    assert document["_id"].generation_time == datetime(2025, 3, 10, 11, 24, 42, tzinfo=UTC)


def expected(entry: dict[str, Any]) -> dict[str, Any]:
    """What an entry's fields must be in MongoDB, derived from its JSON alone and without tailrace's code."""
    result: dict[str, Any] = {}
    for name, value in entry.items():
        result[name] = value
        if name in DECIMALS and isinstance(value, str):
            result[name] = Decimal128(value)
        elif name == "time" or name.endswith("_time"):
            nanoseconds = value * 1_000_000 if isinstance(value, int) else nanoseconds_of(value)
            result[name] = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).replace(
                microsecond=nanoseconds % 1_000_000_000 // 1_000_000 * 1000
            )
            result[f"{name}_ns"] = nanoseconds
        elif isinstance(value, dict):
            result[name] = expected(value)
        elif name == "side_info":
            result[name] = [expected(side) for side in value]
    return result


def nanoseconds_of(text: str) -> int:
    whole, _, fraction = text.partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real samples are not part of the project")
def test_real_trades(deploy: Any) -> None:
    """Each of the real bare trades is a document with exactly the fields and values of its line."""
    data = (SHARED / "node_trades.jsonl").read_bytes()
    documents = deploy("node_trades").ingest(data, "20250624/2")
    lines = data.decode().splitlines()
    assert len(lines) == 15
    for document, line in zip(documents, lines, strict=True):
        document.pop("_id")
        assert document == expected(json.loads(line))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real samples are not part of the project")
def test_real_fills_by_block(deploy: Any) -> None:
    """Each real fill of each block is a document with its fields, its user and its block's fields; empty blocks are
    none."""
    data = (SHARED / "node_fills_by_block.jsonl").read_bytes()
    documents = deploy("node_fills_by_block").ingest(data, "20260505/17")
    wanted = []
    for line in data.decode().splitlines():
        wrapper = json.loads(line)
        block = expected({name: wrapper[name] for name in ("block_number", "block_time", "local_time")})
        wanted += [{"user": user, **expected(fill), **block} for user, fill in wrapper["events"]]
    assert len(wanted) > 20
    for document, entry in zip(documents, wanted, strict=True):
        document.pop("_id")
        assert document == entry
        assert next(iter(document)) == "user"
        assert list(document)[-5:] == ["block_number", "block_time", "block_time_ns", "local_time", "local_time_ns"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real samples are not part of the project")
@pytest.mark.parametrize(
    ("sample", "stream"),
    [
        ("node_order_statuses_by_block.jsonl", "node_order_statuses_by_block"),
        ("node_order_statuses_streaming.jsonl", "node_order_statuses_streaming"),
        ("node_raw_book_diffs_by_block.jsonl", "node_raw_book_diffs_by_block"),
    ],
)
def test_real_streams_without_a_schema(deploy: Any, sample: str, stream: str) -> None:
    """Streams that have no schema are stored as they are, every entry, nothing kept aside."""
    data = (SHARED / sample).read_bytes()
    deployment = deploy(stream)
    documents = deployment.ingest(data, "20260505/17")
    events = [event for line in data.decode().splitlines() for event in json.loads(line)["events"]]
    assert len(documents) == len(events) > 0
    block = ("_id", "block_number", "block_time", "block_time_ns", "local_time", "local_time_ns")
    for document, event in zip(documents, events, strict=True):
        assert {name: value for name, value in document.items() if name not in block} == event
    assert deployment.rejects.count_documents({}) == 0
