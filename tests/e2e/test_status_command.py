"""`tailrace status` beside a real `run`: it shows what /status says and MongoDB has; gone is said to be gone."""

from __future__ import annotations

import errno
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
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support.canned_instance import serving, status
from tests.support.scrape import ask
from tests.support.servers import Server
from tests.support.tailrace_process import Run, environment, hour_file, until

Done = subprocess.CompletedProcess[str]

SIDE = {"user": "0x" + "1" * 40, "start_pos": "0.0", "oid": 1, "twap_id": None, "cloid": None}
BAD = (b"not json\n", b"\xff\xfe\n")


def trade(number: int) -> bytes:
    entry = {
        "coin": "ENA",
        "side": "B",
        "time": "2025-03-10T11:24:42.070019819",
        "px": "0.4511",
        "sz": "2133.0",
        "hash": "0x" + "ab" * 32,
        "trade_dir_override": "Na",
        "side_info": [SIDE, {**SIDE, "oid": number + 1}],
    }
    return json.dumps(entry).encode() + b"\n"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tailrace", "status", *arguments]


def ask_status(*arguments: str, **env: str) -> Done:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=60, env=environment(**env), check=False
    )


class Followed:
    """One tree, one database, and `run` on them with its endpoint on a port of its own."""

    def __init__(self, place: Path, server: Server, database: str) -> None:
        self.root, self.state = place / "data", place / "state"
        self._server, self._database = server, database
        self.flags = (
            *("--root", str(self.root), "--stream", "node_trades", "--mongodb-uri", server.uri),
            *("--database", database, "--state-dir", str(self.state), "--poll-interval", "50ms"),
            *("--write-timeout", "1s", "--retry-max-delay", "200ms", "--shutdown-grace", "1s"),
        )

    def start(self, http: str = "127.0.0.1:0") -> Run:
        return Run(*self.flags, "--http", http)

    def append(self, data: bytes, name: str = "20250310/11") -> None:
        with hour_file(self.root, name).open("ab") as file:
            file.write(data)

    def stored(self) -> tuple[int, int]:
        """(documents, rejects) as MongoDB has them."""
        with MongoClient[dict[str, Any]](self._server.uri) as client:
            database = client[self._database]
            return database["node_trades"].count_documents({}), database["node_trades.rejects"].count_documents({})


@pytest.fixture
def followed(tmp_path: Path, standalone: Server, database_name: str) -> Followed:
    return Followed(tmp_path, standalone, database_name)


def url_of(run: Run) -> str:
    return str(run.wait_for("serving")["url"])


