"""The checkpoint store on a real directory: what it keeps, whom it refuses, how it fails."""

from __future__ import annotations

import dataclasses
import os
import re
import resource
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tailrace
from tailrace.errors import ConfigurationError, Exit, SettingsChanged, StateCorrupt, StateLocked
from tailrace.ingest.state.checkpoints import DATABASE, STATE_VERSION, Checkpoint, CheckpointStore, StateWriteFailed
from tailrace.model import Compression, Offset

SOURCE, NAMESPACE, ROOT, UUID = "node_trades", "hyperliquid.node_trades", "/data/node_trades", b"\x01" * 16


def make(number: int = 0, *, offset: int = 100, source: str = SOURCE, finished: bool = False) -> Checkpoint:
    hour = 1_741_600_800 + 3600 * number
    return Checkpoint(
        prefix=hour.to_bytes(4, "big") + b"abc",
        fingerprint=b"abc" + bytes(29),
        source=source,
        path=f"{ROOT}/hourly/20250310/{10 + number}",
        hour=hour,
        number=0,
        salt=0,
        start=Offset(7),
        offset=Offset(offset),
        guard=bytes(range(16)),
        device=2049,
        inode=number + 1,
        size=offset + 5,
        mtime_ns=1_741_600_800_123_456_789,
        finished=finished,
        compression=Compression.NONE.value,
        lines=3,
        inserted=2,
        duplicates=1,
        rejected=0,
        checksum=2**63 - 1,
    )


def fill(state: Path, rows: int = 300) -> str:
    """A sound state directory with rows enough for several pages; its instance."""
    with CheckpointStore.open(state) as store:
        store.bind(SOURCE, NAMESPACE, UUID, ROOT)
        store.save(SOURCE, NAMESPACE, [make(number) for number in range(rows)])
        return store.instance


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file of this process can grow past `size` bytes: writes beyond fail as on a full disk, in the kernel."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def without_privileges() -> Iterator[None]:
    """As a user that may write nothing of ours, also where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_was_saved_is_loaded_after_reopening(tmp_path: Path) -> None:
    """Every field survives, by hour and life, also 64-bit unsigned inodes and names that are not ASCII."""
    rows = [
        make(1, finished=True),
        dataclasses.replace(make(0), inode=2**64 - 1, device=2**63, path="/data/größe/9.gz"),
    ]
    with CheckpointStore.open(tmp_path) as store:
        store.bind(SOURCE, NAMESPACE, UUID, ROOT)
        store.save(SOURCE, NAMESPACE, rows)
    with CheckpointStore.open(tmp_path) as store:
        store.bind(SOURCE, NAMESPACE, UUID, ROOT)
        assert store.load(SOURCE, NAMESPACE) == rows[::-1]
        assert store.load(SOURCE, "other.collection") == []
        assert store.load("other", NAMESPACE) == []


def test_a_save_that_fails_at_its_second_row_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    """All rows or none, also where it is not SQLite that fails; and the next save works."""
    beyond = dataclasses.replace(make(1), hour=1 << 70)  # more than SQLite's integers hold
    with CheckpointStore.open(tmp_path) as store:
        store.bind(SOURCE, NAMESPACE, UUID, ROOT)
        with pytest.raises(OverflowError):
            store.save(SOURCE, NAMESPACE, [make(0), beyond])
        assert store.load(SOURCE, NAMESPACE) == []
        store.save(SOURCE, NAMESPACE, [make(0)])
        assert store.load(SOURCE, NAMESPACE) == [make(0)]


def test_a_later_save_replaces_the_row_of_its_life(tmp_path: Path) -> None:
    """One row per life: the last one saved."""
    with CheckpointStore.open(tmp_path) as store:
        store.bind(SOURCE, NAMESPACE, UUID, ROOT)
        store.save(SOURCE, NAMESPACE, [make(0, offset=100), make(1, offset=100)])
        store.save(SOURCE, NAMESPACE, [make(0, offset=900)])
        assert [row.offset for row in store.load(SOURCE, NAMESPACE)] == [900, 100]


def test_the_instance_is_made_once_for_a_state_directory(tmp_path: Path) -> None:
    """The ledger tells writers apart by it: stable over restarts, different for another directory."""
    first, second = fill(tmp_path / "a"), fill(tmp_path / "b")
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first != second
    with CheckpointStore.open(tmp_path / "a") as store:
        assert store.instance == first


@pytest.mark.parametrize("wrong", [{"prefix": b"short"}, {"offset": 6}, {"start": -1}])
def test_an_impossible_checkpoint_cannot_be_made(wrong: dict[str, bytes | int]) -> None:
    """The prefix has 7 bytes and no offset lies before the start."""
    with pytest.raises(ValueError, match="not a checkpoint"):
        dataclasses.replace(make(), **wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_a_row_of_another_source_is_refused(tmp_path: Path) -> None:
    """Saved under the wrong name it would never be found again: the caller's defect."""
    with CheckpointStore.open(tmp_path) as store, pytest.raises(ValueError, match="another source"):
        store.save(SOURCE, NAMESPACE, [make(source="other")])


