"""`tailrace verify` of hours whose files are gone: what the ledger's count and checksum still tell."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from bson import Decimal128, ObjectId
from pymongo.collection import Collection
from tests.support.ingested import Document, Tree, block, line, trade, trades
from tests.support.servers import Server
from tests.support.tailrace_process import Run, tailrace, until

from tailrace.commands.verify import choose, verify_sources
from tailrace.errors import UsageError
from tailrace.ingest.mongo.connection import connect
from tailrace.ingest.wiring import server_options
from tailrace.verify import pruned
from tailrace.verify.patience import Patience
from tailrace.verify.report import LifeReport, LifeState, VerifyReport

HOUR = "20250310/9"
KEPT = "20250310/10"


@pytest.fixture
def tree(tmp_path: Path, standalone: Server, database_name: str) -> Tree:
    return Tree(tmp_path, standalone.uri, database_name)


def prune(tree: Tree, data: bytes, **settings: str) -> Path:
    """An hour that was ingested and deleted, beside one that is still there."""
    path = tree.write(HOUR, data)
    tree.write(KEPT, trades(500, 5))
    tree.ingest(**settings)
    path.unlink()
    return path


def the_life(tree: Tree, *, deep: bool = True) -> LifeReport:
    report = tree.verify(deep=deep)
    assert [file.state.value for file in report.files] == ["ok"]
    [life] = report.lives
    assert report.proven is (life.state is not LifeState.DIFFERS)
    return life


def in_hour(documents: Collection[Document]) -> list[ObjectId]:
    """The ids of the pruned hour."""
    low, high = (f"{seconds:08x}" + 16 * digit for seconds, digit in ((1741597200, "0"), (1741600799, "f")))
    return [
        each["_id"] for each in documents.find({"_id": {"$gte": ObjectId(low), "$lte": ObjectId(high)}}).sort("_id")
    ]


def test_a_pruned_hour_agrees_with_the_ledger(tree: Tree) -> None:
    """Unverifiable, said, and no difference: by count and checksum, with --no-deep by count alone; also by its name."""
    prune(tree, trades(0, 100) + b"bad\n")
    life = the_life(tree)
    assert (life.state, life.documents, life.recorded) == (LifeState.AGREES, 100, 100)
    assert (life.rejects, life.recorded_rejects, life.changed, life.behind) == (1, 1, False, 0)
    assert the_life(tree, deep=False).changed is None
    done = tailrace("verify", *tree.options)
    assert done.returncode == 0, done.stdout
    assert (
        "1 hour without a file, unverifiable: 100 documents agree with the ledger (count and checksum)" in done.stdout
    )
    assert done.stdout.endswith("extra 0; 1 hour without a file: 1 agrees with the ledger: proven\n")
    named = tree.verify(HOUR)
    assert (named.proven, [each.state for each in named.lives]) == (True, [LifeState.AGREES])
    assert tree.verify(KEPT).lives == []


def test_a_long_hour_is_counted_in_parts(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """More documents than are read in one attempt, more bytes than are counted in one: the same sums."""
    monkeypatch.setattr(pruned, "_PAGE", 7)
    monkeypatch.setattr(pruned, "_STRIDE", 1000)
    prune(tree, trades(0, 98) + b"bad\n" + trades(98, 3))
    for deep in (True, False):
        life = the_life(tree, deep=deep)
        assert (life.state, life.documents, life.changed) == (LifeState.AGREES, 101, False if deep else None)
    with tree.documents() as documents:
        documents.delete_one({"_id": in_hour(documents)[100]})
    assert (the_life(tree).missing, the_life(tree, deep=False).missing) == (1, 1)


def _delete(documents: Collection[Document], ids: list[ObjectId]) -> None:
    documents.delete_one({"_id": ids[7]})


def _add(documents: Collection[Document], ids: list[ObjectId]) -> None:
    documents.insert_one({"_id": ObjectId(ids[7].binary[:-1] + bytes([ids[7].binary[-1] ^ 1]))})


def _change(documents: Collection[Document], ids: list[ObjectId]) -> None:
    documents.update_one({"_id": ids[7]}, {"$set": {"px": Decimal128("0.9999")}})


def _swap(documents: Collection[Document], ids: list[ObjectId]) -> None:
    _delete(documents, ids)
    _add(documents, ids)


def _annotate(documents: Collection[Document], ids: list[ObjectId]) -> None:
    documents.update_one({"_id": ids[7]}, {"$set": {"note": 1}})


@pytest.mark.parametrize(
    ("damage", "missing", "extra", "changed", "words"),
    [
        (_delete, 1, 0, None, "1 entry is missing"),
        (_add, 0, 1, None, "1 document too many"),
        (_change, 0, 0, True, "the checksum is another"),
        (_swap, 0, 0, True, "the checksum is another"),
        (_annotate, 0, 0, True, "fields were added"),
    ],
)
def test_damage_in_a_pruned_hour_is_found(
    tree: Tree,
    damage: Callable[[Collection[Document], list[ObjectId]], None],
    missing: int,
    extra: int,
    changed: bool | None,
    words: str,
) -> None:
    """One document deleted, added, changed, replaced, annotated: exit 1, and what disagrees. Ids alone show numbers."""
    prune(tree, trades(0, 100))
    with tree.documents() as documents:
        ids = in_hour(documents)
        assert len(ids) == 100
        damage(documents, ids)
    life = the_life(tree)
    assert (life.state, life.missing, life.extra, life.changed) == (LifeState.DIFFERS, missing, extra, changed)
    assert the_life(tree, deep=False).state is (LifeState.AGREES if changed else LifeState.DIFFERS)
    if damage is _annotate:
        done = tailrace("verify", *tree.options)
        assert done.returncode == 1
        assert words in next(
            each for each in done.stdout.splitlines() if each.startswith("20250310/9: no file any more; ")
        )
        assert done.stdout.endswith("1 differs from it: NOT proven (1 hour without a file)\n")


def test_rejects_of_a_pruned_hour_are_counted_and_may_be_replayed(tree: Tree) -> None:
    """Replayed they are documents, and no difference; deleted, the hour differs; both at once do not hide a loss."""
    with tree.database() as database:
        database.create_collection(
            tree.collection, validator={"px": {"$nin": [Decimal128("0.1004"), Decimal128("0.1005")]}}
        )
    prune(tree, trades(0, 30) + b"bad\n")
    life = the_life(tree)
    assert (life.state, life.documents, life.rejects) == (LifeState.AGREES, 28, 3)
    with tree.database() as database:
        database.command("collMod", tree.collection, validator={})
    assert tailrace("rejects", "replay", *tree.options, "--reason", "server_refused").returncode == 0
    life = the_life(tree)
    assert (life.state, life.documents, life.rejects, life.replayed) == (LifeState.AGREES, 30, 1, 2)
    assert life.changed is None
    with tree.rejects() as rejects:
        assert rejects.delete_many({}).deleted_count == 1
    life = the_life(tree)
    assert (life.state, life.missing, life.replayed) == (LifeState.DIFFERS, 1, 2)


def test_another_s_document_at_a_conflict_is_not_counted(tree: Tree) -> None:
    """What stood at a line's place before it was read: kept aside as id_conflict, the hour agrees; also without it."""
    tree.write(HOUR, trades(0, 20))
    tree.ingest()
    with tree.documents() as documents, tree.database() as database:
        victim = in_hour(documents)[3]
        documents.update_one({"_id": victim}, {"$set": {"px": Decimal128("9.5")}})
        database[f"{tree.collection}.files"].update_many(
            {"fingerprint": {"$exists": True}}, {"$unset": {"progress": 1}}
        )
    for file in Path(tree.flags["state_dir"]).glob("checkpoints*"):
        file.unlink()
    prune(tree, b"")
    with tree.rejects() as rejects, tree.documents() as documents:
        assert [each["reason"] for each in rejects.find()] == ["id_conflict"]
        for deep in (True, False):
            life = the_life(tree, deep=deep)
            assert (life.state, life.recorded, life.documents, life.rejects) == (LifeState.AGREES, 19, 19, 1)
        assert the_life(tree).changed is False
        documents.delete_one({"_id": victim})
        assert the_life(tree).state is LifeState.AGREES
        documents.delete_one({"_id": in_hour(documents)[5]})
        assert (the_life(tree).state, the_life(tree).missing) == (LifeState.DIFFERS, 1)


