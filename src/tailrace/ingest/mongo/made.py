"""The collections of a source: made where they are absent, and known by their UUIDs as long as they are there.

    prepare -> create, make_data -> uuids          at start-up
    StillThere.check                               every second or so while it runs

A collection that is dropped under a running instance does not announce itself: mongod makes it anew with the next
insert, without index, validator or clustering, and acknowledges. Only its UUID tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pymongo
from pymongo.errors import CollectionInvalid, OperationFailure

from tailrace.errors import CollectionsDropped
from tailrace.ingest.mongo.connection import Collection, Document, Handles, upsert
from tailrace.ingest.mongo.retrying import Retrier

Info = Mapping[str, Any]

_NAMESPACE_EXISTS = 48
_NOTE: Document = {"_id": "indexes"}  # of the ledger: `state` is "begun" until all indexes of a collection are built


async def info_of(collection: Collection) -> Info | None:
    """What `listCollections` says of it; None when it is not there."""
    cursor = await collection.database.list_collections(filter={"name": collection.name})
    async for info in cursor:
        return info
    return None


async def create(collection: Collection, *, clustered: bool = False) -> bool:
    """Whether it was made here: False when it is there, whoever made it."""
    options: dict[str, Any] = {}
    if clustered:
        options["clusteredIndex"] = {"key": {"_id": 1}, "unique": True}
    try:
        await collection.database.create_collection(
            collection.name,
            write_concern=pymongo.WriteConcern(w="majority", j=True),
            **options,
        )
    except CollectionInvalid:  # the driver looked first and saw it
        return False
    except OperationFailure as error:
        if error.code == _NAMESPACE_EXISTS:
            return False
        raise
    return True


async def make_data(ours: Handles, *, indexes: Sequence[Sequence[str]], clustered: bool, dropped: bool) -> bool:
    """The data collection, with its indexes when it is we who make it. Whether it was made here.

    If we die between making it and building its indexes, a note in the ledger says so and the next start builds them.
    `dropped`: it was dropped under us a moment ago; one that is there now without any index of its own is the one that
    our inserts made. No index is ever built on a collection that others made.
    """
    absent = await info_of(ours.data) is None
    if absent and indexes:
        await upsert(ours.files, _NOTE, {"$set": {"state": "begun"}})
    made = absent and await create(ours.data, clustered=clustered)
    if not indexes:
        return made
    note = await ours.files.find_one(_NOTE)
    begun = note is not None and note["state"] == "begun"
    if made or ((begun or dropped) and await _bare(ours.data, indexes)):
        for fields in indexes:
            await ours.data.create_index([(name, pymongo.ASCENDING) for name in fields])
    if begun:
        await upsert(ours.files, _NOTE, {"$set": {"state": "done"}})
    return made


async def _bare(collection: Collection, indexes: Sequence[Sequence[str]]) -> bool:
    """It has no index but that of `_id` and some of ours: nobody else has furnished it."""
    known = {("_id",), *(tuple(fields) for fields in indexes)}
    return all([tuple(index["key"]) in known async for index in await collection.list_indexes()])


async def uuids(ours: Handles) -> dict[str, bytes]:
    """By name, of those of the three collections that are there."""
    names = [ours.data.name, ours.rejects.name, ours.files.name]
    found: dict[str, bytes] = {}
    cursor = await ours.database.list_collections(filter={"name": {"$in": names}})
    async for info in cursor:
        found[info["name"]] = bytes(info.get("info", {}).get("uuid", b""))  # a view has none
    return found


class StillThere:
    """The collections that a source was bound to at its start."""

    def __init__(self, ours: Handles, retrier: Retrier, bound: Mapping[str, bytes]) -> None:
        """`bound`: their UUIDs by name, as `prepare` left them."""
        self._ours = ours
        self._retrier = retrier
        self._bound = dict(bound)

    async def check(self) -> None:
        """One small command. Raises CollectionsDropped when one of them is gone, or another one has its name."""
        found = await self._retrier.call(lambda: uuids(self._ours), "looking whether the collections are still there")
        gone = [name for name, uuid in self._bound.items() if found.get(name) != uuid]
        if gone:
            raise CollectionsDropped(gone)
