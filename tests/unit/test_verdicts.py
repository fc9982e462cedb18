"""Every error of the driver has a verdict, and the right one."""

from __future__ import annotations

import inspect
from typing import Any

import bson.errors
import pytest
from pymongo import errors, helpers_shared

from tailrace.errors import Verdict
from tailrace.ingest.mongo.describing import describe
from tailrace.ingest.mongo.verdicts import CODE_NAMES, CODES, document_verdict, is_listed, verdict

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, BaseException)]

RETRY, OPERATOR, REJECT, STOP = Verdict.RETRY, Verdict.OPERATOR, Verdict.REJECT, Verdict.STOP

EXPECTED: dict[str, Verdict] = {
    "AutoReconnect": RETRY,
    "BulkWriteError": REJECT,
    "ClientBulkWriteException": REJECT,
    "CollectionInvalid": OPERATOR,
    "ConfigurationError": OPERATOR,
    "ConnectionFailure": RETRY,
    "CursorNotFound": RETRY,
    "DocumentTooLarge": REJECT,
    "DuplicateKeyError": REJECT,
    "EncryptedCollectionError": OPERATOR,
    "EncryptionError": OPERATOR,
    "ExecutionTimeout": RETRY,
    "InvalidDocument": REJECT,
    "InvalidName": OPERATOR,
    "InvalidOperation": STOP,
    "InvalidURI": OPERATOR,
    "NetworkTimeout": RETRY,
    "NotPrimaryError": RETRY,
    "OperationFailure": REJECT,
    "ProtocolError": RETRY,
    "PyMongoError": STOP,
    "ServerSelectionTimeoutError": RETRY,
    "WTimeoutError": RETRY,
    "WaitQueueTimeoutError": RETRY,
    "WriteConcernError": RETRY,
    "WriteError": REJECT,
    "_CertificateError": RETRY,
    "_OperationCancelled": RETRY,
}


def instance(cls: type[BaseException]) -> BaseException:
    if issubclass(cls, errors.BulkWriteError):
        return cls({"writeErrors": []})
    if issubclass(cls, errors.ClientBulkWriteException):
        return cls({}, False)
    if issubclass(cls, errors.EncryptedCollectionError):
        return cls(ValueError("cause"), {})
    if issubclass(cls, errors.EncryptionError):
        return cls(ValueError("cause"))
    return cls("message")


def test_the_walk_finds_the_classes() -> None:
    """The precondition of the walk: it is not empty, and the table speaks of nothing that is not there."""
    names = {cls.__name__ for cls in CLASSES}
    aliases = {"SSLCertVerificationError": "_CertificateError"}
    assert {aliases.get(name, name) for name in names} == set(EXPECTED)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_class_of_the_driver_has_its_verdict(cls: type[BaseException]) -> None:
    """A new class in a new driver fails here until somebody has decided about it."""
    name = {"SSLCertVerificationError": "_CertificateError"}.get(cls.__name__, cls.__name__)
    assert verdict(instance(cls)) is EXPECTED[name]


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_listed_code_decides_over_its_class(code: int) -> None:
    """The same code in a command's error, in a write error and in a document's error gives one verdict."""
    for cls in (errors.OperationFailure, errors.WriteError):
        error = cls("message", code, {"code": code, "errmsg": "message"})
        assert verdict(error) is CODES[code]
        assert is_listed(error)
    assert document_verdict(code) is CODES[code]
    assert CODE_NAMES[code]


def test_the_driver_s_own_retryable_codes_are_retried() -> None:
    """PyMongo's tables (retryable writes and SDAM specifications) are a subset of ours."""
    codes = helpers_shared._RETRYABLE_ERROR_CODES
    assert len(codes) > 10
    assert {CODES.get(code) for code in codes} == {RETRY}


@pytest.mark.parametrize(
    "label", ["RetryableWriteError", "TransientTransactionError", "RetryableError", "SystemOverloadedError"]
)
@pytest.mark.parametrize("code", [13, 121, 301, 999_999, None])
def test_a_label_decides_over_the_code(label: str, code: int | None) -> None:
    """The server says that it is transient: then it is, whatever the code."""
    assert verdict(errors.OperationFailure("message", code, {"errorLabels": [label]})) is RETRY


def test_an_unlisted_code_is_a_refusal_that_says_so() -> None:
    """REJECT, but the caller can tell: a span refused like that as a whole stops us."""
    error = errors.OperationFailure("message", 987_654, {})
    assert verdict(error) is REJECT
    assert document_verdict(987_654) is REJECT
    assert not is_listed(error)
    assert not is_listed(987_654)


def test_what_is_not_the_driver_s_is_a_defect() -> None:
    """A TypeError of ours is never retried for ever."""
    assert verdict(TypeError("ours")) is STOP
    assert verdict(bson.errors.InvalidBSON("bytes")) is REJECT
    assert verdict(ConnectionResetError()) is RETRY


SECRET = {"keyValue": {"user": "0xSECRET"}, "errmsg": "E11000 duplicate key", "codeName": "DuplicateKey"}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.OperationFailure("E11000 duplicate key", 11000, SECRET), "DuplicateKey (11000): E11000 duplicate key"),
        (errors.BulkWriteError({"writeErrors": [{"op": "0xSECRET"}]}), "batch op errors occurred"),
        (
            errors.BulkWriteError({"writeErrors": [{"op": "0xSECRET"}], "writeConcernErrors": [{"errmsg": "waiting"}]}),
            "write concern not met: waiting",
        ),
        (
            errors.ServerSelectionTimeoutError(
                "h:1: refused (configured timeouts: x), Timeout: 3s, Topology <0xSECRET>"
            ),
            "ServerSelectionTimeoutError: h:1: refused",
        ),
        (errors.NotPrimaryError("not primary", {"x": "0xSECRET"}), "NotPrimaryError: not primary"),
        (OSError(), "OSError"),
    ],
)
def test_a_description_is_short_and_holds_no_document(error: Any, text: str) -> None:
    """Logs and messages never carry what the driver's own text carries: the documents."""
    said = describe(error)
    assert text in said
    assert "SECRET" not in said
    assert len(said) <= 300


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"writeConcernErrors": [{"code": 91}]}, Verdict.RETRY),
        ({"writeConcernErrors": [{"code": 64}], "writeErrors": [{"code": 121}]}, Verdict.RETRY),
        ({"writeErrors": [{"code": 112}, {"code": 91}]}, Verdict.RETRY),
        ({"writeErrors": [{"code": 112}, {"code": 121}]}, Verdict.REJECT),
        ({"writeErrors": [{"code": 13}]}, Verdict.OPERATOR),
        ({}, Verdict.REJECT),
    ],
)
def test_a_bulk_reply_is_judged_by_what_is_in_it(details: dict[str, Any], expected: Verdict) -> None:
    """A bulk write's own code says nothing: its write-concern errors are retried, its write errors judged each."""
    assert verdict(errors.BulkWriteError(details)) is expected
