"""From what the driver raised at start-up to the one sentence that an operator needs. Pure; no secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pymongo import errors
from pymongo.uri_parser import parse_uri

from tailrace.ingest.mongo.connection import ServerOptions, redact_uri
from tailrace.ingest.mongo.verdicts import describe

_DATA = ("find", "insert", "createCollection", "createIndex", "listIndexes")
_REJECTS = ("find", "insert", "update", "remove", "createCollection")
_FILES = ("find", "insert", "update", "createCollection")
_UNAUTHORIZED = 13
_AUTHENTICATION_FAILED = 18
_ATLAS = 8000

_DNS = re.compile(
    r"Name or service not known|nodename nor servname|getaddrinfo|name resolution|No address",
    re.IGNORECASE,
)
_TLS = re.compile(r"SSL|TLS|certificate", re.IGNORECASE)


def missing_privilege(privileges: Iterable[Mapping[str, Any]], options: ServerOptions) -> str | None:
    """The sentence about the first action that the user lacks, or None. `privileges`: from connectionStatus."""
    granted = list(privileges)
    base = options.collection
    for name, actions in (
        (base, _DATA),
        (f"{base}.rejects", _REJECTS),
        (f"{base}.files", _FILES),
    ):
        for action in actions:
            if not any(_grants(grant, options.database, name, action) for grant in granted):
                return (
                    f"the MongoDB user may not {action} on {options.database}.{name}: "
                    f"grant it the role readWrite on the database {options.database}"
                )
    return None


def _grants(grant: Mapping[str, Any], database: str, collection: str, action: str) -> bool:
    resource = grant.get("resource", {})
    if not resource.get("anyResource") and (
        "db" not in resource
        or resource["db"] not in ("", database)
        or resource.get("collection") not in ("", collection)
    ):
        return False
    actions = grant.get("actions", ())
    return action in actions or "anyAction" in actions


def server_sentence(error: errors.PyMongoError, options: ServerOptions) -> str:
    """What is wrong, where, and what to do, for anything that the first calls to a server raise."""
    where = hosts_of(options.uri)
    text = redact_uri(describe(error))
    if isinstance(error, errors.OperationFailure):
        if error.code == _AUTHENTICATION_FAILED or (error.code == _ATLAS and "auth" in text):
            return f"MongoDB at {where} refuses the user or password of mongodb_uri (check authSource too)"
        if error.code == _UNAUTHORIZED:
            return (
                f"MongoDB at {where} does not permit what tailrace needs: give mongodb_uri a user with the role "
                f"readWrite on the database {options.database} ({text})"
            )
        return f"MongoDB at {where} refuses us: {text}"
    if isinstance(error, errors.ConfigurationError):
        return f"mongodb_uri is not usable: {text}"
    raw = str(error)
    if _DNS.search(raw):
        return f"the host name in mongodb_uri cannot be resolved: {where}"
    if _TLS.search(raw):
        return f"the TLS handshake with {where} failed: check tls, tlsCAFile and the certificate ({text})"
    if isinstance(error, errors.ServerSelectionTimeoutError) and "primary" in raw.lower():
        return f"the replica set at {where} has no primary that can be reached ({text})"
    return f"no MongoDB can be reached at {where}: is it running, and is the port open? ({text})"


def hosts_of(uri: str) -> str:
    """The hosts of a URI, for a message; never its user or password."""
    rest = redact_uri(uri).partition("://")[2].rpartition("@")[2]
    if not uri.startswith("mongodb+srv://"):
        try:
            nodes = parse_uri(uri, validate=False, warn=False)["nodelist"]
        except (errors.PyMongoError, ValueError):
            nodes = []
        if nodes:
            return ", ".join(host if port is None else f"{host}:{port}" for host, port in nodes)
    return re.split(r"[/?]", rest)[0] or "the host of mongodb_uri"
