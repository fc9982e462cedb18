"""What is read: simulated files, the same on every machine, and a process that appends to an hour file.

A file is a function of (family, framing, lines): the simulator's, seed 4. It is made once and kept in a folder for the
next run; trees are made of hard links to it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.support.report import say

from tailrace.model import Framing
from tailrace.simulator import fill_lines, trade_lines

SEED = 4
HOUR = "20250310/21"
BYTES_A_LINE = 460  # of node_trades, about
NODE_RATE = 2_800  # entries a second: what the product is made for
BUSY_RATE = 20_000
TICK = 0.005  # seconds between two appends of the writing process, when the rate gives each at least a line
BLOCK = 0.085  # the same, where it appends as a node does: a block at a time (the simulator's, and a node's, mean)

_MAKERS = {"node_trades": trade_lines, "node_fills": fill_lines}


def lines(family: str, count: int, framing: Framing = Framing.BARE) -> Iterator[bytes]:
    """Lines with `count` entries in all."""
    return _MAKERS[family](SEED, count, framing=framing)


def cached(count: int, *, directory: Path | None = None) -> Path:
    """A file of `count` node_trades, bare. Kept for the next run, except in a `directory` that the caller removes."""
    folder = directory or Path(tempfile.gettempdir()) / "tailrace-bench-files"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"node_trades-{SEED}-{count}"
    if not path.exists():
        say(f"Making {path} ...")
        part = path.with_suffix(".part")
        with part.open("wb", buffering=1 << 20) as file:
            file.writelines(lines("node_trades", count))
        part.rename(path)
    return path


def tree(root: Path, file: Path) -> Path:
    """`root` becomes a data directory with one hour file, which is `file`."""
    path = hour_path(root)
    try:
        path.hardlink_to(file)
    except OSError:  # another file system
        shutil.copyfile(file, path)
    return root


def finished_tree(root: Path, files: int, lines_each: int = 3) -> int:
    """Hour files that nobody writes to any more, `lines_each` lines in each; how many lines in all."""
    supply = lines("node_trades", files * lines_each)
    for number in range(files):
        moment = time.gmtime(1_700_006_400 + 3600 * number)
        path = hour_path(root, f"{moment.tm_year}{moment.tm_mon:02}{moment.tm_mday:02}/{moment.tm_hour}")
        path.write_bytes(b"".join(islice(supply, lines_each)))
    return files * lines_each


def hour_path(root: Path, name: str = HOUR) -> Path:
    path = root / "node_trades" / "hourly" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@dataclass(frozen=True, slots=True)
class Appended:
    """One write: when it began (`time.perf_counter`, which all processes of a machine share on Linux), and where the
    file and the count of lines stood after it."""

    at: float
    end: int
    lines: int


class Appender:
    """A process that appends lines of `source` to `path`: `rate` lines a second, or all of `count` in one write."""

    def __init__(
        self, source: Path, path: Path, count: int, work: Path, *, rate: float | None, tick: float = TICK
    ) -> None:
        """It begins where `path` ends, and takes lines from the beginning of `source`. `work`: for its notes. `tick`:
        seconds between two appends."""
        descriptor, name = tempfile.mkstemp(prefix="appended-", dir=work)
        os.close(descriptor)
        self._log = Path(name)
        self._process = multiprocessing.get_context("spawn").Process(
            target=append, args=(str(source), str(path), count, rate, tick, name), daemon=True
        )
        self._process.start()

    def ended(self, timeout: float | None = None) -> list[Appended]:
        self._process.join(timeout)
        if self._process.exitcode != 0:
            raise SystemExit(f"The appending process ended with {self._process.exitcode}.")
        return [Appended(*each) for each in json.loads(self._log.read_text())]


def append(source: str, path: str, count: int, rate: float | None, tick: float, log: str) -> None:
    """In a process of its own. Everything is cut before the first write; nothing but writing happens between them."""
    with Path(source).open("rb") as file:
        supply = list(islice(file, count))
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    end = os.fstat(descriptor).st_size
    tick = 0.0 if rate is None else max(tick, 1 / rate)
    done, written = 0, []
    begun = time.perf_counter()
    while done < len(supply):
        due = len(supply) if rate is None else min(len(supply), int((time.perf_counter() - begun) * rate) + 1)
        data = b"".join(supply[done:due])
        at = time.perf_counter()
        while data:
            taken = os.write(descriptor, data)
            data, end = data[taken:], end + taken
        if due > done:
            written.append((at, end, due))
        done = due
        now = time.perf_counter()
        time.sleep((begun - now) % tick if tick else 0.0)  # to the next tick
    os.close(descriptor)
    Path(log).write_text(json.dumps(written))


def settings(**more: Any) -> dict[str, Any]:
    """What is noted beside raw numbers."""
    return {"seed": SEED, "family": "node_trades", **more}
