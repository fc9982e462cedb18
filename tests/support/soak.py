"""tailrace killed with -9 again and again while a node writes: the engine of `make soak` and of its short form in CI.

    node        writes, hours rolling every few seconds, some lines bad                  a thread
    archivist   compresses most finished hours in place, whether tailrace runs or not    a thread
    killer      starts tailrace, kills it at a random moment, starts it again            here
    examiner    now and then, and at the end: `verify`, and a count without tailrace     here

The seed decides what is written, what is compressed and how long every life lasts; when exactly a signal arrives is the
machine's.
"""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from pymongo import MongoClient
from tests.support.counting import Tally, count, hours_of_tree
from tests.support.tailrace_process import Run, tailrace, until

from tailrace.simulator import Manifest, Node, Plan

BUSY = ("file_entered", "file_sealed", "file_continues", "file_rewritten", "kept_aside", "catching_up", "live")
"""Events after which a part of the kills come: something was decided a moment ago and may not be written down yet."""

AIMED_SHARE = 0.25  # of the lives end at such a moment
LONG_SHARE = 0.1  # last long enough for files to be sealed
SEAL_AFTER = 1.0  # seconds: the least there is
BEYOND_START = 1.2  # seconds: the other lives end between 0 and the duration of a start plus this
LOOK_HOURS = 40  # at most that are proven while it runs: the node writes on meanwhile
OPEN_HOURS = 2  # the newest files, which the node may still write to
ARCHIVED_SHARE = 0.7  # of the finished hours are compressed in place
PIECE = 256 * 1024  # bytes that the archivist compresses at once, as slowly as a real one


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakOptions:
    """`rate`: entries a second; `speed`: the node's seconds in one of ours; `check_every`: kills between two looks;
    `seconds`: no kill begins later than this, None: as long as it takes."""

    kills: int
    seed: int
    rate: float = 1500.0
    speed: float = 1200.0
    check_every: int = 250
    seconds: float | None = None


@dataclass(slots=True)
class SoakResult:
    """`lost`, `doubled`, `entries` as counted without tailrace; `memory`: bytes, the most that any process took."""

    kills: int = 0
    starting: int = 0
    entries: int = 0
    lost: int = 0
    doubled: int = 0
    kept: int = 0
    archived: int = 0
    looks: int = 0
    memory: int = 0
    startup: float = 0.0
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        return not (self.lost or self.doubled or self.complaints)


