"""Ranges of `_id`, raw batches, and where a document lies in its chunk. Without a server."""

from __future__ import annotations

from itertools import pairwise

import bson
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.identity import content_id, position_id
from tailrace.ingest.mongo.proof import CONTENT_GAP, Proof, _classify, ranges_of, split
from tailrace.ingest.mongo.writer import line_at, locate
from tailrace.model import Chunk, Encoded, Life, Offset, Span

seconds = st.lists(st.integers(0, 2**32 - 1) | st.integers(1_700_000_000, 1_700_000_500), max_size=60)


@settings(deadline=None, max_examples=200)
@given(seconds)
def test_ranges_cover_all_ids_and_no_long_silence(times: list[int]) -> None:
    """Ascending, disjoint, each begins and ends at an id, and none spans a gap of more than the limit."""
    ids = sorted({content_id(time, [str(number)]) for number, time in enumerate(times)})
    ranges = ranges_of(ids)
    assert [key for begin, end in ranges for key in ids if begin <= key <= end] == ids
    for begin, end in ranges:
        inside = [int.from_bytes(key[:4], "big") for key in ids if begin <= key <= end]
        assert all(later - earlier <= CONTENT_GAP for earlier, later in pairwise(inside))
    for (_, end), (begin, _) in pairwise(ranges):
        assert int.from_bytes(begin[:4], "big") - int.from_bytes(end[:4], "big") > CONTENT_GAP


def test_one_range_for_position_ids() -> None:
    ids = [position_id(b"prefix!", place) for place in (0, 5, 1 << 39)]
    assert ranges_of(ids) == [(ids[0], ids[-1])]
    assert ranges_of([]) == []


def test_a_raw_batch_is_its_documents() -> None:
    documents = [bson.encode({"n": number, "t": "x" * number}) for number in range(20)]
    assert list(split(b"".join(documents))) == documents
    assert list(split(b"")) == []


def test_a_document_of_somebody_else_is_passed_over() -> None:
    """Between two ids of ours lie those of other writers (content identity): they say nothing about ours."""
    ours = bson.encode({"_id": bson.ObjectId(content_id(5, ["ours"])), "n": 1})
    other = bson.encode({"_id": bson.ObjectId(content_id(5, ["other"])), "n": 2})
    proof = Proof(absent={ours[9:21]: ours})
    _classify(proof, other, frozenset())
    assert (proof.equal, proof.different, list(proof.absent)) == (set(), {}, [ours[9:21]])
    _classify(proof, ours, frozenset())
    assert (proof.equal, proof.different, proof.absent) == ({ours[9:21]}, {}, {})


LIFE = Life(source="s", family="f", path="p", hour=3600, number=0, salt=0, fingerprint=bytes(32), start=Offset(0))


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.binary(min_size=1, max_size=12).map(lambda b: b.replace(b"\n", b" ")), min_size=1, max_size=9),
    st.data(),
)
def test_a_document_s_line_is_found_again(lines: list[bytes], data: st.DataObject) -> None:
    """From a position id or from `document_lines`: the line's start, the entry's index, its bytes, its end.

    With and without a newline after the last line, at any base.
    """
    base = data.draw(st.integers(0, 1 << 30))
    number = data.draw(st.integers(0, len(lines) - 1))
    index = data.draw(st.integers(0, len(lines[number]) - 1))
    content = b"\n".join(lines) + data.draw(st.sampled_from([b"", b"\n"]))
    chunk = Chunk(Span(LIFE, Offset(base), Offset(base + len(content))), content)
    start = base + sum(len(line) + 1 for line in lines[:number])
    document = bson.encode({"_id": bson.ObjectId(position_id(LIFE.prefix, start, index))})
    by_position = Encoded(documents=[document], rejects=[], lines=len(lines))
    by_content = Encoded(documents=[document], rejects=[], lines=len(lines), document_lines=[(start, index)])
    assert locate(chunk, by_position, 0) == locate(chunk, by_content, 0) == (start, index)
    assert line_at(chunk, start) == (lines[number], min(start + len(lines[number]) + 1, chunk.span.end))
