"""kill -9 at random moments under load, and the count that says what came of it. The long form is `make soak`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from structlog.testing import capture_logs
from tests.support.counting import Tally, count, hours_of_tree
from tests.support.ingested import Tree, block, line, trades
from tests.support.servers import Server
from tests.support.soak import Soak, SoakOptions
from tests.support.tailrace_process import must_balance

from tailrace.ingest.stats import SourceStats

HOUR = "20250310/9"


@pytest.mark.timeout(300)
def test_killed_at_random_moments(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """Killed with -9 again and again, in start-up, in mid-load, at a seal, beside an archive in the making, and started
    again at once, while the node writes on and hours roll: every entry is stored once."""
    seed = int(os.environ.get("TAILRACE_TEST_SEED") or int.from_bytes(os.urandom(4)))
    print(f"TAILRACE_TEST_SEED={seed}")
    options = SoakOptions(kills=20, seed=seed, rate=2800.0, seconds=14.0)
    if os.environ.get("TAILRACE_SOAK"):
        options = SoakOptions(kills=100, seed=seed, rate=2800.0, check_every=50)
    result = Soak(tmp_path, standalone.uri, database_name, options).run()
    assert result.exact, result
    assert result.kills >= 4, "a machine too slow to kill anything on"
    assert result.entries > 5000
    assert result.archived


@pytest.fixture
def tree(tmp_path: Path, standalone: Server, database_name: str) -> Tree:
    return Tree(tmp_path, standalone.uri, database_name)


def counted(tree: Tree) -> Tally:
    return count(tree.flags["mongodb_uri"], tree.flags["database"], hours_of_tree(tree.root))


def test_the_count_notices(tree: Tree) -> None:
    """Without a line of tailrace's: a document gone, one too many, a digit changed, a reject gone, and one too many."""
    tree.write(HOUR, trades(0, 40) + b"not json\n" + trades(0, 1) + b"\n")
    tree.write("20250310/10", trades(40, 10) + b'{"torn":')
    tree.ingest()
    assert counted(tree).exact
    assert str(counted(tree)) == "53 entries in 53 lines: 51 stored, 2 kept aside, 0 lost, 0 doubled"
    with tree.documents() as documents, tree.rejects() as rejects:
        first, second = documents.find().sort("_id", 1).limit(2)
        documents.delete_one({"_id": first["_id"]})
        assert (counted(tree).lost, counted(tree).doubled) == (1, 0)
        documents.insert_one(first)
        documents.insert_one({**first, "_id": ObjectId(first["_id"].binary[:11] + b"\xff")})
        assert (counted(tree).lost, counted(tree).doubled) == (0, 1)
        documents.delete_one({"_id": ObjectId(first["_id"].binary[:11] + b"\xff")})
        documents.insert_one({**first, "_id": ObjectId("ff" * 12)})
        assert (counted(tree).lost, counted(tree).doubled) == (0, 1), "outside of every hour"
        documents.delete_one({"_id": ObjectId("ff" * 12)})
        for field, wrong in (("px", Decimal128("0.10010")), ("time_ns", second["time_ns"] + 1), ("side", "A")):
            documents.update_one({"_id": second["_id"]}, {"$set": {field: wrong}})
            assert (counted(tree).lost, counted(tree).doubled) == (1, 1), field
            documents.replace_one({"_id": second["_id"]}, second)
        kept = rejects.find_one({"reason": "json"})
        rejects.delete_one({"_id": kept["_id"]})
        assert (counted(tree).lost, counted(tree).doubled) == (1, 0)
        rejects.insert_one(kept)
        rejects.insert_one({**kept, "_id": kept["_id"][:-1] + bytes([kept["_id"][-1] ^ 1])})
        assert (counted(tree).lost, counted(tree).doubled) == (0, 1)


def test_the_count_knows_wrapped_lines(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """Entries of blocks are counted one by one, one bad entry among good ones too; fills with their user."""
    tree = Tree(tmp_path, standalone.uri, database_name, "node_fills_by_block", collection="fills")

    def fill(number: int, **changed: Any) -> list[Any]:
        entry = {
            "coin": "BTC",
            "px": "81234.5",
            "sz": "0.00000001",
            "side": "B",
            "time": 1_741_600_000_123 + number,
            "startPosition": "-0.5",
            "dir": "Open Long",
            "closedPnl": "0.0",
            "hash": f"0x{number:064x}",
            "oid": number,
            "crossed": True,
            "fee": "0.01",
            "tid": number + 1,
            "feeToken": "USDC",
            "twapId": None,
            **changed,
        }
        return [f"0x{number:040x}", entry]

    good = [line(block(number, [fill(2 * number), fill(2 * number + 1)])) for number in range(5)]
    bad = [line(block(9, [fill(90), fill(91, px=1.5), fill(92)])), line(block(10, [fill(100, px=1.5)])), b"[]\n"]
    tree.write(HOUR, b"".join([*good, *bad, line(block(11, []))]))
    tree.ingest()
    hours = hours_of_tree(tree.root, tree.stream)
    tally = count(tree.flags["mongodb_uri"], tree.flags["database"], hours, collection="fills")
    assert tally.exact, str(tally)
    assert (tally.entries, tally.stored, tally.kept) == (15, 12, 3)


# -- invariant 5 -------------------------------------------------------------------------------------------------------


def test_what_is_not_accounted_for_is_an_error(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is read and neither settled nor in flight: said once, in words, and no test that ingests passes."""
    honest = SourceStats.settled

    def forgetful(self: SourceStats, lines: int, size: int, entries: int, outcome: Any) -> None:
        outcome.lines -= 1
        honest(self, lines, size, entries, outcome)

    tree.write(HOUR, trades(0, 10))
    monkeypatch.setattr(SourceStats, "settled", forgetful)
    with capture_logs() as logs, pytest.raises(AssertionError, match="'unaccounted': 1"):
        tree.ingest()
    [said] = [each for each in logs if each["event"] == "unaccounted"]
    assert (said["log_level"], said["lines_read"], said["lines"], said["lines_in_flight"]) == ("error", 10, 9, 0)
    assert "a defect of tailrace" in said["meaning"]
    assert "tailrace verify" in said["todo"]


ACCOUNT = {
    "event": "stopped",
    "lines_read": 5,
    "lines_in_flight": 0,
    "lines": 5,
    "unaccounted": 0,
    "entries": 6,
    "inserted": 3,
    "duplicates": 2,
    "rejected": 1,
}


@pytest.mark.parametrize(
    "events",
    [
        [{**ACCOUNT, "lines": 4}],
        [{**ACCOUNT, "duplicates": 3}],
        [{**ACCOUNT, "unaccounted": 1}],
        [{**ACCOUNT, "lines_in_flight": 1, "lines_read": 6}],
        [ACCOUNT, {"event": "unaccounted"}],
        [{"event": "live"}],
    ],
)
def test_every_process_is_held_to_the_equation(events: list[dict[str, Any]]) -> None:
    """What the helpers that start tailrace demand at its end: each term wrong, an alarm, an account that is missing."""
    must_balance([{"event": "live"}, ACCOUNT], 0)
    with pytest.raises(AssertionError):
        must_balance(events, 0)
