"""Odd bytes in hour files, each in an hour of its own: one run reads the first half of each, a second one the rest.

Line ends, byte order marks, NULs as a power cut leaves them, characters over every boundary that is read at, files
without a newline, without a byte, with nothing but newlines. Counted with plain pymongo against the bytes that were
written.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from tests.support.hour_tree import DAY, HourTree, numbers
from tests.support.ingested import trade, trades
from tests.support.servers import Server
from tests.support.tailrace_process import until

BLANK = 1_000_000 if os.environ.get("TAILRACE_SOAK") else 5_000
BLOCK = 4096  # what a file system fills with zeros after a power cut
BOUNDARIES = (64 << 10, 1 << 20, 2 << 20)  # small reads, a span, the first doubling for a line that is longer
CLEF = "\U0001d11e"  # four bytes


@dataclass(frozen=True, slots=True)
class Odd:
    """`before`, `after`: what is written before the first and the second run. `stored`, `aside`: what is expected of
    all of it: trade numbers, and reasons of what is kept aside."""

    name: str
    before: bytes
    after: bytes
    stored: Counter[int]
    aside: dict[str, int] = field(default_factory=dict)
    archive: bool = False


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def _over_boundaries(base: int) -> list[bytes]:
    """Lines whose four-byte characters lie over each boundary in each of the four ways, counted from their start."""
    return [
        line_of(base + 10 * at + shift, "." * shift + CLEF * (boundary // 4 + 1000))
        for at, boundary in enumerate(BOUNDARIES)
        for shift in range(4)
    ]


def line_of(number: int, note: str) -> bytes:
    """As a node writes it: characters, not escapes."""
    return json.dumps(trade(number, note=note), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def crlf(data: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


WIDE = _over_boundaries(800)
WIDE_NUMBERS = Counter(800 + 10 * at + shift for at in range(len(BOUNDARIES)) for shift in range(4))
ODD = (
    Odd("CRLF line ends", crlf(trades(0, 5)), crlf(trades(5, 5)), numbers(0, 10)),
    Odd("CRLF torn between CR and LF", crlf(trades(100, 2))[:-1], b"\n" + crlf(trades(102, 2)), numbers(100, 4)),
    Odd("a byte order mark", b"\xef\xbb\xbf" + trades(200, 3), trades(203, 2), numbers(201, 4), {"json": 1}),
    Odd(
        "NULs up to the block's end",
        _padded(trades(300, 5)),
        trades(305, 5),
        numbers(300, 5) + numbers(306, 4),
        {"json": 1},
    ),
    Odd("a block of NULs alone", bytes(BLOCK), b"\n" + trades(400, 2), numbers(400, 2), {"json": 1}),
    Odd("no newline at all", trades(500, 1)[:-1], b"\n" + trades(501, 1), numbers(500, 2)),
    Odd("half a line and nothing else", trades(600, 1)[:99], trades(600, 1)[99:], numbers(600, 1)),
    Odd("an empty file", b"", b"", Counter()),
    Odd("an empty file that gets lines", b"", trades(700, 2), numbers(700, 2)),
    Odd("characters over every boundary", b"".join(WIDE[:6]), b"".join(WIDE[6:]), WIDE_NUMBERS),
    Odd("the same, compressed", b"".join(WIDE), b"", WIDE_NUMBERS, archive=True),
    Odd(
        "a character torn at the end",
        trades(900, 1) + WIDE[0][:-60_001],
        WIDE[0][-60_001:],
        numbers(900, 1) + numbers(800, 1),
    ),
    Odd("blank lines alone", b"\n" * BLANK, trades(950, 1), numbers(950, 1), {"empty": BLANK}),
    Odd("blank lines between", b"\n" + trades(960, 1) + b"\n\n", trades(961, 1), numbers(960, 2), {"empty": 3}),
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, standalone: Server) -> Iterator[HourTree]:
    """After both runs, and after a third that found nothing to do."""
    database = f"test_{os.getpid()}_odd"
    with HourTree(tmp_path_factory.mktemp("odd"), standalone, database, "--max-in-flight-bytes", "256KiB") as it:
        for hour, odd in enumerate(ODD):
            if odd.archive:
                it.path(f"{DAY}/{hour}.gz").write_bytes(gzip.compress(odd.before, 1))
            else:
                it.append(f"{DAY}/{hour}", odd.before)
        for half in ("before", "after"):
            with it.run() as run:
                run.wait_for("live", timeout=300)
                if half == "after":
                    until(lambda: it.trades.count_documents({}) >= sum(odd.stored.total() for odd in ODD), timeout=30)
                run.stop()
            for hour, odd in enumerate(ODD):
                if half == "before" and odd.after:
                    it.append(f"{DAY}/{hour}", odd.after)
        it.once()
        yield it


@pytest.mark.timeout(600 if os.environ.get("TAILRACE_SOAK") else 120)
@pytest.mark.parametrize("hour", range(len(ODD)), ids=[odd.name for odd in ODD])
def test_every_line_is_stored_or_kept_aside(tree: HourTree, hour: int) -> None:
    """Every line that is an entry is stored once, every other is kept aside once with its reason, across a restart."""
    odd = ODD[hour]
    assert tree.stored(hour) == odd.stored
    assert tree.kept_aside(hour) == odd.aside


def test_no_character_was_harmed(tree: HourTree) -> None:
    """What was written over a boundary is what is stored."""
    wanted = {
        800 + 10 * at + shift: "." * shift + CLEF * (boundary // 4 + 1000)
        for at, boundary in enumerate(BOUNDARIES)
        for shift in range(4)
    }
    found = [(int(each["hash"], 16), each["note"]) for each in tree.trades.find({"note": {"$exists": True}})]
    assert len(found) == 2 * len(wanted) + 1
    assert all(wanted[number] == note for number, note in found)


def test_verify_proves_all_of_it(tree: HourTree) -> None:
    """Every file is proven, with as many lines kept aside as were made."""
    code, files = tree.verified()
    assert code == 0
    assert {file["state"] for file in files.values()} == {"ok"}
    assert sum(file["kept_aside"] for file in files.values()) == sum(sum(odd.aside.values()) for odd in ODD)
