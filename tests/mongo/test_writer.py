"""The writer against a real server that is well: every document ends as inserted, duplicate or reject."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Any

import bson
import pytest
import structlog
from bson import ObjectId
from tests.support.bench import a_life, a_span, assert_law, bench, content_span
from tests.support.servers import ReplicaSet, Server

from tailrace import identity
from tailrace.ingest.mongo.connection import handles
from tailrace.ingest.mongo.proof import ID, split
from tailrace.ingest.mongo.settling import BATCH_DOCUMENTS
from tailrace.model import Chunk, Encoded, Offset, Reason, Span


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("compare_first", [False, True])
async def test_a_new_span_is_inserted_as_it_is(
    standalone: Server, database_name: str, clustered: bool, compare_first: bool
) -> None:
    """Every document is stored byte for byte, whether it is compared first or not; several batches."""
    async with bench(standalone.uri, database_name, clustered=clustered) as it:
        chunk, encoded = a_span(a_life(), BATCH_DOCUMENTS + 1)
        outcome = await it.writer.write(chunk, encoded, compare_first=compare_first)
        assert_law(encoded, outcome)
        assert (outcome.inserted, outcome.duplicates, outcome.rejects) == (len(encoded.documents), 0, {})
        batches: AsyncIterable[Any] = it.handles.data.find_raw_batches(sort=[("_id", 1)])
        assert b"".join([batch async for batch in batches]) == b"".join(encoded.documents)
        assert it.commands.names().count("insert") == 2
        assert it.facts.clustered is clustered


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("compare_first", [False, True])
async def test_a_replayed_span_changes_nothing(
    standalone: Server, database_name: str, clustered: bool, compare_first: bool
) -> None:
    """All documents are duplicates, none is doubled or changed; comparing first sends no insert at all."""
    async with bench(standalone.uri, database_name, clustered=clustered) as it:
        chunk, encoded = a_span(a_life(), 300)
        await it.writer.write(chunk, encoded, compare_first=False)
        before = await it.documents()
        it.commands.sent.clear()
        outcome = await it.writer.write(chunk, encoded, compare_first=compare_first)
        assert_law(encoded, outcome)
        assert (outcome.inserted, outcome.duplicates) == (0, 300)
        assert await it.documents() == before
        assert ("insert" in it.commands.names()) is not compare_first


async def test_compare_first_inserts_only_what_is_missing(standalone: Server, database_name: str) -> None:
    """Of a span that is half there, exactly the other half is sent."""
    async with bench(standalone.uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 100)
        half = Encoded(documents=encoded.documents[::2], rejects=[], lines=50)
        await it.writer.write(chunk, half, compare_first=False)
        it.commands.sent.clear()
        outcome = await it.writer.write(chunk, encoded, compare_first=True)
        assert (outcome.inserted, outcome.duplicates) == (50, 50)
        inserts = [command for name, command in it.commands.sent if name == "insert"]
        assert [len(list(split(command["documents"][0].raw))) for command in inserts] == [50]
        assert await it.counts() == (100, 0)


@pytest.mark.parametrize("compare_first", [False, True])
async def test_an_id_with_other_content_is_a_conflict(
    standalone: Server, database_name: str, compare_first: bool
) -> None:
    """The stored document stays; ours is kept aside with its line, and the field that differs is named."""
    async with bench(standalone.uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 10)
        other = {**bson.decode(encoded.documents[3]), "n": "tampered"}
        await it.handles.data.insert_one(other)
        outcome = await it.writer.write(chunk, encoded, compare_first=compare_first)
        assert_law(encoded, outcome)
        assert (outcome.inserted, outcome.rejects) == (9, {Reason.ID_CONFLICT: 1})
        assert (await it.documents())[3] == other
        (head,) = await it.heads()
        assert head["reason"] == "id_conflict"
        assert "another n" in head["detail"]
        assert (head["start"], head["end"], head["size"]) == (24, 32, 7)


async def test_a_field_somebody_added_is_no_conflict(standalone: Server, database_name: str) -> None:
    """A stored document that was enriched by others is still ours: a replay is a duplicate."""
    async with bench(standalone.uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 5)
        await it.writer.write(chunk, encoded, compare_first=False)
        await it.admin.data.update_many({}, {"$set": {"note": "checked"}})
        outcome = await it.writer.write(chunk, encoded, compare_first=False)
        assert (outcome.duplicates, outcome.rejects) == (5, {})


async def test_duplicates_validator_and_unique_index_in_one_batch(standalone: Server, database_name: str) -> None:
    """One unordered batch with replays, a validator's refusals (121), another index's duplicates and good documents:
    each ends where it belongs, and only the good ones are new."""
    async with bench(standalone.uri, database_name) as it:
        await it.admin.database.command(
            {"collMod": "trades", "validator": {"$jsonSchema": {"properties": {"n": {"bsonType": ["int", "string"]}}}}}
        )
        await it.admin.data.create_index("unique_field", unique=True, sparse=True)
        life = a_life()
        chunk, encoded = a_span(life, 40)
        documents = [bson.decode(document) for document in encoded.documents]
        await it.handles.data.insert_many([dict(document) for document in documents[:10]])
        await it.handles.data.insert_one({"_id": "foreign", "n": 1, "unique_field": 7})
        for document in documents[10:15]:
            document["n"] = 1.5  # the validator wants an integer
        for document in documents[15:17]:
            document["unique_field"] = 7  # taken
        encoded.documents = [bson.encode(document) for document in documents]
        outcome = await it.writer.write(chunk, encoded, compare_first=False)
        assert_law(encoded, outcome)
        assert (outcome.inserted, outcome.duplicates) == (23, 10)
        assert outcome.rejects == {Reason.SERVER_REFUSED: 7}
        details = [head["detail"] for head in await it.heads()]
        assert sum("failed validation" in detail for detail in details) == 5
        assert sum("unique_field" in detail for detail in details) == 2


async def test_content_identity_settles_equal_ids_of_one_span(standalone: Server, database_name: str) -> None:
    """The first is stored; equal ones are duplicates, fields of the copy ignored; another one is a conflict."""
    ignore = frozenset({"local_time"})
    async with bench(standalone.uri, database_name, ignore=ignore) as it:
        key = ObjectId(identity.content_id(1_700_000_000, ["a"]))
        lone = ObjectId(identity.content_id(1_700_900_000, ["b"]))
        documents: list[dict[str, Any]] = [
            {"_id": key, "px": 1, "local_time": 1},
            {"_id": key, "px": 1, "local_time": 2},
            {"_id": lone, "px": 5, "local_time": 2},
            {"_id": key, "px": 2, "local_time": 3},
        ]
        chunk, encoded = content_span(a_life(), documents)
        outcome = await it.writer.write(chunk, encoded, compare_first=False)
        assert_law(encoded, outcome)
        assert (outcome.inserted, outcome.duplicates, outcome.rejects) == (2, 1, {Reason.ID_CONFLICT: 1})
        assert await it.documents() == [documents[0], documents[2]]
        (head,) = await it.heads()
        assert head["start"] == 24


async def test_content_identity_compares_with_what_is_stored(standalone: Server, database_name: str) -> None:
    """When the first of equal ids conflicts with the stored document, the others are judged by the stored one."""
    async with bench(standalone.uri, database_name) as it:
        key = ObjectId(identity.content_id(1_700_000_000, ["a"]))
        await it.handles.data.insert_one({"_id": key, "px": 2})
        chunk, encoded = content_span(a_life(), [{"_id": key, "px": 1}, {"_id": key, "px": 2}, {"_id": key, "px": 2}])
        outcome = await it.writer.write(chunk, encoded, compare_first=False)
        assert_law(encoded, outcome)
        assert (outcome.inserted, outcome.duplicates, outcome.rejects) == (0, 2, {Reason.ID_CONFLICT: 1})


async def test_a_document_over_16_mib_is_kept_aside(standalone: Server, database_name: str) -> None:
    """too_large, in several parts; its neighbours are stored."""
    async with bench(standalone.uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 3)
        whole = bson.decode(encoded.documents[1])
        replace_document(encoded, 1, bson.encode({**whole, "text": "x" * (16 << 20)}))
        outcome = await it.writer.write(chunk, encoded, compare_first=False)
        assert_law(encoded, outcome)
        assert (outcome.inserted, outcome.rejects) == (2, {Reason.TOO_LARGE: 1})


async def test_a_document_just_under_16_mib_is_stored(standalone: Server, database_name: str) -> None:
    """The limit is the server's own, to the byte."""
    async with bench(standalone.uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 1)
        whole = bson.decode(encoded.documents[0])
        room = (16 << 20) - len(bson.encode({**whole, "text": ""}))
        replace_document(encoded, 0, bson.encode({**whole, "text": "x" * room}))
        assert len(encoded.documents[0]) == 16 << 20
        outcome = await it.writer.write(chunk, encoded, compare_first=False)
        assert (outcome.inserted, outcome.rejects) == (1, {})


