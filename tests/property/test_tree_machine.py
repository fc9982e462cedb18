"""A tree lives through everything that happens to trees, at random, and so does the process that follows it.

What is real and what is not: `process_model`. What must come of it: `tests.support.tree_model`. Here are the rules,
which choose every interleaving, and the invariants: after each step, and at rest, when everything that can be read was.

    nothing that must be stored is lost      every complete line of every file in the tree, and of every open descriptor
    nothing is stored twice                  one `_id` a line, where it stands; a rewritten file is its next life
    every loss is reported, nothing else     the bytes of `bytes_lost`, by hour
    spans tile, offsets never move back      as read, as settled, as saved, as recorded in the ledger
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from tests.property.process_model import MAX_LINE, SEAL_AFTER
from tests.property.tree_checks_model import FIRST_HOUR, TreeChecks
from tests.support.tree_model import HOUR, PACK, File, serials

from tailrace.ingest import feeder as feeding

pytestmark = pytest.mark.timeout(600 if os.environ.get("TAILRACE_SOAK") is None else 0)  # shrinking takes its time

LIMITS = st.sampled_from([1, 60, 200, 10_000])
SIZES = st.sampled_from([0, 1, 30, 120, MAX_LINE + 20])
WHICH = st.integers(0, 5)
EXTENSIONS = st.sampled_from(sorted(PACK))
SHORT = 120
STEPS = 30


def pick(files: list[File], which: int) -> File:
    """Mostly the newest."""
    return sorted(files, key=lambda f: (-f.hour, str(f.path)))[which % len(files)]


class TreeLife(TreeChecks):
    """The rules. What is picked by `which` is mostly of the newest hour."""

    # -- what a node does ----------------------------------------------------------------------------------------

    @precondition(lambda self: self.plain)
    @rule(which=WHICH, padding=SIZES, bad=st.integers(0, 9))
    def append_line(self, which: int, padding: int, bad: int) -> None:
        self.tree.append(pick(self.plain, which), self.tree.line(padding, bad=not bad) + b"\n")

    @precondition(lambda self: self.plain)
    @rule(which=WHICH, padding=SIZES, share=st.floats(0, 1))
    def append_torn(self, which: int, padding: int, share: float) -> None:
        file = pick(self.plain, which)
        if file.content == file.whole:
            line = self.tree.line(padding)
            self.tree.append(file, line[: max(12, int(len(line) * share))])

    @rule(which=WHICH)
    def finish_line(self, which: int) -> None:
        if torn := [file for file in self.plain if file.content != file.whole]:
            self.tree.append(pick(torn, which), b"\n")

    @precondition(lambda self: self.plain)
    @rule(which=WHICH, count=st.integers(2, 12), padding=st.sampled_from([0, 5, 90]), torn=st.booleans())
    def burst(self, which: int, count: int, padding: int, torn: bool) -> None:
        data = b"".join(self.tree.line(padding) + b"\n" for _ in range(count))
        self.tree.append(pick(self.plain, which), data + (self.tree.line(padding) if torn else b""))

    @rule(hours=st.sampled_from([1, 1, 2, 24]), empty=st.booleans())
    def roll(self, hours: int, empty: bool) -> None:
        """The next hour's file may exist before the last line of the former is complete, even empty."""
        hour = max(self.tree.newest(), FIRST_HOUR) + hours * HOUR
        if self.tree.path_of(hour) not in self.tree.files:
            self.tree.make(self.tree.path_of(hour), hour, b"" if empty else self.tree.line(10) + b"\n")

    # -- what others do ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.plain)
    @rule(which=WHICH, share=st.floats(0, 1))
    def truncate(self, which: int, share: float) -> None:
        file = pick(self.plain, which)
        self.rewrite(file, file.content[: int(len(file.content) * share)])

    @precondition(lambda self: self.plain)
    @rule(which=WHICH)
    def copytruncate(self, which: int) -> None:
        file = pick(self.plain, which)
        self.backups.append((file.hour, file.content))
        self.rewrite(file, b"")

    @precondition(lambda self: self.plain)
    @rule(which=WHICH, keep=st.sampled_from(["nothing", "head", "half"]), count=st.integers(0, 4), past=st.booleans())
    def rewrite_in_place(self, which: int, keep: str, count: int, past: bool) -> None:
        """With another head or an equal one, shorter or grown past the old offset."""
        file = pick(self.plain, which)
        kept = {"nothing": 0, "head": file.content.find(b"\n") + 1, "half": len(file.content) // 2}[keep]
        content = file.content[:kept]
        if not content.endswith(b"\n"):
            content = content[: content.rfind(b"\n") + 1]
        content += b"".join(self.tree.line(20) + b"\n" for _ in range(count))
        while past and len(content) <= len(file.content):
            content += self.tree.line(90) + b"\n"
        self.rewrite(file, content)

    def rewrite(self, file: File, content: bytes) -> None:
        self.durable.rewritten.add(file.hour)
        self.tree.overwrite(file, content, self.look_closely if self.process else lambda: None)

    def look_closely(self) -> None:
        self.look(full=True, hinted=True)

    @precondition(lambda self: self.tree.files)
    @rule(which=WHICH)
    def delete(self, which: int) -> None:
        self.tree.unlink(pick(list(self.tree.files.values()), which))

    @precondition(lambda self: self.plain)
    @rule(which=WHICH, equal_head=st.booleans(), count=st.integers(0, 3), atomic=st.booleans())
    def replace(self, which: int, equal_head: bool, count: int, atomic: bool) -> None:
        """Another inode takes the name."""
        file = pick(self.plain, which)
        head = file.content[: file.content.find(b"\n") + 1] if equal_head else b""
        content = head + b"".join(self.tree.line(15) + b"\n" for _ in range(count))
        self.durable.rewritten.add(file.hour)
        path = file.path
        assert path is not None
        if not atomic:
            self.tree.unlink(file)
        self.tree.make(path, file.hour, content, atomic=atomic)

    @precondition(lambda self: self.tree.away)
    @rule(which=WHICH, count=st.integers(0, 2))
    def make_again(self, which: int, count: int) -> None:
        hour = self.tree.away[which % len(self.tree.away)].hour
        if self.tree.path_of(hour) not in self.tree.files:
            self.durable.rewritten.add(hour)
            content = b"".join(self.tree.line(15) + b"\n" for _ in range(count))
            self.tree.make(self.tree.path_of(hour), hour, content)

    @precondition(lambda self: self.plain)
    @rule(which=WHICH)
    def move_away(self, which: int) -> None:
        file = pick(self.plain, which)
        self.parked.append((self.tree.move_away(file), file))

    @precondition(lambda self: self.parked)
    @rule(which=WHICH)
    def move_back(self, which: int) -> None:
        away, file = self.parked.pop(which % len(self.parked))
        path = self.tree.path_of(file.hour)
        if path in self.tree.files:
            self.tree.unlink(self.tree.files[path])
        away.rename(path)
        self.tree.files[path], file.path = file, path
        self.tree.away.remove(file)
        for number in serials(file.content):
            self.tree.at_risk.pop(number, None)
        self.tree.placed(file)

    @precondition(lambda self: self.plain)
    @rule(which=WHICH)
    def pad_the_name(self, which: int) -> None:
        """`9` becomes `09`, and back."""
        file = pick(self.plain, which)
        assert file.path is not None
        path = self.tree.path_of(file.hour, "{}" if file.path.name.startswith("0") else "{:02}")
        if path not in self.tree.files and not any(file is each[0] for each in self.packing):
            self.tree.tangled = True  # until the new name is entered, no checkpoint has the size that was seen there
            self.tree.rename(file, path, file.hour)

    @precondition(lambda self: self.plain)
    @rule(which=WHICH, hours=st.sampled_from([-1, 1, 2]))
    def rename_to_another_hour(self, which: int, hours: int) -> None:
        file = pick(self.plain, which)
        hour = file.hour + hours * HOUR
        packing = any(file is each[0] for each in self.packing)  # what is left of it would be a copy in another hour
        if self.tree.path_of(hour) not in self.tree.files and not packing:
            self.tree.rename(file, self.tree.path_of(hour), hour)

    @precondition(lambda self: self.plain)
    @rule(which=WHICH)
    def back_up(self, which: int) -> None:
        file = pick(self.plain, which)
        self.backups.append((file.hour, file.content))

    @precondition(lambda self: self.backups)
    @rule(which=WHICH, atomic=st.booleans())
    def restore(self, which: int, atomic: bool) -> None:
        """A copy comes back: renamed into its place, or written over what stands there."""
        hour, content = self.backups[which % len(self.backups)]
        path = self.tree.path_of(hour)
        standing = self.tree.files.get(path)
        self.durable.rewritten.add(hour)
        if standing is not None and not atomic:
            self.rewrite(standing, content)
        else:
            self.tree.make(path, hour, content, atomic=atomic)

    @precondition(lambda self: self.plain)
    @rule(which=WHICH, extension=EXTENSIONS)
    def compress(self, which: int, extension: str) -> None:
        """Renamed into its place beside the plain file, which is then removed."""
        file = pick(self.plain, which)
        assert file.path is not None
        self.tree.make(file.path.with_name(file.path.name + extension), file.hour, file.content, extension, atomic=True)
        self.tree.unlink(file)

    @precondition(lambda self: self.plain)
    @rule(which=WHICH, extension=EXTENSIONS)
    def begin_to_compress(self, which: int, extension: str) -> None:
        """As gzip does it: the archive grows beside the plain file."""
        file = pick(self.plain, which)
        assert file.path is not None
        path = file.path.with_name(file.path.name + extension)
        if path not in self.tree.files and all(file is not each[0] for each in self.packing):
            archive = self.tree.make(path, file.hour, b"", extension)
            packed = PACK[extension](file.content)
            path.write_bytes(packed[: len(packed) // 2])
            self.tree.copied |= set(serials(file.whole))
            self.packing.append((file, archive, file.content, packed))

    @precondition(lambda self: self.packing)
    @rule()
    def end_compressing(self) -> None:
        file, archive, content, packed = self.packing.pop()
        if archive.path is None:
            return
        if file.path is not None and file.content != content:
            self.tree.unlink(archive)  # gzip says that the file changed, and whoever runs it tries again later
            return
        archive.path.write_bytes(packed)
        self.tree._stamp(archive.path)
        archive.content = content
        self.tree.placed(archive)
        if file.path is not None:
            self.tree.unlink(file)

    @precondition(lambda self: self.tree.archives())
    @rule(which=WHICH)
    def decompress(self, which: int) -> None:
        archive = pick(self.tree.archives(), which)
        path = archive.path
        if path is None or path.with_suffix("") in self.tree.files or any(archive is each[1] for each in self.packing):
            return
        self.tree.make(path.with_suffix(""), archive.hour, archive.content, atomic=True)
        self.tree.unlink(archive)

    # -- what the process does -----------------------------------------------------------------------------------

    @rule(full=st.booleans(), hinted=st.booleans(), seconds=st.sampled_from([0.005, 1.0, 61.0]))
    def poll(self, full: bool, hinted: bool, seconds: float) -> None:
        if self.process is not None:
            self.process.now += seconds
            self.look(full=full, hinted=hinted)

    @rule(which=WHICH)
    def hint(self, which: int) -> None:
        if self.process is not None and self.tree.files:
            self.process.hint(frozenset([str(pick(list(self.tree.files.values()), which).path)]))

    @rule(meanwhile=st.sampled_from(["nothing", "nothing", "write", "replace", "look", "save"]))
    def enter(self, meanwhile: str) -> None:
        if self.process is not None:
            self.meanwhile(meanwhile)
            self.process.enter()
            self.process.pending.clear()

    @rule(which=WHICH, limit=LIMITS, meanwhile=st.sampled_from(["nothing", "write", "replace", "look", "save", "ack"]))
    def read(self, which: int, limit: int, meanwhile: str) -> None:
        if self.process is not None and (readable := self.process.readable()):
            self.meanwhile(meanwhile)
            self.process.read(readable[which % len(readable)], limit)
            self.process.pending.clear()

    def meanwhile(self, what: str) -> None:
        """While a thread reads, or MongoDB is asked, files change, scans and saves go on, other spans settle."""
        process = self.process
        assert process is not None
        actions: dict[str, Callable[[], None]] = {
            "write": self.append_and_hint,
            "replace": self.replace_and_look,
            "look": lambda: self.look(full=True, hinted=False),
            "save": lambda: self.save_now(SEAL_AFTER * 30),
            "ack": lambda: process.flights_answered(0),
        }
        if what in actions:
            process.pending.append(actions[what])

    def append_and_hint(self) -> None:
        if self.plain and self.process is not None:
            file = pick(self.plain, 0)
            self.tree.append(file, self.tree.line(5) + b"\n")
            self.process.hint(frozenset([str(file.path)]))
            self.look(full=True, hinted=False)  # no later scan finds it changed again

    def replace_and_look(self) -> None:
        if self.plain:
            file = pick(self.plain, 0)
            assert file.path is not None
            self.durable.rewritten.add(file.hour)
            self.tree.make(file.path, file.hour, self.tree.line(5) + b"\n", atomic=True)
            self.look(full=True, hinted=False)

    @rule(which=WHICH)
    def acknowledge(self, which: int) -> None:
        """In any order."""
        if self.process is not None and (count := len(self.process.writer.flights)):
            self.process.acknowledge(which % count)

    @rule(which=WHICH, share=st.integers(0, 255))
    def write_some(self, which: int, share: int) -> None:
        """Documents of a span in flight are stored, and their acknowledgement is on its way, or lost."""
        if self.process is not None and (flights := self.process.writer.flights):
            self.process.writer.put_some(flights[which % len(flights)], share)

    @rule(passes=st.integers(1, 3), limit=LIMITS, ack=st.booleans())
    def catch_up(self, passes: int, limit: int, ack: bool) -> None:
        """What the process does when nobody disturbs it."""
        if self.process is None:
            return
        for _ in range(passes):
            self.process.now += 1.0
            self.look(full=True, hinted=False)
            while self.process.enter():
                pass
            for follower in self.process.readable()[:2]:
                if self.process.budget.admits(feeding.CHUNK):
                    self.process.read(follower, limit)
            while ack and self.process.writer.flights:
                self.process.acknowledge(0)

    @rule(seconds=st.sampled_from([0.25, SEAL_AFTER + 1, SEAL_AFTER * 30]))
    def save(self, seconds: float) -> None:
        if self.process is not None:
            self.save_now(seconds)

    @rule()
    def report(self) -> None:
        if self.process is not None:
            before = self.progress()
            self.process.report()
            for prefix, offset in self.progress().items():
                assert offset >= before.get(prefix, 0), "the ledger's progress moved back"
                assert offset <= self.durable.covered(prefix, 0), "the ledger passes an unsettled span"

    # -- how it ends and begins ------------------------------------------------------------------------------------

    @rule()
    def stop(self) -> None:
        """In good order: what is in flight settles, then it is saved and reported."""
        if self.process is not None:
            while self.process.writer.flights:
                self.process.acknowledge(0)
            self.save_now(0.0)
            self.report()
            self.end_run()

    @rule(share=st.integers(0, 255))
    def crash(self, share: int) -> None:
        """Any part of what is in flight was stored."""
        if self.process is not None:
            for flight in self.process.writer.flights:
                self.process.writer.put_some(flight, share)
            self.end_run()

    @precondition(lambda self: self.process is not None and self.plain)
    @rule(which=WHICH, what=st.sampled_from(["rewrite", "regrow", "cut", "compress", "append", "delete"]))
    def change_while_stopped(self, which: int, what: str) -> None:
        """What one step after the other seldom brings together: read and saved, stopped, changed, started."""
        self.burst(which, 5, 90, torn=False)
        self.catch_up(passes=2, limit=10_000, ack=True)
        self.stop()
        if what == "rewrite":
            self.rewrite_in_place(which, "head", 2, past=False)
        elif what == "regrow":
            self.rewrite_in_place(which, "head", 2, past=True)
        elif what == "cut":
            self.truncate(which, 0.5)
        elif what == "compress":
            self.compress(which, ".gz")
        elif what == "append":
            self.burst(which, 2, 5, torn=False)
        else:
            self.delete(which)
        self.start(lose_state=False, older=False)

    @precondition(lambda self: self.process is not None and self.plain)
    @rule(which=WHICH, turns=st.integers(0, 3))
    def away_and_back(self, which: int, turns: int) -> None:
        """While its spans are in flight: one life must not get two trackers."""
        self.catch_up(passes=1, limit=60, ack=False)
        self.move_away(which)
        for _ in range(turns):
            self.catch_up(passes=1, limit=10_000, ack=False)
        if self.tree.path_of(self.parked[-1][1].hour) not in self.tree.files:
            self.move_back(len(self.parked) - 1)
            self.catch_up(passes=2, limit=60, ack=False)

    @precondition(lambda self: self.process is not None and self.plain)
    @rule(which=WHICH)
    def copy_beside(self, which: int) -> None:
        """`9` and `09` with the same lines."""
        file = pick(self.plain, which)
        self.tree.tangled = True
        for form in ("{}", "{:02}"):
            path = self.tree.path_of(file.hour, form)
            if path not in self.tree.files:
                self.durable.rewritten.add(file.hour)
                self.tree.make(path, file.hour, file.content, atomic=True)
        self.catch_up(passes=3, limit=60, ack=False)

    @rule(lose_state=st.booleans(), older=st.booleans())
    def start(self, lose_state: bool, older: bool) -> None:
        if self.process is None:
            kept = self.folder / "kept"
            if lose_state:
                shutil.rmtree(self.folder / "state", ignore_errors=True)
                self.forget()
            elif older and kept.exists():  # a power cut takes back the last commits
                shutil.rmtree(self.folder / "state")
                kept.rename(self.folder / "state")
                self.forget()
            self.begin_run()

    @rule()
    def keep_state(self) -> None:
        if self.process is None and (self.folder / "state").exists():
            shutil.copytree(self.folder / "state", self.folder / "kept", dirs_exist_ok=True)


# The short form walks the same examples every time; a long one (TAILRACE_SOAK=<examples>) or one with a seed
# (TAILRACE_TEST_SEED) goes where nobody has been, and says its seed.
SOAK, SEED = os.environ.get("TAILRACE_SOAK"), os.environ.get("TAILRACE_TEST_SEED")
if SOAK or SEED:
    chosen = int(SEED or int.from_bytes(os.urandom(4)))
    print(f"TAILRACE_TEST_SEED={chosen}")
    TreeLife = seed(chosen)(TreeLife)  # type: ignore[misc]  # the same class, marked

TestTreeLife = TreeLife.TestCase
TestTreeLife.settings = settings(
    max_examples=int(SOAK or SHORT),
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=not (SOAK or SEED),
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
