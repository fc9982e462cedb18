"""Failures by class."""

from __future__ import annotations

import ssl

import pytest
from pymongo import errors

from tailrace.errors import Verdict
from tailrace.ingest.mongo.retry_classes import RetryClass, retry_class
from tailrace.ingest.mongo.verdicts import CODES


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (errors.AutoReconnect("reset"), RetryClass.NETWORK),
        (errors.ServerSelectionTimeoutError("nobody"), RetryClass.NETWORK),
        (errors.NetworkTimeout("slow"), RetryClass.TIMEOUT),
        (errors.NotPrimaryError("no", {"code": 10107}), RetryClass.NO_PRIMARY),
        (errors.NotPrimaryError("no", {}), RetryClass.NO_PRIMARY),
        (errors.OperationFailure("no", 189), RetryClass.NO_PRIMARY),
        (errors.ExecutionTimeout("slow", 50), RetryClass.TIMEOUT),
        (errors.OperationFailure("much", 462), RetryClass.OVERLOAD),
        (errors.OperationFailure("much", 1, {"errorLabels": ["SystemOverloadedError"]}), RetryClass.OVERLOAD),
        (errors.WriteConcernError("few", 64), RetryClass.WRITE_CONCERN),
        (errors.BulkWriteError({"writeConcernErrors": [{"code": 91}]}), RetryClass.WRITE_CONCERN),
        (errors.OperationFailure("why", 112), RetryClass.OTHER),
        (ssl.SSLError("eof"), RetryClass.NETWORK),
        (ConnectionResetError(), RetryClass.NETWORK),
        (91, RetryClass.NO_PRIMARY),
        (0, RetryClass.OTHER),
    ],
)
def test_each_failure_has_its_class(said: BaseException | int, expected: RetryClass) -> None:
    """What to look at: the network, an election, a slow server, one that has too much to do."""
    assert retry_class(said) is expected


def test_a_connection_that_could_not_be_made_is_no_overload() -> None:
    """The driver labels it as one, for its own backoff; to whoever looks at it, it is the network."""
    error = errors.NetworkTimeout("timed out")
    error._add_error_label("SystemOverloadedError")
    assert retry_class(error) is RetryClass.TIMEOUT


def test_what_an_operator_must_mend_is_that_whatever_was_said() -> None:
    """The verdict decides."""
    assert retry_class(13, Verdict.OPERATOR) is RetryClass.OPERATOR
    assert retry_class(errors.AutoReconnect("x"), Verdict.OPERATOR) is RetryClass.OPERATOR


def test_every_code_has_a_class() -> None:
    """No code raises, whatever it is."""
    assert {retry_class(code) for code in CODES} <= set(RetryClass)
