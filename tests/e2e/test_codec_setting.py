"""`--codec`: which one is used is said, one that cannot be had is exit 78, and both store the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from tests.support.codecs import needs_native
from tests.support.servers import Server
from tests.support.tailrace_process import events_of, hour_file, tailrace

from tailrace.config.native import INTERFACE
from tailrace.simulator import trade_lines


@pytest.fixture
def flags(tmp_path: Path, standalone: Server, database_name: str) -> list[str]:
    hour_file(tmp_path / "data", "20250310/9").write_bytes(b"".join(trade_lines(1, 50, bad=0.2)))
    words = {"--root": tmp_path / "data" / "node_trades", "--mongodb-uri": standalone.uri, "--database": database_name}
    return [str(word) for pair in words.items() for word in pair]


@pytest.fixture
def other_version(tmp_path: Path) -> str:
    """PYTHONPATH of a native codec that says another interface."""
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "tailrace_native.py").write_text(f"INTERFACE = {INTERFACE + 1}\n")
    return str(folder)


@needs_native
def test_both_codecs_store_the_same(tmp_path: Path, standalone: Server, flags: list[str], database_name: str) -> None:
    """Documents and rejects, byte for byte; `starting` says which codec it was, and so does `check`."""
    stored: list[list[bytes]] = []
    for codec in ("python", "native", "auto"):
        more = ["--codec", codec, "--state-dir", str(tmp_path / codec)]
        used = "python" if codec == "python" else "native"
        done = tailrace("check", *flags, *more)
        assert done.returncode == 0, done.stdout + done.stderr
        assert [line.split() for line in done.stdout.splitlines() if " codec " in line] == [["ok", "codec", used]]
        done = tailrace("run", "--once", *flags, *more)
        assert done.returncode == 0, done.stderr
        (starting,) = (event for event in events_of(done.stderr.splitlines()) if event["event"] == "starting")
        assert starting["codec"] == used
        assert "codec_why" not in starting
        with MongoClient[dict[str, Any]](standalone.uri) as client:
            database = client[database_name]
            names = ("node_trades", "node_trades.rejects")
            found = [bson.encode(each) for name in names for each in database[name].find({}, {"at": 0}).sort("_id")]
            client.drop_database(database_name)
        stored.append(found)
    assert len(stored[0]) == 50
    assert stored[0] == stored[1] == stored[2]


def test_a_codec_that_cannot_be_had(tmp_path: Path, flags: list[str], other_version: str) -> None:
    """Demanded: exit 78, one sentence that says what to do. With auto: the Python one, and the log says why."""
    more = ["--state-dir", str(tmp_path / "state")]
    why = f"the installed tailrace-native is of another version (interface {INTERFACE + 1}, not {INTERFACE})"
    for command in ("check", "run"):
        done = tailrace(command, *flags, *more, "--codec", "native", PYTHONPATH=other_version)
        assert done.returncode == 78
        said = [line for line in (done.stdout + done.stderr).splitlines() if "cannot be had" in line]
        mend = "make install builds it where cargo is, or use auto or python."
        assert said == [f'tailrace: codec = "native" (from --codec) cannot be had: {why}; {mend}']
    done = tailrace("run", "--once", *flags, *more, PYTHONPATH=other_version)
    assert done.returncode == 0, done.stderr
    (starting,) = (event for event in events_of(done.stderr.splitlines()) if event["event"] == "starting")
    assert (starting["codec"], starting["codec_why"]) == ("python", why)
    done = tailrace("check", *flags, *more, PYTHONPATH=other_version)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f" python ({why}, and auto does without)" in done.stdout
