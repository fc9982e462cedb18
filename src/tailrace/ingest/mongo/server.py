"""Start-up: can we work here, and does what is there keep the promises? Then prepare the collections.

    connect -> inspect (reads only; `check` stops here) -> prepare (creates what is missing)

Every refusal is one sentence for an operator: `ServerRefusesUs` for the server, `CollectionUnfit` for a collection
that would break a promise (design: MongoDB). Each call is bounded in time.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from tailrace.errors import CollectionUnfit, ServerRefusesUs, Verdict
from tailrace.ingest.mongo.connection import (
    Client,
    Collection,
    Handles,
    ServerOptions,
    connect,
    handles,
    parse_write_concern,
    redact_uri,
    write_concern_setting,
    write_concern_warning,
)
from tailrace.ingest.mongo.describing import describe
from tailrace.ingest.mongo.made import Info, create, info_of, make_data, uuids
from tailrace.ingest.mongo.refusal_sentences import missing_privilege, server_sentence
from tailrace.ingest.mongo.retry_classes import RetryClass, retry_class
from tailrace.ingest.mongo.verdicts import verdict

__all__ = [
    "CollectionFacts",
    "Handles",
    "ServerFacts",
    "ServerOptions",
    "connect",
    "facts_of",
    "handles",
    "inspect",
    "parse_write_concern",
    "prepare",
    "redact_uri",
    "write_concern_setting",
    "write_concern_warning",
]

_CLUSTERED_SINCE = (5, 3)
_OLDEST = (4, 4)  # pipelines with $$NOW, majority reads everywhere, hello


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What `inspect` saw. `topology`: "standalone", "replica set <name>" or "sharded cluster".

    `exists`: the data collection is there; `clustered`: how (or, if absent, False). `documents`: an estimate."""

    topology: str
    server_version: str
    exists: bool
    clustered: bool
    documents: int
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionFacts:
    """What `prepare` left behind. `uuid`: 16 bytes, another one after the collection was dropped and made anew.

    `uuids`: of the collection, its rejects and its ledger, by name."""

    uuid: bytes
    rejects_uuid: bytes
    uuids: Mapping[str, bytes]
    created: bool
    clustered: bool
    topology: str
    server_version: str
    documents: int
    warnings: list[str]


async def inspect(
    client: Client,
    options: ServerOptions,
    *,
    clustered: bool = False,
    time_limit: float = 10.0,
) -> ServerFacts:
    """Reads only. Raises ServerRefusesUs or CollectionUnfit; `time_limit` in seconds bounds the whole."""
    try:
        with pymongo.timeout(time_limit):
            return await facts_of(client, options, clustered=clustered)
    except PyMongoError as error:
        raise _refusal(error, options) from None


async def facts_of(client: Client, options: ServerOptions, *, clustered: bool = False) -> ServerFacts:
    """`inspect` for who bounds it and tells a server that is slow from one that refuses: PyMongoError passes."""
    hello = await client.admin.command("hello")
    build = await client.server_info()
    topology = _topology(hello)
    warnings = [w for w in (write_concern_warning(options.write_concern),) if w is not None]
    ours = handles(client, options)
    infos = {}
    for collection in (ours.data, ours.rejects, ours.files):
        info = await info_of(collection)
        if info is not None:
            infos[collection.name] = info
    await _privileges(client, options, infos)
    for collection in (ours.data, ours.rejects, ours.files):
        if collection.name in infos:
            ttl = options.allow_ttl and collection is not ours.files
            warnings += await _unfit(collection, infos[collection.name], topology, allow_ttl=ttl)
    info = infos.get(options.collection)
    documents = 0 if info is None else await ours.data.estimated_document_count()
    _version_fit(build, clustered=clustered)
    is_clustered = info is not None and "clusteredIndex" in info.get("options", {})
    if info is not None and is_clustered != clustered:
        warnings.append(
            f"{options.namespace} is {'' if is_clustered else 'not '}clustered, and clustered = "
            f"{str(clustered).lower()} is set: the collection stays as it is"
        )
    return ServerFacts(
        topology=topology,
        server_version=str(build["version"]),
        exists=info is not None,
        clustered=is_clustered,
        documents=documents,
        warnings=warnings,
    )