def replace_document(encoded: Encoded, place: int, document: bytes) -> None:
    """As if the codec had made `document` of that entry."""
    encoded.documents = [*encoded.documents[:place], document, *encoded.documents[place + 1 :]]


def nested(document: bytes, depth: int) -> bytes:
    """`document` with a field of `depth` nested documents: valid BSON, deeper than a server takes (200)."""
    inner = b"\x05\x00\x00\x00\x00"
    for _ in range(depth):
        body = b"\x03a\x00" + inner + b"\x00"
        inner = (len(body) + 4).to_bytes(4, "little") + body
    body = document[4:-1] + b"\x03deep\x00" + inner + b"\x00"
    return (len(body) + 4).to_bytes(4, "little") + body


@pytest.mark.parametrize("place", [0, 36, 99])
async def test_a_command_refused_as_a_whole_is_bisected(standalone: Server, database_name: str, place: int) -> None:
    """One document that the server cannot even parse costs nobody else: it alone is kept aside."""
    async with bench(standalone.uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 100)
        replace_document(encoded, place, nested(encoded.documents[place], 250))
        outcome = await it.writer.write(chunk, encoded, compare_first=False)
        assert_law(encoded, outcome)
        assert (outcome.inserted, outcome.duplicates, outcome.rejects) == (99, 0, {Reason.SERVER_REFUSED: 1})
        assert await it.counts() == (99, 1)
        (head,) = await it.heads()
        assert head["start"] == identity.place_of(encoded.documents[place][ID])


