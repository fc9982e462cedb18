"""Everything between a chunk and a collection, on a real server, with short waits; and spans to feed it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import bson
from bson import ObjectId
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from tests.support import roles

from tailrace import identity
from tailrace.ingest.mongo.connection import Client, Handles, ServerOptions, connect, handles, parse_write_concern
from tailrace.ingest.mongo.health import ServerHealth
from tailrace.ingest.mongo.ledger import Ledger, life_of
from tailrace.ingest.mongo.retrying import Retrier, RetryOptions
from tailrace.ingest.mongo.server import CollectionFacts, prepare
from tailrace.ingest.mongo.settling import Pace
from tailrace.ingest.mongo.writer import Writer
from tailrace.model import Chunk, Encoded, Life, Offset, Outcome, Span

HOUR = 1_741_604_400  # 2025-03-10T11:00:00Z
Doc = dict[str, Any]


class Commands(CommandListener):
    """What was sent, in order: the name and a copy of the command. Authentication is left out."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Doc]] = []
        self.keep = True

    def started(self, event: CommandStartedEvent) -> None:
        if self.keep and not event.command_name.startswith("sasl"):
            self.sent.append((event.command_name, dict(event.command)))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing is kept of it."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing is kept of it."""

    def names(self) -> list[str]:
        return [name for name, _ in self.sent]


@dataclass(slots=True, kw_only=True)
class Bench:
    """One source's view of a prepared collection."""

    client: Client
    admin: Handles  # for what tailrace may not do when the tests run with its role
    options: ServerOptions
    facts: CollectionFacts
    handles: Handles
    health: ServerHealth
    retrier: Retrier
    ledger: Ledger
    writer: Writer
    commands: Commands

    async def documents(self) -> list[Doc]:
        return await self.handles.data.find().sort("_id", 1).to_list()

    async def heads(self) -> list[Doc]:
        return await self.handles.rejects.find({"reject": {"$exists": False}}).sort("_id", 1).to_list()

    async def counts(self) -> tuple[int, int]:
        """Stored documents, kept rejects."""
        return await self.handles.data.count_documents({}), len(await self.heads())


@asynccontextmanager
async def bench(
    uri: str,
    database: str,
    *,
    collection: str = "trades",
    write_concern: str = "majority",
    clustered: bool = False,
    indexes: Sequence[Sequence[str]] = (),
    timeout: float = 10.0,
    ignore: frozenset[str] = frozenset(),
    instance: str = "instance-a",
    lease: float = 20.0,
    pace: Pace | None = None,
) -> AsyncIterator[Bench]:
    options = ServerOptions(
        uri=uri,
        database=database,
        collection=collection,
        write_concern=parse_write_concern(write_concern),
        write_timeout=timeout,
    )
    commands = Commands()
    client = connect(options, listeners=[commands])
    powerful = replace(options, uri=roles.as_admin(uri))
    admin = connect(powerful)
    try:
        facts = await prepare(client, options, indexes=indexes, clustered=clustered)
        ours = handles(client, options)
        health = ServerHealth(in_flight_limit=1 << 20)
        retrier = Retrier(
            health, RetryOptions(timeout=timeout, base=0.01, cap=0.2, operator_base=0.02, operator_cap=0.2)
        )
        ledger = Ledger(ours, retrier, source="node", instance=instance, collection_uuid=facts.uuid, lease=lease)
        commands.sent.clear()
        yield Bench(
            client=client,
            admin=handles(admin, powerful),
            options=options,
            facts=facts,
            handles=ours,
            health=health,
            retrier=retrier,
            ledger=ledger,
            writer=Writer(ours, retrier, fence=ledger.fence, ignore=ignore, pace=pace),
            commands=commands,
        )
    finally:
        await admin.close()
        await client.close()


def a_life(*, head: bytes = b"head", number: int = 0, hour: int = HOUR, source: str = "node", salt: int = 0) -> Life:
    return life_of(
        hour=hour,
        head=head,
        number=number,
        source=source,
        family="node_trades",
        path="/data/node_trades/hourly/20250310/11",
        start=Offset(0),
        salt=salt,
    )


def a_span(life: Life, count: int, *, start: int = 0, first: int = 0, **fields: Any) -> tuple[Chunk, Encoded]:
    """`count` lines `{"n":<number>}` from offset `start` on, and the documents they stand for, with more `fields`."""
    lines = [b'{"n":%d}\n' % number for number in range(first, first + count)]
    documents = []
    offset = start
    for number, line in enumerate(lines, start=first):
        key = identity.position_id(life.prefix, offset)
        documents.append(bson.encode({"_id": ObjectId(key), "n": number, **fields}))
        offset += len(line)
    chunk = Chunk(Span(life, Offset(start), Offset(offset)), b"".join(lines))
    return chunk, Encoded(documents=documents, rejects=[], lines=count)


def content_span(life: Life, documents: Sequence[Doc]) -> tuple[Chunk, Encoded]:
    """One line per document; `_id`s as given (content identity)."""
    lines = [b'{"n":%d}\n' % number for number in range(len(documents))]
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    chunk = Chunk(Span(life, Offset(0), Offset(sum(map(len, lines)))), b"".join(lines))
    return chunk, Encoded(
        documents=[bson.encode(document) for document in documents],
        rejects=[],
        lines=len(lines),
        document_lines=[(start, 0) for start in starts],
    )


async def wait_for(condition: Callable[[], object], limit: float = 20.0) -> None:
    """Let the loop run until `condition` holds; TimeoutError after `limit` seconds."""
    async with asyncio.timeout(limit):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a server: nobody sets an event
            await asyncio.sleep(0.02)


def assert_law(encoded: Encoded, outcome: Outcome) -> None:
    """Invariant 5, for one span."""
    assert outcome.lines == encoded.lines
    assert outcome.entries == encoded.entries
