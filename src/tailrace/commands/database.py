"""The server, for commands that query what is stored: reached within seconds, or exit 78 with a sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pymongo
from pymongo.errors import PyMongoError

from tailrace.config import Settings, SourceSettings
from tailrace.embedded import EmbeddedMongod
from tailrace.errors import ServerRefusesUs
from tailrace.ingest.mongo.connection import Client
from tailrace.ingest.mongo.refusal_sentences import server_sentence
from tailrace.ingest.mongo.server import connect
from tailrace.ingest.state.directory import StateDirectory
from tailrace.ingest.wiring import server_options

_PATIENCE = 10.0  # seconds until a server that does not answer is said to be unreachable


@asynccontextmanager
async def reach(settings: Settings, source: SourceSettings) -> AsyncIterator[tuple[Client, str]]:
    """(client, its URI). `source`: whose database a refusal is about. Raises ServerRefusesUs, ConfigurationError."""
    async with AsyncExitStack() as stack:
        uri = await _embedded(settings.state_dir, stack) if settings.embedded else settings.connection_string
        options = server_options(settings, source, uri)
        client = connect(options)
        stack.push_async_callback(client.close)
        try:
            with pymongo.timeout(_PATIENCE):
                await client.admin.command("ping")
        except PyMongoError as error:
            raise ServerRefusesUs(server_sentence(error, options)) from None
        yield client, uri


async def _embedded(state_dir: Path, stack: AsyncExitStack) -> str:
    """The private server of the `run` that is at work on this state directory, else one of our own for the moment."""
    port = port_of(state_dir)
    if port is not None:
        return f"mongodb://127.0.0.1:{port}/?directConnection=true"
    stack.callback(StateDirectory.take(state_dir).release)  # HAZARD: EmbeddedMongod stops another one on this directory
    mongod = EmbeddedMongod(state_dir)
    stack.push_async_callback(mongod.stop)
    return await mongod.start()


def port_of(state_dir: Path) -> str | None:
    """Of a living mongod whose data lie in this state directory (Linux)."""
    try:
        pid = int((state_dir / "mongod.pid").read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="surrogateescape").split("\0")
    except (OSError, ValueError):
        return None
    if str(state_dir / "mongod") not in words or "--port" not in words:
        return None  # the pid is another process's by now
    return words[words.index("--port") + 1]
