"""Scale: one file of ten million lines, and a tree of ten thousand finished files.

The large file is caught up with by `run --once`, default index; ten times a second its process and the collection's
count are looked at, and the table says for each million how fast it was and how much memory was resident. The tree is
read once, then `run` is started beside it: how long until it is live, and what its looking costs, as the share of one
core over the window after that.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support import load, machine, report, servers
from benchmarks.support.numbers import Look, middle, pieces
from benchmarks.support.product import Tailrace
from benchmarks.support.report import number, say

LOOK = 0.1  # seconds
BYTES_A_LINE = load.BYTES_A_LINE + 1_100  # the line, its document, its part of indexes and journal
MIB = 2**20


def main() -> None:
    parser = report.parser_of(__doc__, lines=10_000_000, rounds=3)
    parser.add_argument("--files", type=int, default=10_000, help="finished files of the tree (default 10,000)")
    parser.add_argument("--window", type=float, default=30.0, help="seconds of looking at the idle tree (default 30)")
    parser.add_argument("--codec", choices=("auto", "native", "python"), default="auto")
    given = parser.parse_args()
    if given.quick:
        given.lines, given.files, given.rounds = min(given.lines, 100_000), min(given.files, 500), 1
        given.window = min(given.window, 3.0)
    facts = machine.facts()
    report.heading(__doc__, facts)
    found: dict[str, Any] = {"load": load.settings(lines=given.lines)}
    with report.workplace(given.directory) as work:
        report.need(work, given.lines * BYTES_A_LINE, f"A file of {given.lines:,} lines and the collection")
        with servers.running(work) as server:
            found["tree"] = [tree(given, server, work / f"tree{turn}") for turn in range(given.rounds)]
            show_tree(given.files, found["tree"])
            found["file"] = large_file(given, server, work)
    report.keep("scale", facts, given, found)


def tree(given: argparse.Namespace, server: servers.Server, folder: Path) -> dict[str, float]:
    server.fresh()
    data, state = folder / "data", folder / "state"
    lines = load.finished_tree(data, given.files)
    with Tailrace(data, server.uri, state, once=True, codec=given.codec) as run:
        reading = run.ended()
    if server.count() != lines:
        raise SystemExit(f"{server.count()} of {lines} lines of the tree were stored.")
    load.hour_path(data).touch()
    with Tailrace(data, server.uri, state, codec=given.codec) as run:
        live = run.event("live", 600)
        time.sleep(1)
        begun, used = time.perf_counter(), machine.cpu_seconds(run.pid)
        time.sleep(given.window)
        share = (machine.cpu_seconds(run.pid) - used) / (time.perf_counter() - begun)
        rss = machine.memory(run.pid).rss
        run.stop()
    return {"reading": reading, "live": live.at - run.begun, "live_cpu": live.cpu, "idle": share, "rss": float(rss)}


def show_tree(files: int, found: list[dict[str, float]]) -> None:
    columns = ("first reading s", "to live s", "CPU to live s", "idle CPU of a core", "RSS MiB")
    forms = {"reading": ".2f", "live": ".2f", "live_cpu": ".2f", "idle": ".2%"}
    row = [number(middle(each[key] for each in found), form) for key, form in forms.items()]
    rss = number(max(each["rss"] for each in found) / MIB, ".0f")
    report.table(f"A tree of {files:,} finished files, 3 lines each", ("", *columns), [["median", *row, rss]])


def large_file(given: argparse.Namespace, server: servers.Server, work: Path) -> dict[str, Any]:
    """The file is made here and goes with the workplace."""
    server.fresh()
    data = load.tree(work / "large", load.cached(given.lines, directory=work))
    looks: list[Look] = []
    with Tailrace(data, server.uri, work / "large-state", once=True, codec=given.codec) as run:
        first = run.event("catching_up")
        while run.running():
            with suppress(OSError):  # it ends when it ends
                looks.append((time.perf_counter() - first.at, server.count(), machine.memory(run.pid).rss))
            time.sleep(LOOK)
        wall, last = run.ended(), run.event("caught_up")
    if server.count() != given.lines:
        raise SystemExit(f"{server.count()} of {given.lines} lines of the large file were stored.")
    seconds = last.at - first.at
    looks = [*[look for look in looks if look[0] < seconds], (seconds, given.lines, last.peak)]
    step = max(1, given.lines // 10)
    parts = pieces(looks, step)
    rows = [[f"{count:,}", number(rate), number(rss / MIB)] for count, rate, rss in parts]
    rows.append(["all", number(given.lines / seconds), number(last.peak / MIB)])
    report.table(f"One file of {given.lines:,} lines", ("up to document", "documents/s", "highest RSS MiB"), rows)
    say(f"  whole process {wall:.1f} s, CPU {last.cpu:.1f} s")
    return {"seconds": seconds, "wall": wall, "cpu": last.cpu, "peak": last.peak, "parts": parts, "looks": looks}


if __name__ == "__main__":
    main()