async def test_a_proof_is_made_durable_before_it_settles(standalone: Server, database_name: str) -> None:
    """After the last read that proved a duplicate comes a journaled majority write, before `write` returns."""
    async with bench(standalone.uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 20)
        await it.writer.write(chunk, encoded, compare_first=False)
        for compare_first in (True, False):
            it.commands.sent.clear()
            await it.writer.write(chunk, encoded, compare_first=compare_first)
            names = it.commands.names()
            last_read = max(place for place, name in enumerate(names) if name in ("find", "getMore"))
            after = it.commands.sent[last_read + 1 :]
            assert [(name, command["writeConcern"]) for name, command in after] == [
                ("update", {"w": "majority", "j": True})
            ]


async def test_an_insert_needs_no_fence(standalone: Server, database_name: str) -> None:
    """A journaled insert after the read covers what was read: no further write."""
    async with bench(standalone.uri, database_name) as it:
        life = a_life()
        chunk, encoded = a_span(life, 20)
        half = Encoded(documents=encoded.documents[::2], rejects=[], lines=10)
        await it.writer.write(chunk, half, compare_first=False)
        it.commands.sent.clear()
        await it.writer.write(chunk, encoded, compare_first=True)
        assert it.commands.names() == ["find", "insert"]


async def test_proofs_read_from_the_primary_with_majority(replica_set: ReplicaSet, database_name: str) -> None:
    """Whatever the URI says: read preference secondary, read concern local, w=0, retryable writes."""
    uri = f"{replica_set.uri}&readPreference=secondary&readConcernLevel=local&w=0&retryWrites=true"
    async with bench(uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 20)
        await it.writer.write(chunk, encoded, compare_first=False)
        it.commands.sent.clear()
        outcome = await it.writer.write(chunk, encoded, compare_first=False)
        assert outcome.duplicates == 20
        by_name = dict(it.commands.sent)
        assert by_name["insert"]["writeConcern"] == {"w": "majority", "j": True}
        assert "txnNumber" not in by_name["insert"]
        assert by_name["find"]["readConcern"]["level"] == "majority"
        assert by_name["find"].get("$readPreference", {"mode": "primary"})["mode"] == "primary"