class Archivist:
    """`gzip <hour>` for finished hours, in a thread: the archive grows beside the file, then the file is removed."""

    def __init__(self, directory: Path, rng: Random) -> None:
        self._directory = directory
        self._rng = rng
        self._stop = threading.Event()
        self._seen: set[Path] = set()
        self._thread = threading.Thread(target=self._run, name="archivist")
        self.archived = 0

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """The archive in the making is finished first."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._rng.uniform(0.05, 0.5)):
            files = sorted(self._directory.glob("*/*"), key=lambda path: (path.parent.name, int(path.stem)))
            for path in [path for path in files[:-OPEN_HOURS] if not path.suffix and path not in self._seen]:
                self._seen.add(path)
                if self._rng.random() < ARCHIVED_SHARE:
                    self._archive(path)

    def _archive(self, path: Path) -> None:
        before = path.stat()
        archive = path.with_name(path.name + ".gz")
        with path.open("rb") as plain, gzip.open(archive, "wb", compresslevel=1) as packed:
            while piece := plain.read(PIECE):
                packed.write(piece)
                packed.flush()
                time.sleep(0.005)
        os.utime(archive, ns=(before.st_atime_ns, before.st_mtime_ns))
        path.unlink()
        self.archived += 1


class Soak:
    """One run below `directory`, into `database` of the server at `uri`. Used once."""

    def __init__(
        self, directory: Path, uri: str, database: str, options: SoakOptions, say: Callable[[str], None] = print
    ) -> None:
        self._options = options
        self._uri = uri
        self._database = database
        self._say = say
        self._rng = Random(f"{options.seed} killer")
        self._data = directory / "data"
        plan = Plan(root=self._data, rate=options.rate, speed=options.speed, bad=0.0005, seed=options.seed)
        self._node = Node(plan)
        self._archivist = Archivist(plan.directory, Random(f"{options.seed} archivist"))
        self._flags = [
            *("--root", str(self._data / "node_trades"), "--mongodb-uri", uri, "--database", database),
            *("--state-dir", str(directory / "state"), "--poll-interval", "100ms", "--seal-after", f"{SEAL_AFTER}s"),
        ]
        self._proven: set[int] = set()
        self._startup = 0.7
        self.result = SoakResult()

    def run(self) -> SoakResult:
        """Kill, look, kill, ... and prove the whole at the end. Raises AssertionError when tailrace does not work."""
        options, result, begun = self._options, self.result, time.monotonic()
        stop, written = threading.Event(), list[Manifest]()
        node = threading.Thread(target=lambda: written.append(self._node.run(stop)), name="node")
        node.start()
        self._archivist.start()
        try:
            while result.kills < options.kills:
                if options.seconds is not None and time.monotonic() - begun > options.seconds:
                    break
                self._one_life()
                result.seconds = time.monotonic() - begun
                if result.kills % 50 == 0:
                    self._progress()
                if result.kills % options.check_every == 0 and result.kills < options.kills:
                    self._look()
        finally:
            stop.set()
            node.join()
            self._archivist.close()
            result.archived = self._archivist.archived
        self._prove(written[0])
        result.seconds = time.monotonic() - begun
        return result

    # -- the killer ----------------------------------------------------------------------------------------------------

    def _one_life(self) -> None:
        """Start it and kill it. How long it lives is drawn before it starts."""
        rng, result = self._rng, self.result
        dice, busy, soon = rng.random(), rng.choice(BUSY), rng.uniform(0.0, 0.02)
        short = rng.uniform(0.0, self._startup + BEYOND_START)
        long = self._startup + SEAL_AFTER + rng.uniform(0.3, 1.5)
        life = long if dice < LONG_SHARE else short
        aimed = dice > 1 - AIMED_SHARE
        begun, reading = time.monotonic(), 0.0
        with Run(*self._flags, "--log-level", "debug") as run:
            while (age := time.monotonic() - begun) < (long if aimed else life):
                if not reading and (run.named("catching_up") or run.named("live")):
                    reading = age
                if aimed and run.named(busy):
                    time.sleep(soon)
                    break
                time.sleep(0.005)
            assert run.process.poll() is None, f"it ended by itself:\n{''.join(run.lines[-20:])}"
            self._note_memory(run)
            run.kill()
        # How long a start takes here and now: lives are as long as that and a little more. A life that ended before it
        # read, though it had that long, says so too.
        if reading or age > self._startup:
            self._startup += 0.2 * ((reading or 1.5 * age) - self._startup)
        result.startup = self._startup
        result.starting += not reading
        result.kills += 1
        self._note_log(run)

    def _note_memory(self, run: Run) -> None:
        try:
            status = Path(f"/proc/{run.process.pid}/status").read_text()
        except OSError:
            return
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                self.result.memory = max(self.result.memory, int(line.split()[1]) * 1024)

    def _note_log(self, run: Run) -> None:
        for event in run.events:
            if event.get("level") in ("error", "critical") or event.get("event") == "not_json":
                self.result.complaints.append(f"kill {self.result.kills}: {event}")

    def _progress(self) -> None:
        result, live = self.result, self._node.live
        self._say(
            f"{result.kills:>5} kills ({result.starting} while starting) in {result.seconds:,.0f} s: "
            f"{live.entries:,} entries written, {self._stored():,} stored, {self._archivist.archived} hours archived, "
            f"start {result.startup:.2f} s, memory {result.memory / 1e6:.0f} MB, {len(result.complaints)} complaints"
        )

    def _stored(self) -> int:
        with MongoClient[dict[str, Any]](self._uri) as client:
            return client[self._database]["node_trades"].estimated_document_count()

    # -- the examiner --------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Let it catch up, and prove hours that are finished and were not proven yet, beside it and the node."""
        with Run(*self._flags) as run:
            hours = hours_of_tree(self._data)
            finished = [hour for hour in sorted(hours)[:-OPEN_HOURS] if hour not in self._proven]
            finished = sorted(self._rng.sample(finished, min(LOOK_HOURS, len(finished))))
            run.wait_for("live", timeout=300)
            self._verify(*[f"{hours[hour].parent.name}/{hours[hour].stem}" for hour in finished])
            hours = hours_of_tree(self._data)  # once more: some were compressed meanwhile
            tally = count(self._uri, self._database, {hour: hours[hour] for hour in finished}, everything=False)
            self._note_memory(run)
            run.kill()
        self._judge(tally)
        self.result.looks += 1
        self._proven.update(finished)
        self._say(f"look {self.result.looks}: {len(finished)} hours, {tally}")

    def _prove(self, written: Manifest) -> None:
        """The node has stopped: let it catch up and stop, then prove everything, from the manifest on."""
        expected = (written.good, sum(written.bad.values()))
        with Run(*self._flags) as run:
            run.wait_for("live", timeout=600)
            try:
                until(lambda: self._counts() == expected, timeout=120)
            except AssertionError:
                self.result.complaints.append(f"(documents, rejects) {self._counts()}, written {expected}")
            self._note_memory(run)
            run.stop(60)  # held to invariant 5
            self._note_log(run)
        self._verify()
        tally = count(self._uri, self._database, hours_of_tree(self._data))
        self._judge(tally)
        result = self.result
        result.entries, result.kept = tally.entries, tally.kept
        if (tally.entries, dict(sorted(tally.reasons.items()))) != (written.entries, written.bad):
            result.complaints.append(f"{tally} {dict(tally.reasons)}; the node: {written.entries} {written.bad}")

    def _counts(self) -> tuple[int, int]:
        with MongoClient[dict[str, Any]](self._uri) as client:
            base = client[self._database]
            rejects = base["node_trades.rejects"].count_documents({"reason": {"$exists": True}})
            return base["node_trades"].count_documents({}), rejects

    def _judge(self, tally: Tally) -> None:
        self.result.lost += tally.lost
        self.result.doubled += tally.doubled
        if not tally.exact:
            self.result.complaints.append(str(tally))

    def _verify(self, *hours: str) -> None:
        done = tailrace("verify", "--json", *self._flags, *hours, timeout=1800)
        if done.returncode != 0:
            findings = done.stdout
            if done.stdout.startswith("{"):
                sources = json.loads(done.stdout)["sources"]
                findings = json.dumps([file for file in sources[0]["files"] if file["state"] != "ok"][:3])
            self.result.complaints.append(f"verify: exit {done.returncode}: {findings[:2000]} {done.stderr[-2000:]}")