def test_another_thread_is_refused(tmp_path: Path) -> None:
    """The store is used from one thread; a second one is a defect, never taken for a disk error."""
    raised: list[BaseException] = []

    def save() -> None:
        try:
            store.save(SOURCE, NAMESPACE, [make()])
        except sqlite3.ProgrammingError as error:
            raised.append(error)

    with CheckpointStore.open(tmp_path) as store:
        thread = threading.Thread(target=save)
        thread.start()
        thread.join()
    assert len(raised) == 1


# --- binding ----------------------------------------------------------------------------------------------------


def test_a_dropped_collection_forgets_its_rows_and_no_others(tmp_path: Path) -> None:
    """What the rows call stored is gone with the collection; reading begins where the new ledger says."""
    with CheckpointStore.open(tmp_path) as store:
        for namespace in (NAMESPACE, "hyperliquid.copy"):
            store.bind(SOURCE, namespace, UUID, ROOT)
            store.save(SOURCE, namespace, [make(0)])
        store.bind(SOURCE, NAMESPACE, UUID, ROOT)
        assert store.load(SOURCE, NAMESPACE) == [make(0)], "the same collection keeps them"
        store.bind(SOURCE, NAMESPACE, b"\x02" * 16, ROOT)
        assert store.load(SOURCE, NAMESPACE) == []
        assert store.load(SOURCE, "hyperliquid.copy") == [make(0)]


def test_the_same_root_under_another_source_name_is_refused(tmp_path: Path) -> None:
    """Every entry would be stored a second time: both names are in the sentence, and the first one still works."""
    with CheckpointStore.open(tmp_path) as store:
        store.bind("tokyo", NAMESPACE, UUID, ROOT)
        with pytest.raises(SettingsChanged, match=r"'osaka'.*'tokyo'") as caught:
            store.bind("osaka", NAMESPACE, UUID, ROOT)
        assert caught.value.exit_code == Exit.CONFIGURATION
        store.bind("tokyo", NAMESPACE, UUID, ROOT)
        store.bind("osaka", "hyperliquid.other", UUID, ROOT)
        store.bind("osaka", NAMESPACE, UUID, "/data/other")


def test_a_new_collection_may_have_a_new_source_name(tmp_path: Path) -> None:
    """A collection that was dropped holds nothing under the old name: nothing can be doubled."""
    with CheckpointStore.open(tmp_path) as store:
        store.bind("tokyo", NAMESPACE, UUID, ROOT)
        store.bind("osaka", NAMESPACE, b"\x02" * 16, ROOT)


def test_a_source_may_move_to_another_root(tmp_path: Path) -> None:
    """The data directory was moved: lives are known by their bytes, so the rows stay."""
    with CheckpointStore.open(tmp_path) as store:
        store.bind(SOURCE, NAMESPACE, UUID, ROOT)
        store.save(SOURCE, NAMESPACE, [make(0)])
        store.bind(SOURCE, NAMESPACE, UUID, "/mnt/new")
        assert store.load(SOURCE, NAMESPACE) == [make(0)]
        store.bind("other", NAMESPACE, UUID, ROOT)


