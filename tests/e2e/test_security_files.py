"""What tailrace may open, and who may open what it makes: links out of the root, rights of the state, loopback."""

from __future__ import annotations

import asyncio
import gzip
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.support.ingested import Tree, trades
from tests.support.servers import Server
from tests.support.tailrace_process import Run, hour_file, tailrace, until

from tailrace.commands.verify import choose, verify_sources
from tailrace.config import load
from tailrace.errors import Exit
from tailrace.ingest.files.reading import UnreadableFile, open_reader
from tailrace.ingest.mongo.connection import connect
from tailrace.ingest.wiring import server_options
from tailrace.model import Compression
from tailrace.verify.report import VerifyReport

INSIDE, OUTSIDE = trades(0, 20), trades(1000, 30)
DAY = "20250310"
Plant = Callable[[Path, Path], None]


@pytest.fixture
def tree(tmp_path: Path, standalone: Server, database_name: str) -> Tree:
    tree = Tree(tmp_path, standalone.uri, database_name)
    tree.write(f"{DAY}/9", INSIDE)
    return tree


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A day folder beside the tree, with hour files whose lines would be stored if they were read."""
    folder = tmp_path / "outside" / "20250311"
    folder.mkdir(parents=True)
    for name in ("9", "10", "11"):
        (folder / name).write_bytes(OUTSIDE)
    (folder / "12.gz").write_bytes(gzip.compress(OUTSIDE))
    return folder


def hourly(tree: Tree) -> Path:
    return tree.root / "node_trades" / "hourly"


def stored(tree: Tree) -> tuple[int, int]:
    """(documents, those of lines from outside), counted without tailrace."""
    with tree.documents() as documents:
        return documents.count_documents({}), documents.count_documents({"hash": {"$gte": f"0x{1000:064x}"}})


def swap(path: Path, plant: Callable[[Path], None]) -> None:
    """Another thing under that name from one moment to the next."""
    beside = path.with_name(f".{path.name}.planted")
    plant(beside)
    os.rename(beside, path)


def linked(target: Path) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(lambda top, out: (top / DAY / "10").symlink_to(out / "10"), id="hour-file"),
        pytest.param(lambda top, out: (top / DAY / "12.gz").symlink_to(out / "12.gz"), id="archive"),
        pytest.param(lambda top, out: (top / "20250311").symlink_to(out), id="day-folder"),
        pytest.param(lambda top, out: (top / DAY / "10").symlink_to(os.path.relpath(out / "10", top / DAY)), id="dots"),
        pytest.param(
            lambda top, out: [(top / "x").symlink_to(out), (top / DAY / "10").symlink_to(top / "x" / "10")], id="by-way"
        ),
    ],
)
def test_links_out_of_the_root_are_not_followed(tree: Tree, outside: Path, plant: Plant) -> None:
    """Hour files, archives, day folders; `run` and `verify` alike. One warning, the other files go on."""
    plant(hourly(tree), outside)
    with capture_logs() as logs:
        tree.ingest()
    assert stored(tree) == (20, 0)
    assert [each["why"] for each in logs if each["event"] == "file_skipped"] == ["a link that leads out of the root"]
    report = tree.verify()
    assert report.proven
    assert len(report.files) == 1


def test_a_hard_link_is_a_file_of_the_tree(tree: Tree, outside: Path) -> None:
    """Whoever may link a file may read it: it is read."""
    os.link(outside / "10", hourly(tree) / DAY / "10")
    tree.ingest()
    assert stored(tree) == (50, 30)


def test_what_is_swapped_in_between_the_look_and_the_open_is_not_read(tmp_path: Path, outside: Path) -> None:
    """The file, its folder or the folder above become a link out, the file a FIFO: refused at once, no byte read."""
    root = tmp_path / "data"
    path = hour_file(root, f"{DAY}/9")
    path.write_bytes(INSIDE)
    open_reader(str(path), Compression.NONE, (str(root),)).close()

    def refused(why: str) -> None:
        with pytest.raises(UnreadableFile, match=why):
            open_reader(str(path), Compression.NONE, (str(root),))

    swap(path, linked(outside / "9"))
    refused("a link that leads out of the root")
    swap(path, os.mkfifo)
    refused("not a regular file")
    for folder, target in ((path.parent, outside), (path.parent.parent, outside.parent)):
        folder.rename(folder.with_name("moved"))
        (outside.parent / DAY).mkdir(exist_ok=True)
        (outside.parent / DAY / "9").write_bytes(OUTSIDE)
        folder.symlink_to(target)
        assert path.read_bytes() == OUTSIDE  # the precondition: whoever just opens the name gets it
        refused("a link that leads out of the root")
        folder.unlink()
        folder.with_name("moved").rename(folder)


def test_a_link_that_comes_and_goes_is_never_read(tmp_path: Path, outside: Path) -> None:
    """Another process swaps file and link without a pause: every open is of the file in the root, or refused."""
    root = tmp_path / "data"
    path = hour_file(root, f"{DAY}/9")
    path.write_bytes(INSIDE)
    kept = path.with_name("kept")
    os.link(path, kept)
    stop = threading.Event()

    def swapping() -> None:
        while not stop.is_set():
            swap(path, linked(outside / "9"))
            swap(path, lambda beside: os.link(kept, beside))

    thread = threading.Thread(target=swapping)
    thread.start()
    opened = refused = 0
    deadline = time.monotonic() + 30
    try:
        while (opened < 300 or refused < 300) and time.monotonic() < deadline:
            try:
                reader = open_reader(str(path), Compression.NONE, (str(root),))
            except UnreadableFile:
                refused += 1
                continue
            assert reader.read_at(0, 1 << 20) == INSIDE
            reader.close()
            opened += 1
    finally:
        stop.set()
        thread.join()
    assert opened
    assert refused


@pytest.mark.parametrize("what", ["file", "day", "hourly"])
def test_swapped_while_it_runs(tree: Tree, outside: Path, what: str) -> None:
    """A live `run`: nothing of what the link leads to is stored; it says so and goes on; what is put back is read."""
    top = hourly(tree)
    with Run(*tree.options, "--poll-interval", "50ms") as run:
        run.wait_for("live")
        away = {"file": top / DAY / "9", "day": top / DAY, "hourly": top}[what]
        (outside.parent / DAY).mkdir()
        for name in ("9", "10"):
            (outside.parent / DAY / name).write_bytes(OUTSIDE)
        target = {"file": outside / "9", "day": outside, "hourly": outside.parent}[what]
        moved = tree.root / "moved"
        away.rename(moved)
        away.symlink_to(target)
        run.wait_for("file_skipped")
        assert "out of the root" in run.named("file_skipped")[0]["why"]
        away.unlink()
        moved.rename(away)
        run.stop()
    tree.write(f"{DAY}/9", trades(20, 5))
    tree.ingest()
    assert stored(tree) == (25, 0)
    assert tree.verify().proven


def test_verify_reads_no_link_that_came_after_its_listing(tree: Tree, outside: Path) -> None:
    """The file is called unreadable, and nothing is called proven by what lies elsewhere."""
    tree.ingest()
    settings = tree.settings()

    async def verify() -> list[VerifyReport]:
        chosen = choose(settings, [])
        (outside / "9").write_bytes(INSIDE)  # the very same lines: only the place is another
        swap(hourly(tree) / DAY / "9", linked(outside / "9"))
        client = connect(server_options(settings, settings.sources[0], settings.connection_string))
        try:
            return await verify_sources(settings, chosen, client, settings.connection_string)
        finally:
            await client.close()

    [report] = asyncio.run(verify())
    assert not report.proven
    assert "out of the root" in report.files[0].detail


def test_a_linked_root_is_resolved_once(tree: Tree, tmp_path: Path, outside: Path) -> None:
    """The operator's own link is followed at the start; turned while it runs, it changes nothing."""
    current = tmp_path / "current"
    current.symlink_to(tree.root)
    tree.flags["root"] = str(current)
    hour_file(tmp_path / "other", f"{DAY}/10").write_bytes(OUTSIDE)
    with Run(*tree.options, "--poll-interval", "50ms") as run:
        run.wait_for("live")
        swap(current, linked(tmp_path / "other"))
        tree.root = tmp_path / "data"
        tree.write(f"{DAY}/9", trades(20, 5))
        until(lambda: stored(tree)[0] == 25, what="the lines of the first tree")
        run.stop()
    assert stored(tree) == (25, 0)