def test_blocks_of_a_pruned_hour(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """Many entries a line, a bad one among them, a bad wrapper: counted entry by entry."""
    tree = Tree(tmp_path, standalone.uri, database_name, "node_trades_by_block")
    lines = [block(n, [trade(10 * n + i) for i in range(4)]) for n in range(20)]
    lines[7]["events"][2] = {"coin": 7}
    lines[9]["block_number"] = "nine"
    prune(tree, b"".join(map(line, lines)))
    tree.write(KEPT, line(block(90, [trade(1)])), "wb")
    tree.ingest()
    [life] = [each for each in tree.verify().lives if each.recorded > 5]
    assert (life.state, life.documents, life.rejects, life.changed) == (LifeState.AGREES, 75, 2, False)
    with tree.documents() as documents:
        documents.delete_one({"block_number": 12})
    report = tree.verify(HOUR)
    assert [(each.state, each.missing) for each in report.lives] == [(LifeState.DIFFERS, 1)]


def test_what_is_behind_the_record_is_judged_only_if_it_was_finished(tree: Tree) -> None:
    """A document behind the offset that the ledger has: said; extra where nothing more was to come; what --once took of
    a torn last line is never extra."""
    prune(tree, trades(0, 10))
    with tree.documents() as documents, tree.database() as database:
        files = database[f"{tree.collection}.files"]
        life = files.find_one({"path": {"$regex": "/9$"}})
        assert life is not None
        at = life["progress"]["offset"]
        assert not life["progress"]["finished"]
        documents.insert_one({"_id": ObjectId(life["_id"] + at.to_bytes(5, "big"))})
        found = the_life(tree)
        assert (found.state, found.behind) == (LifeState.AGREES, 1)
        files.update_one({"_id": life["_id"]}, {"$set": {"progress.finished": True}})
        assert (the_life(tree).state, the_life(tree).behind) == (LifeState.AGREES, 1)
        documents.insert_one({"_id": ObjectId(life["_id"] + (at + 700).to_bytes(5, "big"))})
        found = the_life(tree)
        assert (found.state, found.extra, found.behind) == (LifeState.DIFFERS, 1, 1)
        with Run(*tree.options) as run:  # late lines are stored before they are recorded
            run.wait_for("live")
            assert (the_life(tree).state, the_life(tree).behind) == (LifeState.AGREES, 2)


def test_what_was_skipped_by_choice_in_a_pruned_hour_has_no_documents(tree: Tree) -> None:
    """`start_at = "end"`: nothing is expected before the start, and what is there is extra."""
    prune(tree, trades(0, 10), start_at="end")
    life = the_life(tree)
    assert (life.state, life.documents, life.recorded) == (LifeState.AGREES, 0, 0)
    assert life.skipped == len(trades(0, 10))
    with tree.documents() as documents:
        documents.insert_one({"_id": ObjectId(life.prefix + (5).to_bytes(5, "big"))})
    assert (the_life(tree).state, the_life(tree).extra) == (LifeState.DIFFERS, 1)


def test_without_a_record_and_under_content_identity_nothing_is_judged(tmp_path: Path, standalone: Server) -> None:
    """Said as such; it leaves what has files proven, and is no proof by itself."""
    for identity in ("position", "content"):
        tree = Tree(tmp_path / identity, standalone.uri, f"{tmp_path.name}_{identity}", identity=identity)
        prune(tree, trades(0, 10))
        if identity == "position":
            with tree.database() as database:
                database[f"{tree.collection}.files"].update_many({}, {"$unset": {"progress": 1}})
        life = the_life(tree)
        assert life.state is LifeState.UNJUDGED
        assert life.detail
        assert not tree.verify(HOUR).proven


def test_a_dropped_collection_is_not_forgiven(tree: Tree) -> None:
    """The record is of what was stored: that the collection has another UUID since changes nothing about it."""
    prune(tree, trades(0, 10))
    with tree.documents() as documents:
        saved = list(documents.find({"_id": {"$in": in_hour(documents)}}))
        documents.drop()
        tree.ingest()
        assert documents.count_documents({}) == 5
        assert (the_life(tree).state, the_life(tree).missing) == (LifeState.DIFFERS, 10)
        documents.insert_many(saved)
        assert the_life(tree).state is LifeState.AGREES


def test_hours_of_which_nobody_knows_are_said(tree: Tree) -> None:
    """Neither file nor record between the first and the last known hour: a notice, and no difference."""
    path = tree.write("20250309/22", trades(0, 2))
    tree.write("20250310/1", trades(2, 2))
    tree.write("20250310/3", trades(4, 2))
    tree.ingest()
    path.unlink()
    done = tailrace("verify", *tree.options)
    assert done.returncode == 0, done.stdout
    notice = "no file and no record: 20250309/23 to 20250310/0 (2 hours), 20250310/2 (the node may have been down)"
    assert notice in done.stdout.splitlines()
    assert len(tree.verify("20250310").missing_hours) == 2
    assert tree.verify("20250310/3").missing_hours == []


def test_nothing_at_all_is_no_proof(tree: Tree) -> None:
    """No files though the ledger has hours, an empty tree, an hour that is nowhere: never exit 0."""
    path = tree.write(HOUR, trades(0, 3))
    path.parent.joinpath("notes.txt").touch()
    tree.ingest()
    path.unlink()
    done = tailrace("verify", *tree.options)
    assert (done.returncode, done.stdout.splitlines()[-1].rpartition(": ")[2]) == (1, "nothing was verified")
    with pytest.raises(UsageError, match="20250310/7"):
        tree.verify("20250310/7")
    with tree.database() as database:
        for name in database.list_collection_names():
            database.drop_collection(name)
    assert not tree.verify().proven


def test_a_file_that_appeared_after_the_listing_is_not_called_pruned(tree: Tree) -> None:
    """Its life is in the ledger and it is not among the files: it is left to the next verification."""
    tree.write(HOUR, trades(0, 3))
    tree.ingest()
    settings = tree.settings()
    listed = choose(settings)
    tree.write(KEPT, trades(3, 3))
    tree.ingest()

    async def verify() -> VerifyReport:
        client = connect(server_options(settings, settings.sources[0], settings.connection_string))
        try:
            [report] = await verify_sources(settings, listed, client, settings.connection_string)
        finally:
            await client.close()
        return report

    report = asyncio.run(verify())
    assert (report.proven, len(report.files), report.lives) == (True, 1, [])
    assert len(tree.verify().files) == 2


def test_files_pruned_compressed_and_rolled_while_it_looks_are_no_false_alarm(tree: Tree) -> None:
    """Beside a live `run`, hours of a moment, each deleted or compressed soon after: proven every time, and at last."""
    tree.write("20250310/8", trades(0, 5))
    hours = tree.root / "node_trades" / "hourly" / "20250310"
    reports = []
    with tree.documents() as documents, Run(*tree.options, "--seal-after", "1s", "--poll-interval", "50ms") as run:
        run.wait_for("live")
        for number in range(9, 21):
            for part in range(3):
                tree.write(f"20250310/{number}", trades(1000 * number + 40 * part, 40))
            until(lambda least=5 + 120 * (number - 9): documents.count_documents({}) >= least)  # type: ignore[misc]  # bound now: the loop moves on
            old = hours / str(number - 1)
            if number % 2:
                old.with_name(f"{old.name}.gz").write_bytes(gzip.compress(old.read_bytes()))
            old.unlink()
            reports.append(tree.verify(patience=Patience(looks=20, pause=0.1)))
        until(lambda: documents.count_documents({}) == 5 + 12 * 120, what="all stored")
        run.stop()
    bad = [report for report in reports if not report.proven]
    assert not bad, bad[0]
    assert sum(len(report.lives) for report in reports) > 10
    last = tree.verify()
    assert last.proven
    assert {life.state for life in last.lives} == {LifeState.AGREES}
    assert last.unexplained is not None
    assert last.unexplained.documents == 0
