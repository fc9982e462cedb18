"""`run --once` told to stop while it stores rests: the lines without a newline that are whole entries."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

from tests.support.hour_tree import HourTree
from tests.support.ingested import trades
from tests.support.servers import Server
from tests.support.tailrace_process import until

FILES = 240


def test_a_stop_while_rests_are_stored(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """It ends at once and well; what was stored stays, the others are stored by the next run, none of them twice,
    also when the newlines come."""
    with HourTree(tmp_path, standalone, database_name) as tree:
        for number in range(FILES):
            tree.append(f"{20250301 + number // 24}/{number % 24}", trades(number, 1)[:-1])
        delay = {"blockConnection": True, "blockTimeMS": 30}
        with tree.run("--once") as run:
            run.wait_for("caught_up")
            with standalone.failing("insert", **delay):
                until(lambda: tree.trades.count_documents({}) >= 3, what="rests are being stored")
                run.process.send_signal(signal.SIGTERM)
                assert run.ended(timeout=10) == 0
        assert 3 <= tree.trades.count_documents({}) < FILES, "it was stopped in the middle"
        tree.once()
        everything = Counter(range(FILES))
        assert sum(tree.by_hour().values(), Counter()) == everything
        for number in range(FILES):
            tree.append(f"{20250301 + number // 24}/{number % 24}", b"\n")
        tree.once()
        assert sum(tree.by_hour().values(), Counter()) == everything