async def test_the_highest_id_is_that_of_the_life(standalone: Server, database_name: str) -> None:
    """None without documents; neighbours in the order of ids do not count."""
    async with bench(standalone.uri, database_name) as it:
        life, other = a_life(), a_life(head=b"other")
        assert await it.writer.highest_id(life) is None
        for each in (life, other):
            chunk, encoded = a_span(each, 7)
            await it.writer.write(chunk, encoded, compare_first=False)
            assert await it.writer.highest_id(each) == encoded.documents[-1][ID]


async def test_spans_may_be_written_at_the_same_time(standalone: Server, database_name: str) -> None:
    """Ten at once, each twice: every document once."""
    async with bench(standalone.uri, database_name) as it:
        life = a_life()
        spans, start = [], 0
        for number in range(10):
            chunk, encoded = a_span(life, 200, start=start, first=1000 + number * 200)
            spans += [(chunk, encoded), (chunk, encoded)]
            start = chunk.span.end
        outcomes = await asyncio.gather(*(it.writer.write(c, e, compare_first=False) for c, e in spans))
        assert sum(outcome.inserted for outcome in outcomes) == 2000
        assert sum(outcome.duplicates for outcome in outcomes) == 2000
        assert await it.counts() == (2000, 0)


async def test_cancelling_settles_nothing_and_repeating_is_exact(own_server: Server, database_name: str) -> None:
    """A write that is cancelled while the server hangs raises at once; the same span afterwards is complete."""
    async with bench(own_server.uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 500)
        with own_server.frozen():
            task = asyncio.create_task(it.writer.write(chunk, encoded, compare_first=False))
            await asyncio.sleep(0.2)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                async with asyncio.timeout(2):
                    await task
        outcome = await it.writer.write(chunk, encoded, compare_first=True)
        assert_law(encoded, outcome)
        assert await it.counts() == (500, 0)
        assert it.health.state.ok


async def test_an_empty_span_settles(standalone: Server, database_name: str) -> None:
    """Wrapped lines may hold no entry at all."""
    async with bench(standalone.uri, database_name) as it:
        chunk = Chunk(Span(a_life(), Offset(0), Offset(3)), b"{}\n")
        outcome = await it.writer.write(chunk, Encoded(documents=[], rejects=[], lines=1), compare_first=True)
        assert (outcome.lines, outcome.entries) == (1, 0)
        assert it.commands.sent == []


async def test_the_handles_ignore_the_uri(standalone: Server, database_name: str) -> None:
    """All three collections read with majority; the ledger writes with majority even under 1+j."""
    async with bench(standalone.uri, database_name, write_concern="1+j") as it:
        ours = handles(it.client, it.options)
        assert ours.data.write_concern.document == {"w": 1, "j": True}
        assert ours.files.write_concern.document == {"w": "majority", "j": True}
        assert {c.read_concern.level for c in (ours.data, ours.rejects, ours.files)} == {"majority"}


async def test_a_quiet_server_means_a_quiet_log(standalone: Server, database_name: str) -> None:
    """Inserting, replaying and conflicts are no trouble: nothing is logged."""
    with structlog.testing.capture_logs() as logs:
        async with bench(standalone.uri, database_name) as it:
            chunk, encoded = a_span(a_life(), 50)
            for _ in range(2):
                await it.writer.write(chunk, encoded, compare_first=False)
    assert logs == []
