"""The rejects of the collections that the settings name, reached: for `tailrace rejects`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from tailrace.commands.database import reach
from tailrace.config import Settings, SourceSettings
from tailrace.errors import SettingsError, UsageError
from tailrace.ingest.mongo.connection import Handles
from tailrace.ingest.mongo.health import ServerHealth
from tailrace.ingest.mongo.reject_queries import RejectHead, RejectReader
from tailrace.ingest.mongo.retrying import Retrier, RetryOptions
from tailrace.ingest.mongo.server import handles, parse_write_concern
from tailrace.ingest.wiring import server_options
from tailrace.verify.reject_lookup import find_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The rejects of one collection, and how to reach them."""

    namespace: str
    source: SourceSettings
    handles: Handles
    retrier: Retrier
    reader: RejectReader


@asynccontextmanager
async def shelves_of(settings: Settings) -> AsyncIterator[list[Shelf]]:
    """One for each collection of the settings, in their order. Writes are acknowledged by a majority."""
    if not settings.sources:
        raise SettingsError(
            ["collection is not set: set --collection, --stream or --root, or name a configuration with --config."]
        )
    async with AsyncExitStack() as stack:
        client, uri = await stack.enter_async_context(reach(settings, settings.sources[0]))
        options = RetryOptions(timeout=settings.write_timeout, cap=settings.retry_max_delay)
        retrier = Retrier(ServerHealth(), options, starting=True)  # what only an operator can mend ends us
        shelves: dict[str, Shelf] = {}
        for source in settings.sources:
            server = server_options(settings, source, uri)
            ours = handles(client, replace(server, write_concern=parse_write_concern("majority")))
            shelves.setdefault(
                source.namespace,
                Shelf(
                    namespace=source.namespace,
                    source=source,
                    handles=ours,
                    retrier=retrier,
                    reader=RejectReader(ours.rejects, retrier),
                ),
            )
        yield list(shelves.values())


async def the_one(shelves: list[Shelf], word: str) -> tuple[Shelf, RejectHead]:
    for shelf in shelves:
        key = await find_key(shelf.handles.rejects, shelf.retrier, word)
        head = None if key is None else await shelf.reader.get(key)
        if head is not None:
            return shelf, head
    names = ", ".join(f"{shelf.namespace}.rejects" for shelf in shelves)
    raise UsageError(f"there is no reject {word} in {names}")
