"""The ceiling: documents that are encoded before the clock starts, sent by the fastest client that PyMongo gives.

Which client that is, is looked for anew in every run (`calibrated`): how many requests at a time, how many documents
in each, threads or asyncio, and two forms of sending. `raw`: a list of `RawBSONDocument`, which the driver walks.
`packed`: one object whose `.raw` is many documents end to end, which the driver's C code copies as it lies.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from benchmarks.support.servers import COLLECTION, DATABASE, Server
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient, MongoClient

from tailrace.ingest.codec.codec import PythonCodec
from tailrace.model import Framing, Identity, Numbers
from tailrace.streams import schema_of

CONCERN = {"w": "majority", "j": True}
DELIVERIES = (1, 2, 3, 4, 6, 8)  # requests at a time that are tried
SIZES = (500, 1_000, 2_000, 4_000, 8_000)  # documents in each
_PREFIX = b"bench!!"
_EMPTY = b"\5\0\0\0\0"


class Documents(RawBSONDocument):
    """Many documents, end to end, where the driver expects one: it writes `.raw` into the message as it lies."""

    def __init__(self, data: bytes) -> None:
        super().__init__(_EMPTY)
        self._data = data

    @property
    def raw(self) -> bytes:
        return self._data


@dataclass(frozen=True, slots=True)
class Client:
    """How it is sent. `at_once`: requests at a time; `size`: documents in each."""

    at_once: int = 3
    size: int = 2_000
    packed: bool = True
    threads: bool = True

    def __str__(self) -> str:
        form = "packed" if self.packed else "raw"
        return f"{self.at_once} {'threads' if self.threads else 'tasks'} x {self.size} {form}"


@dataclass(frozen=True, slots=True)
class Sent:
    seconds: float
    client_cpu: float
    server_cpu: float


class Told(Protocol):
    """What hears of each client that was tried."""

    def __call__(self, client: Client, rate: float) -> None: ...


def encoded(file: Path, count: int) -> list[bytes]:
    """The documents that tailrace would store of the file's first `count` lines."""
    codec = PythonCodec(schema_of("node_trades"), Framing.BARE, identity=Identity.POSITION, numbers=Numbers.DECIMAL)
    documents: list[bytes] = []
    base = 0
    with file.open("rb") as lines:
        while data := b"".join(islice(lines, min(5_000, count - len(documents)))):
            documents += codec.encode(data, _PREFIX, base).documents
            base += len(data)
    return documents


def send(server: Server, documents: Sequence[bytes], client: Client) -> Sent:
    """Into the collection as it is. Raises SystemExit when not all are there afterwards."""
    batches = list(_batches(documents, client))  # before the clock starts
    cpu, used = server.cpu(), time.process_time()
    seconds = _by_threads(server.uri, batches, client.at_once) if client.threads else _by_tasks(server, batches, client)
    found = Sent(seconds, time.process_time() - used, server.cpu() - cpu)
    if server.count() != len(documents):
        raise SystemExit(f"The ceiling stored {server.count()} of {len(documents)} documents.")
    return found


def calibrated(server: Server, documents: Sequence[bytes], told: Told) -> list[Client]:
    """The two fastest of a small grid: concurrency, then size, then asyncio and the other form at the best of both."""
    rates: dict[Client, float] = {}

    def tried(clients: list[Client]) -> Client:
        for client in clients:
            if client not in rates:
                server.fresh(index=False)
                rates[client] = len(documents) / send(server, documents, client).seconds
                told(client, rates[client])
        return max(clients, key=lambda each: rates[each])

    best = tried([Client(at_once=number) for number in DELIVERIES])
    best = tried([replace(best, size=size) for size in SIZES])
    tried([replace(best, threads=False), replace(best, packed=False), replace(best, threads=False, packed=False)])
    return sorted(rates, key=lambda each: -rates[each])[:2]


def _batches(documents: Sequence[bytes], client: Client) -> Iterator[dict[str, Any]]:
    for start in range(0, len(documents), client.size):
        part = documents[start : start + client.size]
        batch = [Documents(b"".join(part))] if client.packed else [RawBSONDocument(each) for each in part]
        yield {"insert": COLLECTION, "ordered": False, "documents": batch, "writeConcern": CONCERN}


def _by_threads(uri: str, batches: list[dict[str, Any]], at_once: int) -> float:
    with MongoClient[dict[str, Any]](uri, retryWrites=False) as client, ThreadPoolExecutor(at_once) as pool:
        database = client[DATABASE]
        list(pool.map(lambda _: client.admin.command("ping"), range(at_once)))  # connect
        begun = time.perf_counter()
        for reply in pool.map(database.command, batches):
            _good(reply)
        return time.perf_counter() - begun


def _by_tasks(server: Server, batches: list[dict[str, Any]], client: Client) -> float:
    async def work() -> float:
        async with AsyncMongoClient[dict[str, Any]](server.uri, retryWrites=False) as connected:
            database = connected[DATABASE]
            await asyncio.gather(*(connected.admin.command("ping") for _ in range(client.at_once)))
            supply = iter(batches)

            async def one() -> None:
                for batch in supply:
                    _good(await database.command(batch))

            begun = time.perf_counter()
            await asyncio.gather(*(one() for _ in range(client.at_once)))
            return time.perf_counter() - begun

    return asyncio.run(work())


def _good(reply: dict[str, Any]) -> None:
    if "writeErrors" in reply or "writeConcernError" in reply:
        raise SystemExit(f"The server refused what the ceiling sent: {reply}")
