"""What kind of failure is being repeated: few kinds, for counting. Pure.

A verdict says what to do, a class what to look at: the network, an election, a slow or an overloaded server.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pymongo import errors

from tailrace.errors import Verdict
from tailrace.ingest.mongo.verdicts import CODE_NAMES, code_of, is_overload, parts_of


class RetryClass(StrEnum):
    """Bounded: a label of a metric."""

    NETWORK = "network"  # no connection, or it broke
    NO_PRIMARY = "no_primary"  # an election, a step-down, a server that shuts down
    TIMEOUT = "timeout"  # a connection, and no answer in time
    OVERLOAD = "overload"  # the server asks for less
    WRITE_CONCERN = "write_concern"  # written, and not by as many members as asked for
    OPERATOR = "operator"  # a password, a role, an option
    OTHER = "other"


_BY_NAME: Final = {
    RetryClass.NO_PRIMARY: (
        "ShutdownInProgress", "PrimarySteppedDown", "ElectionInProgress", "ServiceExecutorInShutdown",
        "LegacyNotPrimary", "NotWritablePrimary", "InterruptedAtShutdown", "InterruptedDueToReplStateChange",
        "NotPrimaryNoSecondaryOk", "NotPrimaryOrSecondary",
    ),
    RetryClass.TIMEOUT: (
        "NetworkTimeout", "MaxTimeMSExpired", "ExceededTimeLimit", "NetworkInterfaceExceededTimeLimit", "LockTimeout",
        "PooledConnectionAcquisitionExceededTimeLimit",
    ),
    RetryClass.OVERLOAD: (
        "ExceededMemoryLimit", "TooManyFilesOpen", "ResourceExhausted", "AdmissionQueueOverflow", "RateLimitExceeded",
        "PooledConnectionAcquisitionRejected", "IngressRequestRateLimitExceeded",
    ),
    RetryClass.WRITE_CONCERN: ("WriteConcernTimeout", "WriteConcernLegacyOK", "UnsatisfiableWriteConcern"),
    RetryClass.NETWORK: (
        "HostUnreachable", "HostNotFound", "ConnectionPoolExpired", "ConnectionError", "SocketException",
    ),
}  # fmt: skip

_BY_CODE: Final = {code: kind for kind, names in _BY_NAME.items() for code, name in CODE_NAMES.items() if name in names}

# In this order: a class stands before those that it derives from.
_BY_TYPE: Final = (
    (errors.NotPrimaryError, RetryClass.NO_PRIMARY),
    (errors.NetworkTimeout, RetryClass.TIMEOUT),
    (errors.WaitQueueTimeoutError, RetryClass.TIMEOUT),
    (errors.ExecutionTimeout, RetryClass.TIMEOUT),
    (errors.WTimeoutError, RetryClass.WRITE_CONCERN),
    (errors.WriteConcernError, RetryClass.WRITE_CONCERN),
    (errors.ConnectionFailure, RetryClass.NETWORK),  # a selection that found nobody, too
    (OSError, RetryClass.NETWORK),
)


def retry_class(said: BaseException | int, what: Verdict = Verdict.RETRY) -> RetryClass:
    """`said`: what the driver raised, or a code of the server's; `what`: the verdict on it."""
    if what is Verdict.OPERATOR:
        return RetryClass.OPERATOR
    # HAZARD: the driver puts that label on every connection that could not be made, too (4.20): a frozen server's.
    if is_overload(said) and not isinstance(said, errors.ConnectionFailure):
        return RetryClass.OVERLOAD
    if isinstance(said, errors.BulkWriteError) and parts_of(said.details, "writeConcernErrors"):
        return RetryClass.WRITE_CONCERN
    code = said if isinstance(said, int) else code_of(said)
    if code in _BY_CODE:
        return _BY_CODE[code]
    return next((kind for cls, kind in _BY_TYPE if isinstance(said, cls)), RetryClass.OTHER)
