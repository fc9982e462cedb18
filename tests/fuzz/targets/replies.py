"""Any reply, code, label or message from a server: a verdict, never an exception; and nothing settles on a reply that
is not understood.

Input: the number of documents, the class of the error, then JSON: `{"details": ..., "code": ..., "message": ...}`.
"""

from __future__ import annotations

from typing import Any

from pymongo import errors
from tests.fuzz.target import Target
from tests.fuzz.targets.lenient_json import SCRAPS, value_of

from tailrace.errors import Verdict
from tailrace.ingest.mongo.describing import describe
from tailrace.ingest.mongo.replies import read_reply
from tailrace.ingest.mongo.verdicts import CODES, is_listed, verdict
from tailrace.model import Reason

RETRY_LABELS = {"RetryableWriteError", "TransientTransactionError", "RetryableError", "SystemOverloadedError"}
CLASSES: tuple[type[errors.OperationFailure], ...] = (
    errors.OperationFailure,
    errors.WriteError,
    errors.DuplicateKeyError,
    errors.WriteConcernError,
    errors.ExecutionTimeout,
    errors.CursorNotFound,
)


def check(data: bytes) -> None:
    head, given = data[:2].ljust(2, b"\0"), value_of(data[2:])
    given = given if isinstance(given, dict) else {"details": given}
    details, code = given.get("details", {}), given.get("code")
    message = str(given.get("message", "refused"))
    labels = {str(label) for label in given["labels"]} if isinstance(given.get("labels"), list) else set[str]()
    if isinstance(details, dict):
        details["errorLabels"] = sorted(labels)
    else:
        labels = set()
    _check_judged(_made(CLASSES[head[1] % len(CLASSES)], message, code, details), labels)
    bulk = _made(errors.BulkWriteError, details, None, None)
    _check_judged(bulk, labels)
    _check_reply(bulk, head[0] % 6)


def _made(kind: type[errors.OperationFailure], *arguments: Any) -> errors.OperationFailure:
    """As the driver makes it, also where the driver itself would not survive what the server sent."""
    if kind is errors.BulkWriteError:
        error: errors.OperationFailure = errors.BulkWriteError({"errorLabels": []})
        error._OperationFailure__details = arguments[0]  # type: ignore[attr-defined]  # what a reply holds
        for label in arguments[0].get("errorLabels", []) if isinstance(arguments[0], dict) else []:
            error._add_error_label(label)
        return error
    message, code, details = arguments
    error = kind(message, None, None)
    error._OperationFailure__code, error._OperationFailure__details = code, details  # type: ignore[attr-defined]  # as above
    for label in details.get("errorLabels", []) if isinstance(details, dict) else []:
        error._add_error_label(label)
    return error


def _check_judged(error: errors.OperationFailure, labels: set[str]) -> None:
    judged = verdict(error)
    assert judged in Verdict
    if labels & RETRY_LABELS:
        assert judged is Verdict.RETRY
    elif type(error) is errors.OperationFailure and isinstance(error.code, int) and error.code in CODES:
        assert judged is CODES[error.code]
    assert is_listed(error) in (True, False)
    said = describe(error)
    assert len(said) <= 400
    assert "\n" not in said


def _check_reply(error: errors.OperationFailure, documents: int) -> None:
    assert isinstance(error, errors.BulkWriteError)
    reply = read_reply(error, documents)
    raw: Any = error.details
    if reply.concern is not None:
        assert (reply.inserted, reply.errors) == (0, {}), "something is concluded from a reply that proves nothing"
        return
    assert isinstance(raw, dict)
    assert not raw.get("writeConcernErrors")
    assert reply.inserted + len(reply.errors) == documents, "a document is unaccounted for"
    assert set(reply.errors) <= set(range(documents))
    for problem in reply.errors.values():
        assert problem.verdict in Verdict
        assert problem.reason in (Reason.TOO_LARGE, Reason.SERVER_REFUSED)
        assert problem.listed in (True, False)
        assert len(problem.detail) <= 500
        assert not problem.duplicate_id or problem.code == 11000


def _seeds() -> list[bytes]:
    bodies = [
        b'{"details":{"nInserted":2,"writeErrors":[{"index":1,"code":11000,"errmsg":"dup","keyPattern":{"_id":1}}]}}',
        b'{"details":{"nInserted":2,"writeErrors":[{"index":0,"code":121,"errmsg":"x","errInfo":{"details":{"a":1}}}]}}',
        b'{"details":{"nInserted":2,"writeErrors":[{"index":2,"code":11000,"errmsg":"o"}],"writeConcernErrors":[]}}',
        b'{"details":{"nInserted":3,"writeErrors":[],"writeConcernErrors":[{"code":64,"errmsg":"waiting timed out"}]}}',
        b'{"details":{"codeName":"NotWritablePrimary","errmsg":"no"},"code":10107,"labels":["RetryableWriteError"]}',
        b'{"details":{"nInserted":0,"writeErrors":[{"index":-1,"code":2},{"index":1.0,"code":"x","keyPattern":5,"errInfo":[]}]}}',
        b'{"details":null,"code":13,"message":"not authorized on a to execute command { insert: \\"c\\" }"}',
    ]
    return [bytes((count, kind)) + body for kind, body in enumerate(bodies) for count in (3, kind)]


_WORDS: tuple[bytes, ...] = (
    b'"code":',
    b'"index":0,',
    b'"index":1,',
    b'"writeErrors":[',
    b'"writeConcernErrors":[{"code":91}],',
    b'"nInserted":1,',
)
_WORDS += (
    b"11000",
    b"64",
    b"13",
    b"121",
    b"12345",
    b'"labels":["RetryableError"],',
    b'"errInfo":',
    b'"keyPattern":',
    b'"too large"',
)

TARGET = Target(name="replies", check=check, seeds=_seeds(), scraps=(*SCRAPS, *_WORDS))
