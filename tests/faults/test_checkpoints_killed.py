"""kill -9 in the middle of saving checkpoints: everything committed survives, whole transactions only."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tailrace.ingest.state.checkpoints import CheckpointStore

_ROWS = 60  # about 20 KB of log per save, so that folding the log into the database (every 4 MB) is hit as well

_SAVER = f"""
import pathlib, sys
from tailrace.ingest.state.checkpoints import Checkpoint, CheckpointStore

with CheckpointStore.open(pathlib.Path(sys.argv[1])) as store:
    store.bind("s", "d.c", b"u" * 16, "/r")
    rows = store.load("s", "d.c")
    offset = rows[0].offset if rows else 0
    while True:
        offset += 1
        print("settled", offset, flush=True)
        store.save("s", "d.c", [
            Checkpoint(prefix=b"%07d" % i, fingerprint=b"f" * 32, source="s", path=f"/r/{{i}}", hour=i, number=0,
                       salt=0, start=0, offset=offset, guard=b"g" * 16, device=1, inode=i, size=offset, mtime_ns=0,
                       finished=False, compression="", lines=offset, inserted=offset, duplicates=0, rejected=0,
                       checksum=None)
            for i in range({_ROWS})
        ])
        print("saved", offset, flush=True)
"""


@pytest.mark.timeout(60)
def test_what_was_committed_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    """Over kills at random moments: never behind the last commit that returned, never ahead of what had settled,
    all rows of one save or none, and the lock is free at once."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    reached = kill = 0
    while kill < 8 or reached <= 200:  # enough saves for the log to have been folded in, on a busy machine too
        kill += 1
        command = [sys.executable, "-c", _SAVER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as saver:
            assert saver.stdout is not None
            first = saver.stdout.readline().split()
            assert first == ["settled", str(reached + 1)], f"went on where it was (seed {seed})"
            time.sleep(chance.uniform(0, 0.4))  # the moment of the kill is what is random here
            saver.kill()
            words = [first, *(line.split() for line in saver.stdout if line.endswith("\n"))]
        settled = max(int(offset) for word, offset in words if word == "settled")
        saved = max((int(offset) for word, offset in words if word == "saved"), default=reached)

        with CheckpointStore.open(tmp_path) as store:
            offsets = {int(row.offset) for row in store.load("s", "d.c")} or {0}
        assert len(offsets) == 1, f"kill {kill} tore a save apart: {offsets} (seed {seed})"
        (reached,) = offsets
        assert saved <= reached <= settled, f"kill {kill}: {saved} <= {reached} <= {settled} (seed {seed})"
