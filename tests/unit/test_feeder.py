"""How a span is cut into the parts that are encoded and stored one after the other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailrace.ingest.feeder import parts_of
from tailrace.model import Chunk, Life, Offset, Span

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
