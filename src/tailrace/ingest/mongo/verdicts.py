"""What to do about a driver's error: by label first, then by code, then by class. Pure.

Sources. Codes and their categories: MongoDB's `src/mongo/base/error_codes.yml` (8.x; older servers use a subset).
Labels and the retryable set: the retryable writes, SDAM and client backpressure specifications of the drivers.
Classes: `pymongo.errors`; a test walks them all.

RETRY says that the outcome may be unknown: whoever repeats a write compares first (see `writer`). REJECT says that
the server is well and does not want *this*: a command is bisected, a document is kept aside. What is not listed
is REJECT by default, and `is_listed` tells, because a whole span refused for an unlisted reason stops us.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final

from bson.errors import BSONError, InvalidDocument
from pymongo import errors

from tailrace.errors import Verdict

DRIVER_ERRORS: Final = (errors.PyMongoError, BSONError, OSError)
"""What a driver call raises; anything else is a defect of ours and passes."""

DUPLICATE_KEY: Final = 11000
BSON_TOO_LARGE: Final = 10334
OVERLOAD_CODE: Final = 462
OVERLOAD_LABEL: Final = "SystemOverloadedError"
"""Both of the client backpressure specification."""

_RETRY_LABELS: Final = (
    "RetryableWriteError",  # retryable writes specification
    "TransientTransactionError",  # transactions specification
    "RetryableError",  # client backpressure specification
    OVERLOAD_LABEL,
)

_RETRY_CODES: Final[Mapping[int, str]] = {
    # network, category NetworkError
    6: "HostUnreachable",
    7: "HostNotFound",
    89: "NetworkTimeout",
    317: "ConnectionPoolExpired",
    384: "ConnectionError",
    9001: "SocketException",
    # the primary has gone or is going, categories NotPrimaryError and ShutdownError
    91: "ShutdownInProgress",
    189: "PrimarySteppedDown",
    216: "ElectionInProgress",
    333: "ServiceExecutorInShutdown",
    10058: "LegacyNotPrimary",
    10107: "NotWritablePrimary",
    11600: "InterruptedAtShutdown",
    11602: "InterruptedDueToReplStateChange",
    13435: "NotPrimaryNoSecondaryOk",
    13436: "NotPrimaryOrSecondary",
    # interrupted or out of time, categories Interruption and ExceededTimeLimitError
    24: "LockTimeout",
    46: "LockBusy",
    50: "MaxTimeMSExpired",
    107: "LockFailed",
    202: "NetworkInterfaceExceededTimeLimit",
    237: "CursorKilled",
    262: "ExceededTimeLimit",
    279: "ClientDisconnect",
    290: "TransactionExceededLifetimeLimitSeconds",
    355: "InterruptedDueToStorageChange",
    407: "PooledConnectionAcquisitionExceededTimeLimit",
    453: "InterruptedDueToReshardingCriticalSection",
    11601: "Interrupted",
    46841: "ClientMarkedKilled",
    91331: "RetriableRemoteCommandFailure",
    10045600: "InterruptedDueToFCVChange",
    # a write or read concern that could not be met in time
    64: "WriteConcernTimeout",
    75: "WriteConcernLegacyOK",
    134: "ReadConcernMajorityNotAvailableYet",
    # cursors that died under us: the read begins again
    43: "CursorNotFound",
    136: "CappedPositionLost",
    175: "QueryPlanKilled",
    # conflicts and concurrency
    112: "WriteConflict",
    117: "ConflictingOperationInProgress",
    151: "OperationCannotBeBatched",
    206: "NoSuchSession",
    215: "DatabaseDropPending",
    225: "TransactionTooOld",
    239: "SnapshotTooOld",
    246: "SnapshotUnavailable",
    251: "NoSuchTransaction",
    261: "TooManyLogicalSessions",
    267: "PreparedTransactionInProgress",
    272: "MigrationConflict",
    314: "ObjectIsBusy",
    363: "RetryableTransactionInProgress",
    365: "TemporarilyUnavailable",
    12586: "BackgroundOperationInProgressForDatabase",
    12587: "BackgroundOperationInProgressForNamespace",
    50915: "BackupCursorOpenConflictWithCheckpoint",
    # sharding: routing is refreshed by the server
    63: "StaleShardVersion",
    133: "FailedToSatisfyReadPreference",
    149: "NoConfigPrimary",
    150: "StaleEpoch",
    249: "StaleDbVersion",
    250: "StaleChunkHistory",
    308: "CurrentConfigNotCommittedYet",
    338: "ReshardCollectionInProgress",
    13388: "StaleConfig",
    56846: "ConfigServerUnreachable",
    # pressure, category SystemOverloadedError
    146: "ExceededMemoryLimit",
    264: "TooManyFilesOpen",
    402: "ResourceExhausted",
    433: "AdmissionQueueOverflow",
    449: "RateLimitExceeded",
    450: "PooledConnectionAcquisitionRejected",
    OVERLOAD_CODE: "IngressRequestRateLimitExceeded",
    # the session's credentials ran out; the driver logs in anew
    391: "ReauthenticationRequired",
}

_OPERATOR_CODES: Final[Mapping[int, str]] = {
    11: "UserNotFound",
    13: "Unauthorized",
    18: "AuthenticationFailed",
    20: "IllegalOperation",
    26: "NamespaceNotFound",
    31: "RoleNotFound",
    33: "PrivilegeNotFound",
    51: "ManualInterventionRequired",
    59: "CommandNotFound",
    61: "ShardKeyNotFound",
    70: "ShardNotFound",
    72: "InvalidOptions",
    73: "InvalidNamespace",
    76: "NoReplicationEnabled",
    79: "UnknownReplWriteConcern",
    93: "InvalidReplicaSetConfig",
    94: "NotYetInitialized",
    100: "UnsatisfiableWriteConcern",
    115: "CommandNotSupported",
    123: "NotAReplicaSet",
    140: "InvalidSSLConfiguration",
    141: "SSLHandshakeFailed",
    148: "ReadConcernMajorityNotEnabled",
    166: "CommandNotSupportedOnView",
    167: "OptionNotSupportedOnView",
    188: "IncompatibleServerVersion",
    214: "AuthenticationRestrictionUnmet",
    227: "CannotImplicitlyCreateCollection",
    242: "CannotCreateCollection",
    322: "APIVersionError",
    323: "APIStrictError",
    324: "APIDeprecationError",
    334: "MechanismUnavailable",
    347: "APIMismatchError",
    371: "UserWritesBlocked",
    404: "LDAPRoleAcquisitionError",
    8000: "AtlasError",  # a hosted service's own: login, quota, tier
    14031: "OutOfDiskSpace",
}

_STOP_CODES: Final[Mapping[int, str]] = {
    301: "DataCorruptionDetected",
    361: "CollectionUUIDMismatch",
}

_REJECT_CODES: Final[Mapping[int, str]] = {
    2: "BadValue",  # also "object to insert too large"
    9: "FailedToParse",
    15: "Overflow",
    17: "ProtocolError",
    22: "InvalidBSON",
    52: "DollarPrefixedFieldName",
    53: "InvalidIdField",
    55: "InvalidDBRef",
    56: "EmptyFieldName",
    57: "DottedFieldName",
    116: "DocTooLargeForCapped",
    121: "DocumentValidationFailure",
    171: "CannotIndexParallelArrays",
    201: "CannotBuildIndexKeys",
    357: "InvalidBSONType",
    378: "NonConformantBSON",
    BSON_TOO_LARGE: "BSONObjectTooLarge",
    DUPLICATE_KEY: "DuplicateKey",
    17280: "KeyTooLong",
    17419: "too large after an update (unnamed code)",
    17420: "too large to replace (unnamed code)",
    16755: "cannot extract a geo key (unnamed code)",
}

CODES: Final[Mapping[int, Verdict]] = {
    **dict.fromkeys(_REJECT_CODES, Verdict.REJECT),
    **dict.fromkeys(_RETRY_CODES, Verdict.RETRY),
    **dict.fromkeys(_OPERATOR_CODES, Verdict.OPERATOR),
    **dict.fromkeys(_STOP_CODES, Verdict.STOP),
}

# The most derived class that is listed decides. OperationFailure stands for "answered with an unlisted code".
_CLASSES: Final[Mapping[type[BaseException], Verdict]] = {
    errors.ConnectionFailure: Verdict.RETRY,  # with AutoReconnect, NetworkTimeout, NotPrimaryError, selection, pool
    errors.ProtocolError: Verdict.RETRY,
    errors.ExecutionTimeout: Verdict.RETRY,
    errors.WriteConcernError: Verdict.RETRY,
    errors.WTimeoutError: Verdict.RETRY,
    errors.CursorNotFound: Verdict.RETRY,
    errors.OperationFailure: Verdict.REJECT,
    errors.DocumentTooLarge: Verdict.REJECT,
    InvalidDocument: Verdict.REJECT,
    BSONError: Verdict.REJECT,
    errors.ConfigurationError: Verdict.OPERATOR,
    errors.InvalidName: Verdict.OPERATOR,
    errors.CollectionInvalid: Verdict.OPERATOR,
    errors.EncryptionError: Verdict.OPERATOR,
    errors.InvalidOperation: Verdict.STOP,  # a closed client or a misused API: ours to mend
    errors.PyMongoError: Verdict.STOP,
    ssl.SSLError: Verdict.RETRY,
    OSError: Verdict.RETRY,
}


def verdict(error: BaseException) -> Verdict:
    """The verdict for anything that a driver call raised. What is none of the driver's is a defect: STOP."""
    if isinstance(error, errors.PyMongoError) and any(error.has_error_label(label) for label in _RETRY_LABELS):
        return Verdict.RETRY
    if isinstance(error, errors.BulkWriteError):
        return _bulk_verdict(error.details)
    code = code_of(error)
    if code in CODES:
        return CODES[code]
    for cls in type(error).__mro__:
        if cls in _CLASSES:
            return _CLASSES[cls]
    return Verdict.STOP


