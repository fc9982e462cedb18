"""A small tree of hour files, ingested and verified in this process against a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from tests.support.tailrace_process import hour_file

from tailrace.commands.verify import choose, verify_sources
from tailrace.config import Settings, load
from tailrace.ingest.instance import Instance
from tailrace.ingest.mongo.connection import connect
from tailrace.ingest.wiring import server_options
from tailrace.verify.patience import Patience
from tailrace.verify.report import FileReport, VerifyReport

Document = dict[str, Any]


def trade(number: int, **changed: Any) -> Document:
    """A node_trades entry; another number is another event."""
    sides = [
        {"user": f"0x{number:040x}", "start_pos": "10.0", "oid": 2 * number, "twap_id": None, "cloid": None},
        {"user": "0x" + 40 * "f", "start_pos": "-9617.0", "oid": 2 * number + 1, "twap_id": 545248, "cloid": None},
    ]
    return {
        "coin": "ENA",
        "side": "B",
        "time": f"2025-03-10T09:24:{number % 60:02}.070019819",
        "px": f"0.{1000 + number}",
        "sz": "2133.0",
        "hash": f"0x{number:064x}",
        "trade_dir_override": "Na",
        "side_info": sides,
        **changed,
    }


def block(number: int, events: Sequence[Any]) -> Document:
    return {
        "local_time": "2025-03-10T09:00:01.000000000",
        "block_time": "2025-03-10T09:00:00.500000000",
        "block_number": number,
        "events": list(events),
    }


def line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def trades(first: int, count: int) -> bytes:
    return b"".join(line(trade(number)) for number in range(first, first + count))


class Tree:
    """One source's files and its collection. Flags are settings by name."""

    def __init__(self, directory: Path, uri: str, database: str, stream: str = "node_trades", **flags: str) -> None:
        self.root = directory / "data"
        self.stream = stream
        self.flags = {
            "root": str(self.root),
            "stream": stream,
            "mongodb_uri": uri,
            "database": database,
            "state_dir": str(directory / "state"),
            "http": "off",
            "watch": "poll",
            **flags,
        }
        self.collection = flags.get("collection", "node_trades")

    @property
    def options(self) -> list[str]:
        """The flags as a command line has them."""
        return [word for name, value in self.flags.items() for word in (f"--{name.replace('_', '-')}", value)]

    def settings(self, **more: str) -> Settings:
        return load({**self.flags, **more}, {}, None).settings

    def write(self, name: str, data: bytes, mode: str = "ab") -> Path:
        path = hour_file(self.root, name, self.stream)
        with path.open(mode) as file:
            file.write(data)
        return path

    def ingest(self, **more: str) -> None:
        """`run --once`, held to invariant 5 at its end."""
        instance = Instance(self.settings(**more), once=True)
        asyncio.run(instance.run(asyncio.Event()))
        for stats in instance.stats.values():
            assert (stats.imbalance(), stats.lines_in_flight) == (0, 0), stats.figures()

    def verify(
        self, *hours: str, deep: bool = True, repair: bool = False, patience: Patience | None = None, **more: str
    ) -> VerifyReport:
        settings = self.settings(**more)

        async def verify() -> VerifyReport:
            client = connect(server_options(settings, settings.sources[0], settings.connection_string))
            try:
                chosen = choose(settings, hours)
                waits = Patience(looks=1, pause=0.01) if patience is None else patience
                uri = settings.connection_string
                [report] = await verify_sources(settings, chosen, client, uri, deep=deep, repair=repair, patience=waits)
            finally:
                await client.close()
            return report

        return asyncio.run(verify())

    def verify_file(self, *hours: str, **more: Any) -> FileReport:
        [file] = self.verify(*hours, **more).files
        assert file.entries == file.equal + file.kept + file.missing + file.different, file
        return file

    @contextmanager
    def database(self) -> Iterator[Any]:
        with MongoClient[Document](self.flags["mongodb_uri"]) as client:
            yield client[self.flags["database"]]

    @contextmanager
    def documents(self) -> Iterator[Any]:
        with self.database() as database:
            yield database[self.collection]

    @contextmanager
    def rejects(self) -> Iterator[Any]:
        with self.database() as database:
            yield database[f"{self.collection}.rejects"]
