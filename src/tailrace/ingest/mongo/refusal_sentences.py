"""From what the driver raised at start-up to the one sentence that an operator needs. Pure; no secrets."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from typing import Any

from pymongo import errors
from pymongo.uri_parser import parse_uri

from tailrace.config.uri import scrub
from tailrace.ingest.mongo import tls
from tailrace.ingest.mongo.connection import ServerOptions, redact_uri
from tailrace.ingest.mongo.describing import describe

# What the documented roles grant (docs/security.md), by the collection's suffix. `remove` on the rejects is not asked
# for: it is for `rejects replay` alone, and whoever does not grant it has a `run` that can delete nothing.
_ALWAYS: Mapping[str, tuple[str, ...]] = {
    "": ("find", "insert", "listIndexes"),
    ".rejects": ("find", "insert", "update", "listIndexes"),
    ".files": ("find", "insert", "update", "listIndexes"),
}
_TO_CREATE = {"": ("createIndex",)}
"""Only where the collection is missing. To create it no right is asked for: whoever may insert may create (MongoDB's
documentation of the command `create`)."""

_USER_NOT_FOUND = 11
_UNAUTHORIZED = 13
_AUTHENTICATION_FAILED = 18
_ATLAS = 8000

_DNS = re.compile(
    r"Name or service not known|nodename nor servname|getaddrinfo|name resolution|No address",
    re.IGNORECASE,
)
_CLOSED = re.compile(r"connection (?:is already )?closed|reset by peer", re.IGNORECASE)
_OTHER_SET = re.compile(r"No replica set members available|but this node belongs to a set named")
_ASKED_SET = re.compile(r"""replica set name(?:d)? ["']([^"']+)["']""")
_TLS = re.compile(r"SSL|TLS|certificate", re.IGNORECASE)


def missing_privilege(
    privileges: Iterable[Mapping[str, Any]], options: ServerOptions, present: Container[str] = ()
) -> str | None:
    """The sentence about the first action that the user lacks, or None. `privileges`: from connectionStatus.
    `present`: names of collections that are there, and need not be created."""
    granted = list(privileges)
    database = options.database
    for suffix, actions in _ALWAYS.items():
        name = options.collection + suffix
        for action in actions if name in present else (*actions, *_TO_CREATE.get(suffix, ())):
            if not any(_grants(grant, database, name, action) for grant in granted):
                return (
                    f"the MongoDB user may not {action} on {database}.{name}: grant it the role readWrite on the "
                    f"database {database}, or the narrower one of docs/security.md"
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
    text = scrub(redact_uri(describe(error)), options.uri)
    if isinstance(error, errors.OperationFailure):
        if tls.uses_x509(options.uri) and error.code in {_USER_NOT_FOUND, _AUTHENTICATION_FAILED}:
            return f"MongoDB at {where} knows no user for the certificate of tlsCertificateKeyFile in mongodb_uri"
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
        return tls.handshake_sentence(where, raw, text)
    if _CLOSED.search(raw):
        return tls.closed_sentence(where, options.uri)
    if _OTHER_SET.search(raw):
        return _other_set_sentence(where, raw)
    if isinstance(error, errors.ServerSelectionTimeoutError) and "primary" in raw.lower():
        return f"the replica set at {where} has no primary that can be reached ({text})"
    return f"no MongoDB can be reached at {where}: is it running, and is the port open? ({text})"


def _other_set_sentence(where: str, raw: str) -> str:
    """`raw`: what the driver says when it has dropped every host, for each is of another set or of none."""
    asked = _ASKED_SET.search(raw)
    name = "" if asked is None else f" {asked.group(1)}"
    return (
        f"no server at {where} belongs to the replica set{name} that mongodb_uri asks for: correct replicaSet in it, "
        "or remove it if the server is a standalone"
    )


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
