"""Packed documents: a sequence like any other, made of one buffer."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.packed import Packed

DOCUMENTS = st.lists(st.binary(min_size=5, max_size=9), max_size=6)


@given(documents=DOCUMENTS, index=st.integers(-8, 8), other=st.integers(-8, 8))
def test_it_is_the_sequence_that_it_was_made_of(documents: list[bytes], index: int, other: int) -> None:
    """Length, iteration, every index from both sides, slices and equality are those of the list."""
    packed = Packed.of(documents)
    assert list(packed) == documents
    assert packed == documents
    assert len(packed) == len(documents)
    assert packed[index:other] == documents[index:other]
    if -len(documents) <= index < len(documents):
        assert packed[index] == documents[index]
    else:
        with pytest.raises(IndexError):
            packed[index]


@given(documents=DOCUMENTS)
def test_its_buffer_is_the_documents_end_to_end(documents: list[bytes]) -> None:
    """What is sent as it lies is every document, once, in order."""
    packed = Packed.of(documents)
    assert packed.data == b"".join(documents)
    assert Packed.of(packed) is packed


def test_other_documents_are_not_equal() -> None:
    """A changed byte, and the same bytes cut elsewhere, are other documents."""
    packed = Packed.of([b"aaaaa", b"bbbbbb"])
    assert packed != [b"aaaaa", b"bbbbbc"]
    assert packed != Packed(packed.data, [6, 11])
    assert packed != 5


@given(documents=DOCUMENTS, most=st.integers(1, 7), size=st.integers(1, 40))
def test_parts_are_the_whole_within_the_limits(documents: list[bytes], most: int, size: int) -> None:
    """In order, each at most so many and so large unless it is one, and none that could hold one more."""
    parts = list(Packed.of(documents).cut(most, size))
    assert [document for part in parts for document in part] == documents
    assert all(len(part) == 1 or (len(part) <= most and len(part.data) <= size) for part in parts)
    for part, following in itertools.pairwise(parts):
        assert len(part) == most or len(part.data) + len(following[0]) > size
