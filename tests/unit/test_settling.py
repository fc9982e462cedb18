"""How a span's documents are cut into commands, and what counts as settled: the parts that need no server.

The others are in tests/mongo/test_writer.py and test_writer_failures.py.
"""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import AutoReconnect, ExecutionTimeout, NetworkTimeout

from tailrace.ingest.mongo import settling
from tailrace.ingest.mongo.proof import Proof
from tailrace.ingest.mongo.settling import BATCH_BYTES, BATCH_DOCUMENTS, DOCUMENT_LIMIT, Documents, Refusal, Settlement
from tailrace.model import DuplicateCause, Reason


def documents(count: int, size: int = 1) -> Documents:
    data = bytes(size)
    return {b"%012d" % number: data for number in range(count)}


def settlement() -> Settlement:
    nothing: Any = None  # neither is asked for anything here
    return Settlement(nothing, nothing, frozenset())


def test_the_limits_are_those_of_the_server_and_of_a_message() -> None:
    """maxBsonObjectSize, and commands of at most 48,000,000 bytes."""
    assert DOCUMENT_LIMIT == 16_777_216
    assert BATCH_BYTES + DOCUMENT_LIMIT < 48_000_000
    assert (BATCH_DOCUMENTS, BATCH_BYTES) == (5_000, 16_777_216)


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [
        (0, 1, []),
        (1, BATCH_BYTES + 5, [1]),
        (BATCH_DOCUMENTS, 1, [BATCH_DOCUMENTS]),
        (BATCH_DOCUMENTS + 1, 1, [BATCH_DOCUMENTS, 1]),
        (2 * BATCH_DOCUMENTS + 1, 1, [BATCH_DOCUMENTS, BATCH_DOCUMENTS, 1]),
        (4, BATCH_BYTES // 2, [2, 2]),
        (5, BATCH_BYTES // 2, [2, 2, 1]),
        (4, BATCH_BYTES // 2 + 1, [1, 1, 1, 1]),
        (3, BATCH_BYTES + 5, [1, 1, 1]),
    ],
)
def test_batches_hold_every_document_once_and_in_order(count: int, size: int, sizes: list[int]) -> None:
    """Cut by number and by bytes, to the byte; one document is always admitted."""
    given = documents(count, size)
    batches = settling._batches(given)
    assert [len(batch) for batch in batches] == sizes
    assert [key for batch in batches for key in batch] == list(given)
    assert all(batch[key] is given[key] for batch in batches for key in batch)


def test_the_bytes_of_a_batch_are_counted_from_nothing() -> None:
    """The first batch's as those of the others: two that are one byte too long together go apart."""
    half = BATCH_BYTES // 2
    given = {b"a": bytes(half), b"b": bytes(half + 1), b"c": bytes(half)}
    assert [list(batch) for batch in settling._batches(given)] == [[b"a"], [b"b"], [b"c"]]


@pytest.mark.parametrize("count", [1, 2, 3, 10, 11])
def test_halves_are_the_whole(count: int) -> None:
    """In order, and the first is never larger."""
    given = documents(count)
    first, second = settling._halves(given)
    assert [*first, *second] == list(given)
    assert len(first) == count // 2


def test_only_a_large_batch_without_an_answer_in_time_is_cut() -> None:
    """Down to a hundred documents; a connection that broke says nothing about the batch's size."""
    assert settling._too_slow(documents(101), NetworkTimeout("timed out"))
    assert settling._too_slow(documents(101), ExecutionTimeout("timed out"))
    assert not settling._too_slow(documents(100), NetworkTimeout("timed out"))
    assert not settling._too_slow(documents(101), AutoReconnect("reset"))


def test_a_document_over_the_limit_is_kept_aside_and_never_sent() -> None:
    """To the byte; the others go on, in order."""
    it = settlement()
    given = {b"small": bytes(5), b"fits": bytes(DOCUMENT_LIMIT), b"large": bytes(DOCUMENT_LIMIT + 1), b"last": b"x"}
    assert list(it._fitting(given)) == [b"small", b"fits", b"last"]
    assert list(it.refused) == [b"large"]
    assert it.refused[b"large"].reason is Reason.TOO_LARGE
    assert it._fitting(documents(3)) == documents(3)


def test_what_is_proven_by_reading_rests_on_it_until_a_write_is_acknowledged() -> None:
    """A fence is needed for as long as no journaled write came after the read."""
    it = settlement()
    assert (it.duplicates, it.inserted, it.rests_on_read) == (0, 0, False)
    it._proven(Proof(equal={b"a", b"b"}, different={b"c": "px"}), DuplicateCause.REPLAY)
    assert (it.duplicates, it.inserted, it.rests_on_read) == (2, 0, True)
    assert it.refused == {b"c": Refusal(Reason.ID_CONFLICT, "the stored document with this _id has another px")}
    it._proven(Proof(absent={b"d": b""}), DuplicateCause.REPLAY)
    assert (it.duplicates, it.rests_on_read) == (2, True)
    it._acknowledged(0)
    assert (it.inserted, it.rests_on_read) == (0, True), "a command that inserted nothing wrote no journal"
    it._acknowledged(3)
    assert (it.inserted, it.rests_on_read) == (3, False)
    it._proven(Proof(different={b"e": "sz"}), DuplicateCause.REPLAY)
    assert (it.duplicates, it.rests_on_read) == (2, False)


def test_refusals_that_nobody_knows_are_counted() -> None:
    """All documents of a span refused for such a reason stop us: the writer asks for the number."""
    it = settlement()
    it._refuse(b"a", Refusal(Reason.SERVER_REFUSED, "x"), listed=True)
    assert it.unlisted == 0
    it._refuse(b"b", Refusal(Reason.SERVER_REFUSED, "y"), listed=False)
    it._refuse(b"c", Refusal(Reason.SERVER_REFUSED, "z"), listed=False)
    assert (it.unlisted, list(it.refused)) == (2, [b"a", b"b", b"c"])
