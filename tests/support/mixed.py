"""A day of an operator in minutes: the engine of `python -m tests.faults.mixed` and of its short form in CI.

    node        writes blocks at the rate of a real one, hours rolling over fast, some entries bad      a thread
    scraper     /metrics and /status every second, as Prometheus and an open page do                    a thread
    operator    reloads again and again; kills, restarts and freezes mongod                             here

While it runs: the account balances at every look, no counter goes back, the lag is small again soon after each fault.
At the end everybody who says how much was stored must say the same (`agreement`), and all of it is there, once.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.support.agreement import (
    differences,
    of_disk,
    of_metrics,
    of_mongodb,
    of_page,
    of_status,
    of_status_json,
    of_status_text,
    of_tally,
    of_watch,
)
from tests.support.counting import count, hours_of_tree
from tests.support.scrape import Scrape, ask
from tests.support.servers import Server
from tests.support.tailrace_process import Run, tailrace, until
from tests.support.under_load import peak
from tests.support.watched import LIMIT, SOON, MixedResult, Scraper

from tailrace.model import Framing
from tailrace.simulator import Manifest, Node, Plan

STREAM = "node_trades_by_block"
SOURCE = COLLECTION = "node_trades"
DATABASE = "mixed"
_MOST_FAULTS = 7
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedOptions:
    """`seconds` that the node writes; `hour`: seconds of ours that one of its hours lasts; `rate`: entries a second;
    `reload_every`: seconds; `page`: whether the dashboard is looked at, at the end."""

    seconds: float
    seed: int
    rate: float = 2800.0
    hour: float = 60.0
    reload_every: float = 20.0
    page: bool = True


class Mixed:
    """One run below `directory`, against a mongod of its own. Used once."""

    def __init__(self, directory: Path, options: MixedOptions, say: Callable[[str], None] = print) -> None:
        self._options, self._say, self._directory = options, say, directory
        self._rng = Random(f"{options.seed} operator")
        self._server = Server(directory / "server")
        self._config = directory / "tailrace.toml"
        self._data = directory / "data"
        speed = 3600 / options.hour
        plan = Plan(
            root=self._data,
            stream=SOURCE,
            framing=Framing.BY_BLOCK,
            rate=options.rate,
            speed=speed,
            duration=options.seconds,
            bad=0.0005,
            seed=options.seed,
        )
        self._node = Node(plan)
        self._stop_node = threading.Event()
        self._flags = [
            *("--root", str(self._data / STREAM), "--database", DATABASE, "--state-dir", str(directory / "state")),
            *("--config", str(self._config)),
        ]
        self.result = MixedResult()

    def run(self) -> MixedResult:
        """Raises AssertionError when tailrace does not work at all; what is not exact is among the complaints."""
        self._server.start()
        try:
            (self._data / STREAM / "hourly").mkdir(parents=True)
            self._write_config()
            self._flags += ["--mongodb-uri", self._server.uri]
            with Run(*self._flags, "--http", "127.0.0.1:0") as run:
                self._with(run, str(run.wait_for("serving")["url"]))
        finally:
            self._server.kill()
        return self.result

    def _with(self, run: Run, url: str) -> None:
        run.wait_for("live")
        written: list[Manifest] = []
        node = threading.Thread(target=lambda: written.append(self._node.run(self._stop_node)), name="node")
        scraper = Scraper(url, self.result)
        begun, cpu = time.monotonic(), _cpu(run.process.pid)
        node.start()
        try:
            self._operate(run, scraper, begun)
            node.join(self._options.seconds + LIMIT)
            self.result.seconds = time.monotonic() - begun
            self.result.cpu = (_cpu(run.process.pid) - cpu) / self.result.seconds
        finally:
            self._stop_node.set()
            node.join()
        try:
            self._settle(url, written[0])
        finally:
            scraper.close()
        self._compare(url)
        self.result.memory = peak(run.process.pid)
        run.stop(60)
        self._note_log(run)
        proof = tailrace("verify", *self._flags, timeout=900)
        if proof.returncode != 0:
            self.result.complaints.append(
                f"verify: exit {proof.returncode}: {proof.stdout[-1000:]}{proof.stderr[-1000:]}"
            )

    # -- the operator --------------------------------------------------------------------------------------------------

    def _operate(self, run: Run, scraper: Scraper, begun: float) -> None:
        """Faults are spread over the time, each with room to recover; reloads come between and beside them."""
        seconds, every = self._options.seconds, self._options.reload_every
        kinds = [self._killed, self._frozen, self._restarted, self._frozen]
        many = max(2, min(_MOST_FAULTS, int(seconds // 10)))
        faults = [(seconds * (n + 1) / (many + 1), kinds[n % len(kinds)]) for n in range(many)]
        reload_at, end = every, seconds - 2.0
        while (now := time.monotonic() - begun) < end:
            if faults and now >= faults[0][0]:
                self._fault(faults.pop(0)[1], scraper, begun)
            elif now >= reload_at:
                reload_at += every
                self._reload(run)
            else:
                time.sleep(0.05)

    def _fault(self, kind: Callable[[], str], scraper: Scraper, begun: float) -> None:
        fault = scraper.through(kind, begun)
        self._say(
            f"{fault.at:7.1f} s  {fault.what}, for {fault.lasted:.1f} s; lag below {SOON:g} s after {fault.back:.1f} s"
        )

    def _killed(self) -> str:
        self._server.kill()
        self._server.start()
        return "mongod killed with -9 and started"

    def _restarted(self) -> str:
        self._server.stop()
        self._server.start()
        return "mongod stopped and started"

    def _frozen(self) -> str:
        """Longer than `write_timeout`: what was sent is stored when it thaws, and acknowledged too late."""
        with self._server.frozen():
            time.sleep(self._rng.uniform(3.0, 5.0))
        return "mongod frozen"

    def _reload(self, run: Run) -> None:
        """Every other time as an operator does, with the command."""
        self._write_config()
        before = len(run.named("reloaded"))
        if self.result.reloads % 2:
            done = tailrace("reload", *self._flags)
            if done.returncode != 0:
                self.result.complaints.append(f"reload: exit {done.returncode}: {done.stdout}{done.stderr}")
        else:
            run.process.send_signal(signal.SIGHUP)
        run.wait_for("reloaded", LIMIT, before + 1)
        self.result.reloads += 1

    def _write_config(self) -> None:
        draw = self._rng.choice
        self._config.write_text(
            f'poll_interval = "{draw(("100ms", "200ms", "1s", "2s"))}"\n'
            f'seal_after = "{draw(("1s", "5s", "1m"))}"\n'
            f'max_in_flight_bytes = "{draw(("1MiB", "8MiB", "64MiB"))}"\n'
            f"max_workers = {draw((1, 2, 8, 16))}\n"
            f'max_line_bytes = "{draw(("16MiB", "64MiB"))}"\n'
            f'write_timeout = "{draw(("1s", "2s"))}"\n'
            f'retry_max_delay = "{draw(("200ms", "1s"))}"\n'
            f'shutdown_grace = "{draw(("5s", "20s"))}"\n'
            f'log_level = "{draw(("info", "debug"))}"\n'
        )

    # -- the verdict ---------------------------------------------------------------------------------------------------

    def _settle(self, url: str, written: Manifest) -> None:
        def settled() -> bool:
            table = of_metrics(url, SOURCE)
            return (table["lines"], table["lines_read"]) == (written.lines, written.lines)

        with suppress(AssertionError):
            until(settled, LIMIT)
        self.result.tables["the node's own account"] = {
            "lines": written.lines,
            "entries": written.entries,
            "made": written.good,
            "bytes": written.bytes,
            "rejected": sum(written.bad.values()),
            **{f"reason {reason}": number for reason, number in written.bad.items() if number},
        }

    def _compare(self, url: str) -> None:
        result, tables = self.result, self.result.tables
        tally = count(self._server.uri, DATABASE, hours_of_tree(self._data, STREAM), collection=COLLECTION)
        if not tally.exact:
            result.complaints.append(str(tally))
        tables["every line held against MongoDB"] = of_tally(tally)
        tables["files on disk"] = of_disk(self._data, STREAM)
        tables["MongoDB"] = of_mongodb(self._server.uri, DATABASE, COLLECTION)
        time.sleep(1.0)  # figures are at most half a second old
        tables["/metrics"] = metrics = of_metrics(url, SOURCE)
        tables["/status"] = of_status(url, SOURCE)
        tables["status --json"] = of_status_json(url, SOURCE)
        tables["status"] = of_status_text(url)
        tables["status --watch"] = of_watch(url)
        if self._options.page:
            tables["dashboard"] = of_page(url, self._directory / "browser", metrics)
        result.rollovers = len(hours_of_tree(self._data, STREAM)) - 1
        seen = round(Scrape(ask(url, "/metrics").body).value("tailrace_rollovers_total"))
        if seen != result.rollovers:
            result.complaints.append(f"rollovers: {seen} counted, {result.rollovers} on disk")
        if metrics["unaccounted"]:
            result.complaints.append(f"unaccounted: {metrics['unaccounted']}")
        result.complaints += differences(tables)

    def _note_log(self, run: Run) -> None:
        for event in run.events:
            if event.get("level") in ("error", "critical") or event.get("event") == "not_json":
                self.result.complaints.append(f"log: {event}")


def _cpu(pid: int) -> float:
    """Seconds of a core that a process took so far (proc(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
