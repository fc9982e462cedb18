"""What `check` says of the state directory, and that it changes nothing there."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.test_checkpoints import file_size_limit, make
from tests.unit.test_state_migration import version_1

from tailrace.commands.doctor import state
from tailrace.commands.doctor.finding import Finding, Level, Subject
from tailrace.ingest.state import checkpoints
from tailrace.ingest.state.checkpoints import DATABASE, CheckpointStore
from tailrace.ingest.state.directory import StateDirectory


def made(path: Path) -> Path:
    """The state of a source that was fed once."""
    with CheckpointStore.open(path) as store:
        store.bind("node_trades", "hl.node_trades", b"u" * 16, "/data/node_trades")
        store.save("node_trades", "hl.node_trades", [make()])
    return path


def snapshot(path: Path) -> list[tuple[str, bytes, int]]:
    files = [each for each in sorted(path.rglob("*")) if each.is_file()]
    return [(str(each), each.read_bytes(), each.stat().st_mtime_ns) for each in files]


def only(found: state.StateSeen, subject: Subject) -> Finding:
    [finding] = [each for each in found.findings if each.subject is subject]
    return finding


def test_no_state_yet(tmp_path: Path) -> None:
    """A directory that will be made, several levels deep: fine, and still not there afterwards."""
    found = state.look(tmp_path / "a" / "b")
    assert [each.level for each in found.findings] == [Level.OK, Level.OK]
    assert not (tmp_path / "a").exists()


def test_a_sound_state(tmp_path: Path) -> None:
    """What it is bound to, and whose it is; not a byte of it changes, and no file is made beside it."""
    path = made(tmp_path / "state")
    before = snapshot(path)
    found = state.look(path)
    assert {each.level for each in found.findings} == {Level.OK}
    assert "node_trades into hl.node_trades" in only(found, Subject.STATE).sentence
    assert found.bindings[0].root == "/data/node_trades"
    assert found.instance is not None
    assert len(found.instance) == 32
    assert snapshot(path) == before


def test_what_is_only_in_the_log_yet_is_read(tmp_path: Path) -> None:
    """After a kill the latest commits are in the write-ahead log alone: they are seen, and the log stays as it is."""
    store = CheckpointStore.open(tmp_path / "state")
    store.bind("fresh", "hl.fresh", b"u" * 16, "/data/fresh")
    shutil.copytree(tmp_path / "state", tmp_path / "killed")
    store.close()
    assert (tmp_path / "killed" / f"{DATABASE}-wal").stat().st_size > 0
    before = snapshot(tmp_path / "killed")
    assert [each.source for each in state.look(tmp_path / "killed").bindings] == ["fresh"]
    assert snapshot(tmp_path / "killed") == before


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (lambda path: path.write_bytes(b"garbage" * 1000), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:4096] + bytes(20480)), "damaged"),
    ],
)
def test_a_damaged_state(tmp_path: Path, harm: Callable[[Path], object], word: str) -> None:
    """Whatever is wrong with it: a problem that says that MongoDB is not affected, as with `run`."""
    path = made(tmp_path / "state") / DATABASE
    harm(path)
    finding = only(state.look(tmp_path / "state"), Subject.STATE)
    assert finding.level is Level.PROBLEM
    assert word in finding.sentence
    assert "nothing in MongoDB is affected" in finding.remedy


@pytest.mark.parametrize(
    ("of_a_version", "rows"),
    [(made, "1 checkpoints"), (lambda path: version_1(path).parent, "2 checkpoints")],
    ids=["ours", "version_1"],
)
def test_a_damaged_row(tmp_path: Path, of_a_version: Callable[[Path], Path], rows: str) -> None:
    """A row that reads differently from how it was written, in a file that SQLite finds sound: `run` would end over it,
    and so it is a problem, with its file. As it was written it is fine."""
    path = of_a_version(tmp_path / "state")
    sound = only(state.look(path), Subject.STATE)
    assert (sound.level, sound.sentence[: len(rows)]) == (Level.OK, rows)
    with closing(sqlite3.connect(path / DATABASE, isolation_level=None)) as database:
        database.execute("UPDATE checkpoint SET offset = offset + 1")
    finding = only(state.look(path), Subject.STATE)
    assert finding.level is Level.PROBLEM
    assert "is damaged (the row of '/data/" in finding.sentence
    assert "nothing in MongoDB is affected" in finding.remedy


def without_a_table(database: Path) -> None:
    """As it is when `run` dies before its first transaction."""
    database.unlink()
    with closing(sqlite3.connect(database)) as made:
        made.execute("PRAGMA journal_mode = WAL")
    assert database.stat().st_size > 0


@pytest.mark.parametrize("harm", [lambda path: path.write_bytes(b""), without_a_table], ids=["nothing", "no_table"])
def test_a_state_that_was_hardly_begun(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    """An empty file, or one without any table, counts as missing, as for `run`, which then opens it: nothing is wrong.
    Nor is what an old log beside it says taken for it."""
    path = made(tmp_path / "state")
    store = CheckpointStore.open(tmp_path / "other")
    log = (tmp_path / "other" / f"{DATABASE}-wal").read_bytes()
    store.close()
    harm(path / DATABASE)
    finding = only(state.look(path), Subject.STATE)
    assert (finding.level, finding.sentence[:12]) == (Level.OK, "no state yet")
    if not (path / DATABASE).stat().st_size:
        (path / f"{DATABASE}-wal").write_bytes(log)
        assert only(state.look(path), Subject.STATE) == finding
    CheckpointStore.open(path).close()
    assert only(state.look(path), Subject.STATE).sentence.startswith("0 checkpoints")


@pytest.mark.parametrize(
    ("pragma", "word"), [("user_version = 99", "newer than this one"), ("application_id = 7", "of another program")]
)
def test_a_state_of_another_program_or_version(tmp_path: Path, pragma: str, word: str) -> None:
    """A newer tailrace's, and another program's, are told apart from damage."""
    path = made(tmp_path / "state")
    with closing(sqlite3.connect(path / DATABASE)) as database:
        database.execute(f"PRAGMA {pragma}")
    finding = only(state.look(path), Subject.STATE)
    assert finding.level is Level.PROBLEM
    assert word in finding.sentence


def test_a_state_that_cannot_be_read(tmp_path: Path) -> None:
    """What is wrong with the file itself is a problem, with the reason."""
    path = tmp_path / "state"
    (path / DATABASE).mkdir(parents=True)
    finding = only(state.look(path), Subject.STATE)
    assert (finding.level, finding.sentence) == (Level.PROBLEM, f"{path / DATABASE} cannot be read: Is a directory")


def test_without_a_folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` needs none: a state of which no copy can be made was not looked at, and nothing is said to be wrong."""
    path = made(tmp_path / "state")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    finding = only(state.look(path), Subject.STATE)
    assert finding.level is Level.SKIPPED
    assert f"{tmp_path}/nowhere/" in finding.sentence
    assert "No such file or directory): set TMPDIR" in finding.sentence


