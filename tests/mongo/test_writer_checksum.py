"""The writer's share in a life's checksum: of what is stored, nothing of what was refused."""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import replace
from typing import Any
from zlib import crc32

import bson
import pytest
from tests.support.bench import Bench, a_life, a_span, bench
from tests.support.servers import Server

from tailrace.checksum import checksum
from tailrace.ingest.mongo.proof import split
from tailrace.model import Encoded, Reason


async def stored(it: Bench) -> int:
    """Recomputed from the collection."""
    batches: AsyncIterable[Any] = it.handles.data.find_raw_batches({"foreign": {"$exists": False}})
    return sum([crc32(document) async for batch in batches for document in split(batch)]) % 2**63


@pytest.mark.parametrize("compare_first", [False, True])
async def test_the_sum_is_that_of_what_is_stored(standalone: Server, database_name: str, compare_first: bool) -> None:
    """Inserted and found equal count alike, so that a replay gives the same sum; documents that the server refuses, and
    one whose `_id` holds something else, do not count."""
    async with bench(standalone.uri, database_name) as it:
        await it.admin.database.command({"collMod": "trades", "validator": {"n": {"$not": {"$in": [3, 8]}}}})
        chunk, encoded = a_span(a_life(), 20)
        encoded.checksum = checksum(encoded.documents)
        taken = bson.decode(encoded.documents[11])
        await it.handles.data.insert_one({"_id": taken["_id"], "n": 1_000, "foreign": True})
        for _ in range(2):
            outcome = await it.writer.write(chunk, encoded, compare_first=compare_first)
            assert outcome.rejects == {Reason.SERVER_REFUSED: 2, Reason.ID_CONFLICT: 1}
            assert outcome.inserted + outcome.duplicates == 17
            assert outcome.checksum == await stored(it) != encoded.checksum


async def test_what_is_unknown_stays_unknown(standalone: Server, database_name: str) -> None:
    """A span without a checksum (content identity) gives None, never the sum of a part."""
    async with bench(standalone.uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 5)
        assert (await it.writer.write(chunk, encoded, compare_first=False)).checksum is None
        empty = Encoded(documents=[], rejects=[], lines=0, checksum=0)
        assert (await it.writer.write(replace(chunk, data=b""), empty, compare_first=False)).checksum == 0
