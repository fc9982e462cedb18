"""A span in flight: how it is cut into parts, and what is said when the crate fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tailrace.ingest.files.reading import open_reader
from tailrace.ingest.files.tailer import Tailer, guard_digest
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.state.tracker import SettledPrefix
from tailrace.ingest.stats import SourceStats
from tailrace.ingest.storing import Storing, parts_of
from tailrace.ingest.workers import Budget, Limits
from tailrace.model import Chunk, Compression, Encoded, Life, Offset, Outcome, SourceFile, Span, Totals

LIFE = Life(
    source="s", family="node_trades", path="9", hour=0, number=0, salt=0, fingerprint=bytes(32), start=Offset(0)
)


@given(
    lines=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    torn=st.booleans(),
    begin=st.integers(0, 5),
    size=st.integers(1, 40),
)
def test_the_parts_tile_the_span_and_hold_whole_lines(lines: list[int], torn: bool, begin: int, size: int) -> None:
    """No byte is left out or in two parts, each part ends with a newline or the span, and none could end earlier."""
    data = b"\n".join(b"x" * length for length in lines) + (b"" if torn and lines[-1] else b"\n")
    chunk = Chunk(Span(LIFE, Offset(begin), Offset(begin + len(data))), data)
    parts = parts_of(chunk, size)
    assert b"".join(part.data for part in parts) == data
    at = begin
    for part in parts:
        assert (part.span.life, part.span.start, part.span.size) == (LIFE, at, len(part.data))
        at = part.span.end
    assert at == chunk.span.end
    for part in parts[:-1]:
        assert part.data.endswith(b"\n")
        assert b"\n" not in part.data[size:-1], "it could have been cut earlier"
        assert len(part.data) > size
    assert len(parts[-1].data) > 0


def test_a_span_of_one_part_is_not_copied() -> None:
    """The live path makes nothing new."""
    chunk = Chunk(Span(LIFE, Offset(0), Offset(4)), b"a\nb\n")
    assert parts_of(chunk, 4)[0] is chunk


class Failing:
    """A codec whose crate fails in every call."""

    def __init__(self) -> None:
        self.panics = 0

    def newlines(self, data: bytes) -> int:
        return data.count(b"\n")

    def encode(self, data: bytes, prefix: bytes, base: int) -> Encoded:
        self.panics += 1
        return Encoded([], [], data.count(b"\n"))


class Nowhere:
    """Settles whatever it is given."""

    async def write(self, chunk: Chunk, encoded: Encoded, *, compare_first: bool) -> Outcome:
        return Outcome(lines=encoded.lines)


async def test_a_native_codec_that_fails_is_an_error_in_the_log(tmp_path: Path) -> None:
    """Once a span, with the number of calls: nothing is lost, but somebody must hear of it."""
    (tmp_path / "9").write_bytes(b"a\nb\n")
    tailer = Tailer(open_reader(str(tmp_path / "9"), Compression.NONE))
    tailer.life = LIFE
    file = SourceFile(path="9", hour=0, compression=Compression.NONE, device=1, inode=2, size=4, mtime_ns=3)
    follower = Follower(
        file=file,
        life=LIFE,
        tailer=tailer,
        tracker=SettledPrefix(0),
        totals=Totals(),
        guard=guard_digest(b""),
        known_up_to=None,
    )
    nowhere: Any = Nowhere()

    async def here(work: Callable[[], Any]) -> Any:
        return work()

    budget, log = Budget(Limits(spans=1, size=1)), structlog.get_logger()
    storing = Storing(Failing(), nowhere, budget, SourceStats(), log, in_thread=here)
    with capture_logs() as logs:
        for now in (100.0, 160.0):
            storing._clock = lambda now=now: now  # type: ignore[misc]  # the default binds it
            piece = tailer.next_chunk(2, 100)
            assert piece is not None
            follower.begin(piece)
            await storing.settle(follower, piece, 1)
    assert [(entry["event"], entry["calls"]) for entry in logs] == [("native_codec_failed", 1)] * 2