def test_a_root_that_is_not_there_does_not_hide_the_one_it_was_fed_from(tmp_path: Path) -> None:
    """Mistyped, it would set the true root free for another source name, and every entry would be stored twice. It
    counts once it is there."""
    with CheckpointStore.open(tmp_path) as store:
        store.bind(SOURCE, NAMESPACE, UUID, ROOT)
        store.bind(SOURCE, NAMESPACE, UUID, "/data/mistyped", there=False)
        with pytest.raises(SettingsChanged, match=SOURCE):
            store.bind("other", NAMESPACE, UUID, ROOT)
        store.bind("other", NAMESPACE, UUID, "/data/mistyped")
        store.bind(SOURCE, NAMESPACE, UUID, "/mnt/new")
        store.bind("third", NAMESPACE, UUID, ROOT)


def test_the_first_root_counts_before_it_is_there(tmp_path: Path) -> None:
    """There is none that it could hide; nor is there in a new collection."""
    with CheckpointStore.open(tmp_path) as store:
        store.bind(SOURCE, NAMESPACE, UUID, ROOT, there=False)
        with pytest.raises(SettingsChanged, match=SOURCE):
            store.bind("other", NAMESPACE, UUID, ROOT)
        store.bind(SOURCE, NAMESPACE, b"\x02" * 16, "/mnt/new", there=False)
        with pytest.raises(SettingsChanged, match=SOURCE):
            store.bind("other", NAMESPACE, b"\x02" * 16, "/mnt/new")


# --- the directory and its lock -----------------------------------------------------------------------------------


def test_the_directory_is_made_for_us_alone(tmp_path: Path) -> None:
    """0700, its files 0600, parents made as needed; nothing to warn about."""
    state = tmp_path / "a" / "state"
    with CheckpointStore.open(state) as store:
        store.bind(SOURCE, NAMESPACE, UUID, ROOT)
        assert store.warnings == ()
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()}
    assert set(modes) >= {"lock", DATABASE, f"{DATABASE}-wal"}
    assert set(modes.values()) == {0o600}


