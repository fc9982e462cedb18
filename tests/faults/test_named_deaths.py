"""kill -9 at every place where it could matter: the process kills itself exactly there, and a normal run goes on.

Each row of the tables is a place in the code (`tests/support/dying.py`). That it was reached is proven by the exit
code; that nothing was lost or doubled by a count without tailrace's code, by `verify`, and by invariant 5.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.counting import Tally, count, hours_of_tree
from tests.support.ingested import Tree, line, trade, trades
from tests.support.servers import Server
from tests.support.tailrace_process import environment, until

ROOT = Path(__file__).parents[2]
INGEST = "tailrace.ingest"
SMALL_SPANS = {"max_in_flight_bytes": "1MiB", "max_workers": "16"}  # 64 KiB each: dozens of them in a small tree


@dataclass(frozen=True, slots=True)
class Place:
    """`nth`: of the visits. `what`: what has happened and what has not, when it dies there. `given`: a constant that is
    made small, so that a small tree has a middle."""

    what: str
    at: str
    when: str
    nth: int = 1
    given: str = ""

    def __str__(self) -> str:
        return self.what.replace(" ", "_")

    @property
    def options(self) -> list[str]:
        return ["--at", self.at, "--when", self.when, "--nth", str(self.nth), "--set", self.given]


def starts(place: Place, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.dying", *place.options, *arguments],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def closing_by_force(process: subprocess.Popen[str]) -> Iterator[None]:
    """Also a test that fails leaves nothing behind that would be waited for."""
    try:
        yield
    finally:
        process.kill()


def dies(place: Place, *arguments: str) -> None:
    """Run until it has killed itself at `place`."""
    with starts(place, *arguments) as process, closing_by_force(process):
        _out, log = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL, f"{place.at} was not reached (exit {process.returncode}):\n{log}"


def dies_when_stopped(place: Place, tree: Tree) -> None:
    """SIGTERM while it catches up, as soon as something is stored; it dies at `place`, in the drain."""
    with starts(place, "run", *tree.options) as process, closing_by_force(process):
        with tree.documents() as documents:
            until(lambda: documents.find_one() is not None or process.poll() is not None, what="a stored document")
        process.send_signal(signal.SIGTERM)
        _out, log = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL, f"{place.at} was not reached (exit {process.returncode}):\n{log}"
    assert '"stopping"' in log


def counted(tree: Tree) -> Tally:
    return count(tree.flags["mongodb_uri"], tree.flags["database"], hours_of_tree(tree.root))


def must_be_exact(tree: Tree) -> Tally:
    """After a normal run: nothing lost, nothing doubled, by both counts."""
    tally = counted(tree)
    assert tally.exact, str(tally)
    assert tally.entries == tally.stored + tally.kept > 0
    report = tree.verify()
    assert report.proven, report
    return tally


@pytest.fixture
def tree(tmp_path: Path, standalone: Server, database_name: str) -> Tree:
    return Tree(tmp_path, standalone.uri, database_name, **SMALL_SPANS)


def fill(tree: Tree, entries: int = 1500) -> None:
    """Two hours, a bad line in every two hundred."""
    for number, hour in enumerate(("20250310/9", "20250310/10")):
        for first in range(0, entries, 200):
            tree.write(hour, trades(number * entries + first, 200) + b"not json %d\n" % first)


# -- while it ingests --------------------------------------------------------------------------------------------------

INGESTING = [
    Place("a life is entered and has no document", f"{INGEST}.mongo.ledger:Ledger.enter", "after"),
    Place("documents are acknowledged and not noted", f"{INGEST}.mongo.settling:Settlement._acknowledged", "before", 3),
    Place("documents are there and their rejects are not", f"{INGEST}.mongo.rejects:RejectStore._put", "before", 2),
    Place("a span is durable and not settled", f"{INGEST}.mongo.writer:Writer.write", "after", 3),
    Place("a span is settled and not saved", f"{INGEST}.lives.follower:Follower.settle", "after", 3),
    Place("a checkpoint is about to be saved", "sqlite:BEGIN", "before", 2),
    Place("a checkpoint is in its transaction", "sqlite:COMMIT", "before", 2),
    Place("a checkpoint is saved and save has not returned", "sqlite:COMMIT", "after", 2),
    Place("the last checkpoints are saved, the ledger knows nothing", f"{INGEST}.mongo.ledger:Ledger.record", "before"),
    Place("progress is in the ledger, the lease is held", f"{INGEST}.mongo.ledger:Ledger.record", "after"),
    Place("the lease is released, the process has not ended", f"{INGEST}.mongo.lease:Lease.release", "after"),
]


@pytest.mark.parametrize("place", INGESTING, ids=str)
def test_death_while_ingesting(tree: Tree, place: Place) -> None:
    """Killed in the middle of the work, and more is written before the next start: every line is stored once."""
    fill(tree)
    dies(place, "run", "--once", *tree.options)
    tree.write("20250310/10", trades(50_000, 300))
    tree.ingest()
    assert must_be_exact(tree).entries == 3516


REPLAYING = [
    Place("a replay is compared and not made durable", f"{INGEST}.mongo.ledger:Ledger.fence", "before"),
    Place("a replay is made durable and not settled", f"{INGEST}.mongo.ledger:Ledger.fence", "after"),
]


@pytest.mark.parametrize("place", REPLAYING, ids=str)
def test_death_while_replaying(tree: Tree, place: Place) -> None:
    """Killed, and killed again while what was stored before the first death is compared: every line is stored once."""
    fill(tree)
    dies(INGESTING[4], "run", "--once", *tree.options)
    shutil.rmtree(tree.flags["state_dir"])
    with tree.database() as database:  # another state directory waits for the lease of the dead one: not today
        database["node_trades.files"].update_one({"_id": "source/node_trades"}, {"$unset": {"lease": ""}})
    dies(place, "run", "--once", *tree.options)
    tree.ingest()
    must_be_exact(tree)


SEALING = [
    Place("a file is about to be sealed", f"{INGEST}.lives.leaving:Leaving.seal", "before"),
    Place("a file is sealed and not saved as finished", f"{INGEST}.lives.leaving:Leaving.seal", "after"),
]


@pytest.mark.parametrize("place", SEALING, ids=str)
def test_death_while_sealing(tree: Tree, place: Place) -> None:
    """Killed around a seal; the file grows before the next start: the late line is stored, no line twice."""
    fill(tree, entries=200)
    dies(place, "run", "--seal-after", "1s", "--poll-interval", "50ms", *tree.options)
    tree.write("20250310/9", trades(50_000, 1))
    tree.ingest()
    assert must_be_exact(tree).entries == 403


# -- while it starts ---------------------------------------------------------------------------------------------------

STARTING = [
    Place("the local state is made", f"{INGEST}.state.checkpoints:_prepare", "after"),
    Place("the first collection is made", f"{INGEST}.mongo.server:create", "after"),
    Place("the collection is about to be made", f"{INGEST}.mongo.made:create", "before"),
    Place("the collection is made, without its index", f"{INGEST}.mongo.made:create", "after"),
    Place("an index is about to be built", "pymongo.asynchronous.collection:AsyncCollection.create_index", "before"),
    Place("an index is built", "pymongo.asynchronous.collection:AsyncCollection.create_index", "after"),
    Place("the local state is being bound", "sqlite:COMMIT", "before"),
    Place("the local state is bound", "sqlite:COMMIT", "after"),
    Place("the lease is claimed", f"{INGEST}.mongo.ledger:Ledger.claim", "after"),
    Place("the settings are recorded", f"{INGEST}.mongo.ledger:Ledger.settings_agree", "after"),
    Place("the first start is recorded", f"{INGEST}.mongo.ledger:Ledger.first_start", "after"),
    Place("the first scan is done", f"{INGEST}.mongo.ledger:Ledger.started", "before"),
    Place("the source is recorded as started", f"{INGEST}.mongo.ledger:Ledger.started", "after"),
]


@pytest.mark.parametrize("place", STARTING, ids=str)
def test_death_while_starting(tree: Tree, place: Place) -> None:
    """Killed in its very first start: the next one stores every line once, and the collection has its index."""
    fill(tree, entries=200)
    dies(place, "run", "--once", *tree.options)
    assert counted(tree).stored == 0
    tree.ingest()
    assert must_be_exact(tree).entries == 402
    with tree.documents() as documents:
        assert [list(index["key"]) for index in documents.list_indexes()] == [["_id"], ["coin", "time"]]


SKIPPING = [
    Place("nothing is entered as skipped", f"{INGEST}.mongo.ledger:Ledger.first_start", "after"),
    Place(
        "half of the files are entered as skipped",
        f"{INGEST}.mongo.ledger:Ledger._bulk",
        "after",
        given=f"{INGEST}.mongo.ledger:_BULK=12",
    ),
    Place("all files are entered as skipped", f"{INGEST}.mongo.ledger:Ledger.started", "before"),
]


@pytest.mark.parametrize("place", SKIPPING, ids=str)
def test_death_while_skipping(tree: Tree, place: Place) -> None:
    """`start_at = "end"`, killed half-way through its first start: the next one skips what lay there, and stores every
    line that is written after it once."""
    names = [f"20250309/{hour}" for hour in range(24)]
    for number, name in enumerate(names):
        tree.write(name, trades(number, 1))
    dies(place, "run", "--once", "--start-at", "end", *tree.options)
    tree.ingest(start_at="end")
    written = {name: trades(100 * number, 2) for number, name in enumerate((*names[::5], "20250310/9"), start=1)}
    for name, data in written.items():
        tree.write(name, data)
    tree.ingest(start_at="end")
    hours = {f"{path.parent.name}/{path.name}": hour for hour, path in hours_of_tree(tree.root).items()}
    lines = {hours[name]: data.splitlines(keepends=True) for name, data in written.items()}
    tally = count(tree.flags["mongodb_uri"], tree.flags["database"], lines)
    assert (tally.exact, tally.stored) == (True, 12), str(tally)
    assert tree.verify().proven


# -- while it stops ----------------------------------------------------------------------------------------------------

STOPPING = [
    Place("told to stop, spans are in flight", f"{INGEST}.feeder:Feeder.drain", "before"),
    Place("what was in flight has settled", f"{INGEST}.feeder:Feeder.drain", "after"),
    Place("checkpoints are saved, the ledger is about to know", f"{INGEST}.mongo.ledger:Ledger.record", "before"),
]


@pytest.mark.parametrize("place", STOPPING, ids=str)
def test_death_while_stopping(tree: Tree, place: Place) -> None:
    """Told to stop under load, and killed in the drain: every line is stored once."""
    fill(tree, entries=6000)
    dies_when_stopped(place, tree)
    tree.ingest()
    assert must_be_exact(tree).entries == 12_060


# -- rejects -----------------------------------------------------------------------------------------------------------

RETURNING = [
    Place("replayed and still kept aside", f"{INGEST}.mongo.reject_queries:RejectReader.delete", "before"),
    Place("replayed and deleted", f"{INGEST}.mongo.reject_queries:RejectReader.delete", "after"),
]


@pytest.mark.parametrize("place", RETURNING, ids=str)
def test_death_while_rejects_are_replayed(tree: Tree, place: Place) -> None:
    """Killed between storing rejects and deleting them: never lost; the next replay stores none twice, and ends it."""
    with tree.database() as database:
        database.create_collection(tree.collection, validator={"$nor": [{"coin": "ODD"}]})
    tree.write("20250310/9", b"".join(line(trade(n, coin="ODD" if n % 3 else "ENA")) for n in range(600)) + b"{\n")
    tree.ingest()
    assert counted(tree).kept == 401
    with tree.database() as database:
        database.command({"collMod": tree.collection, "validator": {}})
    flags = ["--mongodb-uri", tree.flags["mongodb_uri"], "--database", tree.flags["database"]]
    arguments = ["rejects", "replay", "--collection", tree.collection, *flags]
    dies(place, *arguments)
    assert counted(tree).lost == 0
    done = subprocess.run([sys.executable, "-m", "tailrace", *arguments], env=environment(), check=False, timeout=30)
    assert done.returncode == 0
    assert must_be_exact(tree).kept == 1


LONG = [
    Place("no part of a long line is kept", f"{INGEST}.mongo.rejects:RejectStore._put", "before"),
    Place("a part of a long line is kept, others are not", f"{INGEST}.mongo.rejects:RejectStore._put", "before", 2),
    Place(
        "the parts of a long line are kept, its head is not", f"{INGEST}.mongo.rejects:RejectStore._put", "before", 3
    ),
    Place("a long line is kept and not settled", f"{INGEST}.mongo.rejects:RejectStore.keep_long_line", "after"),
]


@pytest.mark.parametrize("place", LONG, ids=str)
def test_death_while_a_long_line_is_kept(tree: Tree, place: Place) -> None:
    """Killed between the parts of a line over `max_line_bytes`: it is kept once, whole, and those around it stored."""
    rng = random.Random(7)
    long = b'{"coin":"' + rng.randbytes(10 << 20).hex().encode() + b'"}\n'
    tree.write("20250310/9", trades(0, 20) + long + trades(20, 20))
    tree.flags["max_line_bytes"] = "1MiB"
    dies(place, "run", "--once", *tree.options)
    tree.ingest()
    tally = must_be_exact(tree)
    assert (tally.stored, tally.kept, dict(tally.reasons)) == (40, 1, {"too_long": 1})
    with tree.rejects() as rejects:
        until(lambda: rejects.count_documents({}) == 3, what="one head and its two parts")
