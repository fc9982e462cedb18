"""A state file of an earlier version: kept, with what it knows."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from tailrace.errors import StateCorrupt
from tailrace.ingest.state.checkpoints import DATABASE, STATE_VERSION, CheckpointStore
from tailrace.ingest.state.rows import FIELDS, Checkpoint
from tailrace.model import Offset

SOURCE, NAMESPACE, ROOT, UUID = "node_trades", "hyperliquid.node_trades", "/data/node_trades", b"\x01" * 16

VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE binding (
    source TEXT, namespace TEXT, collection_uuid BLOB NOT NULL, root TEXT NOT NULL, PRIMARY KEY (source, namespace)
) WITHOUT ROWID;
CREATE TABLE checkpoint (namespace, prefix, fingerprint, source, path, hour, number, salt, start, offset, guard, device,
    inode, size, mtime_ns, finished, compression, lines, inserted, duplicates, rejected, digest,
    PRIMARY KEY (source, namespace, prefix)) WITHOUT ROWID;
INSERT INTO meta VALUES ('instance', '0123456789abcdef0123456789abcdef'), ('written_by', '0.1.0');
INSERT INTO binding VALUES ('node_trades', 'hyperliquid.node_trades', x'01010101010101010101010101010101',
    '/data/node_trades');
INSERT INTO checkpoint VALUES ('hyperliquid.node_trades', x'67ceb9e0616263',
    x'6162630000000000000000000000000000000000000000000000000000000000', 'node_trades', '/data/größe/10', 1741600800,
    0, 0, 7, 100, x'000102030405060708090a0b0c0d0e0f', 2049, -1, 105, 1741600800123456789, 0, '', 3, 2, 1, 0,
    x'DIGEST_0');
INSERT INTO checkpoint VALUES ('hyperliquid.node_trades', x'67cec7f0616263',
    x'6162630000000000000000000000000000000000000000000000000000000000', 'node_trades', '/data/11.gz', 1741604400,
    1, 2, 0, 900, x'000102030405060708090a0b0c0d0e0f', 2049, 2, 905, 1741600800123456789, 1, 'gz', 9, 9, 0, 0,
    x'DIGEST_1');
PRAGMA application_id = 1952541036;
PRAGMA user_version = 1;
"""
"""As version 1 wrote it (its tables, two rows), with the digests that version 1 made."""

DIGESTS = ("e2c7229e19322c46", "5accb54ffb5a122a")

FIRST = Checkpoint(
    prefix=bytes.fromhex("67ceb9e0616263"),
    fingerprint=b"abc" + bytes(29),
    source=SOURCE,
    path="/data/größe/10",
    hour=1_741_600_800,
    number=0,
    salt=0,
    start=Offset(7),
    offset=Offset(100),
    guard=bytes(range(16)),
    device=2049,
    inode=2**64 - 1,
    size=105,
    mtime_ns=1_741_600_800_123_456_789,
    finished=False,
    compression="",
    lines=3,
    inserted=2,
    duplicates=1,
    rejected=0,
    checksum=None,
)
SECOND = replace(
    FIRST,
    prefix=bytes.fromhex("67cec7f0616263"),
    path="/data/11.gz",
    hour=1_741_604_400,
    number=1,
    salt=2,
    start=Offset(0),
    offset=Offset(900),
    inode=2,
    size=905,
    finished=True,
    compression="gz",
    lines=9,
    inserted=9,
    duplicates=0,
)


def version_1(state: Path) -> Path:
    state.mkdir()
    path = state / DATABASE
    script = VERSION_1
    for number, digest in enumerate(DIGESTS):
        script = script.replace(f"DIGEST_{number}", digest)
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript(script)
    database.close()
    return path


def test_a_file_of_version_1_keeps_its_rows_and_its_instance(tmp_path: Path) -> None:
    """Every field of every row, the instance that the ledger's lease knows, the binding; the checksum is unknown. The
    second opening finds the present version, and what is saved then has a checksum."""
    path = version_1(tmp_path / "state")
    for _ in range(2):
        with CheckpointStore.open(path.parent) as store:
            assert store.instance == "0123456789abcdef0123456789abcdef"
            store.bind(SOURCE, NAMESPACE, UUID, ROOT)
            assert store.load(SOURCE, NAMESPACE) == [FIRST, SECOND]
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA user_version").fetchone() == (STATE_VERSION,)
    columns = [row[1] for row in database.execute("PRAGMA table_info(checkpoint)")]
    assert columns == ["namespace", *FIELDS, "digest"]
    database.close()
    with CheckpointStore.open(path.parent) as store:
        store.bind(SOURCE, NAMESPACE, UUID, ROOT)
        store.save(SOURCE, NAMESPACE, [replace(SECOND, checksum=2**63 - 1)])
        assert [row.checksum for row in store.load(SOURCE, NAMESPACE)] == [None, 2**63 - 1]


def test_a_damaged_row_of_version_1_is_not_carried_over(tmp_path: Path) -> None:
    """A digest written anew would make damage look like an offset: refused, and the file is left as it was."""
    path = version_1(tmp_path / "state")
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("UPDATE checkpoint SET offset = offset + 1 WHERE hour = 1741604400")
    database.close()
    for _ in range(2):
        with pytest.raises(StateCorrupt, match=r"11\.gz.* differs from what was written.*delete it and start again"):
            CheckpointStore.open(path.parent)
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA user_version").fetchone() == (1,)
    assert database.execute("SELECT count(*) FROM checkpoint").fetchone() == (2,)
    database.close()
