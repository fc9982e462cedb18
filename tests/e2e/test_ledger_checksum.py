"""What the ledger says of each life, its counts and its checksum, against MongoDB read with nothing but PyMongo."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from tests.support.ingested import Tree, line, trade, trades
from tests.support.load import Load, exact
from tests.support.servers import Server
from tests.support.sums import free_lease, recomputed, recorded
from tests.support.tailrace_process import Run, until
from tests.support.under_load import random_from_seed


@pytest.mark.timeout(120)
def test_killed_in_mid_load_the_ledger_has_the_sum_of_what_is_stored(
    tmp_path: Path, standalone: Server, database_name: str
) -> None:
    """kill -9 under load, twice, the second time with the state directory lost: what is read again counts once, and the
    ledger's count and checksum of every life are those of its documents."""
    rng = random_from_seed()
    flags = (
        *("--root", str(tmp_path / "data" / "node_trades"), "--mongodb-uri", standalone.uri),
        *("--database", database_name, "--state-dir", str(tmp_path / "state"), "--poll-interval", "100ms"),
    )
    with Load(tmp_path / "data", 6.0) as load:
        for kill in range(2):
            with Run(*flags) as run:
                run.wait_for("live")
                threading.Event().wait(rng.uniform(0.3, 1.0))  # the moment of the kill is what is random here
                run.kill()
            if kill == 1:
                shutil.rmtree(tmp_path / "state")
                free_lease(standalone.uri, database_name)
        with Run(*flags) as run:
            run.wait_for("live")
            written = load.written()
            until(lambda: exact(standalone.uri, database_name, written), what="every line stored once")
            stopped = run.stop()
    assert stopped["duplicates"] > 0, "something was read twice, or this proves nothing"
    found = recorded(standalone.uri, database_name)
    assert len(found) >= 2
    assert found == recomputed(standalone.uri, database_name)
    assert sum(count for count, _sum in found.values()) == written.good


def test_a_resumed_life_continues_its_sum(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """Over a stop, from the local state; and from the ledger when that is lost. Bad lines do not count."""
    tree = Tree(tmp_path, standalone.uri, database_name)
    for part in range(3):
        tree.write("20250310/9", trades(100 * part, 40) + b"{bad\n" + line(trade(100 * part + 50)))
        tree.ingest()
        if part == 1:
            shutil.rmtree(tmp_path / "state")
        found = recorded(standalone.uri, database_name)
        assert next(iter(found.values()))[0] == 41 * (part + 1)
        assert found == recomputed(standalone.uri, database_name)


def test_what_was_begun_without_a_checksum_stays_without(
    tmp_path: Path, standalone: Server, database_name: str
) -> None:
    """A life that an earlier version began to count has none, in the ledger and the local state, and none later; a life
    that is begun now has one; under content identity there is none."""
    tree = Tree(tmp_path, standalone.uri, database_name)
    tree.write("20250310/9", trades(0, 5))
    tree.ingest()
    with tree.database() as database:
        database["node_trades.files"].update_many({}, {"$unset": {"progress.checksum": 1}})
    shutil.rmtree(tmp_path / "state")
    tree.write("20250310/9", trades(5, 5))
    tree.write("20250310/10", trades(20, 5))
    tree.ingest()
    tree.write("20250310/9", trades(10, 5))
    tree.ingest()
    found, there = recorded(standalone.uri, database_name), recomputed(standalone.uri, database_name)
    old, new = sorted(found)
    assert found[old] == (15, None)
    assert found[new] == there[new]
    content = Tree(tmp_path / "content", standalone.uri, f"{database_name}_c", identity="content")
    content.write("20250310/9", trades(0, 5))
    content.ingest()
    assert list(recorded(standalone.uri, f"{database_name}_c").values()) == [(5, None)]
