"""Collections that we make: with their indexes or not at all, and missed as soon as they are dropped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support.bench import bench
from tests.support.servers import Server

from tailrace.errors import CollectionsDropped, ServerRefusesUs
from tailrace.ingest.mongo.connection import Handles, ServerOptions, connect, handles, parse_write_concern
from tailrace.ingest.mongo.made import StillThere
from tailrace.ingest.mongo.server import prepare

WANTED = [("coin", "time"), ("user",)]


def options(uri: str, database: str) -> ServerOptions:
    return ServerOptions(uri=uri, database=database, collection="trades", write_concern=parse_write_concern("majority"))


@asynccontextmanager
async def there(uri: str, database: str) -> AsyncIterator[Handles]:
    """The handles, nothing made yet."""
    client = connect(options(uri, database))
    try:
        yield handles(client, options(uri, database))
    finally:
        await client.close()


@contextmanager
def theirs(uri: str, database: str, name: str = "trades") -> Iterator[Any]:
    """The collection, for what somebody else does to it."""
    with MongoClient[dict[str, Any]](uri) as client:
        yield client[database][name]


async def indexes(ours: Handles) -> list[str]:
    return sorted(await ours.data.index_information())


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("built", [0, 1])
async def test_a_start_that_died_between_collection_and_index(
    standalone: Server, database_name: str, clustered: bool, built: int
) -> None:
    """The collection is there without its indexes, or with the first of them: the next start builds the rest, once."""
    what = options(standalone.uri, database_name)
    async with there(standalone.uri, database_name) as ours:
        with standalone.failing("createIndexes", errorCode=96), pytest.raises(ServerRefusesUs):
            await prepare(ours.client, what, indexes=WANTED, clustered=clustered)
        if built:
            await ours.data.create_index([(name, 1) for name in WANTED[0]])
        assert len(await indexes(ours)) == 1 + built, "the precondition: it died in between"
        facts = await prepare(ours.client, what, indexes=WANTED, clustered=clustered)
        assert not facts.created
        assert {"coin_1_time_1", "user_1"} <= set(await indexes(ours))
        with theirs(standalone.uri, database_name) as collection:
            collection.drop_index("user_1")
        await prepare(ours.client, what, indexes=WANTED, clustered=clustered)
        assert "user_1" not in await indexes(ours), "what an operator takes away later stays away"


async def test_no_index_on_what_others_made(standalone: Server, database_name: str) -> None:
    """Not on a collection that was there before us; nor, after a drop, on one that somebody furnished."""
    what = options(standalone.uri, database_name)
    async with there(standalone.uri, database_name) as ours:
        await ours.database.create_collection("trades")
        await prepare(ours.client, what, indexes=WANTED)
        assert await indexes(ours) == ["_id_"]
        with theirs(standalone.uri, database_name) as collection:
            collection.drop()
        await ours.data.create_index("theirs")
        await prepare(ours.client, what, indexes=WANTED, dropped=True)
        assert await indexes(ours) == ["_id_", "theirs_1"]


async def test_what_our_inserts_made_anew_gets_its_indexes(standalone: Server, database_name: str) -> None:
    """Dropped under us, mongod makes it again with the next insert, bare."""
    what = options(standalone.uri, database_name)
    async with there(standalone.uri, database_name) as ours:
        await prepare(ours.client, what, indexes=WANTED)
        with theirs(standalone.uri, database_name) as collection:
            collection.drop()
        await ours.data.insert_one({"coin": "ENA"})
        assert await indexes(ours) == ["_id_"]
        await prepare(ours.client, what, indexes=WANTED, dropped=True)
        assert await indexes(ours) == ["_id_", "coin_1_time_1", "user_1"]


@pytest.mark.parametrize("name", ["trades", "trades.rejects", "trades.files"])
@pytest.mark.parametrize("deed", ["drop", "again", "rename"])
async def test_each_of_the_three_is_missed(standalone: Server, database_name: str, name: str, deed: str) -> None:
    """Dropped, dropped and made anew by an insert, or renamed: said by name. While all are there, nothing."""
    async with bench(standalone.uri, database_name) as it:
        watch = StillThere(it.handles, it.retrier, it.facts.uuids)
        await watch.check()
        with theirs(standalone.uri, database_name, name) as collection:
            if deed == "rename":
                collection.rename("elsewhere")
            else:
                collection.drop()
            if deed == "again":
                collection.insert_one({})
        with pytest.raises(CollectionsDropped) as caught:
            await watch.check()
        assert caught.value.names == [name]
