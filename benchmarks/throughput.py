"""Throughput: catching up with a file, against the fastest that PyMongo can send and against other programs.

Measured in rounds, everything once in each (A B C, A B C, ...); medians count. tailrace's rate: lines by the time from
`catching_up` (start-up is over, nothing is read yet) to `caught_up` (everything is acknowledged with w: majority and j,
and settled). Ceiling: the same documents, encoded before the clock starts. Plain script: from when it is connected.
Other programs: from the first document that is seen to the last; they store each line as one string.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support import catchup, load, machine, peers, report, sent, servers
from benchmarks.support.catchup import Catchup
from benchmarks.support.numbers import middle, ratio, seconds_of, spread
from benchmarks.support.proxy import Proxied
from benchmarks.support.report import number, say

Cells = dict[str, Callable[[], Catchup]]
Found = dict[str, list[Catchup]]

CEILING = "ceiling"
WITHOUT, WITH = "no index", "default index"


def main() -> None:
    parser = report.parser_of(__doc__, lines=1_000_000, rounds=5)
    parser.add_argument("--peer-lines", type=int, default=20_000, help="lines for other programs (default 20,000)")
    parser.add_argument("--topology", choices=("standalone", "replica", "both"), default="both")
    parser.add_argument("--codec", choices=("native", "python", "both"), default="both")
    parser.add_argument("--delay", type=seconds_of, default="100ms", help="round trip of one more part (0: none)")
    given = parser.parse_args()
    if given.quick:
        given.lines, given.rounds, given.peer_lines = min(given.lines, 50_000), 1, min(given.peer_lines, 5_000)
    facts = machine.facts()
    report.heading(__doc__, facts)
    codecs = machine.codecs(given.codec, say)
    found: dict[str, Any] = {"load": load.settings(lines=given.lines), "parts": {}}
    with report.workplace(given.directory) as work:
        report.need(work, given.lines * 1_500 * (4 if given.topology != "standalone" else 2), "Files and servers")
        file, few = load.cached(given.lines), load.cached(given.peer_lines)
        documents = sent.encoded(file, given.lines)
        for topology, members in (("standalone", 1), ("replica", 3)):
            if given.topology in (topology, "both"):
                with servers.running(work / topology, members=members) as server:
                    run = Run(given, server, file, few, documents, work)
                    found["parts"][topology] = run.compared(topology, codecs, others=topology == "standalone")
                    if given.delay and topology == "standalone":
                        found["parts"]["delay"] = run.delayed(given.delay, codecs[0])
    report.keep("throughput", facts, given, found)


class Run:
    """What is compared on one server."""

    def __init__(
        self,
        given: argparse.Namespace,
        server: servers.Server,
        file: Path,
        few: Path,
        documents: list[bytes],
        work: Path,
    ) -> None:
        self._given, self._server, self._documents, self._work = given, server, documents, work
        self._file, self._few = file, few

    def compared(self, topology: str, codecs: list[str], *, others: bool) -> dict[str, Any]:
        clients = self._calibrated()
        cells: Cells = {}
        for indexed, name in ((False, WITHOUT), (True, WITH)):
            for client in clients:
                key = f"{CEILING}, {client}, {name}"
                cells[key] = partial(catchup.ceiling, self._server, self._documents, client, index=indexed)
            for codec in codecs:
                cells[f"tailrace {codec}, {name}"] = partial(self._tailrace, index=indexed, codec=codec)
        if others:
            cells |= self._others()
        found = self._rounds(cells)
        self._show(topology, found)
        return {key: [each.raw() for each in values] for key, values in found.items()}

    def delayed(self, delay: float, codec: str) -> dict[str, Any]:
        """Through a proxy, with and without a delay: what the distance alone costs."""
        port = self._server.members[0].port
        with Proxied(port) as near, Proxied(port, delay=delay / 2) as far:
            names = {"direct": None, "proxy": near.uri, f"proxy, {delay * 1000:.0f} ms round trip": far.uri}
            cells: Cells = {
                name: partial(self._tailrace, index=True, codec=codec, uri=uri) for name, uri in names.items()
            }
            found = self._rounds(cells)
        base = middle(each.rate for each in found["proxy"])
        rows = [
            [name, *_figures(values), number(ratio(middle(each.rate for each in values), base), ".2f")]
            for name, values in found.items()
        ]
        title = f"tailrace {codec}, {WITH}, standalone: a server far away"
        report.table(title, [*_COLUMNS, "of proxy"], rows)
        return {name: [each.raw() for each in values] for name, values in found.items()}

    def _tailrace(self, *, index: bool, codec: str, uri: str | None = None) -> Catchup:
        lines = self._given.lines
        return catchup.tailrace(self._server, self._file, lines, self._work, index=index, codec=codec, uri=uri)

    def _others(self) -> Cells:
        given = self._given
        cells: Cells = {f"plain script, {WITHOUT}": partial(catchup.plain, self._server, self._file, given.lines)}
        found, missing = peers.peers()
        for line in missing:
            say(line)
        for program in found:
            key = f"{program.name}, {WITHOUT}, {given.peer_lines:,} lines"
            cells[key] = partial(catchup.peer, self._server, program, self._few, given.peer_lines, self._work)
        return cells

    def _calibrated(self) -> list[sent.Client]:
        """The two fastest clients, found on up to 100,000 of the documents."""
        say("Looking for the fastest client:")

        def told(client: sent.Client, rate: float) -> None:
            say(f"  {client!s:28} {rate:10,.0f} documents/s")

        return sent.calibrated(self._server, self._documents[: 10_000 if self._given.quick else 100_000], told)

    def _rounds(self, cells: Cells) -> Found:
        found: Found = {key: [] for key in cells}
        for turn in range(self._given.rounds):
            for key, measure in cells.items():
                found[key].append(measure())
                say(f"  round {turn + 1}: {key:58} {found[key][-1].rate:10,.0f} lines/s")
        return found

    def _show(self, topology: str, found: Found) -> None:
        rates = {key: middle(each.rate for each in values) for key, values in found.items()}
        rows = []
        for key, values in found.items():
            name = WITH if WITH in key else WITHOUT
            best = max(rate for k, rate in rates.items() if k.startswith(CEILING) and name in k and rate is not None)
            rows.append([key, *_figures(values), number(ratio(rates[key], best), ".2f")])
        notes = [servers.NOTE, "CPU of mongod: of all members", "of ceiling: of the faster one with the same index"]
        notes += _doubts(found)
        title = f"{topology}: {self._given.lines:,} lines, {self._given.rounds} rounds"
        report.table(title, [*_COLUMNS, "of ceiling"], rows, notes=notes)


_COLUMNS = ("", "lines/s", "spread", "wall s", "start-up s", "client us/line", "mongod us/line", "peak MiB")


def _figures(values: list[Catchup]) -> list[str]:
    peak = middle(each.peak for each in values)
    return [
        number(middle(each.rate for each in values)),
        number(spread(each.rate for each in values), ".0%"),
        number(middle(each.wall for each in values), ".2f"),
        number(middle(each.startup for each in values), ".2f"),
        number(middle(each.client_us for each in values), ".1f"),
        number(middle(each.server_us for each in values), ".1f"),
        number(None if peak is None else peak / 2**20),
    ]


def _doubts(found: Found) -> list[str]:
    """Two codecs that cost the same are one codec: then the setting is not heeded, whatever the log says."""
    native, python = (
        middle(each.client_us for key, values in found.items() if f"tailrace {codec}," in key for each in values)
        for codec in ("native", "python")
    )
    share = ratio(native, python)
    if share is None or share < 0.8:
        return []
    return [f"DOUBTFUL: with the native codec tailrace used {share:.2f} of the CPU that it used with python"]


if __name__ == "__main__":
    main()
