"""Footprint: CPU and memory of `tailrace run`, idle and under load.

CPU: the share of one core over the whole window, from /proc/<pid>/stat. Memory: the highest resident set and the
highest proportional set of all looks, one every two seconds. The window begins two seconds after all that was there is
stored and the writing process is at its rate. Every line must be in the collection at the end.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support import load, machine, report, servers
from benchmarks.support.numbers import middle
from benchmarks.support.product import Tailrace
from benchmarks.support.report import number, say

FILES = 10_000
SETTLING = 2.0  # seconds before the window
SEALING = 15.0  # seconds until finished files are sealed, with seal_after = 1s
LOOK = 2.0  # seconds between two looks at memory
LIMIT = 60.0  # seconds until the last line is there
MIB = 2**20

Window = dict[str, float]


def main() -> None:
    parser = report.parser_of(__doc__, rounds=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each window (default 30)")
    parser.add_argument("--files", type=int, default=FILES, help=f"finished files of the second idle case ({FILES:,})")
    parser.add_argument("--codec", choices=("native", "python", "both"), default="both")
    given = parser.parse_args()
    if given.quick:
        given.seconds, given.files, given.rounds = min(given.seconds, 4.0), min(given.files, 500), 1
    facts = machine.facts()
    report.heading(__doc__, facts)
    codecs = machine.codecs(given.codec, say)
    found: dict[str, list[Window]] = {}
    with report.workplace(given.directory) as work, servers.running(work) as server:
        footprint = Footprint(given, server, work)
        cases = {
            "idle, one file": partial(footprint.window, 0, 0, codecs[0]),
            f"idle, {given.files:,} finished files": partial(footprint.window, 0, given.files, codecs[0]),
        }
        for rate in (load.NODE_RATE, load.BUSY_RATE):
            for codec in codecs:
                cases[f"{rate:,} entries/s in blocks, {codec}"] = partial(footprint.window, rate, 0, codec, load.BLOCK)
                cases[f"{rate:,} entries/s every 5 ms, {codec}"] = partial(footprint.window, rate, 0, codec)
        for turn in range(given.rounds):
            for name, measure in cases.items():
                found.setdefault(name, []).append(measure())
                say(f"  round {turn + 1}: {name:40} {found[name][-1]['cpu']:8.2%} of a core")
    rows = [
        [
            name,
            number(middle(each["cpu"] for each in values), ".2%"),
            number(middle(each["us_per_entry"] for each in values if each["us_per_entry"]), ".1f"),
            number(max(each["rss"] for each in values) / MIB, ".0f"),
            number(max(each["pss"] for each in values) / MIB, ".0f"),
        ]
        for name, values in found.items()
    ]
    title = f"Windows of {given.seconds:g} s; CPU: median of {given.rounds}; memory: the highest of all"
    report.table(title, ("", "CPU of a core", "us/entry", "RSS MiB", "PSS MiB"), rows)
    report.keep("footprint", facts, given, {"load": load.settings(), "windows": found})


class Footprint:
    """What is measured against one server."""

    def __init__(self, given: argparse.Namespace, server: servers.Server, work: Path) -> None:
        self._given, self._server, self._work = given, server, work
        self._written = given.seconds + 3 * SETTLING  # seconds of writing: the window lies within
        self._source = load.cached(int(load.BUSY_RATE * self._written))

    def window(self, rate: int, files: int, codec: str, tick: float = load.TICK) -> Window:
        """`files`: finished, and sealed when the window begins. `cpu`: share of a core. `rss`, `pss`: bytes.
        `us_per_entry`: CPU time by entries at the rate."""
        self._server.fresh()
        folder = Path(tempfile.mkdtemp(prefix="footprint-", dir=self._work))
        data, state = folder / "data", folder / "state"
        lines = load.finished_tree(data, files) if files else 0
        if files:  # finished and settled: what is measured is the rest of their lives
            with Tailrace(data, self._server.uri, state, once=True, codec=codec) as run:
                run.ended()
        path = load.hour_path(data)
        with self._source.open("rb") as source:
            path.write_bytes(source.readline())
        lines += 1
        with ExitStack() as stack:
            more = ["--seal-after", "1s"] if files else []
            run = stack.enter_context(Tailrace(data, self._server.uri, state, codec=codec, more=more))
            run.event("live", 120)
            time.sleep(SEALING if files else 0.0)
            writer = None
            if rate:
                count = int(rate * self._written)
                lines += count
                writer = load.Appender(self._source, path, count, self._work, rate=rate, tick=tick)
                self._until_it_writes(path)
            time.sleep(SETTLING)
            found = self._looked(run.pid, rate)
            if writer is not None:
                writer.ended()
            self._stored(lines)
            run.stop()
        return found

    def _looked(self, pid: int, rate: int) -> Window:
        begun, used = time.perf_counter(), machine.cpu_seconds(pid)
        looks = [machine.memory(pid)]
        while (left := begun + self._given.seconds - time.perf_counter()) > 0:
            time.sleep(min(LOOK, left))
            looks.append(machine.memory(pid))
        taken, spent = time.perf_counter() - begun, machine.cpu_seconds(pid) - used
        return {
            "seconds": taken,
            "cpu": spent / taken,
            "us_per_entry": spent / taken / rate * 1e6 if rate else 0.0,
            "rss": max(each.rss for each in looks),
            "pss": max(each.pss for each in looks),
        }

    def _until_it_writes(self, path: Path) -> None:
        size, deadline = path.stat().st_size, time.monotonic() + LIMIT
        while path.stat().st_size == size:
            if time.monotonic() > deadline:
                raise SystemExit("The appending process writes nothing.")
            time.sleep(0.01)

    def _stored(self, lines: int) -> None:
        deadline = time.monotonic() + LIMIT
        while (now := self._server.count()) < lines:
            if time.monotonic() > deadline:
                raise SystemExit(f"{now} of {lines} lines were stored: tailrace does not keep up.")
            time.sleep(0.05)


if __name__ == "__main__":
    main()
