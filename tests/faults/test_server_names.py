"""A mongodb_uri that names another replica set than the one that is there."""

from __future__ import annotations

import pytest
from tests.support.servers import REPLICA_SET, ReplicaSet, Server

from tailrace.errors import ServerRefusesUs
from tailrace.ingest.mongo.connection import ServerOptions, connect, parse_write_concern
from tailrace.ingest.mongo.server import inspect


async def _refusal(uri: str, database: str) -> str:
    options = ServerOptions(
        uri=uri, database=database, collection="node_trades", write_concern=parse_write_concern("majority")
    )
    client = connect(options)
    try:
        with pytest.raises(ServerRefusesUs) as caught:
            await inspect(client, options, time_limit=1.0)
    finally:
        await client.close()
    return str(caught.value)


@pytest.mark.parametrize("direct", ["", "directConnection=true&"])
async def test_a_wrong_replica_set_name(
    standalone: Server, replica_set: ReplicaSet, database_name: str, direct: str
) -> None:
    """Whether the server is a standalone or a member of another set: one sentence with the name that was asked for, and
    what to do; not that there is no primary, or that the port is closed."""
    member = replica_set.members[0]
    assert f"replicaSet={REPLICA_SET}" in replica_set.uri
    for server in (standalone, member):
        scheme_and_host = server.uri.partition("/?")[0]
        sentence = await _refusal(f"{scheme_and_host}/?{direct}replicaSet=other", database_name)
        assert sentence == (
            f"no server at 127.0.0.1:{server.process.port} belongs to the replica set other that mongodb_uri asks for: "
            "correct replicaSet in it, or remove it if the server is a standalone"
        )