def test_a_directory_open_to_others_is_warned_about_and_left_alone(tmp_path: Path) -> None:
    """Its mode is the operator's; we name it once."""
    tmp_path.chmod(0o755)
    with CheckpointStore.open(tmp_path) as store:
        (warning,) = store.warnings
    assert str(tmp_path) in warning
    assert "0755" in warning
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_second_run_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    """The other's pid is in the sentence; nothing of the holder is disturbed; free again after its end."""
    program = (
        "import sys, pathlib; from tailrace.ingest.state.checkpoints import CheckpointStore\n"
        "store = CheckpointStore.open(pathlib.Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StateLocked, match=rf"pid {holder.pid} on ") as caught:
            CheckpointStore.open(tmp_path)
        assert caught.value.exit_code == Exit.CONFIGURATION
        assert str(tmp_path) in str(caught.value)
        holder.kill()  # SIGKILL: the kernel gives the lock back, nobody cleans up
        holder.wait()
    CheckpointStore.open(tmp_path).close()


def test_a_child_process_does_not_keep_the_lock(tmp_path: Path) -> None:
    """The embedded mongod may outlive us by a moment: the lock must not."""
    store = CheckpointStore.open(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        store.close()
        CheckpointStore.open(tmp_path).close()
        assert child.poll() is None, "the child is still there"
        child.communicate(b"\n")


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    """Shutdown paths overlap."""
    store = CheckpointStore.open(tmp_path)
    store.close()
    store.close()


def test_a_state_dir_that_is_a_file_is_a_configuration_error(tmp_path: Path) -> None:
    """One sentence that names the setting and the path."""
    path = tmp_path / "state"
    path.write_text("")
    for state in (path, path / "below"):
        with pytest.raises(ConfigurationError, match=rf"state_dir: {state} cannot be used"):
            CheckpointStore.open(state)


@pytest.mark.parametrize("what", ["parent", "directory", "database"])
def test_a_state_dir_that_may_not_be_written_is_a_configuration_error(what: str) -> None:
    """The directory cannot be made, or it or the database is read-only: said at start, not at the first save."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)  # not tmp_path, which another user could not even enter
        state = base / "state"
        if what != "parent":
            fill(state, rows=1)
            for path in state.iterdir():
                path.chmod(0o444 if what == "directory" else 0o666)
            (state / DATABASE).chmod(0o444)
            if os.geteuid() == 0:  # its owner may set its times without being allowed to write to it
                os.chown(state / DATABASE, 65534, -1)
            state.chmod(0o555 if what == "directory" else 0o777)
        base.chmod(0o555)
        with without_privileges(), pytest.raises(ConfigurationError, match=r"state_dir: .*[Pp]ermission denied"):
            CheckpointStore.open(state)
        base.chmod(0o755)
        if what != "parent":
            state.chmod(0o700)


# --- damage ---------------------------------------------------------------------------------------------------------


def _zero(data: bytes) -> bytes:
    return bytes(len(data))


def _zero_head(data: bytes) -> bytes:
    return bytes(4096) + data[4096:]


def _zero_tail(data: bytes) -> bytes:
    return data[:8192] + bytes(len(data) - 8192)


def _truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _cut_in_head(data: bytes) -> bytes:
    return data[:50]


def _garbage(data: bytes) -> bytes:
    return b"not a database, " * (len(data) // 16)


def _other_database(data: bytes) -> bytes:
    return data[:68] + bytes(4) + data[72:]  # the application id


def _no_text(data: bytes) -> bytes:
    """SQLite's own sentence about it would hold the byte, which is not UTF-8."""
    return data.replace(b"CREATE TABLE checkpoint", b"CR\xffATE TABLE checkpoint")


DAMAGES = [_zero, _zero_head, _zero_tail, _truncate, _cut_in_head, _garbage, _other_database, _no_text]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """The sentence says where the file is, that MongoDB is not affected, and to delete it; doing so mends it."""
    before = fill(tmp_path)
    path = tmp_path / DATABASE
    data = path.read_bytes()
    assert len(data) > 4 * 4096, "several pages, so that each damage hits something"
    path.write_bytes(damage(data))
    for _ in range(2):  # a refused start changes nothing and leaves nothing locked
        with pytest.raises(StateCorrupt) as caught:
            CheckpointStore.open(tmp_path)
        assert caught.value.exit_code == Exit.CONFIGURATION
        assert str(caught.value).startswith(f"{path} is damaged (")
        assert "delete it and start again; nothing in MongoDB is affected" in str(caught.value)
    path.unlink()
    with CheckpointStore.open(tmp_path) as store:
        assert store.instance != before
        assert store.load(SOURCE, NAMESPACE) == []


def test_a_changed_byte_in_a_row_is_damage_not_an_offset(tmp_path: Path) -> None:
    """SQLite has no checksums; the row's digest finds what its own check passes: never resume at a wrong offset."""
    with CheckpointStore.open(tmp_path) as store:
        store.save(SOURCE, NAMESPACE, [dataclasses.replace(make(), offset=Offset(0x11223344))])
    path = tmp_path / DATABASE
    data = path.read_bytes()
    assert data.count(b"\x11\x22\x33\x44") == 1
    path.write_bytes(data.replace(b"\x11\x22\x33\x44", b"\x11\x22\x43\x44"))
    with CheckpointStore.open(tmp_path) as store, pytest.raises(StateCorrupt, match="differs from what was written"):
        store.load(SOURCE, NAMESPACE)


def test_a_missing_table_is_damage(tmp_path: Path) -> None:
    """Also a sound SQLite file of ours may lack something."""
    fill(tmp_path)
    with_tool = sqlite3.connect(tmp_path / DATABASE)
    with_tool.executescript("DROP TABLE meta; DROP TABLE checkpoint")
    with_tool.close()
    with pytest.raises(StateCorrupt, match="no such table"):
        CheckpointStore.open(tmp_path)


def test_an_empty_file_is_made_anew(tmp_path: Path) -> None:
    """What a process killed before its first write leaves, or a truncation to nothing: as good as missing. What is
    left of an old log beside it is not taken for ours."""
    state, other = tmp_path / "state", tmp_path / "other"
    first = fill(state)
    with CheckpointStore.open(other) as store:
        store.save(SOURCE, NAMESPACE, [make()])
        log = (other / f"{DATABASE}-wal").read_bytes()
    assert log
    (state / DATABASE).write_bytes(b"")
    (state / f"{DATABASE}-wal").write_bytes(log)
    with CheckpointStore.open(state) as store:
        assert store.instance != first
        assert store.load(SOURCE, NAMESPACE) == []


def test_a_newer_state_says_who_wrote_it_and_what_to_do(tmp_path: Path) -> None:
    """After a downgrade: the version that wrote it and ours, and that deleting it is safe."""
    fill(tmp_path)
    newer = sqlite3.connect(tmp_path / DATABASE, isolation_level=None)
    newer.execute(f"PRAGMA user_version = {STATE_VERSION + 1}")
    newer.execute("UPDATE meta SET value = '9.1.0' WHERE key = 'written_by'")
    newer.execute("DROP TABLE checkpoint")  # a newer one may have other tables
    newer.close()
    with pytest.raises(StateCorrupt) as caught:
        CheckpointStore.open(tmp_path)
    for words in (
        "tailrace 9.1.0",
        f"newer than this one ({tailrace.__version__})",
        "delete the file",
        "nothing in MongoDB",
    ):
        assert words in str(caught.value)


# --- saving that fails ------------------------------------------------------------------------------------------------


def test_a_save_that_cannot_be_written_changes_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    """A typed error; the rows before it stand; the same store saves them once there is room; all of it survives."""
    rows = [make(number, offset=500) for number in range(2000)]
    with CheckpointStore.open(tmp_path) as store:
        store.bind(SOURCE, NAMESPACE, UUID, ROOT)
        store.save(SOURCE, NAMESPACE, rows[:1])
        for _ in range(3):
            with (
                file_size_limit(64 * 1024),
                pytest.raises(StateWriteFailed, match=r"could not be saved in .*nothing is lost"),
            ):
                store.save(SOURCE, NAMESPACE, [dataclasses.replace(row, offset=Offset(600)) for row in rows])
            assert store.load(SOURCE, NAMESPACE) == rows[:1]
        store.save(SOURCE, NAMESPACE, rows)
        assert store.load(SOURCE, NAMESPACE) == rows
    with CheckpointStore.open(tmp_path) as store:
        assert store.load(SOURCE, NAMESPACE) == rows


def test_a_save_while_another_tool_writes_fails_and_can_be_repeated(tmp_path: Path) -> None:
    """Somebody has the file open in the sqlite3 shell, in a transaction: a bounded wait, then the typed error."""
    with CheckpointStore.open(tmp_path) as store:
        shell = sqlite3.connect(tmp_path / DATABASE, isolation_level=None)
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateWriteFailed, match="locked"):
            store.save(SOURCE, NAMESPACE, [make()])
        shell.execute("ROLLBACK")
        shell.close()
        store.save(SOURCE, NAMESPACE, [make()])
        assert store.load(SOURCE, NAMESPACE) == [make()]


def test_damage_under_a_running_store_is_told_apart_from_a_full_disk(tmp_path: Path) -> None:
    """Retrying would never help: StateCorrupt, with what to do."""
    vandal = (  # a process of its own: closing the file in ours would drop the locks that SQLite holds on it
        "import sqlite3, sys, pathlib; path = pathlib.Path(sys.argv[1])\n"
        "database = sqlite3.connect(path, isolation_level=None)\n"
        "database.execute('INSERT INTO meta VALUES (1, 1)')\n"  # so that the store does not trust its page cache
        "file = path.open('r+b'); file.write(b'\\xff' * path.stat().st_size); file.close()"
    )
    fill(tmp_path)
    with CheckpointStore.open(tmp_path) as store:
        subprocess.run([sys.executable, "-c", vandal, str(tmp_path / DATABASE)], check=True)
        with pytest.raises(StateCorrupt, match="is damaged"):
            store.must_be_free("another", NAMESPACE, UUID, ROOT)  # of a source that a reload would add
        with pytest.raises(StateCorrupt, match="is damaged"):
            store.save(SOURCE, NAMESPACE, [make(number, offset=500) for number in range(300)])
