"""`tailrace verify --repair`: what is missing is stored again, exactly; what is there is left as it is."""

from __future__ import annotations

import gzip
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from tests.support.ingested import Document, Tree, block, line, trade, trades
from tests.support.servers import Server
from tests.support.tailrace_process import Run, environment, tailrace, until

from tailrace.verify.patience import Patience
from tailrace.verify.report import FileState

HOUR = "20250310/9"


@pytest.fixture
def tree(tmp_path: Path, standalone: Server, database_name: str) -> Tree:
    return Tree(tmp_path, standalone.uri, database_name)


def stored(tree: Tree) -> dict[str, list[Document]]:
    """All that is in the database but figures of the ledger, read without tailrace."""
    with tree.database() as database:
        found = {name: list(database[name].find().sort("_id", 1)) for name in database.list_collection_names()}
    for entry in found.get(f"{tree.collection}.files", []):
        for figure in ("fences", "lease", "progress", "first_start"):
            entry.pop(figure, None)
    return found


def test_what_was_deleted_is_stored_again(tree: Tree) -> None:
    """Documents and rejects: the same as before, to the byte; a second repair changes nothing and says so."""
    tree.write(HOUR, trades(0, 40) + b"bad\n\n" + trades(40, 40))
    tree.ingest()
    before = stored(tree)
    assert len(before[tree.collection]) == 80
    with tree.documents() as documents, tree.rejects() as rejects:
        for number in (0, 17, 79):
            documents.delete_one({"_id": before[tree.collection][number]["_id"]})
        assert rejects.delete_one({"reason": "json"}).deleted_count == 1
    assert tree.verify_file().missing == 4
    file = tree.verify_file(repair=True)
    assert (file.state, file.repaired_documents, file.repaired_rejects, file.equal) == (FileState.OK, 3, 1, 80)
    assert stored(tree) == before
    file = tree.verify_file(repair=True)
    assert (file.state, file.repaired_documents, file.repaired_rejects) == (FileState.OK, 0, 0)
    assert stored(tree) == before


def test_the_command_says_what_it_repaired(tree: Tree) -> None:
    """Exit 0 when everything is proven afterwards, and the counts, in words and in JSON; then `repaired: nothing`."""
    tree.write(HOUR, trades(0, 10))
    tree.write("20250310/10", trades(10, 10))
    tree.ingest()
    before = stored(tree)
    with tree.database() as database:
        ids = [each["_id"] for each in before[tree.collection]]
        assert database[tree.collection].delete_many({"_id": {"$in": [*ids[:3], *ids[10:]]}}).deleted_count == 13
        assert database[f"{tree.collection}.files"].delete_one({"path": {"$regex": "/10$"}}).deleted_count == 1
    done = tailrace("verify", *tree.options, "--repair")
    assert done.returncode == 0, done.stdout
    assert "20250310/9: repaired: 3 documents stored, 0 rejects kept aside\n" in done.stdout
    assert "20250310/10: it was not ingested: entered in the ledger, and ingested\n" in done.stdout
    assert "\nrepaired: 13 documents stored, 0 rejects kept aside; 1 file had not been ingested\n" in done.stdout
    assert done.stdout.endswith("20 stored and equal, 0 kept aside; missing 0, different 0, extra 0: proven\n")
    assert stored(tree) == before
    report = json.loads(tailrace("verify", *tree.options, "--repair", "--json").stdout)
    totals = report["totals"]
    assert (totals["repaired_documents"], totals["repaired_rejects"], totals["repaired_files"]) == (0, 0, 0)
    assert "\nrepaired: nothing\n" in tailrace("verify", *tree.options, "--repair").stdout
    assert stored(tree) == before


def test_what_is_different_or_extra_stays_and_is_still_a_difference(tree: Tree) -> None:
    """Only what is missing is stored, beside them; exit 1, and no reject is made of what differs."""
    tree.write(HOUR, trades(0, 30))
    tree.ingest()
    with tree.documents() as documents:
        ids = [each["_id"] for each in documents.find().sort("_id", 1)]
        documents.update_one({"_id": ids[4]}, {"$set": {"px": Decimal128("9.9")}})
        documents.delete_one({"_id": ids[5]})
        extra = ObjectId(ids[0].binary[:7] + (3).to_bytes(5, "big"))
        stranger = ObjectId(bytes(12))
        documents.insert_many([{"_id": extra}, {"_id": stranger}])
        report = tree.verify(repair=True)
        [file] = report.files
        assert not report.proven
        assert (file.missing, file.different, file.extra, file.repaired_documents) == (0, 1, 1, 1)
        assert documents.find_one({"_id": ids[4]}, {"px": 1}) == {"_id": ids[4], "px": Decimal128("9.9")}
        assert documents.find_one(extra) == {"_id": extra}
        assert documents.count_documents({}) == 32
    with tree.rejects() as rejects:
        assert rejects.count_documents({}) == 0


