"""`tailrace check` where something hangs that would hang `run`, too: it ends, says what, and says all the rest."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support import hanging
from tests.support.checked import findings, levels, refused, sentence, words
from tests.support.servers import Server
from tests.support.tailrace_process import environment, hour_file

from tailrace.model import Framing
from tailrace.simulator import trade_lines


@pytest.fixture
def flags(tmp_path: Path, standalone: Server, database_name: str) -> dict[str, str]:
    hour_file(tmp_path / "mount" / "data", "20250310/9").write_bytes(b"".join(trade_lines(1, 10, framing=Framing.BARE)))
    return {
        "--root": str(tmp_path / "mount" / "data"),
        "--mongodb-uri": standalone.uri,
        "--database": database_name,
        "--state-dir": str(tmp_path / "state"),
        "--http": "off",
    }


def checked(flags: dict[str, str], mount: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`check` on a dead mount: within twenty seconds, and not without having met it."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, hanging.__file__, str(mount), "check", *words(flags), *more],
        capture_output=True, text=True, timeout=40, env=environment(), check=False,
    )  # fmt: skip
    assert time.monotonic() - began < 20
    assert "hangs" in done.stderr
    return done


def test_a_root_on_a_dead_mount(flags: dict[str, str], tmp_path: Path) -> None:
    """A problem with root, and the server is looked at all the same."""
    done = checked({**flags, "--stream": "node_trades"}, tmp_path / "mount", "--json")
    found = findings(done.stdout, 78)
    assert levels(found, "problem") == {"root"}
    assert "no answer within 10 s" in sentence(found, "root", "problem")
    assert {"roles", "ledger", "server_clock"} <= levels(found, "ok")


def test_a_stream_that_only_a_dead_mount_could_tell(flags: dict[str, str], tmp_path: Path) -> None:
    """Without stream the configuration does not load: one sentence that names root."""
    refused(checked(flags, tmp_path / "mount"), "root", "no answer", "network mount")
