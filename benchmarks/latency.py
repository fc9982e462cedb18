"""Latency: from a line's append to the server's acknowledgement, at several rates, in a burst, after idling.

A process of its own appends to an hour file and notes when each write began. A proxy before mongod, a process of its
own too, notes when each insert's reply (w: majority, j: true) has passed, and which lines it was for: a position _id
names the line's place in the file. Neither asks tailrace. What the proxy adds is measured first, and shown. rsyslog and
syslog-ng name no place: their n-th document is taken for the n-th line.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support import load, machine, peers, report, servers
from benchmarks.support.delays import by_count, by_place
from benchmarks.support.numbers import distribution
from benchmarks.support.product import Tailrace
from benchmarks.support.proxy import Ack, Proxied
from benchmarks.support.report import number, say
from pymongo import MongoClient, WriteConcern

BURST = 11_000
IDLE_LINES = 10
LIMIT = 120.0  # seconds until the last acknowledgement
COLUMNS = ("", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "lines")

Delays = list[float]


def main() -> None:
    parser = report.parser_of(__doc__, rounds=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="of writing, for each rate (default 20)")
    parser.add_argument("--idle", type=float, default=3.0, help="seconds before each line after idling (default 3)")
    parser.add_argument("--rates", type=int, nargs="*", default=[100, load.NODE_RATE, load.BUSY_RATE])
    parser.add_argument("--peer-rates", type=int, nargs="*", default=[100, 1_000], help="for other programs")
    parser.add_argument("--codec", choices=("auto", "native", "python"), default="auto")
    given = parser.parse_args()
    if given.quick:
        given.seconds, given.idle, given.rounds = min(given.seconds, 3.0), min(given.idle, 0.5), 1
    facts = machine.facts()
    report.heading(__doc__, facts)
    found: dict[str, list[Delays]] = {}
    with report.workplace(given.directory) as work, servers.running(work) as server:
        floor = floors(server)
        series = Latency(given, server, work).series()
        for turn in range(given.rounds):
            for name, measure in series.items():
                found.setdefault(name, []).append(measure())
                say(f"  round {turn + 1}: {name}")
    show(found, floor)
    summaries = {name: [distribution(each) for each in rounds] for name, rounds in found.items()}
    report.keep("latency", facts, given, {"load": load.settings(), "floor_s": floor, "seconds": summaries})


def show(found: dict[str, list[Delays]], floor: dict[str, dict[str, float]]) -> None:
    """All rounds of a series are taken together: the worst line counts, whichever round it was in."""
    rows = [row(name, distribution(value for values in rounds for value in values)) for name, rounds in found.items()]
    report.table("Append to acknowledged", COLUMNS, rows, notes=[servers.NOTE])
    notes = ["what any figure above contains: one document inserted by PyMongo, with w: majority and j: true"]
    report.table("Floor", COLUMNS, [row(name, values) for name, values in floor.items()], notes=notes)


def row(name: str, values: dict[str, float]) -> list[str]:
    shown = [number(values[key] * 1e3 if key in values else None, ",.2f") for key in ("p50", "p99", "p99.9", "max")]
    return [name, *shown, number(values["count"])]


def floors(server: servers.Server, count: int = 300) -> dict[str, dict[str, float]]:
    """Inserts of one document, without and with the proxy, in turn."""
    server.fresh(index=True)
    taken: dict[str, Delays] = {"insert, direct": [], "insert, through the proxy": []}
    with Proxied(server.members[0].port, note=servers.COLLECTION) as proxy:
        for turn in range(4):
            for name, uri in zip(taken, (server.uri, proxy.uri), strict=True):
                with MongoClient[dict[str, Any]](uri) as client:
                    concern = WriteConcern(w="majority", j=True)
                    into = client[servers.DATABASE].get_collection(servers.COLLECTION, write_concern=concern)
                    client.admin.command("ping")
                    for each in range(count // 4):
                        begun = time.perf_counter()
                        into.insert_one({"coin": "BTC", "time": turn, "text": "x" * 400, "each": each})
                        taken[name].append(time.perf_counter() - begun)
    return {name: distribution(values) for name, values in taken.items()}


class Latency:
    """What is measured against one server."""

    def __init__(self, given: argparse.Namespace, server: servers.Server, work: Path) -> None:
        self._given, self._server, self._work = given, server, work
        rates = [*given.rates, *given.peer_rates]
        self._source = load.cached(max([BURST, *(int(rate * given.seconds) for rate in rates)]))
        with self._source.open("rb") as file:
            self._first = file.readline()  # there from the beginning: an empty file is waited for in another way

    def series(self) -> dict[str, Callable[[], Delays]]:
        given = self._given
        found: dict[str, Callable[[], Delays]] = {}
        for rate in given.rates:
            found[f"tailrace, {rate:,}/s"] = partial(self._tailrace, int(rate * given.seconds), rate)
        rate, name = load.NODE_RATE, f"tailrace, {load.NODE_RATE:,}/s in blocks"
        found[name] = partial(self._tailrace, int(rate * given.seconds), rate, tick=load.BLOCK)
        found[f"tailrace, {BURST:,} at once"] = partial(self._tailrace, BURST, None)
        found[f"tailrace, one line after {given.idle:g} s"] = partial(self._tailrace, IDLE_LINES, 1 / given.idle)
        programs, missing = peers.peers()
        for line in missing:
            say(line)
        for program in programs:
            if program.name == "mongoimport":
                continue  # it follows nothing
            for rate in given.peer_rates:
                count = int(rate * given.seconds)
                found[f"{program.name}, {rate:,}/s"] = partial(self._peer, program, count, rate)
            found[f"{program.name}, {BURST:,} at once"] = partial(self._peer, program, BURST, None)
        return found

    def _tailrace(self, count: int, rate: float | None, tick: float = load.TICK) -> Delays:
        self._server.fresh()
        folder = self._folder()
        path = load.hour_path(folder / "data")
        path.write_bytes(self._first)
        with Proxied(self._server.members[0].port, note=servers.COLLECTION) as proxy:
            with Tailrace(folder / "data", proxy.uri, folder / "state", codec=self._given.codec) as run:
                run.event("live")
                writer = load.Appender(self._source, path, count, self._work, rate=rate, tick=tick)
                appended = writer.ended()
                _arrived(proxy, count + 1)
                run.stop()
            delays = by_place(appended, proxy.acks(), len(self._first))
        return _whole(delays, count, "tailrace")

    def _peer(self, program: peers.Peer, count: int, rate: float | None) -> Delays:
        self._server.fresh(index=True)
        folder = self._folder()
        path = folder / "lines"
        path.write_bytes(self._first)
        path.chmod(0o644)
        with Proxied(self._server.members[0].port, note=servers.COLLECTION) as proxy:
            with program.start(path, proxy.uri, folder):
                _arrived(proxy, 1)
                writer = load.Appender(self._source, path, count, self._work, rate=rate)
                appended = writer.ended()
                _arrived(proxy, count + 1)
            acks: list[Ack] = proxy.acks()
        return _whole(by_count(appended, acks, before=1), count, program.name)

    def _folder(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="latency-", dir=self._work))
        folder.chmod(0o755)
        return folder


def _arrived(proxy: Proxied, documents: int) -> None:
    deadline = time.monotonic() + LIMIT
    while (now := proxy.acknowledged()) < documents:
        if time.monotonic() > deadline:
            raise SystemExit(f"{now} of {documents} documents were acknowledged within {LIMIT:.0f} s.")
        time.sleep(0.1)


def _whole(delays: Delays, count: int, who: str) -> Delays:
    if len(delays) != count:
        raise SystemExit(f"{len(delays)} of {count} lines of {who} could be followed: nothing can be said of the rest.")
    return delays


if __name__ == "__main__":
    main()
