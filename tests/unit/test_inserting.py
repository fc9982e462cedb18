"""What a server's reply to one insert is taken for."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.int64 import Int64
from pymongo.errors import BulkWriteError

from tailrace.ingest.mongo.inserting import as_bulk_result
from tailrace.ingest.mongo.replies import NOT_UNDERSTOOD, Reply, read_reply


def received(reply: dict[str, Any], documents: int) -> Reply:
    """As it comes from the wire, to an insert of so many documents."""
    decoded = bson.decode(bson.encode(reply))
    return read_reply(BulkWriteError(as_bulk_result(decoded)), documents)


@pytest.mark.parametrize("integer", [int, Int64])
def test_a_refused_document_is_found_whatever_the_width_of_the_numbers(integer: type[int]) -> None:
    """A server may count in 64 bits: the refused document is known, the other one is inserted."""
    refusal = {"index": integer(1), "code": integer(121), "errmsg": "no"}
    reply = received({"n": integer(1), "writeErrors": [refusal], "ok": 1.0}, 2)
    assert (reply.concern, reply.inserted, list(reply.errors)) == (None, 1, [1])
    assert reply.errors[1].code == 121


@pytest.mark.parametrize(
    "reply",
    [
        {"n": 1.0, "writeErrors": [{"index": 1, "code": 121}]},
        {"n": Int64(1), "writeErrors": [{"index": "1", "code": 121}]},
        {"n": Int64(1), "writeErrors": [7]},
        {"n": Int64(1), "writeErrors": {"index": 1}},
        {"n": Int64(1)},
        {},
    ],
)
def test_a_reply_that_does_not_add_up_proves_nothing(reply: dict[str, Any]) -> None:
    """Whatever its numbers are: what it does not say of each document is looked up."""
    assert received(reply, 2).concern == (0, NOT_UNDERSTOOD)
