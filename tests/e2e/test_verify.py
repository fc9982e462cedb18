"""`tailrace verify` on real files and a real server: what it proves, and everything that it must find."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]  # lz4 ships no types
import pytest
import zstandard
from bson import Decimal128, ObjectId
from tests.support.ingested import Tree, block, line, trade, trades
from tests.support.servers import Server
from tests.support.tailrace_process import Run, environment, tailrace

from tailrace.errors import SettingsChanged, UsageError
from tailrace.verify.patience import Patience
from tailrace.verify.report import FileState, FindingKind, VerifyReport

HOUR = "20250310/9"


@pytest.fixture
def tree(tmp_path: Path, standalone: Server, database_name: str) -> Tree:
    return Tree(tmp_path, standalone.uri, database_name)


def test_the_command_proves_what_was_ingested(tree: Tree) -> None:
    """Exit 0, one row a file, and a last line with the totals; nothing but the report on standard output."""
    tree.write(HOUR, trades(0, 30) + b"not json\n")
    tree.write("20250310/10", trades(30, 12))
    tree.ingest()
    done = tailrace("verify", *tree.options)
    assert done.returncode == 0, done.stderr
    heading, nine, ten, total = done.stdout.splitlines()
    assert " ".join(heading.split()) == "file lines entries stored kept aside missing different extra verdict"
    assert nine.split() == ["20250310/9", "31", "31", "30", "1", "0", "0", "0", "ok"]
    assert ten.split() == ["20250310/10", "12", "12", "12", "0", "0", "0", "0", "ok"]
    assert total == (
        "43 entries in 2 files: 42 stored and equal, 1 kept aside; missing 0, different 0, extra 0: proven"
    )


def test_the_command_says_what_is_wrong_in_words_and_in_json(tree: Tree) -> None:
    """A deleted and a changed document: exit 1, offset, field and `_id` named; --json is one document with the same."""
    path = tree.write(HOUR, trades(0, 5))
    tree.ingest()
    offsets = [match.end() for match in re.finditer(rb"\n", path.read_bytes())]
    with tree.documents() as documents:
        ids = [document["_id"] for document in documents.find().sort("_id", 1)]
        documents.delete_one({"_id": ids[1]})
        documents.update_one({"_id": ids[3]}, {"$set": {"px": Decimal128("0.1004")}})
    done = tailrace("verify", *tree.options, HOUR)
    assert done.returncode == 1, done.stderr
    assert f"20250310/9: missing: offset {offsets[0]} entry 0 (_id {ids[1]})" in done.stdout
    changed = f"20250310/9: different: offset {offsets[2]} entry 0 (_id {ids[3]}), field px: "
    assert f"{changed}0.1003 in the file, 0.1004 stored\n" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("missing 1, different 1, extra 0: NOT proven (1 file)")
    done = tailrace("verify", *tree.options, "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["version"], report["proven"]) == (1, False)
    assert (report["totals"]["equal"], report["totals"]["missing"], report["totals"]["different"]) == (3, 1, 1)
    [file] = report["sources"][0]["files"]
    assert (file["path"], file["hour"], file["state"]) == (str(path), "2025-03-10T09Z", "differs")
    different = {"kind": "different", "id": str(ids[3]), "offset": offsets[2], "field": "px"}
    different |= {"ours": "0.1003", "stored": "0.1004"}
    nothing = {"index": 0, "field": None, "ours": None, "stored": None, "reason": None}
    assert file["findings"] == [
        {**nothing, "kind": "missing", "id": str(ids[1]), "offset": offsets[0]},
        {**nothing, **different},
    ]


def test_one_changed_digit_is_found_where_it_is(tree: Tree) -> None:
    """Also a value that is equal as a number and not as a document: 0.10040 is not 0.1004. Ids alone do not show it."""
    tree.write(HOUR, trades(0, 3000))
    tree.ingest()
    assert tree.verify().proven
    with tree.documents() as documents:
        victim = documents.find().sort("_id", 1).skip(1717).limit(1)[0]
        documents.update_one({"_id": victim["_id"]}, {"$set": {"px": Decimal128(str(victim["px"]) + "0")}})
    file = tree.verify_file()
    assert (file.equal, file.different, file.missing, file.extra) == (2999, 1, 0, 0)
    assert (file.findings[0].field, file.findings[0].key) == ("px", victim["_id"].binary)
    assert tree.verify(deep=False).proven


def test_a_field_of_somebody_else_is_no_difference(tree: Tree) -> None:
    """Only what tailrace writes is compared."""
    tree.write(HOUR, trades(0, 50))
    tree.ingest()
    with tree.documents() as documents:
        documents.update_many({}, {"$set": {"reviewed": True, "notes": ["x", {"y": 1}]}})
    assert tree.verify_file().equal == 50


@pytest.mark.parametrize("place", ["between", "behind", "before"])
def test_a_document_that_no_line_explains_is_extra(tree: Tree, place: str) -> None:
    """Between two lines, behind the last line, and before the start that `start_at = "end"` chose."""
    tree.write(HOUR, trades(0, 20))
    start_at = "end" if place == "before" else "beginning"
    tree.ingest(start_at=start_at)
    tree.write(HOUR, trades(20, 20))
    tree.ingest(start_at=start_at)
    assert tree.verify().proven
    with tree.documents() as documents:
        some = documents.find_one({})
        assert some is not None
        prefix = some["_id"].binary[:7]
        offset = {"between": 700, "behind": 1 << 39, "before": 3}[place]
        extra = ObjectId(prefix + offset.to_bytes(5, "big"))
        documents.insert_one({**some, "_id": extra})
    for deep in (True, False):
        file = tree.verify_file(deep=deep)
        assert (file.state, file.extra, file.missing) == (FileState.DIFFERS, 1, 0)
        assert [(finding.kind, finding.key) for finding in file.findings] == [(FindingKind.EXTRA, extra.binary)]


def test_a_line_that_was_not_read_yet_is_missing(tree: Tree) -> None:
    """A line appended to an ingested file while nothing runs, and a whole file that nothing has read."""
    tree.write(HOUR, trades(0, 10))
    tree.ingest()
    tree.write(HOUR, trades(10, 2))
    file = tree.verify_file()
    assert (file.equal, file.missing, file.unread) == (10, 2, 2)
    tree.write("20250310/10", trades(20, 7) + b"bad\n")
    file = tree.verify_file("20250310/10")
    assert (file.state, file.lines, file.missing) == (FileState.NOT_INGESTED, 8, 8)
    tree.ingest()
    assert tree.verify().proven


def test_a_deleted_reject_is_missing(tree: Tree) -> None:
    """Of a bad line, and of a document that only the server refused."""
    tree.write(HOUR, trades(0, 3) + b"{\n\n" + trades(3, 3))
    with tree.database() as database:
        database.create_collection(tree.collection, validator={"px": {"$ne": Decimal128("0.1004")}})
    tree.ingest()
    file = tree.verify_file()
    assert (file.equal, file.kept, file.state) == (5, 3, FileState.OK)
    with tree.rejects() as rejects:
        reasons = sorted(reject["reason"] for reject in rejects.find())
        assert reasons == ["empty", "json", "server_refused"]
        rejects.delete_one({"reason": "json"})
        rejects.delete_one({"reason": "server_refused"})
    file = tree.verify_file()
    assert (file.kept, file.missing) == (1, 2)
    assert {(finding.kind, finding.reason) for finding in file.findings} == {
        (FindingKind.MISSING_REJECT, "json"),
        (FindingKind.MISSING, None),
    }


def test_wrapped_lines_are_verified_entry_by_entry(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """Blocks with a bad entry among good ones, an empty block, a bad wrapper; one document of a block deleted."""
    tree = Tree(tmp_path, standalone.uri, database_name, "node_trades_by_block")
    lines = [block(n, [trade(10 * n + i) for i in range(4)]) for n in range(20)]
    lines[7]["events"][2] = {"coin": 7}
    lines[8]["events"] = []
    lines[9]["block_number"] = "nine"
    path = tree.write(HOUR, b"".join(map(line, lines)))
    tree.ingest()
    file = tree.verify_file()
    assert (file.state, file.lines, file.entries, file.kept, file.equal) == (FileState.OK, 20, 73, 2, 71)
    with tree.documents() as documents:
        victim = documents.find({"block_number": 12}).sort("_id", 1).skip(3).limit(1)[0]
        documents.delete_one({"_id": victim["_id"]})
    file = tree.verify_file()
    start = path.read_bytes().index(line(lines[12]))
    assert (file.missing, file.findings[0].offset, file.findings[0].index) == (1, start, 3)


@contextmanager
def _background(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tailrace", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment())
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def _lz4(data: bytes) -> bytes:
    packed: bytes = lz4.frame.compress(data)
    return packed


@pytest.mark.parametrize(("extension", "pack"), [("gz", gzip.compress), ("zst", _zstd), ("lz4", _lz4)])
def test_a_compressed_file_has_the_ids_of_the_plain_one(
    tree: Tree, extension: str, pack: Callable[[bytes], bytes]
) -> None:
    """Compressed in place after it was ingested; cut short, the archive is said to be unreadable, not extra."""
    path = tree.write(HOUR, trades(0, 3000) + b"bad\n")
    tree.ingest()
    archive = path.with_name(f"9.{extension}")
    packed = pack(path.read_bytes())
    archive.write_bytes(packed)
    path.unlink()
    file = tree.verify_file()
    assert (file.state, file.equal, file.kept, file.path) == (FileState.OK, 3000, 1, str(archive))
    archive.write_bytes(packed[: len(packed) // 2])
    report = tree.verify()
    assert not report.proven
    assert report.files[0].state in (FileState.UNREADABLE, FileState.NOT_INGESTED)
    assert report.files[0].extra == 0


def test_what_was_skipped_by_choice_is_said_and_not_missing(tree: Tree) -> None:
    """`start_at = "end"`: the bytes before the start are counted, the lines after it verified."""
    path = tree.write(HOUR, trades(0, 25))
    skipped = path.stat().st_size
    tree.ingest(start_at="end")
    tree.write(HOUR, trades(25, 5))
    tree.ingest(start_at="end")
    file = tree.verify_file()
    assert (file.state, file.skipped, file.entries, file.equal) == (FileState.OK, skipped, 5, 5)


def test_a_torn_rest_is_reported(tree: Tree) -> None:
    """Half a line is not missing; a whole one that `--once` took without its newline is not extra, then or later."""
    tree.write(HOUR, trades(0, 4) + line(trade(4))[:100])
    tree.ingest()
    file = tree.verify_file()
    assert (file.state, file.entries, file.torn, file.torn_entries) == (FileState.OK, 4, 100, 0)
    tree.write(HOUR, line(trade(4))[100:-1])
    tree.ingest()
    file = tree.verify_file()
    assert (file.state, file.entries, file.torn_entries) == (FileState.OK, 4, 1)
    tree.write(HOUR, b"\n")
    file = tree.verify_file()
    assert (file.state, file.equal, file.torn) == (FileState.OK, 5, 0)


def test_a_first_line_without_its_newline_is_no_difference(tree: Tree) -> None:
    """Neither before `--once` has taken it nor after."""
    tree.write(HOUR, line(trade(1))[:-1])
    assert tree.verify_file().state is FileState.OK
    tree.ingest()
    file = tree.verify_file()
    assert (file.state, file.torn_entries, file.extra) == (FileState.OK, 1, 0)


def test_a_line_over_the_limit_is_kept_aside_whole(tree: Tree) -> None:
    """Found by the digest of its bytes; when its reject is gone it is missing."""
    long = line(trade(1, note="x" * 300_000))
    tree.write(HOUR, trades(0, 2) + long + trades(2, 2))
    tree.ingest(max_line_bytes="64KiB")
    file = tree.verify_file(max_line_bytes="64KiB")
    assert (file.state, file.equal, file.kept) == (FileState.OK, 4, 1)
    file = tree.verify_file()  # with another limit it would be a document, and it is kept aside all the same
    assert (file.state, file.equal, file.kept) == (FileState.OK, 4, 1)
    with tree.rejects() as rejects:
        assert rejects.delete_many({"reason": "too_long"}).deleted_count == 1
    assert tree.verify_file(max_line_bytes="64KiB").missing == 1


def test_content_identity_knows_missing_and_different_only(
    tmp_path: Path, standalone: Server, database_name: str
) -> None:
    """A thousand equal lines are one document; an event with other content is kept aside; neither is a difference."""
    tree = Tree(tmp_path, standalone.uri, database_name, identity="content")
    tree.write(HOUR, 1000 * line(trade(1)) + trades(2, 50))
    tree.ingest()
    tree.write("20250310/10", trades(30, 10) + line(trade(1, px="7.0")))  # blocks again, from a restarted node
    tree.ingest()
    with tree.documents() as documents:
        assert documents.count_documents({}) == 51
        documents.insert_one({"_id": ObjectId(), "coin": "ENA"})  # somebody's: unknown under content identity
    report = tree.verify()
    assert report.proven
    assert [(file.equal, file.kept, file.extra) for file in report.files] == [(1050, 0, 0), (10, 1, 0)]
    with tree.documents() as documents:
        victim = documents.find_one({"hash": trade(40)["hash"]})
        other = documents.find_one({"hash": trade(35)["hash"]})
        assert victim is not None
        assert other is not None
        documents.delete_one({"_id": victim["_id"]})
        documents.update_one({"_id": other["_id"]}, {"$set": {"sz": Decimal128("1.0"), "side": "A"}})
    files = tree.verify().files
    assert [(file.missing, file.different) for file in files] == [(1, 1), (0, 1)]
    assert {finding.field for finding in files[0].findings} == {None, "sz"}


def test_a_rewritten_file_is_not_the_file_that_was_ingested(tree: Tree) -> None:
    """Another first line, or fewer bytes than were settled, under the same name: nothing is proven."""
    path = tree.write(HOUR, trades(0, 10))
    tree.ingest()
    whole = path.read_bytes()
    path.write_bytes(trades(50, 10))
    assert tree.verify_file().state is FileState.NOT_INGESTED
    path.write_bytes(trades(0, 4))
    file = tree.verify_file()
    assert (file.state, file.missing, file.extra) == (FileState.NOT_INGESTED, 4, 0)
    path.write_bytes(whole)
    assert tree.verify().proven


def test_hours_days_paths_and_the_newest_can_be_chosen(tree: Tree, tmp_path: Path) -> None:
    """What is named is verified and nothing else; a name that is nowhere is a usage error."""
    for name in ("20250309/23", "20250310/0", "20250310/09", "20250310/10"):
        tree.write(name, trades(0, 2))
    tree.ingest()

    def chosen(*hours: str) -> list[str]:
        return ["/".join(Path(file.path).parts[-2:]) for file in tree.verify(*hours).files]

    assert chosen() == ["20250309/23", "20250310/0", "20250310/09", "20250310/10"]
    assert chosen("20250310/9") == ["20250310/09"]
    assert chosen("20250310") == ["20250310/0", "20250310/09", "20250310/10"]
    folder = tree.root / "node_trades" / "hourly" / "20250310"
    assert chosen(str(folder / "10"), str(folder.parent / "20250309")) == ["20250309/23", "20250310/10"]
    for absent in ("20250311", "20250310/7", "tomorrow", str(tmp_path)[:-1] + "/x"):
        with pytest.raises(UsageError):
            tree.verify(absent)
    done = tailrace("verify", *tree.options, "--last", "2h", "--json")
    assert [Path(file["path"]).name for file in json.loads(done.stdout)["sources"][0]["files"]] == ["09", "10"]
    assert tailrace("verify", *tree.options, "20250310/7").returncode == 2


def test_other_settings_than_those_it_was_filled_with_are_refused(tree: Tree) -> None:
    """Comparing with other numbers would call everything different: exit 78 naming both."""
    tree.write(HOUR, trades(0, 2))
    tree.ingest()
    with pytest.raises(SettingsChanged, match=r"numbers = decimal.*numbers = double"):
        tree.verify(numbers="double")


def test_an_unreachable_server_is_one_sentence_and_exit_78(tree: Tree) -> None:
    """Nothing hangs and nothing is proven."""
    tree.write(HOUR, trades(0, 2))
    tree.flags["mongodb_uri"] = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300"
    done = tailrace("verify", *tree.options)
    assert (done.returncode, done.stdout) == (78, "")
    assert "127.0.0.1:1" in done.stderr


def test_nothing_is_written(tree: Tree) -> None:
    """Neither into the database, not even of a collection that is not there, nor into the state directory."""
    tree.write(HOUR, trades(0, 2))
    assert not tree.verify().proven
    with tree.database() as database:
        assert database.list_collection_names() == []
    assert not Path(tree.flags["state_dir"]).exists()


def test_beside_a_live_run_there_is_no_false_alarm(tree: Tree) -> None:
    """Files grow and hours roll while `verify` looks, again and again: proven every time."""
    tree.write(HOUR, trades(0, 5))
    simulate = ["--rate", "3000", "--speed", "600", "--start", "2025-03-10T10:50:00Z", "--duration", "9s"]
    with Run(*tree.options) as run:
        run.wait_for("live")
        with _background("simulate", "--root", str(tree.root), "--bad", "0.01", *simulate) as simulator:
            reports: list[VerifyReport] = []
            while simulator.poll() is None:
                reports.append(tree.verify(patience=Patience()))
        assert len(reports) >= 3
        assert all(report.proven for report in reports), [file for report in reports for file in report.files]
        last = tree.verify(patience=Patience())
        run.stop()
    assert last.proven
    assert sum(file.entries for file in last.files) > 10_000
    assert sum(file.kept for file in last.files) > 0
