"""What a reply to an unordered insert says about each document, by example; any reply at all: tests/fuzz."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import BulkWriteError

from tailrace.errors import Verdict
from tailrace.ingest.mongo.replies import DETAIL_LIMIT, NOT_UNDERSTOOD, DocumentError, document_error, read_reply
from tailrace.model import Reason

DUPLICATE = {"index": 1, "code": 11000, "errmsg": "E11000 duplicate key", "keyPattern": {"_id": 1}}


def reply(documents: int, **details: Any) -> Any:
    return read_reply(BulkWriteError(details), documents)


def test_a_reply_accounts_for_every_document() -> None:
    """So many were inserted, and these were not, by their index in the command."""
    found = reply(3, nInserted=2, writeErrors=[DUPLICATE], writeConcernErrors=[])
    assert (found.inserted, list(found.errors), found.concern) == (2, [1], None)
    assert found.errors[1].duplicate_id
    assert reply(1, writeErrors=[{**DUPLICATE, "index": 0}]).concern is None


def test_a_write_concern_error_takes_all_meaning_from_the_rest() -> None:
    """Nothing counts as inserted or refused; the last code and message say why."""
    concerns = [{"code": 64, "errmsg": "first"}, {"code": 91, "errmsg": "last"}]
    found = reply(3, nInserted=2, writeErrors=[DUPLICATE], writeConcernErrors=concerns)
    assert (found.inserted, found.errors, found.concern) == (0, {}, (91, "last"))
    assert reply(1, nInserted=1, writeConcernErrors=[{}]).concern == (0, "")


@pytest.mark.parametrize(
    "details",
    [
        {"nInserted": 1, "writeErrors": [DUPLICATE]},
        {"nInserted": 3, "writeErrors": [DUPLICATE]},
        {"nInserted": 2, "writeErrors": [{**DUPLICATE, "index": 3}]},
        {"nInserted": 2, "writeErrors": [{**DUPLICATE, "index": -1}]},
        {"nInserted": 2, "writeErrors": [{**DUPLICATE, "index": "1"}]},
        {"nInserted": 2, "writeErrors": [{"code": 11000}]},
        {"nInserted": 1, "writeErrors": [DUPLICATE, DUPLICATE]},
        {"nInserted": "2", "writeErrors": [DUPLICATE]},
        {"nInserted": 2.0, "writeErrors": [DUPLICATE]},
        {"nInserted": 3, "writeConcernErrors": "timed out"},
        {"writeErrors": {"index": 1}},
        {},
    ],
    ids=str,
)
def test_a_reply_that_does_not_add_up_proves_nothing(details: dict[str, Any]) -> None:
    """An index out of range, counted twice, absent or of another type; a count that leaves a document unexplained."""
    found = reply(3, **details)
    assert (found.inserted, found.errors, found.concern) == (0, {}, (0, NOT_UNDERSTOOD))


@pytest.mark.parametrize("details", [None, [], "refused"])
def test_a_reply_without_details_proves_nothing(details: Any) -> None:
    error = BulkWriteError({"nInserted": 0})
    error._OperationFailure__details = details  # type: ignore[attr-defined]  # what a broken proxy may answer
    found = read_reply(error, 0)
    assert (found.inserted, found.errors, found.concern) == (0, {}, (0, NOT_UNDERSTOOD))


@pytest.mark.parametrize(
    ("entry", "on_id"),
    [
        ({"keyPattern": {"_id": 1}, "errmsg": "dup index: other_1 dup key"}, True),
        ({"keyPattern": {"coin": 1}, "errmsg": "dup index: _id_ dup key"}, False),
        ({"keyPattern": {"_id": 1, "coin": 1}}, False),
        ({"keyPattern": {}, "errmsg": "dup index: other_1 dup key"}, False),
        ({"keyPattern": 5, "errmsg": "dup index: _id_ dup key"}, True),
        ({"errmsg": "dup index: other_1 dup key"}, False),
        ({"errmsg": "dup index: _id_ dup key"}, True),
        ({"errmsg": "dup"}, True),
        ({}, True),
    ],
    ids=str,
)
def test_whose_duplicate_it_is(entry: dict[str, Any], on_id: bool) -> None:
    """By the key pattern, else by the message; in doubt `_id`, whose document is then read. Only code 11000 counts."""
    assert document_error({"code": 11000, **entry}).duplicate_id is on_id
    assert document_error({"code": 11000, **entry}).on_id is on_id
    assert not document_error({"code": 11001, **entry}).duplicate_id


def test_the_detail_of_a_validator_s_refusal_names_the_rule() -> None:
    """Blanks are folded, the document's own id is left out, and a long text is cut."""
    info = {"failingDocumentId": "secret", "details": {"operatorName": "$jsonSchema"}}
    found = document_error({"code": 121, "errmsg": "Document  failed\nvalidation", "errInfo": info})
    assert found.message == "Document failed validation: {'operatorName': '$jsonSchema'}"
    assert found.detail == f"{found.message} (code 121)"
    other = document_error({"code": 121, "errmsg": "no", "errInfo": {"failingDocumentId": 5, "rule": 7}})
    assert other.message == "no: {'rule': 7}"
    assert document_error({"errmsg": "no", "errInfo": {}}).message == "no"
    assert document_error({"errmsg": "no", "errInfo": [1]}).message == "no"
    assert len(document_error({"code": 2, "errmsg": "x" * 900}).detail) == DETAIL_LIMIT == 500


def test_the_reason_and_the_verdict_of_a_document() -> None:
    """too_large by its code or its words; the rest is server_refused, and is listed when its code is known."""

    def made(code: int, message: str = "") -> DocumentError:
        return DocumentError(code=code, message=message, on_id=False)

    assert made(10334).reason is Reason.TOO_LARGE
    assert made(2, "object to insert too large").reason is Reason.TOO_LARGE
    assert made(2, "bad value").reason is Reason.SERVER_REFUSED
    assert (made(121).verdict, made(91).verdict, made(13).verdict) == (Verdict.REJECT, Verdict.RETRY, Verdict.OPERATOR)
    assert (made(121).listed, made(424242).listed) == (True, False)
    assert made(424242).verdict is Verdict.REJECT
