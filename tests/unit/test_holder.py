"""Which process runs on a state directory, found without touching its lock."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tailrace.ingest.state import holder as module
from tailrace.ingest.state.directory import LOCK, StateDirectory
from tailrace.ingest.state.holder import holder, holder_of

LOCKS = """\
1: POSIX  ADVISORY  WRITE 101 fe:00:4711 0 EOF
2: FLOCK  ADVISORY  WRITE 102 fd:00:4711 0 EOF
3: FLOCK  ADVISORY  WRITE 103 fe:00:47110 0 EOF
4: OFDLCK ADVISORY  WRITE -1 fe:00:4711 0 EOF
5: -> FLOCK  ADVISORY  WRITE 104 fe:00:4711 0 EOF
6: LEASE  ACTIVE    READ  105 fe:00:4711 0 EOF
7: FLOCK  ADVISORY  WRITE 106 fe:00:4711 0 EOF
7: -> FLOCK  ADVISORY  WRITE 107 fe:00:4711 0 EOF
"""
DEVICE = os.makedev(0xFE, 0)


@contextmanager
def held(state_dir: Path) -> Iterator[int]:
    """Another process that holds the directory as `run` does; its pid."""
    code = (
        "import sys; from pathlib import Path; from tailrace.ingest.state.directory import StateDirectory\n"
        "taken = StateDirectory.take(Path(sys.argv[1])); print('taken', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(state_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"taken\n"
        yield process.pid
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@pytest.fixture(params=["by the kernel's list", "by who has it open"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The kernel's list as it is, or one that does not show other processes, as in a container."""
    if request.param == "by who has it open":
        monkeypatch.setattr(module, "holder_of", lambda *_arguments: None)
    return str(request.param)


def test_held_and_free_again(tmp_path: Path, way: str) -> None:
    """The pid while it is held; nobody before, and after, though the file stays."""
    state = tmp_path / "state"
    assert holder(state) is None
    with held(state) as pid:
        assert holder(state) == pid, way
    assert (state / LOCK).exists()
    assert holder(state) is None


def test_looking_takes_nothing(tmp_path: Path, way: str) -> None:
    """A `run` that starts at this very moment finds the lock free: looking never holds it."""
    state = tmp_path / "state"
    StateDirectory.take(state).release()
    for _ in range(200):
        assert holder(state) is None, way
        with (state / LOCK).open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    content = (state / LOCK).read_text()
    assert content == f"{os.getpid()} {socket.gethostname()}\n", "what is in it is not touched either"


def test_a_lock_file_is_not_believed(tmp_path: Path) -> None:
    """A pid that was used again, another host's, or no pid at all: nobody runs, whatever the file says."""
    state = tmp_path / "state"
    state.mkdir()
    host = socket.gethostname()
    for text in (f"{os.getpid()} {host}\n", "", "0 ", f"0 {host}", f"-1 {host}", f"x {host}", "9" * 40, "\0" * 9, "²"):
        (state / LOCK).write_text(text)
        assert holder(state) is None, text
    (state / LOCK).write_bytes(b"\xff\xfe")
    assert holder(state) is None
    with (state / LOCK).open("r+") as ours:  # open here, and another host's pid inside
        ours.write(f"{os.getpid()} elsewhere.example\n")
        ours.flush()
        assert holder(state) is None


def test_what_cannot_be_looked_at_is_said(tmp_path: Path) -> None:
    """A path through a file is an error of the system, for the caller to word; not "nobody"."""
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        holder(tmp_path / "file")


def test_the_kernels_list() -> None:
    """Only a granted flock on this very file counts: not those who wait, other kinds, inodes or devices."""
    assert holder_of(LOCKS, DEVICE, 4711) == 106
    assert holder_of(LOCKS, DEVICE, 47110) == 103
    assert holder_of(LOCKS, DEVICE, 471) is None
    assert holder_of(LOCKS, os.makedev(0xFE, 1), 4711) is None
    assert holder_of("", DEVICE, 4711) is None
    assert holder_of("7: FLOCK\n\nnonsense\n", DEVICE, 4711) is None
    assert holder_of("1: FLOCK ADVISORY WRITE -1 fe:00:4711 0 EOF\n", DEVICE, 4711) is None