def _bulk_verdict(details: Mapping[str, Any]) -> Verdict:
    """Of a reply that names documents or says that the write concern was not met: its own code (65) says nothing.

    A write concern that was not met may be met the next time, whatever the reason: RETRY, unless an operator is needed.
    """
    concerns = [CODES.get(code_of(each)) for each in parts_of(details, "writeConcernErrors")]
    if concerns:
        return Verdict.OPERATOR if Verdict.OPERATOR in concerns else Verdict.RETRY
    found = [document_verdict(code_of(each)) for each in parts_of(details, "writeErrors")]
    for worst in (Verdict.STOP, Verdict.REJECT, Verdict.OPERATOR, Verdict.RETRY):
        if worst in found:
            return worst
    return Verdict.REJECT


def parts_of(details: object, name: str) -> list[Mapping[str, Any]]:
    """The objects in a list of a reply; what is no list, and in a list no object, is as if it were not there."""
    found = details.get(name) if isinstance(details, Mapping) else None
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def code_of(said: object) -> int:
    """The code of an error or of an object in a reply; 0, which is nobody's, when there is none."""
    code = said.get("code") if isinstance(said, Mapping) else getattr(said, "code", None)
    return int(code) if isinstance(code, int) or (isinstance(code, float) and code.is_integer()) else 0


def document_verdict(code: int) -> Verdict:
    """The verdict for one document's write error; an unlisted code is REJECT."""
    return CODES.get(code, Verdict.REJECT)


def is_overload(said: BaseException | int) -> bool:
    """Whether the server, by an error or a code, asks for less (client backpressure specification)."""
    if isinstance(said, errors.PyMongoError) and said.has_error_label(OVERLOAD_LABEL):
        return True
    return (said if isinstance(said, int) else code_of(said)) == OVERLOAD_CODE


def is_listed(error_or_code: BaseException | int) -> bool:
    """Whether the verdict rests on something that we know, or only on "the server said no"."""
    if isinstance(error_or_code, int):
        return error_or_code in CODES
    return not isinstance(error_or_code, errors.OperationFailure) or code_of(error_or_code) in CODES


CODE_NAMES: Final[Mapping[int, str]] = {
    **_REJECT_CODES,
    **_RETRY_CODES,
    **_OPERATOR_CODES,
    **_STOP_CODES,
}
