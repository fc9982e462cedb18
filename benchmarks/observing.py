"""Observing: what being scraped, and an open dashboard, cost `tailrace run`.

CPU: the share of one core over a window, from /proc/<pid>/stat; of the difference to the windows in which nobody asks
the median counts. One process for all windows of a case, which follow one another: nobody, a scrape of /metrics every
15 s (as Prometheus does), a scrape every second with /status every second and /history every 5 s (more than an open
page asks), and again. Idle, and at the rate of a node in blocks. Every line must be in the collection at the end.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support import load, machine, report, servers
from benchmarks.support.numbers import middle
from benchmarks.support.product import Tailrace
from benchmarks.support.report import number, say

ASKED: dict[str, dict[str, float]] = {
    "nobody asks": {},
    "a scrape every 15 s": {"/metrics": 15.0},
    "a scrape every second, an open page": {"/metrics": 1.0, "/status": 1.0, "/history": 5.0},
}
"""How often each path is asked for, in seconds."""

SETTLING = 3.0  # seconds before the first window, and between two
LIMIT = 60.0  # seconds until the last line is there

Found = dict[str, list[float]]


def main() -> None:
    parser = report.parser_of(__doc__, rounds=2)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each window (default 60)")
    given = parser.parse_args()
    if given.quick:
        given.seconds, given.rounds = min(given.seconds, 5.0), 1
    facts = machine.facts()
    report.heading(__doc__, facts)
    found: dict[str, Found] = {}
    with report.workplace(given.directory) as work, servers.running(work) as server:
        for name, rate in (("idle", 0), (f"{load.NODE_RATE:,} entries/s in blocks", load.NODE_RATE)):
            found[name] = windows(given, server, work, rate, name)
    rows = []
    for name, values in found.items():
        alone = middle(values["nobody asks"]) or 0.0
        for asked, shares in values.items():
            more = (middle(shares) or 0.0) - alone
            rows.append([f"{name}: {asked}", number(middle(shares), ".2%"), number(more, "+.2%")])
    title = f"Windows of {given.seconds:g} s, CPU of a core: median of {given.rounds}"
    report.table(title, ("", "CPU of a core", "more than alone"), rows)
    report.keep("observing", facts, given, {"load": load.settings(), "windows": found})


def windows(given: argparse.Namespace, server: servers.Server, work: Path, rate: int, name: str) -> Found:
    """Shares of a core by who asks, in the order of the rounds."""
    server.fresh()
    folder = Path(tempfile.mkdtemp(prefix="observing-", dir=work))
    path = load.hour_path(folder / "data")
    total = given.rounds * len(ASKED) * (given.seconds + SETTLING) + 2 * SETTLING
    source = load.cached(max(1, int(load.NODE_RATE * total)))
    with source.open("rb") as lines:
        path.write_bytes(lines.readline())
    count, found = int(rate * total), Found()
    with ExitStack() as stack:
        more = ["--http", "127.0.0.1:0"]
        run = stack.enter_context(Tailrace(folder / "data", server.uri, folder / "state", more=more))
        run.event("live", 120)
        url = str(run.event("serving").fields["url"])
        writer = load.Appender(source, path, count, work, rate=rate, tick=load.BLOCK) if rate else None
        deadline = time.monotonic() + LIMIT
        while writer is not None and server.count() < 2:
            if time.monotonic() > deadline:
                raise SystemExit("The appending process writes nothing, or nothing is stored.")
            time.sleep(0.1)
        for turn in range(given.rounds):
            for asked, paths in ASKED.items():
                time.sleep(SETTLING)
                with asking(url, paths):
                    share = share_of(run.pid, given.seconds)
                found.setdefault(asked, []).append(share)
                say(f"  round {turn + 1}: {name}, {asked:40} {share:8.2%} of a core")
        if writer is not None:
            writer.ended()
        stored(server, count + 1)
        run.stop()
    return found


def share_of(pid: int, seconds: float) -> float:
    """Of one core, over that long from now."""
    begun, used = time.perf_counter(), machine.cpu_seconds(pid)
    time.sleep(seconds)
    return (machine.cpu_seconds(pid) - used) / (time.perf_counter() - begun)


@contextmanager
def asking(url: str, paths: dict[str, float]) -> Iterator[None]:
    """Meanwhile each path is asked for, every so many seconds. SystemExit when one was not answered."""
    stop, failures = threading.Event(), list[str]()

    def ask(path: str, every: float) -> None:
        while not stop.is_set():
            connection = HTTPConnection(url.removeprefix("http://"), timeout=5)
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    failures.append(f"{path}: {answer.status}")
            except (OSError, HTTPException) as error:
                failures.append(f"{path}: {error}")
            finally:
                connection.close()
            stop.wait(every)

    threads = [threading.Thread(target=ask, args=item, daemon=True) for item in paths.items()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    if failures:
        raise SystemExit(f"Not answered: {failures[0]}")


def stored(server: servers.Server, lines: int) -> None:
    deadline = time.monotonic() + LIMIT
    while (now := server.count()) < lines:
        if time.monotonic() > deadline:
            raise SystemExit(f"{now} of {lines} lines were stored: tailrace does not keep up.")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