def told(url: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(ask(url, "/status").body)
    return document


def settled(url: str) -> int:
    return sum(source["lines"]["settled"] for source in told(url)["sources"])


def test_figures_are_those_of_status_and_of_mongodb(followed: Followed) -> None:
    """After the load, the report, --json, /status and an independent count in MongoDB agree."""
    followed.append(b"".join(trade(number) for number in range(300)) + b"".join(BAD))
    with followed.start() as run:
        url = url_of(run)
        run.wait_for("live")
        followed.append(b"".join(trade(number) for number in range(300, 320)), "20250310/12")
        until(lambda: settled(url) == 322 and told(url)["sources"][0]["lag"]["bytes"] == 0, what="all lines settled")
        assert followed.stored() == (320, 2)
        report = ask_status("--url", url)
        assert (report.returncode, report.stderr) == (0, "")
        assert report.stdout.startswith("live: everything written so far is stored\n")
        assert "320 inserted, 0 duplicate, 2 rejected (" in report.stdout
        assert "322 lines read = 322 settled + 0 in flight, difference 0" in report.stdout
        assert "20250310/12" in report.stdout
        as_json = json.loads(ask_status("--url", url, "--json").stdout)
        again = told(url)
        assert as_json.keys() == again.keys()
        for name in ("lines", "bytes", "entries", "files", "unaccounted"):
            assert as_json["sources"][0][name] == again["sources"][0][name], name
        ready = ask_status("--url", url, "--ready")
        assert (ready.returncode, ready.stdout) == (0, "ready: live: everything written so far is stored\n")
        run.stop()
    gone = ask_status("--url", url)
    assert (gone.returncode, gone.stdout) == (70, "")
    assert gone.stderr == (
        f"tailrace: no tailrace answers at {url}: nothing listens there: is `tailrace run` running, on this machine?\n"
    )


def test_the_instance_is_found_without_a_url(followed: Followed) -> None:
    """By its state directory, though its port was chosen by the system; flags and variables are those of `run`."""
    followed.append(trade(1))
    with followed.start() as run:
        url = url_of(run)
        run.wait_for("live")
        until((followed.state / "instance.json").exists, what="the instance file")
        by_flag = ask_status("--state-dir", str(followed.state))
        assert by_flag.returncode == 0, by_flag.stderr
        assert f"({url})" in by_flag.stdout
        by_variable = ask_status(TAILRACE_STATE_DIR=str(followed.state))
        assert (by_variable.returncode, by_variable.stderr) == (0, "")
        run.stop()
    gone = ask_status("--state-dir", str(followed.state), "--http", url.removeprefix("http://"))
    assert gone.returncode == 70
    assert f"no tailrace answers at {url}" in gone.stderr


def test_the_instance_file_wins_while_its_process_lives(tmp_path: Path) -> None:
    """It tells a port that no setting tells; once the process is gone it is not believed; http = off is said."""
    file = tmp_path / "instance.json"
    with serving() as canned, serving() as other:
        canned.tell({**status(), "host": "by-file"})
        other.tell({**status(), "host": "by-setting"})
        flags = ("--state-dir", str(tmp_path), "--http", other.url.removeprefix("http://"))
        file.write_text(json.dumps({"pid": os.getpid(), "http": canned.url.removeprefix("http://"), "started": 1.0}))
        assert "on by-file" in ask_status(*flags).stdout
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait(10)
        file.write_text(json.dumps({"pid": gone.pid, "http": canned.url.removeprefix("http://"), "started": 1.0}))
        assert "on by-setting" in ask_status(*flags).stdout
        file.write_text(json.dumps({"pid": os.getpid(), "http": None, "started": 1.0}))
        silent = ask_status(*flags)
    assert silent.returncode == 78
    assert f"(pid {os.getpid()}) serves nothing: set http to an address" in silent.stderr


def test_off_and_an_unknown_port_are_said(tmp_path: Path) -> None:
    """http = off: what to set. Port 0 without an instance: that only a running one knows it."""
    off = ask_status("--state-dir", str(tmp_path), "--http", "off")
    assert (off.returncode, off.stdout) == (78, "")
    assert off.stderr.startswith("tailrace: http = off: a tailrace with this setting serves nothing; set http to")
    unknown = ask_status("--state-dir", str(tmp_path), "--http", "127.0.0.1:0")
    assert unknown.returncode == 70
    assert "alone tells the port; give --url" in unknown.stderr


def test_mongodb_in_trouble_is_said_in_words(tmp_path: Path, own_server: Server, database_name: str) -> None:
    """While mongod is frozen: what is wrong, for how long, that nothing is lost; exit 0, and 70 with --ready."""
    followed = Followed(tmp_path, own_server, database_name)
    followed.append(trade(1))
    with followed.start() as run:
        url = url_of(run)
        run.wait_for("live")
        with own_server.frozen():
            followed.append(trade(2))
            until(lambda: not told(url)["server"]["ok"], 30, "trouble")
            report = ask_status("--url", url)
            assert report.returncode == 0
            assert re.match(r"MongoDB in trouble for .*: .*; reading stops, nothing is lost\n", report.stdout)
            assert "\nserver     in trouble for " in report.stdout
            unready = ask_status("--url", url, "--ready")
            assert (unready.returncode, unready.stdout) == (70, "")
            assert unready.stderr.startswith("tailrace: not ready: MongoDB in trouble for ")
        until(lambda: bool(told(url)["ready"]), 30, "green again")
        assert ask_status("--url", url, "--ready").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--watch", "--json"), "--watch cannot be given with --json or --ready"),
        (("--watch", "--interval", "1"), "interval '1' is not a time with a unit"),
        (("--watch", "--interval", "1ms"), "is not between 100ms and 1h"),
        (("--url", "ftp://x"), "is no address such as"),
    ],
)
def test_usage(arguments: tuple[str, ...], sentence: str) -> None:
    """Exit 2 and one sentence."""
    done = ask_status(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_another_version_and_another_program() -> None:
    """One sentence, exit 70; --json shows what a newer instance says all the same."""
    with serving() as canned:
        canned.tell({**status(), "format": 2})
        assert "in version 2 of /status" in ask_status("--url", canned.url).stderr
        assert json.loads(ask_status("--url", canned.url, "--json").stdout)["format"] == 2
        canned.answers["/status"] = (200, b"<html></html>")
        done = ask_status("--url", canned.url)
        assert done.returncode == 70
        assert "another program does" in done.stderr
        assert "Traceback" not in done.stderr


def test_escapes_where_there_is_no_utf8() -> None:
    """A name beyond ASCII is escaped rather than fatal; what a terminal would obey is escaped anywhere."""
    with serving() as canned:
        canned.tell({**status(), "host": "knoten-\u2603\x1b[2J"})
        done = ask_status("--url", canned.url, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
        assert done.returncode == 0, done.stderr
        assert "on knoten-\\u2603\\x1b[2J" in done.stdout
        assert "\x1b" not in ask_status("--url", canned.url).stdout


# -- watching --------------------------------------------------------------------------------------------------------


@contextmanager
def watching(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command("--watch", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_watching_without_a_terminal() -> None:
    """A line a time; the instance goes away, is said to be gone, comes back by itself; SIGINT ends it with exit 0."""
    with serving() as canned:
        port = int(canned.url.rpartition(":")[2])
        with watching("--url", canned.url, "--interval", "100ms") as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  live: everything written so far is stored  \|  ", first)
            canned.answers["/status"] = (500, b"")
            until_line(process, "answers /status with error 500")
            canned.tell(status())
            until_line(process, "live: everything")
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            _out, err = process.communicate(timeout=20)
            assert (process.returncode, err) == (0, "")
    with watching("--url", f"127.0.0.1:{port}", "--interval", "100ms") as process:
        until_line(process, "nothing listens there")
        with serving(port):
            until_line(process, "live: everything")


def until_line(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    deadline = time.monotonic() + 20
    while words not in (line := process.stdout.readline()):
        assert line, "it ended"
        assert time.monotonic() < deadline, f"never said {words!r}"


class Terminal:
    """`status --watch` on a terminal of its own."""

    def __init__(self, *arguments: str, columns: int = 80, lines: int = 24) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.process = subprocess.Popen(
            command("--watch", *arguments),
            stdin=slave,
            stdout=slave,
            stderr=subprocess.PIPE,
            env=environment(TERM="xterm-256color"),
        )
        os.close(slave)
        os.set_blocking(self._master, False)
        self.seen = ""

    def read(self) -> str:
        """All that was written so far, without colours and movements of the cursor."""
        try:
            while data := os.read(self._master, 65536):
                self.seen += data.decode()
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != errno.EIO:  # which is its end
                raise
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        os.close(self._master)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watching_on_a_terminal(number: signal.Signals) -> None:
    """The second screen, the view, gone and back again; Ctrl-C and SIGTERM give the terminal back, with exit 0."""
    with serving() as canned:
        terminal = Terminal("--url", canned.url, "--interval", "100ms")
        try:
            until(lambda: "live: everything written so far is stored" in terminal.read(), what="the view")
            assert "\x1b[?1049h" in terminal.seen
            canned.answers["/status"] = (500, b"")
            until(lambda: "NO ANSWER" in terminal.read(), what="no answer")
            terminal.seen = ""
            canned.tell(status())
            until(lambda: "live: everything" in terminal.read(), what="the view again")
            terminal.process.send_signal(number)
            assert terminal.process.wait(20) == 0
            terminal.read()
            assert "\x1b[?1049l" in terminal.seen  # the first screen again
            assert "\x1b[?25h" in terminal.seen  # with a cursor
            assert terminal.process.stderr is not None
            assert terminal.process.stderr.read() == b""
        finally:
            terminal.close()
