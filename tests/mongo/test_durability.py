"""What a majority read shows on a standalone is not in the journal yet. What we do about it, with kill -9."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import WriteConcern
from tests.support.bench import Bench, a_life, a_span, bench
from tests.support.servers import Server

from tailrace.model import Encoded, Offset, Reason, Reject

COUNT = 50


async def store_unjournaled(it: Bench, encoded: Encoded) -> None:
    """What another writer, or an attempt of ours whose answer was lost, may have left behind a moment ago."""
    data = it.handles.data.with_options(write_concern=WriteConcern(w=1, j=False))
    await data.insert_many([RawBSONDocument(document) for document in encoded.documents])


async def stored_after_kill(it: Bench, server: Server) -> int:
    server.kill()
    await server.process.start()
    return await it.retrier.call(lambda: it.handles.data.count_documents({}), "counting")


async def fence(it: Bench) -> None:
    await it.ledger.fence()


async def enter_again(it: Bench) -> None:
    await it.ledger.enter(a_life())


async def keep_again(it: Bench) -> None:
    reject = Reject(start=Offset(0), end=Offset(4), index=0, reason=Reason.JSON, detail="why", data=b"bad")
    chunk, encoded = a_span(a_life(), 0)
    encoded.rejects = [reject]
    await it.writer.write(chunk, encoded, compare_first=False)


async def test_without_a_journaled_write_it_is_lost(lazy_server: Server, database_name: str) -> None:
    """The control of what follows. Five times at most: on a machine that stands still for 500 ms the server syncs its
    journal by itself."""
    async with bench(lazy_server.uri, database_name) as it:
        for turn in range(1, 6):
            before = await it.handles.data.count_documents({})
            await keep_again(it)  # the next sync is 500 ms from here
            _, encoded = a_span(a_life(number=turn), COUNT)
            await store_unjournaled(it, encoded)
            assert await it.handles.data.count_documents({}) == before + COUNT
            if await stored_after_kill(it, lazy_server) == before:
                return
    pytest.fail("what was not in the journal was there after each kill")


@pytest.mark.parametrize("write", [fence, enter_again, keep_again])
async def test_a_journaled_write_makes_durable_what_was_read_before(
    lazy_server: Server, database_name: str, write: Callable[[Bench], Awaitable[None]]
) -> None:
    """Also one that changes nothing: entering a life again, keeping a reject again."""
    async with bench(lazy_server.uri, database_name) as it:
        await enter_again(it)
        await keep_again(it)
        _, encoded = a_span(a_life(), COUNT)
        await store_unjournaled(it, encoded)
        assert await it.handles.data.count_documents({}) == COUNT  # a majority read shows them
        await write(it)
        assert await stored_after_kill(it, lazy_server) == COUNT


@pytest.mark.parametrize("compare_first", [True, False])
async def test_a_span_settled_by_proof_alone_survives_kill_9(
    lazy_server: Server, database_name: str, compare_first: bool
) -> None:
    """Settled as duplicates, then the server is killed at once: every document is there."""
    async with bench(lazy_server.uri, database_name) as it:
        for turn in range(1, 4):
            chunk, encoded = a_span(a_life(number=turn), COUNT)
            await store_unjournaled(it, encoded)
            outcome = await it.writer.write(chunk, encoded, compare_first=compare_first)
            assert outcome.duplicates == COUNT
            assert await stored_after_kill(it, lazy_server) == COUNT * turn
