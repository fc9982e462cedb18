"""A tree and the process that follows it, from the beginning to the end, and what must have come of it.

The rules of the machine are in `test_tree_machine`; here is what they work on, and the invariants.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import bson
import structlog
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from structlog.testing import LogCapture
from tests.property.process_model import FAMILY, SEAL_AFTER, Durable, Process, make_codec
from tests.support.tree_model import HOUR, File, Tree, serial_of, serials

from tailrace import identity
from tailrace.ingest import storing
from tailrace.ingest.files import tailer as tailing
from tailrace.ingest.files.discovery import ROUND_S
from tailrace.ingest.files.names import HourlyTree, hour_of
from tailrace.ingest.lives.follower import Follower

FIRST_HOUR = 1_741_597_200  # 2025-03-10T09:00Z: 9 comes before 10, and may be written 09
PREFIXES = 32  # so few that lives of one hour collide, and salts are needed; so many that no hour has more lives

_fingerprint = identity.fingerprint


def _crowded(*, source: str, family: str, life: int, salt: int, head: bytes) -> bytes:
    full = _fingerprint(source=source, family=family, life=life, salt=salt, head=head)
    return bytes([0, 0, full[0] % PREFIXES]) + full[3:]


class TreeChecks(RuleBasedStateMachine):
    """`process` is None while tailrace is not running."""

    process: Process | None = None
    tree: Tree

    # -- beginning and end ---------------------------------------------------------------------------------------

    @initialize(max_open=st.sampled_from([2, 16]), guard=st.sampled_from([64, 1024]), small=st.booleans())
    def begin(self, max_open: int, guard: int, small: bool) -> None:
        self.max_open = max_open
        self.saved = identity.fingerprint, tailing.GUARD, storing.SMALL
        identity.fingerprint, tailing.GUARD, storing.SMALL = _crowded, guard, 0 if small else self.saved[2]
        self.folder = Path(tempfile.mkdtemp(prefix="tree", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
        self.hourly = self.folder / FAMILY / "hourly"
        self.hourly.mkdir(parents=True)
        self.logs = LogCapture()
        structlog.configure(processors=[self.logs])
        self.loop = asyncio.new_event_loop()
        self.durable = Durable()
        self.tree = Tree(self.hourly, self)
        self.codec = make_codec()
        self.backups: list[tuple[int, bytes]] = []
        self.parked: list[tuple[Path, File]] = []
        self.packing: list[tuple[File, File, bytes, bytes]] = []
        self.reported: dict[int, int] = defaultdict(int)
        self.owed: dict[int, int] = defaultdict(int)
        self.offsets: dict[bytes, int] = {}
        self.now = 1000.0
        self.states = 0
        self.tree.make(self.tree.path_of(FIRST_HOUR), FIRST_HOUR)
        self.begin_run()

    def teardown(self) -> None:
        if not hasattr(self, "tree"):
            return
        try:
            self.come_to_rest()
        finally:
            if self.process is not None:
                self.process.end()
            for file in [*self.tree.files.values(), *self.tree.away]:
                if file.writer is not None:
                    file.writer.close()
            self.loop.close()
            structlog.reset_defaults()
            identity.fingerprint, tailing.GUARD, storing.SMALL = self.saved
            shutil.rmtree(self.folder)

    def open_inodes(self) -> set[int]:
        return set() if self.process is None else self.process.open_inodes()

    def follower(self, inode: int) -> Follower | None:
        followers = [] if self.process is None else self.process.roster.followers()
        return next((f for f in followers if f.tailer.reader.stat().st_ino == inode), None)

    def reached(self, inode: int) -> int | None:
        follower = self.follower(inode)
        return None if follower is None else follower.tailer.offset

    def delivered(self, hour: int) -> list[bytes]:
        begin = hour.to_bytes(4, "big")
        return [data for prefix, data in self.durable.read.items() if prefix.startswith(begin)]

    @property
    def running(self) -> bool:
        return self.process is not None

    @property
    def plain(self) -> list[File]:
        return self.tree.plain()

    # -- the process, and what is seen of it ---------------------------------------------------------------------

    def look(self, *, full: bool, hinted: bool) -> None:
        assert self.process is not None
        paths = frozenset(str(path) for path in self.tree.files) if hinted else frozenset()
        self.process.poll(full=full, hinted=paths)
        self.observe()

    def observe(self) -> None:
        """What a finished scan saw."""
        assert self.process is not None
        assert self.process.pipeline._discovery is not None
        for path, seen in self.process.pipeline._discovery._files.items():
            file = self.tree.files.get(Path(path))
            if file is not None and file.inode == seen.inode and seen.size <= len(file.content) and self.known(file):
                file.seen = max(file.seen, seen.size)

    def known(self, file: File) -> bool:
        """Not while a rewritten file was not looked into yet: its size says nothing then about what can be read."""
        follower = self.follower(file.inode)
        if follower is None:
            return True
        return file.content.startswith(self.durable.read[follower.life.prefix][: follower.tailer.offset])

    def save_now(self, seconds: float) -> None:
        process = self.process
        assert process is not None
        process.now += seconds
        entered = {f.tailer.reader.stat().st_ino: f for f in process.roster.followers()}
        for row in process.save():
            assert row.offset <= self.durable.covered(row.prefix, row.start), "a checkpoint passes an unsettled span"
            assert row.offset >= self.offsets.get(row.prefix, 0), "a checkpoint moved back"
            self.offsets[row.prefix] = row.offset
        for file in self.tree.files.values():
            if file.inode in entered:
                file.saved, file.saved_offset = file.seen, entered[file.inode].settled
                self.tree.recorded[file.hour] = max(self.tree.recorded[file.hour], file.saved)

    def progress(self) -> dict[bytes, int]:
        lives = {key: value for key, value in self.durable.ledger.items() if isinstance(key, bytes)}
        return {key: int(value["progress"]["offset"]) for key, value in lives.items() if "progress" in value}

    def forget(self) -> None:
        self.offsets.clear()
        self.tree.forget()

    def begin_run(self) -> None:
        tree = HourlyTree(str(self.folder), FAMILY, str(self.hourly))
        process = Process(self.loop, tree, self.folder / "state", self.durable)
        process.now = self.now
        self.logs.entries.clear()
        self.owed.clear()
        process.start(self.max_open)
        self.process = process
        self.observe()

    def end_run(self) -> None:
        assert self.process is not None
        self.check_reports()
        self.now = self.process.now
        self.process.end()
        self.process = None
        self.tree.crashed()

    # -- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def after_each_step(self) -> None:
        """The equation of conservation; one tracker a life; as many descriptors as are counted, and not too many."""
        if self.process is None:
            return
        assert self.process.stats.imbalance() == 0
        roster = self.process.roster
        followed = [f.life.prefix for f in roster.followers()]
        followed += [f.life.prefix for f in roster.retiring if f.tracker.in_flight]
        assert len(set(followed)) == len(followed), "a life has two trackers"
        assert roster.open_files == len(self.process.readers()) <= self.max_open + 2

    # -- at rest ---------------------------------------------------------------------------------------------------

    @rule()
    def come_to_rest(self) -> None:
        """Everything that can be read is read, everything settles; then every line is looked for."""
        if self.process is None:
            self.begin_run()
        process = self.process
        assert process is not None
        newest = self.tree.newest()
        names = {path.with_suffix("") for path, file in self.tree.files.items() if file.hour == newest}
        names |= {Path(key) for key, slot in process.roster.active.items() if slot.hour == newest}
        if len(names) > 1:  # two names of one hour are read one after the other, each to its sealing
            self.tree.make(self.tree.path_of(newest + HOUR), newest + HOUR)
        quiet = 0
        for _ in range(60):
            process.now += ROUND_S + 1
            self.look(full=True, hinted=False)
            moved = False
            while self.step():
                moved = True
            self.save_now(SEAL_AFTER * 30)
            quiet = 0 if moved else quiet + 1
            if quiet == 4:
                break
        else:
            raise AssertionError("it never comes to rest")
        self.check_lines()
        self.check_reports()
        self.check_losses()

    def step(self) -> bool:
        process = self.process
        assert process is not None
        moved = process.enter()
        for follower in process.readable():
            process.read(follower, 10_000)
            moved = True
            while process.writer.flights:
                process.acknowledge(len(process.writer.flights) - 1)
        while process.writer.flights:
            process.acknowledge(0)
            moved = True
        return moved

    def stored(self) -> dict[int, set[bytes]]:
        """Position ids by the serial of the line that stands under them."""
        found: dict[int, set[bytes]] = defaultdict(set)
        for key, document in self.durable.documents.items():
            number = bson.decode(document)["n"]
            found[number].add(key)
        for key, data in self.durable.rejects.items():
            found[serial_of(data)].add(key[: identity.ID_SIZE])
        return found

    def check_lines(self) -> None:
        stored = self.stored()
        for number, keys in stored.items():
            assert number in self.tree.lines, f"line {number} never was complete, and is stored"
            for key in keys:
                self.check_place(number, key)
            assert len(keys) <= self.tree.lives[number], f"line {number} is stored {len(keys)} times"
        for file in self.tree.visible():
            missing = [number for number in serials(file.whole) if number not in stored]
            assert not missing, f"{file.path}: lines {missing} are not stored"
        lost = [number for number in self.tree.at_risk if number not in stored]
        assert not lost, f"lines {lost} of files that were held open are not stored"
        self.tree.at_risk.clear()

    def check_place(self, number: int, key: bytes) -> None:
        hour, place = int.from_bytes(key[:4], "big"), identity.place_of(key)
        assert (hour, place) in self.tree.places[number], f"line {number} never stood at {place} of {hour}"
        document = self.durable.documents.get(key)
        fields = {} if document is None else bson.decode(document)
        if document is not None and fields["n"] != number:  # `number` was kept aside, and another line took its place
            assert hour in self.durable.rewritten, f"line {fields['n']} is stored where {number} was kept aside"
        elif document is not None:
            assert fields.pop("_id").binary == key
            (line,) = [line for line in self.tree.lines[number] if parsed(line) == fields]
            assert self.codec.encode(line + b"\n", key[: identity.PREFIX_SIZE], place).documents == [document]

    def check_reports(self) -> None:
        """No report of this run names more than was lost. Not asked once a file was renamed to another hour (a report
        names the hour of the name, a line that of its life) or had a twin (`9` and `09`: each may hold what the other
        lost)."""
        stored = self.stored()
        told: dict[int, int] = defaultdict(int)
        for entry in self.logs.entries:
            if entry["event"] == "bytes_lost":
                told[self.hour_of_path(entry["path"])] += entry["bytes"]
        for hour, size in told.items():
            # A line that stands in a copy as well may be stored from there after its loss here was said.
            gone = {n: f for n, f in self.tree.fates.items() if n not in stored or n in self.tree.copied}
            truth = sum(fate.size for fate in gone.values() if hour == fate.hour)
            truth += self.tree.gone_torn[hour]
            assert self.tree.tangled or size <= truth, f"{size} bytes of hour {hour} are said to be lost, {truth} are"
        assert self.process is not None
        assert self.process.stats.lost_bytes == sum(told.values()), "the counter and the log differ"
        for hour, size in told.items():
            self.reported[hour] += size - self.owed[hour]
            self.owed[hour] = size

    def check_losses(self) -> None:
        """What one fault took away and a scan had seen is reported. Not asked of several since the last rest: what a
        scan saw of a file that was not looked into yet cannot always be told from what replaced it (Known limits). Nor
        while an archive is in the making: it may hold what is missing. Nor of what stands in an archive that is there:
        beside a plain file it is read once that is gone (Known limits)."""
        found = {*self.stored(), *(number for file in self.tree.archives() for number in serials(file.whole))}
        owed: dict[int, int] = defaultdict(int)
        for number, fate in self.tree.fates.items():
            if fate.tolled and number not in found:
                owed[fate.hour] += fate.size
        for hour, size in owed.items():
            told = self.reported[hour]
            excused = self.tree.tangled or self.tree.harm > 1 or self.packing
            assert excused or told >= size, f"{size} bytes of hour {hour} are lost, {told} reported"
        self.tree.harm = 0
        self.reported.clear()
        for fate in self.tree.fates.values():
            fate.tolled = fate.recorded = False

    def hour_of_path(self, path: str) -> int:
        folder, name = path.rsplit("/", 2)[1:]
        found = hour_of(name)
        assert found is not None
        return int(datetime.strptime(folder, "%Y%m%d").replace(tzinfo=UTC).timestamp()) + found[0] * HOUR


def parsed(line: bytes) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None
