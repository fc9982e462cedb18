"""`tailrace demo` as a process: it proves what it says, shows it, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path

import pytest
from tests.support.tailrace_process import environment, tailrace, until

RESULT = re.compile(
    r"^wrote ([\d,]+) = stored ([\d,]+) \+ kept aside ([\d,]+); missing ([\d,]+), doubled ([\d,]+)$", re.MULTILINE
)
ENOUGH = ("--duration", "6s", "--rate", "1500", "--speed", "2400")  # four hours of the node's clock
FOR_LONG = ("--duration", "10m", "--rate", "1500")


def figures(output: str) -> list[int]:
    """written, stored, kept aside, missing, doubled: from the one line of the result."""
    found = RESULT.findall(output)
    assert len(found) == 1, output
    return [int(figure.replace(",", "")) for figure in found[0]]


def processes_of(place: Path) -> list[str]:
    """Command lines of living processes that name something below `place`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(place) in line:
                found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found


@contextmanager
def demo(place: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A demo in the background whose temporary files go below `place`; killed at the end if it still runs."""
    place.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "tailrace", "demo", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(TMPDIR=str(place)),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def written(place: Path) -> int:
    """Bytes of hour files below `place`."""
    return sum(file.stat().st_size for file in place.glob("*/data/node_trades/hourly/*/*"))


def test_a_demo_proves_what_it_says(tmp_path: Path) -> None:
    """Its figures are those of the files, counted here; what it names by reason is what `rejects list` then lists."""
    place = tmp_path / "kept"
    done = tailrace("demo", *ENOUGH, "--bad", "0.003", "--seed", "3", "--keep", str(place))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    files = sorted((place / "data" / "node_trades" / "hourly").glob("*/*"))
    assert len(files) >= 4
    assert {file.parent.name for file in files} == {"20250310", "20250311"}
    lines = sum(file.read_bytes().count(b"\n") for file in files)
    entries, stored, kept, missing, doubled = figures(done.stdout)
    assert (entries, missing, doubled) == (lines, 0, 0)
    assert kept > 0
    assert stored == lines - kept

    (said,) = re.findall(r"^kept aside  (.+)$", done.stdout, re.MULTILINE)
    by_reason = {reason: int(count) for count, reason in (part.split() for part in said.split(", "))}
    assert sum(by_reason.values()) == kept
    (command,) = re.findall(r"^listed by +tailrace (.+)$", done.stdout, re.MULTILINE)
    listed = tailrace(*command.split(), "--json", "--limit", "0")
    assert listed.returncode == 0, listed.stderr
    rejects = json.loads(listed.stdout)["rejects"]
    assert {reason: sum(each["reason"] == reason for each in rejects) for reason in by_reason} == by_reason
    assert len(rejects) == kept


def test_where_there_is_no_terminal_it_speaks_in_lines(tmp_path: Path) -> None:
    """Plain lines with the figures, both queries with five rows each, no escape sequence, and nothing left behind."""
    place = tmp_path / "temporary"
    with demo(place, *ENOUGH) as process:
        output, complaints = process.communicate(timeout=50)
    assert process.returncode == 0, output + complaints
    assert complaints == ""
    assert "\x1b" not in output
    assert re.search(r"entries/s  inserted [\d,]+  duplicate 0  rejected \d+  lag .+  file 2025031[01]/\d+", output)
    assert 'db.node_trades.find({coin: "BTC"}' in output
    assert len(re.findall(r"^ +\d\d:\d\d:\d\d\.\d{3}  +[AB]  +[\d.]+  +[\d.]+", output, re.MULTILINE)) == 5
    assert '{$dateTrunc: {date: "$time", unit: "minute"}}' in output
    assert re.search(r"^ +2025-03-11 \d\d:\d\d( +[\d.]+){5} +[\d,]+ *$", output, re.MULTILINE)
    assert "tailrace demo --keep DIR" in output
    assert list(place.iterdir()) == []
    assert processes_of(place) == []


def test_a_terminal_gets_the_view(tmp_path: Path) -> None:
    """80 x 24, in a pseudo-terminal: the view is drawn again and again, and the result follows it."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "tailrace", "demo", "--duration", "3s"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(TMPDIR=str(tmp_path), TERM="xterm-256color", PYTHONIOENCODING="utf-8"),
    )
    os.close(theirs)
    seen = b""
    try:
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not piece:
                break
            seen += piece
        assert process.wait(20) == 0, seen.decode(errors="replace")
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode()).replace("\r", "")
    assert text.count("rollovers") > 5
    assert "MongoDB 6" in text
    entries, stored, kept, missing, doubled = figures(text)
    assert entries == stored + kept > 5_000
    assert (missing, doubled) == (0, 0)
    assert text.index("wrote") > text.rindex("rollovers")


@pytest.mark.parametrize("signals", [1, 2])
def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path, signals: int) -> None:
    """One Ctrl-C: the load ends, what was written is verified, 0. Two: ends at once, 1. No process, no file remains."""
    place = tmp_path / "temporary"
    with demo(place, *FOR_LONG) as process:
        until(lambda: written(place) > 200_000, what="200 kB of trades")
        assert any("mongod" in line for line in processes_of(place))
        assert any("simulate" in line for line in processes_of(place))
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
        output, complaints = process.communicate(timeout=30)
    assert "Traceback" not in complaints
    if signals == 1:
        assert process.returncode == 0, output + complaints
        assert "stopped early" in output
        entries, stored, kept, missing, doubled = figures(output)
        assert entries == stored + kept > 0
        assert (missing, doubled) == (0, 0)
    elif process.returncode == 1:
        assert "nothing was verified" in output
    else:  # the system made one signal of the two
        assert process.returncode == 0, output + complaints
    assert list(place.iterdir()) == []
    until(lambda: processes_of(place) == [], what="the end of every process of the demo")


def test_a_killed_demo_takes_its_processes_with_it(tmp_path: Path) -> None:
    """kill -9: neither the private mongod nor the simulated node goes on alone."""
    place = tmp_path / "temporary"
    with demo(place, *FOR_LONG) as process:
        until(lambda: written(place) > 100_000, what="100 kB of trades")
        assert len(processes_of(place)) >= 2
        process.kill()
        process.wait()
        process.communicate()
        until(lambda: processes_of(place) == [], timeout=30, what="the end of every process of the demo")