def test_the_state_is_for_its_user_alone_whatever_the_umask(tmp_path: Path) -> None:
    """The directory 0700, every file in it 0600, while it runs and after, with an embedded mongod, under umask 0."""
    hour_file(tmp_path / "data", f"{DAY}/9").write_bytes(INSIDE)
    flags = ["--root", str(tmp_path / "data" / "node_trades"), "--state-dir", str(tmp_path / "state")]
    before = os.umask(0)
    try:
        with Run(*flags, "--mongodb-uri", "embedded") as run:
            run.wait_for("live")
            while_it_runs = rights(tmp_path / "state")
            assert listening(mongod_of(tmp_path / "state")) == {"127.0.0.1"}
            run.stop()
    finally:
        os.umask(before)
    for found in (while_it_runs, rights(tmp_path / "state")):
        assert "checkpoints.sqlite3" in found
        assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}


def test_a_state_directory_that_others_may_read_is_warned_about(tree: Tree, tmp_path: Path) -> None:
    """One that was there with wider rights stays as it is, and the log says what is expected."""
    (tmp_path / "state").mkdir(mode=0o755)
    done = tailrace("run", "--once", *tree.options)
    assert done.returncode == Exit.DONE
    assert "is open to other users (mode 0755); expected is 0700" in done.stderr
    assert {name for name, mode in rights(tmp_path / "state").items() if mode & 0o077} == {"."}


def test_the_endpoint_is_for_this_machine_alone_by_default() -> None:
    http = load({"root": "/data/node_trades", "mongodb_uri": "mongodb://h"}, {"HOME": "/h"}, None).settings.http
    assert http is not None
    assert http.host == "127.0.0.1"


def rights(folder: Path) -> dict[str, int]:
    found = {".": stat.S_IMODE(folder.stat().st_mode)}
    for path in folder.rglob("*"):
        try:
            if path.name != "mongod.pid":  # mongod makes it 0644, whatever; it holds a number
                found[str(path.relative_to(folder))] = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:  # the server's, made and removed as it likes
            continue
    return found


def mongod_of(state: Path) -> int:
    return int((state / "mongod.pid").read_text())


def listening(pid: int) -> set[str]:
    """Addresses on which a process listens."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            link = os.readlink(entry)
        except OSError:
            continue
        if link.startswith("socket:["):
            inodes.add(link[8:-1])
    addresses = set()
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A" and fields[9] in inodes:
                host = bytes.fromhex(fields[1].partition(":")[0])[::-1]
                addresses.add(".".join(map(str, host)) if table == "tcp" else host.hex())
    return addresses
