"""Lines that are large: a 100 MB line, and a 10 MB line of 11,000 events; memory stays bounded, every entry is
stored."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import zstandard
from tests.support.hour_tree import DAY, HourTree, numbers
from tests.support.ingested import block, line, trade, trades
from tests.support.servers import Server
from tests.support.tailrace_process import Run, until

MIB = 1 << 20
LONG = 100 * 1000 * 1000
EVENTS = 11_000


def peak(run: Run) -> int:
    """Most memory that the process ever had, in bytes."""
    status = Path(f"/proc/{run.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return 1024 * int(found[1])


@pytest.mark.parametrize("limit", [1, 16])
def test_a_line_of_100_mb(tmp_path: Path, standalone: Server, database_name: str, limit: int) -> None:
    """It is kept aside whole, in parts; the lines before and after it are stored; and it is never held in memory:
    what one may hold is three times `max_line_bytes` (while it may still be a line within the limit),
    `max_in_flight_bytes` of spans (with their documents some four times that), and a part of 8 MiB with its
    compressed copy. Torn half-way over a restart it is still one line."""
    flags = ("--max-line-bytes", f"{limit}MiB", "--max-in-flight-bytes", "2MiB")
    with HourTree(tmp_path, standalone, database_name, *flags) as tree:
        path = tree.append(f"{DAY}/9", trades(0, 5))
        with tree.run() as run:
            run.wait_for("live")
            until(lambda: tree.stored(9) == numbers(0, 5))
            at_rest = peak(run)
            with path.open("ab") as out:
                for _ in range(LONG // MIB // 2):
                    out.write(b"x" * MIB)
            run.stop()
        with tree.run() as run:
            run.wait_for("live")
            with path.open("ab") as out:
                for _ in range(LONG // MIB - LONG // MIB // 2):
                    out.write(b"x" * MIB)
                out.write(b"\n" + trades(5, 5))
            until(lambda: tree.stored(9) == numbers(0, 10))
            bound = 3 * limit * MIB + 4 * 2 * MIB + 3 * 8 * MIB
            grown = peak(run) - at_rest
            print(f"limit {limit} MiB: grew by {grown / MIB:.1f} MiB, bound {bound / MIB:.0f} MiB")
            assert run.stop()["rejected"] == 1
        assert tree.kept_aside(9) == {"too_long": 1}
        parts = tree.rejects.find({}).sort("_id", 1)
        sizes = [len(zstandard.ZstdDecompressor().decompressobj().decompress(part["bytes"])) for part in parts]
        assert sum(sizes) == LONG // MIB * MIB
    assert grown < bound, f"grew by {grown / MIB:.1f} MiB, bound {bound / MIB} MiB"


def test_a_wrapped_line_of_11_000_events(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """One block of 10 MB: every event of it is one document, those of the blocks around it as well; and `verify` proves
    it."""
    events = [trade(number, note="n" * 480) for number in range(EVENTS)]
    large = line(block(2, events))
    assert len(large) > 10_000_000
    with HourTree(tmp_path, standalone, database_name, stream="node_trades_by_block") as tree:
        with tree.run() as run:
            tree.append(f"{DAY}/9", line(block(1, [trade(EVENTS)])) + large[: len(large) // 2])
            until(lambda: tree.stored(9) == numbers(EVENTS, 1))
            tree.append(f"{DAY}/9", large[len(large) // 2 :] + line(block(3, [trade(EVENTS + 1)])))
            until(lambda: tree.trades.count_documents({}) == EVENTS + 2)
            run.stop()
        tree.once()
        assert tree.by_hour() == {9: numbers(0, EVENTS + 2)}
        code, files = tree.verified()
        assert (code, files[f"{DAY}/9"]["entries"]) == (0, EVENTS + 2)
