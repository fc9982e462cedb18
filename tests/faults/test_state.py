"""Local state damaged, lost and out of disk, under real processes: what is stored stays exact."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support.counting import count, hours_of_tree
from tests.support.hosts import small_disk
from tests.support.ingested import Tree, line, trade, trades
from tests.support.load import Load
from tests.support.servers import Server
from tests.support.sums import recomputed, recorded
from tests.support.tailrace_process import Run, tailrace, until
from tests.support.under_load import assert_exact, checkpoint, flags_for, peak

FILES = 30  # hours: several pages of rows
DATABASE = "checkpoints.sqlite3"
KEPT = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", "lock")


@dataclass(slots=True)
class Scene:
    """A tree that is stored, and two copies of its state directory: one taken while it ran (with a log that is not
    folded in yet, as after a kill), and one after the stop."""

    tree: Tree
    running: Path
    stopped: Path
    numbers: int = 10_000

    @property
    def state(self) -> Path:
        return Path(self.tree.flags["state_dir"])

    @property
    def file(self) -> Path:
        return self.state / DATABASE

    def restore(self, copy: Path) -> None:
        shutil.rmtree(self.state)
        shutil.copytree(copy, self.state)

    def append(self) -> None:
        """One more line in the first and in the last file."""
        for name in ("20250310/0", f"2025031{FILES // 24}/{(FILES - 1) % 24}"):
            self.tree.write(name, line(trade(self.numbers)))
            self.numbers += 1

    def assert_exact(self) -> None:
        uri, database = self.tree.flags["mongodb_uri"], self.tree.flags["database"]
        tally = count(uri, database, hours_of_tree(self.tree.root))
        assert tally.exact, tally
        assert tally.kept == FILES
        sums = recorded(uri, database)
        assert len(sums) == FILES
        assert sums == recomputed(uri, database)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, standalone: Server) -> Scene:
    directory = tmp_path_factory.mktemp("state-faults")
    tree = Tree(directory, standalone.uri, f"test_{os.getpid()}_state", poll_interval="100ms")
    for number in range(FILES):
        day, hour = divmod(number, 24)
        tree.write(f"2025031{day}/{hour}", trades(100 * number, 5) + b"{bad %d\n" % number)
    made = Scene(tree, directory / "running", directory / "stopped")
    with Run(*tree.options) as run:
        run.wait_for("live")
        until(lambda: checkpoint(directory) == sum(path.stat().st_size for path in tree.root.rglob("*/hourly/*/*")))
        shutil.copytree(made.state, made.running)
        run.stop()
    shutil.copytree(made.state, made.stopped)
    return made


def zeroed(scene: Scene) -> None:
    scene.file.write_bytes(bytes(scene.file.stat().st_size))


def torn(scene: Scene) -> None:
    os.truncate(scene.file, scene.file.stat().st_size // 2)


def garbage(scene: Scene) -> None:
    with scene.file.open("r+b") as file:
        file.seek(scene.file.stat().st_size // 2)
        file.write(random.Random(7).randbytes(3000))


def newer(scene: Scene) -> None:
    with closing(sqlite3.connect(scene.file, isolation_level=None)) as database:
        database.execute("PRAGMA user_version = 1000")
        database.execute("UPDATE meta SET value = '9.1.0' WHERE key = 'written_by'")


def all_missing(scene: Scene) -> None:
    shutil.rmtree(scene.state)


def log_missing(scene: Scene) -> None:
    scene.restore(scene.running)
    log = scene.state / f"{DATABASE}-wal"
    assert log.stat().st_size > 4096, "the precondition: what was saved last is in the log"
    log.unlink()


def log_torn(scene: Scene) -> None:
    scene.restore(scene.running)
    log = scene.state / f"{DATABASE}-wal"
    assert log.stat().st_size > 4096
    os.truncate(log, log.stat().st_size // 2 + 7)


def log_without_its_file(scene: Scene) -> None:
    scene.restore(scene.running)
    scene.file.unlink()


def other_log(scene: Scene) -> None:
    """The log of an earlier moment beside the database of a later one, as a careless restore leaves it."""
    shutil.copy(scene.running / f"{DATABASE}-wal", scene.state)


def another_collection(scene: Scene) -> None:
    """Dropped and made again, by others, without documents."""
    with MongoClient[dict[str, Any]](scene.tree.flags["mongodb_uri"]) as client:
        database = client[scene.tree.flags["database"]]
        database.drop_collection("node_trades")
        database.create_collection("node_trades")


REFUSED = {zeroed: "is damaged", torn: "is damaged", garbage: "is damaged", newer: "written by tailrace 9.1.0"}
REBUILT = [all_missing, log_missing, log_torn, log_without_its_file, other_log, another_collection]


@pytest.mark.parametrize("damage", [*REFUSED, *REBUILT], ids=lambda damage: damage.__name__)
def test_a_damaged_state_is_rebuilt_or_refused_in_one_sentence(scene: Scene, damage: Callable[[Scene], None]) -> None:
    """Refused: exit 78, one sentence that names the file and says to delete it. Then, or at once: every line is stored
    once, every bad line kept once, and the ledger's counts and checksums are those of what is there."""
    scene.restore(scene.stopped)
    damage(scene)
    scene.append()
    done = tailrace("run", "--once", "--http", "off", *scene.tree.options)
    if damage in REFUSED:
        assert done.returncode == 78, done.stderr
        said = done.stderr.strip().splitlines()[-1]
        assert str(scene.file) in said
        assert REFUSED[damage] in said
        assert "delete" in said
        assert "Traceback" not in done.stderr
        scene.file.unlink()
        done = tailrace("run", "--once", "--http", "off", *scene.tree.options)
    assert done.returncode == 0, done.stderr
    scene.assert_exact()


@pytest.mark.timeout(90)
def test_a_full_disk_under_the_state_directory(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """Under load: storing goes on, the log has one warning and one line when there is space again, not one per save
    (four a second); memory does not grow with it; a kill -9 meanwhile costs reading again, nothing else; a start on the
    full disk is refused in one sentence."""
    with small_disk(tmp_path / "state") as disk, Load(tmp_path / "data", 60.0, rate=1500.0) as load:
        flags = flags_for(tmp_path, standalone.uri, database_name)
        with Run(*flags) as run:
            run.wait_for("live")
            disk.fill(run.process.pid)
            assert not disk.mounted or disk.left == 0
            run.wait_for("checkpoints_not_saved")
            stood, grown = checkpoint(tmp_path), peak(run.process.pid)
            threading.Event().wait(1.5)  # six saves
            assert checkpoint(tmp_path) == stood, "the precondition: nothing is saved"
            assert peak(run.process.pid) - grown < 8 * 1024 * 1024
            disk.free(run.process.pid)
            run.wait_for("checkpoints_saved_again")
            until(lambda: checkpoint(tmp_path) > stood, what="saved again")
            assert len(run.named("checkpoints_not_saved")) == len(run.named("checkpoints_saved_again")) == 1
            assert run.named("checkpoints_not_saved")[0]["level"] == "warning"
            disk.fill(run.process.pid)
            run.wait_for("checkpoints_not_saved", count=2)
            run.kill()
        if disk.mounted:
            refused = tailrace("run", "--http", "off", *flags)
            assert refused.returncode == 78
            assert "Traceback" not in refused.stderr
            assert "state_dir" in refused.stderr.strip().splitlines()[-1]
            disk.free(run.process.pid)
        with Run(*flags) as run:
            run.wait_for("live")
            assert_exact(run, flags, standalone.uri, database_name, load.enough())