def test_a_whole_hour_that_is_gone_comes_back(tree: Tree) -> None:
    """Documents, rejects and the ledger's entry deleted: not ingested, exit 1; repaired it is as it was."""
    tree.write(HOUR, trades(0, 25) + b"bad\n")
    tree.write("20250310/10", trades(25, 5))
    tree.ingest()
    before = stored(tree)
    with tree.database() as database:
        hour = {"path": {"$regex": "/9$"}}
        [entry] = database[f"{tree.collection}.files"].find(hour)
        assert database[tree.collection].delete_many({"_id": {"$lt": before[tree.collection][25]["_id"]}}).deleted_count
        assert database[f"{tree.collection}.rejects"].delete_many(hour).deleted_count == 1
        assert database[f"{tree.collection}.files"].delete_one({"_id": entry["_id"]}).deleted_count == 1
    report = tree.verify()
    assert (report.proven, [file.state.value for file in report.files]) == (False, ["not ingested", "ok"])
    report = tree.verify(repair=True)
    assert report.proven
    nine = report.files[0]
    assert (nine.repaired_file, nine.repaired_documents, nine.repaired_rejects) == (True, 25, 1)
    assert stored(tree) == before


@pytest.mark.parametrize("content", [False, True])
def test_a_tree_that_nothing_has_read_is_ingested_as_run_would(
    tmp_path: Path, standalone: Server, database_name: str, content: bool
) -> None:
    """From nothing: collection, indexes, settings, lives, documents and rejects are those that `run` makes."""
    trees = []
    for name in ("run", "repair"):
        flags = {"identity": "content"} if content else {}
        tree = Tree(tmp_path, standalone.uri, f"{database_name}_{name}", state_dir=str(tmp_path / name), **flags)
        trees.append(tree)
    run, repair = trees
    long = line(trade(7, note="x" * 200_000))
    run.write(HOUR, trades(0, 20) + b"bad\n" + 3 * line(trade(3)) + long)
    path = run.write("20250310/10", trades(20, 20))
    path.with_name("10.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    run.ingest(max_line_bytes="64KiB")
    report = repair.verify(repair=True, max_line_bytes="64KiB")
    assert report.proven
    assert [file.repaired_file for file in report.files] == [True, True]
    one, other = stored(run), stored(repair)
    ledger = f"{run.collection}.files"
    kept = [[each for each in found.pop(ledger) if each["_id"] != "source/node_trades"] for found in (one, other)]
    assert kept[0] == kept[1]
    assert one == other
    with run.documents() as ran, repair.documents() as repaired:
        assert ran.index_information() == repaired.index_information()
    before = stored(repair)
    repair.ingest(max_line_bytes="64KiB")
    assert stored(repair)[repair.collection] == before[repair.collection]


def test_blocks_are_mended_entry_by_entry(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """One entry of a block, the reject of another, a bad wrapper's reject."""
    tree = Tree(tmp_path, standalone.uri, database_name, "node_trades_by_block")
    lines = [block(n, [trade(10 * n + i) for i in range(4)]) for n in range(20)]
    lines[7]["events"][2] = {"coin": 7}
    lines[9]["block_number"] = "nine"
    tree.write(HOUR, b"".join(map(line, lines)))
    tree.ingest()
    before = stored(tree)
    with tree.documents() as documents, tree.rejects() as rejects:
        documents.delete_one({"block_number": 7})
        documents.delete_many({"block_number": 12})
        assert rejects.delete_many({}).deleted_count == 2
    file = tree.verify_file(repair=True)
    assert (file.state, file.repaired_documents, file.repaired_rejects) == (FileState.OK, 5, 2)
    assert stored(tree) == before


def test_without_deep_what_is_absent_by_its_id_is_repaired(tree: Tree) -> None:
    """A changed document is not looked at."""
    tree.write(HOUR, trades(0, 10))
    tree.ingest()
    with tree.documents() as documents:
        ids = [each["_id"] for each in documents.find().sort("_id", 1)]
        documents.delete_one({"_id": ids[2]})
        documents.update_one({"_id": ids[3]}, {"$set": {"px": 1}})
        file = tree.verify_file(deep=False, repair=True)
        assert (file.state, file.repaired_documents) == (FileState.OK, 1)
        assert documents.find_one({"_id": ids[3]}, {"px": 1}) == {"_id": ids[3], "px": 1}
    assert tree.verify_file().different == 1


def test_what_was_skipped_by_choice_is_never_repaired(tree: Tree) -> None:
    """Neither the bytes before a life's start, nor what a first start would skip that did not happen yet."""
    tree.write(HOUR, trades(0, 10))
    report = tree.verify(repair=True, start_at="end")
    assert [(file.state, file.missing) for file in report.files] == [(FileState.NOT_INGESTED, 10)]
    assert "start_at = end" in report.files[0].detail
    with tree.documents() as documents:
        assert documents.count_documents({}) == 0
        tree.ingest(start_at="end")
        tree.write(HOUR, trades(10, 5))
        tree.write("20250310/10", trades(15, 5))
        report = tree.verify(repair=True, start_at="end")
        assert report.proven
        assert [file.repaired_documents for file in report.files] == [5, 5]
        assert report.files[0].skipped == len(trades(0, 10))
        assert documents.count_documents({}) == 10


def test_a_rewrite_behind_the_record_is_not_stored_into_the_former_life(tree: Tree) -> None:
    """Cut and rewritten under an equal head while the ledger's record lags: `run` will read it as the next life, so
    nothing is stored among documents that contradict it; afterwards nothing is there twice."""
    path = tree.write(HOUR, trades(0, 30))
    tree.ingest()
    with tree.database() as database:
        database[f"{tree.collection}.files"].update_many({}, {"$unset": {"progress": 1}})
    path.write_bytes(trades(0, 1) + b"".join(line(trade(number, sz="1.0")) for number in range(100, 140)))
    before = stored(tree)
    report = tree.verify(repair=True)
    assert not report.proven
    assert "not all was repaired" in report.files[0].detail
    assert stored(tree) == before
    tree.ingest()
    with tree.documents() as documents:
        assert documents.count_documents({}) == 30 + 41
    assert tree.verify(repair=True).files[0].state is FileState.OK
    with tree.documents() as documents:
        assert documents.count_documents({}) == 30 + 41


def test_a_file_that_was_moved_back_is_the_life_that_it_was(tree: Tree) -> None:
    """An hour's latest life is its replacement's: neither `run` nor `--repair` stores the file's lines again."""
    path = tree.write(HOUR, trades(0, 30))
    tree.ingest()
    aside = path.parents[3] / "aside"
    path.rename(aside)
    tree.write(HOUR, trades(0, 1) + trades(100, 20))
    tree.ingest()
    aside.rename(path)
    tree.ingest()
    assert tree.verify(repair=True).files[0].state is FileState.OK
    with tree.documents() as documents:
        assert documents.count_documents({}) == 30 + 21


def test_an_archive_in_the_making_is_not_another_life(tree: Tree) -> None:
    """Shorter than what was read of it: unreadable for now, and nothing is stored a second time."""
    path = tree.write(HOUR, trades(0, 3000))
    tree.ingest()
    packed = gzip.compress(path.read_bytes())
    archive = path.with_name("9.gz")
    archive.write_bytes(packed[: len(packed) // 2])
    path.unlink()
    before = stored(tree)
    report = tree.verify(repair=True)
    assert [file.state for file in report.files] == [FileState.UNREADABLE]
    assert stored(tree) == before
    archive.write_bytes(packed)
    assert tree.verify(repair=True).proven
    assert stored(tree) == before


def test_beside_a_live_run(tree: Tree) -> None:
    """Both store the same: files grow, hours roll, documents are deleted, and every line is there once in the end."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    tree.write(HOUR, trades(0, 5))
    with tree.documents() as documents, Run(*tree.options, "--poll-interval", "50ms") as run:
        run.wait_for("live")
        for round_ in range(12):
            hour = f"20250310/{9 + round_ // 2}"
            tree.write(hour, trades(5 + 50 * round_, 50) + (b"bad %d\n" % round_))
            if round_ % 3 == 2:
                ids = [each["_id"] for each in documents.find({}, {"_id": 1})]
                documents.delete_many({"_id": {"$in": rng.sample(ids, min(len(ids), 20))}})
            tree.verify(repair=True, patience=Patience(looks=0))
        until(lambda: tree.verify(repair=True, patience=Patience(looks=0)).proven, what="proven")
        run.stop()
        hashes = sorted(each["hash"] for each in documents.find())
    assert hashes == sorted(trade(number)["hash"] for number in range(605))
    with tree.rejects() as rejects:
        assert rejects.count_documents({}) == 12
    assert tree.verify().proven


@pytest.mark.timeout(120)
def test_killed_in_the_middle_and_repaired_again(tree: Tree) -> None:
    """kill -9 at moments of a repair that has much to do: the next one ends it, and nothing is there twice."""
    tree.write(HOUR, trades(0, 12_000) + b"bad\n")
    command = [sys.executable, "-m", "tailrace", "verify", *tree.options, "--repair"]
    partly: list[int] = []
    with tree.documents() as documents:
        for number in (1, 4_000):
            process: subprocess.Popen[Any] = subprocess.Popen(
                command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                until(lambda n=number: documents.count_documents({}) >= n, what="some repaired")  # type: ignore[misc]  # bound now: the loop moves on
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait(10)
            time.sleep(0.2)
            partly.append(documents.count_documents({}))
        assert partly[0] < 12_000
        report = tree.verify(repair=True)
        assert report.proven
        assert documents.count_documents({}) == 12_000
        assert len(documents.distinct("hash")) == 12_000
    with tree.rejects() as rejects:
        assert rejects.count_documents({}) == 1
    assert report.files[0].repaired_documents == 12_000 - partly[-1]