@pytest.mark.parametrize("part", [0.5, 1.0], ids=["for_the_copy", "for_what_sqlite_makes_beside_it"])
def test_without_room_for_a_copy(tmp_path: Path, part: float) -> None:
    """As without such a folder: full is the disk of the temporary files, and not the state's."""
    path = made(tmp_path / "state")
    with file_size_limit(int((path / DATABASE).stat().st_size * part)):
        finding = only(state.look(path), Subject.STATE)
    assert finding.level is Level.SKIPPED
    assert "no copy of it can be made" in finding.sentence


def torn_copy(tmp_path: Path) -> Path:
    """A state directory as a copy finds it when the log is folded into the database and begun anew meanwhile: the
    database of before, the log of after. Beside it, in `live`, what is really there."""
    torn = tmp_path / "torn"
    torn.mkdir(mode=0o700)
    with CheckpointStore.open(tmp_path / "live") as store:
        shutil.copyfile(tmp_path / "live" / DATABASE, torn / DATABASE)
        with closing(sqlite3.connect(tmp_path / "live" / DATABASE)) as other:
            assert other.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0] == 0
        store.bind("node_trades", "hl.node_trades", b"u" * 16, "/data/node_trades")
        shutil.copyfile(tmp_path / "live" / f"{DATABASE}-wal", torn / f"{DATABASE}-wal")
    return torn


def test_a_copy_that_is_torn_is_taken_again(tmp_path: Path) -> None:
    """A run writes while it is copied: what a torn copy does not tell the next one does. Else that run's own lease
    would be taken for another writer's."""
    torn = torn_copy(tmp_path)
    assert state.look(torn).instance is None
    held = StateDirectory.take(torn)
    whole = threading.Timer(0.1, os.replace, (tmp_path / "live" / DATABASE, torn / DATABASE))
    whole.start()
    found = state.look(torn)
    whole.join()
    held.release()
    assert found.pid == os.getpid()
    assert found.instance is not None
    assert {each.level for each in found.findings} == {Level.OK, Level.NOTE}


def test_a_state_that_is_held(tmp_path: Path) -> None:
    """Who holds it is named, as a note; whoever takes the lock a moment later is not disturbed."""
    held = StateDirectory.take(tmp_path / "state")
    found = state.look(tmp_path / "state")
    assert found.pid == os.getpid()
    assert only(found, Subject.STATE).level is Level.NOTE
    held.release()
    assert state.look(tmp_path / "state").holder is None
    StateDirectory.take(tmp_path / "state").release()


def test_a_directory_that_others_may_enter(tmp_path: Path) -> None:
    """A note with its mode and the command that mends it."""
    path = made(tmp_path / "state")
    path.chmod(0o755)
    finding = only(state.look(path), Subject.STATE_DIR)
    assert finding.level is Level.NOTE
    assert "mode 0755" in finding.sentence
    assert finding.remedy == f"chmod 700 {path}"


def test_below_a_file(tmp_path: Path) -> None:
    """It cannot be made: a problem, and the database is said not to have been looked at."""
    (tmp_path / "file").write_text("")
    found = state.look(tmp_path / "file" / "state")
    assert only(found, Subject.STATE_DIR).level is Level.PROBLEM
    assert only(found, Subject.STATE).level is Level.SKIPPED


def test_the_constants_are_those_of_the_store() -> None:
    """What marks a database as ours is written down once more, and is the same."""
    assert state.APPLICATION_ID == checkpoints._APPLICATION_ID
