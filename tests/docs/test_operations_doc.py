"""The commands of docs/operations.md work on the installation that docs/deployment.md describes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.servers import Server
from tests.support.tailrace_process import environment, hour_file

from tailrace.model import Framing
from tailrace.simulator import trade_lines

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "operations.md").read_text()
INSTALLATION = (DOCS / "deployment.md").read_text()
HANDED = re.compile(r"(/etc|/var|/opt)/[\w./-]+|(?<=runuser )-u \w+")


def function() -> str:
    """What the page puts into root's shell."""
    found: list[str] = re.findall(r"^```sh\n(tailrace\(\) \{\n.*?^\}\n)```$", PAGE, re.MULTILINE | re.DOTALL)
    [text] = found
    return text


def test_the_commands_are_given_what_check_was_given() -> None:
    """Program, user, configuration, connection string and state directory of the function are those that the page of
    the installation hands to its own `check`."""
    [check] = re.findall(r"^TAILRACE_MONGODB_URI=.*\\\n.*$", INSTALLATION, re.MULTILINE)
    given = {match[0] for match in HANDED.finditer(function())}
    assert given == {match[0] for match in HANDED.finditer(check)}
    assert len(given) == 5


@pytest.fixture
def shell(tmp_path: Path, standalone: Server, database_name: str) -> str:
    """The function, with the paths of an installation below `tmp_path`, and as the user that we are."""
    hour_file(tmp_path / "data", "20250310/9").write_bytes(b"".join(trade_lines(1, 10, framing=Framing.BARE)))
    (tmp_path / "mongodb-uri").write_text(f"{standalone.uri}\n")
    (tmp_path / "tailrace.toml").write_text(
        f'root = "{tmp_path}/data"\ndatabase = "{database_name}"\nhttp = "off"\n[[sources]]\nstream = "node_trades"\n'
    )
    places = {
        "/etc/tailrace/": f"{tmp_path}/",
        "/var/lib/tailrace": f"{tmp_path}/state",
        "runuser -u tailrace -- /opt/tailrace/bin/tailrace": f"{sys.executable} -m tailrace",
    }
    text = function()
    for named, ours in places.items():
        assert named in text
        text = text.replace(named, ours)
    return text


@pytest.mark.parametrize(
    ("command", "code", "word"),
    [
        ("check", 0, "run would start"),
        ("verify 20250310/9", 1, "10 entries"),
        ("rejects list --limit 20", 0, "nothing is kept aside"),
        ("reload", 70, "no tailrace runs on the state directory {}/state"),
    ],
)
def test_each_command_finds_configuration_server_and_state(
    shell: str, tmp_path: Path, command: str, code: int, word: str
) -> None:
    """In a shell without any variable of ours, though the configuration holds no connection string; as written."""
    assert f"`tailrace {command}`" in PAGE
    words = ["sh", "-c", f"{shell}\ntailrace {command}"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=40, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert word.format(tmp_path) in done.stdout + done.stderr


def test_processes_are_found_by_what_they_are() -> None:
    """The program of a script is python: `pidof tailrace` finds nothing without -x; systemd knows its service."""
    assert re.findall(r"pidof (?!.*-x)[^`]*|p(?:kill|grep) (?!-f)[^`]*", PAGE) == []
    assert "systemctl show -P MainPID tailrace" in PAGE
