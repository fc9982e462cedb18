"""The client and the three collections, with the concerns that the promises rest on.

`server` looks at what is there and prepares it; everybody else gets `Handles`. Whatever the URI says about read
preference, read concern, write concern and driver retries, the handles say otherwise: primary, majority, ours,
none. Compressors, TLS, authentication and hosts are the URI's.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import DatetimeMS
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import AsyncMongoClient, ReadPreference, ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConfigurationError as DriverConfigurationError
from pymongo.errors import InvalidName, InvalidURI, ProtocolError
from pymongo.monitoring import _EventListener
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from tailrace import __version__
from tailrace.config.uri import scrub
from tailrace.errors import ServerRefusesUs
from tailrace.ingest.mongo import tls

Document = dict[str, Any]
Client = AsyncMongoClient[Document]
Database = AsyncDatabase[Document]
Collection = AsyncCollection[Document]

MAX_POOL = 80
"""Connections at most: one for each span in flight (`max_workers` is at most 64), ledger, lease, and some air."""

SELECTION_TIMEOUT_MS = 3_000
"""How long one attempt looks for a primary: health must turn red in seconds, and the attempt is repeated anyway."""

CONNECT_TIMEOUT_MS = 5_000

HEARTBEAT_MS = 2_000
"""After a "not primary" the driver shuns the server until its next heartbeat; its default is 10 s of standing still."""

_SETTING = re.compile(r"(majority|[1-9]\d?)(\+j)?")
_PASSWORD = re.compile(r"(mongodb(?:\+srv)?://)\S*@", re.IGNORECASE)  # to the last @: passwords hold anything
_QUERY_SECRETS = re.compile(
    r"((?:authMechanismProperties|tlsCertificateKeyFilePassword|sslPEMPassphrase|proxyPassword|password)=)[^&\s]*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Where and how. `uri` holds secrets: never log it, see `redact_uri`. `write_timeout`: seconds per attempt."""

    uri: str
    database: str
    collection: str
    write_concern: WriteConcern
    write_timeout: float = 30.0
    allow_ttl: bool = False

    @property
    def namespace(self) -> str:
        return f"{self.database}.{self.collection}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handles:
    """The collections of one source. `data` and `rejects` write with the configured concern, `files` with majority
    (invariant 8). All read from the primary with majority (invariant 4). Dates are read as `DatetimeMS`."""

    client: Client
    database: Database
    data: Collection
    rejects: Collection
    files: Collection


def parse_write_concern(text: str) -> WriteConcern:
    """`majority`, or `<n>+j` with n >= 1: acknowledged by n members, journaled. Raises ValueError with a sentence.

    `majority` is sent with j: a majority that has not journaled loses acknowledged documents when it is killed.
    """
    match = _SETTING.fullmatch(text.strip())
    if match is None:
        if text.strip() in {"0", "0+j"}:
            raise ValueError("0 asks for no acknowledgement, and what is not acknowledged can be lost: use majority")
        raise ValueError(f"{text!r} is not a write concern: use majority (default), 1+j, 2+j, ...")
    members, journaled = match.groups()
    if members == "majority":
        return WriteConcern(w="majority", j=True)
    if journaled is None:
        raise ValueError(
            f"{text.strip()} without j acknowledges documents that a killed mongod loses: use majority or {members}+j"
        )
    return WriteConcern(w=int(members), j=True)


def write_concern_warning(concern: WriteConcern) -> str | None:
    """What the operator gives up with this concern, in one sentence; None for majority."""
    members = concern.document.get("w")
    if members == "majority":
        return None
    return f"write_concern = {members}+j: a failover can roll back acknowledged documents; majority does not"


def redact_uri(uri: str) -> str:
    """`uri` without user, password and other secrets, fit for a log."""
    return _QUERY_SECRETS.sub(r"\1***", _PASSWORD.sub(r"\1***@", uri))


def connect(options: ServerOptions, *, listeners: Sequence[_EventListener] = ()) -> Client:
    """A client that has not connected yet. Raises ServerRefusesUs when the URI is not one.
    `listeners`: of the driver's monitoring, for metrics and tests.

    Driver retries are off: they would run without backoff until `write_timeout` and hide an outage from our
    health; ours compare before they repeat, which holds on a standalone too.
    """
    defaults: dict[str, Any] = {
        "serverSelectionTimeoutMS": SELECTION_TIMEOUT_MS,
        "connectTimeoutMS": CONNECT_TIMEOUT_MS,
        "heartbeatFrequencyMS": HEARTBEAT_MS,
    }
    given = options.uri.partition("?")[2].lower()
    kept = {name: value for name, value in defaults.items() if f"{name.lower()}=" not in given}
    try:
        if not options.uri.lower().startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("it must begin with mongodb:// or mongodb+srv://")
        reason = tls.problem_of_files(options.uri)
        if reason is not None:
            raise ServerRefusesUs(reason)
        with warnings.catch_warnings():
            # The driver warns about an option that it does not understand and ignores it; tls=maybe must not pass.
            warnings.simplefilter("error", UserWarning)
            return AsyncMongoClient(
                options.uri,
                appname=f"tailrace/{__version__}",
                maxPoolSize=MAX_POOL,
                retryWrites=False,
                retryReads=False,
                event_listeners=list(listeners),
                **kept,
            )
    except (InvalidURI, DriverConfigurationError, UserWarning, ValueError, TypeError, OSError) as error:
        reason = scrub(redact_uri(str(error)), options.uri).partition("\n")[0]
        raise ServerRefusesUs(f"mongodb_uri is not usable: {reason or type(error).__name__}") from None


def handles(client: Client, options: ServerOptions) -> Handles:
    """Raises ServerRefusesUs for a name that MongoDB does not allow."""
    codec: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
    majority = WriteConcern(w="majority", j=True)
    try:
        database = client.get_database(
            options.database,
            codec_options=codec,
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=options.write_concern,
        )
        return Handles(
            client=client,
            database=database,
            data=database.get_collection(options.collection),
            rejects=database.get_collection(f"{options.collection}.rejects"),
            files=database.get_collection(f"{options.collection}.files", write_concern=majority),
        )
    except InvalidName as error:
        raise ServerRefusesUs(f"database or collection has a name that MongoDB does not allow: {error}") from None


async def upsert(collection: Collection, key: Document, update: Document | list[Document]) -> Document:
    """The document as it is after one atomic update-or-insert. Journaled even when it changes nothing."""
    document = await collection.find_one_and_update(key, update, upsert=True, return_document=ReturnDocument.AFTER)
    if document is None:
        raise ProtocolError("an upsert returned no document")
    return document


def hour_date(hour: int) -> DatetimeMS:
    """The BSON Date of an hour in epoch seconds."""
    return DatetimeMS(hour * 1000)


def seconds_of(date: object) -> int:
    """Epoch seconds of a Date as the handles read it."""
    if not isinstance(date, DatetimeMS):
        raise TypeError(f"expected a Date, got {type(date).__name__}")
    return int(date) // 1000


def write_concern_setting(concern: WriteConcern) -> str:
    """The setting's text for a concern that `parse_write_concern` made."""
    document: Mapping[str, Any] = concern.document
    return "majority" if document["w"] == "majority" else f"{document['w']}+j"