async def prepare(
    client: Client,
    options: ServerOptions,
    *,
    indexes: Sequence[Sequence[str]] = (),
    clustered: bool = False,
    dropped: bool = False,
    time_limit: float = 10.0,
) -> CollectionFacts:
    """Inspect, then create what is missing. Indexes are built only on a data collection that we make (`make_data`).

    Safe to repeat and to run in two processes at once: whoever finds the collection there uses it.
    """
    seen = await inspect(client, options, clustered=clustered, time_limit=time_limit)
    ours = handles(client, options)
    try:
        with pymongo.timeout(time_limit):
            await create(ours.rejects)
            await create(ours.files)
            created = await make_data(ours, indexes=indexes, clustered=clustered, dropped=dropped)
            info = await info_of(ours.data)
            there = await uuids(ours)
    except PyMongoError as error:
        raise _refusal(error, options) from None
    if info is None or len(there) < 3:
        sentence = f"{options.namespace}, .rejects or .files was dropped while we started: start again"
        raise ServerRefusesUs(sentence, Verdict.RETRY, RetryClass.OTHER)
    return CollectionFacts(
        uuid=there[ours.data.name],
        rejects_uuid=there[ours.rejects.name],
        uuids=there,
        created=created,
        clustered="clusteredIndex" in info.get("options", {}),
        topology=seen.topology,
        server_version=seen.server_version,
        documents=seen.documents,
        warnings=seen.warnings,
    )


def _refusal(error: PyMongoError, options: ServerOptions) -> ServerRefusesUs:
    what = Verdict.RETRY if verdict(error) is Verdict.RETRY else Verdict.OPERATOR
    return ServerRefusesUs(server_sentence(error, options), what, retry_class(error, what))


async def _unfit(collection: Collection, info: Info, topology: str, *, allow_ttl: bool) -> list[str]:
    """Warnings about a collection that fits. Raises CollectionUnfit for one that would break a promise."""
    name = collection.full_name
    kind = info.get("type", "collection")
    if kind == "timeseries":
        raise CollectionUnfit(f"{name} is a time-series collection, which has no unique _id: name another collection")
    if kind == "view":
        raise CollectionUnfit(f"{name} is a view, which cannot be written: name another collection")
    options = info.get("options", {})
    if options.get("capped"):
        raise CollectionUnfit(f"{name} is capped and would drop its oldest documents: name another collection")
    if "expireAfterSeconds" in options and not allow_ttl:
        raise CollectionUnfit(_ttl_sentence(name, "the clustered index"))
    warnings = []
    if options.get("validator"):
        warnings.append(f"{name} has a validator: entries that it refuses are kept in its .rejects")
    async for index in await collection.list_indexes():
        if "expireAfterSeconds" in index and not allow_ttl:
            raise CollectionUnfit(_ttl_sentence(name, f"the index {index['name']}"))
        if index.get("unique") and list(index["key"]) != ["_id"]:
            warnings.append(f"{name} has the unique index {index['name']}: entries it refuses are kept in .rejects")
    if topology == "sharded cluster":
        warnings += await _shard_key(collection)
    return warnings


def _ttl_sentence(name: str, index: str) -> str:
    return (
        f"{name} deletes documents by age ({index} has expireAfterSeconds), so verify could not tell loss from age: "
        f"drop that index or set allow_ttl = true"
    )


async def _shard_key(collection: Collection) -> list[str]:
    """No mongos was to be had here: after the documentation of config.collections, not measured."""
    try:
        config = collection.database.client["config"]["collections"]
        entry = await config.find_one({"_id": collection.full_name})
    except OperationFailure as error:
        return [f"the shard key of {collection.full_name} could not be read ({describe(error)}): it must be _id"]
    if entry is not None and not entry.get("dropped") and list(entry.get("key", {})) not in ([], ["_id"]):
        key = ", ".join(entry["key"])
        raise CollectionUnfit(
            f"{collection.full_name} is sharded by {key}, which does not keep _id unique: shard it by a hashed _id"
        )
    return []


async def _privileges(client: Client, options: ServerOptions, present: Container[str]) -> None:
    """Raises ServerRefusesUs for a user who lacks a right. `present`: names of the collections that are there."""
    status = await client.admin.command({"connectionStatus": 1, "showPrivileges": True})
    info = status["authInfo"]
    if info.get("authenticatedUsers"):
        missing = missing_privilege(info.get("authenticatedUserPrivileges", []), options, present)
        if missing is not None:
            raise ServerRefusesUs(missing)


def _topology(hello: Info) -> str:
    if hello.get("msg") == "isdbgrid":
        return "sharded cluster"
    if "setName" in hello:
        return f"replica set {hello['setName']}"
    return "standalone"


def _version_fit(build: Info, *, clustered: bool) -> None:
    version = tuple(build.get("versionArray", ()))[:2]
    if version < _OLDEST:
        raise ServerRefusesUs(f"MongoDB {build['version']} is too old: 4.4 is the oldest that tailrace works with")
    if clustered and version < _CLUSTERED_SINCE:
        raise ServerRefusesUs(f"clustered = true needs MongoDB 5.3, and this is {build['version']}: set it to false")
