"""`tailrace verify` as an operator meets it: terminals, Ctrl-C, folders without the right to read, its JSON."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from bson import ObjectId
from tests.support.ingested import Tree, trades
from tests.support.roles import out_of_sight
from tests.support.servers import Server
from tests.support.tailrace_process import environment, tailrace

HOUR = "20250310/9"
NOBODY = 65534
DOCS = Path(__file__).parents[2] / "docs" / "verify.md"


@pytest.fixture
def tree(tmp_path: Path, standalone: Server, database_name: str) -> Tree:
    tree = Tree(tmp_path, standalone.uri, database_name)
    tree.write(HOUR, trades(0, 30) + b"bad\n")
    tree.write("20250310/10", trades(30, 10))
    tree.ingest()
    return tree


class Terminal:
    """A command on a terminal of so many columns; `text` is all that was shown, without colours."""

    def __init__(self, columns: int, *arguments: str) -> None:
        words, handed = out_of_sight(arguments)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tailrace", *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(TERM="xterm-256color", **handed),
        )
        os.close(theirs)
        self._shown = b""

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._shown.decode()).replace("\r\n", "\n")

    def read_until(self, words: str) -> None:
        while words not in self.text and self._more():
            pass
        assert words in self.text

    def read_to_end(self) -> int:
        while self._more():
            pass
        return self.process.wait(30)

    def _more(self) -> bool:
        try:
            more = os.read(self._ours, 65536)
        except OSError:  # the other side was closed
            return False
        self._shown += more
        return bool(more)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        os.close(self._ours)


@contextmanager
def terminal(columns: int, *arguments: str) -> Iterator[Terminal]:
    shown = Terminal(columns, *arguments)
    try:
        yield shown
    finally:
        shown.close()


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_nothing_is_broken_in_a_word_or_cut(tree: Tree, columns: int) -> None:
    """A bar while it works; then every verdict, count and id is readable in any usual width."""
    with tree.documents() as documents:
        ids = [each["_id"] for each in documents.find().sort("_id", 1)]
        documents.delete_one({"_id": ids[3]})
        documents.update_one({"_id": ids[4]}, {"$set": {"side_info": [{"user": "0x1", "start_pos": "1" * 300}]}})
        stranger = ObjectId(bytes(12))
        documents.insert_one({"_id": stranger})
    tree.write("20250310/11", trades(70, 1234))
    with terminal(columns, "verify", *tree.options) as shown:
        assert shown.read_to_end() == 1
    assert "verifying 20250310/" in shown.text
    lines = [line.rpartition("\r")[2].rstrip() for line in shown.text.splitlines()]
    assert max(map(len, lines)) <= columns
    assert any(line.startswith("20250310/11 ") and line.endswith("not ingested") for line in lines)
    for word in (str(ids[3]), str(ids[4]), str(stranger), "side_info:"):
        assert any(word in line for line in lines), word
    assert "1,234" in shown.text
    assert "verdict" in shown.text


def test_elsewhere_than_on_a_terminal_it_is_silent_until_it_is_done(tree: Tree) -> None:
    """No bar in a log; one line for each thing."""
    done = tailrace("verify", *tree.options)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 4


@pytest.mark.parametrize("repair", [False, True])
def test_interrupted_it_says_so_and_is_no_verdict(tree: Tree, repair: bool) -> None:
    """Ctrl-C: one sentence, exit 130, no traceback."""
    with tree.documents() as documents, tree.database() as database:
        lease = {"session": "another", "expires": datetime(2090, 1, 1, tzinfo=UTC)}
        database[f"{tree.collection}.files"].update_one({"_id": "source/node_trades"}, {"$set": {"lease": lease}})
        documents.delete_many({})  # with a live writer they are waited for: seconds in which to interrupt
    with terminal(100, "verify", *tree.options, *(["--repair"] if repair else [])) as shown:
        shown.read_until("verifying 20250310/")
        time.sleep(0.3)
        shown.process.send_signal(signal.SIGINT)
        assert shown.read_to_end() == 130
    assert "tailrace: interrupted: nothing is proven" in shown.text
    assert "Traceback" not in shown.text
    assert "entries in" not in shown.text


def test_a_folder_that_cannot_be_listed_is_no_proof(standalone: Server, database_name: str) -> None:
    """Of a day, of all days: exit 78 and the folder's name; of a single file: unreadable, exit 1."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with TemporaryDirectory() as folder:  # not pytest's, which is for root alone
        Path(folder).chmod(0o755)
        tree = Tree(Path(folder), standalone.uri, database_name)
        path = tree.write(HOUR, trades(0, 3))
        tree.ingest()
        for closed in (path.parent, path.parent.parent):
            closed.chmod(0o700)
            done = _as_nobody("verify", *tree.options)
            assert (done.returncode, done.stdout) == (78, ""), done.stderr
            assert f"{closed} cannot be listed (Permission denied)" in done.stderr
            assert len(done.stderr.splitlines()) == 1
            closed.chmod(0o755)
        path.chmod(0o600)
        done = _as_nobody("verify", *tree.options)
    assert done.returncode == 1, done.stderr
    assert re.search(r"^20250310/9 .* unreadable$", done.stdout, re.MULTILINE)
    assert "Permission denied" in done.stdout


def _as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a child that drops its privileges once tailrace is loaded, which may lie where only root reads."""
    code = (
        "import os, sys; import tailrace.cli; import tailrace.commands.verify_view, rich.progress, encodings.idna;"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY}); sys.argv[0] = 'tailrace'; tailrace.cli.main()"
    )
    words, handed = out_of_sight(arguments)
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(HOME="/nonexistent", **handed),
        check=False,
    )


def _keys(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_keys, value))
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    return set()


def test_every_field_of_the_json_is_documented(tree: Tree) -> None:
    """One document with a version; docs/verify.md names each field that it can have, and no other."""
    with tree.documents() as documents:
        [first] = documents.find({}, {"_id": 1}).sort("_id", 1).limit(1)
        documents.delete_one(first)
        documents.insert_one({"_id": 1})
    hours = tree.root / "node_trades" / "hourly" / "20250310"
    (hours / "10").unlink()
    tree.write("20250310/12", trades(100, 1))
    done = tailrace("verify", *tree.options, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    report = json.loads(done.stdout)
    assert (report["version"], report["proven"]) == (1, False)
    [source] = report["sources"]
    assert source["files"][0]["findings"]
    assert [life["state"] for life in source["unverifiable"]] == ["agrees"]
    assert source["unexplained"] == {"documents": 1, "at_least": False, "examples": ["int 1"]}
    assert source["missing_hours"] == [{"from": "2025-03-10T11Z", "to": "2025-03-10T12Z", "hours": 1}]
    section = DOCS.read_text().partition("## The JSON document")[2].partition("\n## ")[0]
    documented = {
        word for row in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE) for word in re.findall(r"`(\w+)`", row)
    }
    assert documented == _keys(report)
