"""Start-up against real servers: what is created, what is refused, and the one sentence that says so."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support.bench import bench
from tests.support.servers import ReplicaSet, Server

from tailrace.embedded import free_port
from tailrace.errors import CollectionUnfit, ServerRefusesUs, Verdict
from tailrace.ingest.mongo.connection import ServerOptions, connect, parse_write_concern
from tailrace.ingest.mongo.server import ServerFacts, inspect, prepare


def options(uri: str, database: str, *, write_concern: str = "majority", allow_ttl: bool = False) -> ServerOptions:
    return ServerOptions(
        uri=uri,
        database=database,
        collection="trades",
        write_concern=parse_write_concern(write_concern),
        allow_ttl=allow_ttl,
    )


async def look(what: ServerOptions, *, clustered: bool = False, time_limit: float = 4.0) -> ServerFacts:
    client = connect(what)
    try:
        return await inspect(client, what, clustered=clustered, time_limit=time_limit)
    finally:
        await client.close()


def collection_of(server: Server, database: str) -> Any:
    return MongoClient(server.uri)[database]


async def test_what_is_missing_is_created_and_nothing_twice(standalone: Server, database_name: str) -> None:
    """Three collections, the schema's indexes on the one with data; the second start finds them."""
    indexes = [("coin", "time"), ("user",)]
    async with bench(standalone.uri, database_name, indexes=indexes) as it:
        assert it.facts.created
        assert (it.facts.topology, it.facts.documents) == ("standalone", 0)
        assert len(it.facts.uuid) == 16
        assert sorted(await it.handles.database.list_collection_names()) == ["trades", "trades.files", "trades.rejects"]
        names = sorted((await it.handles.data.index_information()).keys())
        assert names == ["_id_", "coin_1_time_1", "user_1"]
        uuid = it.facts.uuid
    async with bench(standalone.uri, database_name, indexes=[*indexes, ("hash",)]) as it:
        assert not it.facts.created
        assert it.facts.uuid == uuid
        assert "hash_1" not in await it.handles.data.index_information()


async def test_inspecting_creates_nothing(standalone: Server, database_name: str) -> None:
    """`check` may be run anywhere."""
    facts = await look(options(standalone.uri, database_name))
    assert (facts.exists, facts.documents, facts.warnings) == (False, 0, [])
    with MongoClient[dict[str, Any]](standalone.uri) as client:
        assert client[database_name].list_collection_names() == []


async def test_a_replica_set_is_named(replica_set: ReplicaSet, database_name: str) -> None:
    facts = await look(options(replica_set.uri, database_name), time_limit=10)
    assert facts.topology == "replica set tailrace-test"


async def test_clustered_as_asked_and_a_mismatch_is_a_warning(standalone: Server, database_name: str) -> None:
    async with bench(standalone.uri, database_name, clustered=True) as it:
        assert it.facts.clustered
    async with bench(standalone.uri, database_name, clustered=False) as it:
        assert it.facts.clustered
        assert any("clustered" in warning for warning in it.facts.warnings)


@pytest.mark.parametrize(
    ("create", "sentence"),
    [
        ({"create": "trades", "timeseries": {"timeField": "time"}}, "time-series"),
        ({"create": "trades", "viewOn": "other", "pipeline": []}, "is a view"),
        ({"create": "trades", "capped": True, "size": 4096}, "is capped"),
        (
            {"create": "trades", "clusteredIndex": {"key": {"_id": 1}, "unique": True}, "expireAfterSeconds": 5},
            "the clustered index has expireAfterSeconds",
        ),
        ({"create": "trades.files", "capped": True, "size": 4096}, r"trades\.files is capped"),
        ({"create": "trades.rejects", "timeseries": {"timeField": "time"}}, r"trades\.rejects is a time-series"),
    ],
)
async def test_a_collection_that_would_break_a_promise_is_refused(
    standalone: Server, database_name: str, create: dict[str, Any], sentence: str
) -> None:
    """One sentence that says why and what to do."""
    standalone.command(create, database_name)
    with pytest.raises(CollectionUnfit, match=sentence) as caught:
        await look(options(standalone.uri, database_name))
    assert "\n" not in str(caught.value)


async def test_a_ttl_index_needs_allow_ttl(standalone: Server, database_name: str) -> None:
    """Refused, allowed for the data when asked, never for the ledger."""
    with MongoClient[dict[str, Any]](standalone.uri) as client:
        client[database_name].trades.create_index("time", expireAfterSeconds=5)
        with pytest.raises(CollectionUnfit, match=r"index time_1 .*allow_ttl = true"):
            await look(options(standalone.uri, database_name))
        assert (await look(options(standalone.uri, database_name, allow_ttl=True))).exists
        client[database_name]["trades.files"].create_index("hour", expireAfterSeconds=5)
        with pytest.raises(CollectionUnfit, match=r"trades\.files"):
            await look(options(standalone.uri, database_name, allow_ttl=True))


async def test_what_will_refuse_entries_is_warned_about(standalone: Server, database_name: str) -> None:
    """A validator, a unique index, a weak write concern."""
    with MongoClient[dict[str, Any]](standalone.uri) as client:
        client[database_name].create_collection("trades", validator={"n": 1})
        client[database_name].trades.create_index("n", unique=True)
    facts = await look(options(standalone.uri, database_name, write_concern="1+j"))
    assert len(facts.warnings) == 3
    for words in ("write_concern = 1+j", "validator", "unique index n_1"):
        assert any(words in warning for warning in facts.warnings)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants a password: root, and the users of the tests."""
    server = Server(tmp_path_factory.mktemp("guarded"), "--auth")
    server.start()
    try:
        server.command({"createUser": "root", "pwd": "rootpwd", "roles": ["root"]})
        with MongoClient[dict[str, Any]](as_user(server, "root", "rootpwd")) as client:
            for user, roles in (("reader", ["read"]), ("writer", ["readWrite"]), ("nobody", [])):
                grants = [{"role": role, "db": "hl"} for role in roles]
                client.admin.command({"createUser": user, "pwd": "hush", "roles": grants})
        yield server
    finally:
        server.kill()


def as_user(server: Server, user: str, password: str) -> str:
    return server.uri.replace("mongodb://", f"mongodb://{user}:{password}@")


@pytest.mark.parametrize(
    ("user", "password", "sentence"),
    [
        ("writer", "wrong-hush", "refuses the user or password of mongodb_uri"),
        ("stranger", "hush", "refuses the user or password of mongodb_uri"),
        ("reader", "hush", r"may not insert on hl\.trades: grant it the role readWrite on the database hl"),
        ("nobody", "hush", "readWrite on the database hl"),
        (None, "", "readWrite on the database hl"),
    ],
)
async def test_a_missing_password_or_role_is_one_sentence(
    guarded: Server, user: str | None, password: str, sentence: str
) -> None:
    """What is wrong and what to grant, without any password."""
    uri = guarded.uri if user is None else as_user(guarded, user, password)
    with pytest.raises(ServerRefusesUs, match=sentence) as caught:
        await look(options(uri, "hl"))
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (caught.value.verdict, caught.value.kind) == (Verdict.OPERATOR, "operator")


async def test_readwrite_on_the_database_is_enough(guarded: Server) -> None:
    """Everything the product does at start-up and in ingestion, with that role alone."""
    async with bench(as_user(guarded, "writer", "hush"), "hl") as it:
        assert it.facts.created


@pytest.mark.parametrize(("code", "what"), [(91, Verdict.RETRY), (13, Verdict.OPERATOR), (999_999, Verdict.OPERATOR)])
async def test_what_may_mend_itself_is_told_from_what_an_operator_must(
    standalone: Server, database_name: str, code: int, what: Verdict
) -> None:
    """Where it is tried again, a server that shuts down is not said to refuse us for good."""
    with standalone.failing("create", errorCode=code), pytest.raises(ServerRefusesUs) as caught:
        await bench(standalone.uri, database_name).__aenter__()
    assert caught.value.verdict is what


@pytest.mark.parametrize(
    ("uri", "sentence", "kind"),
    [
        ("mongodb://u:hush@127.0.0.1:{closed}/", "no MongoDB can be reached at 127.0.0.1:", "network"),
        ("mongodb://u:hush@no-such-host.invalid/", "cannot be resolved: no-such-host.invalid", "network"),
        ("mongodb+srv://u:hush@no-such-host.invalid/", "no-such-host.invalid", "operator"),
        ("mongodb://127.0.0.1:{open}/?tls=true", "TLS handshake with 127.0.0.1", "network"),
        ("mongodb://127.0.0.1:{open}/?replicaSet=other", "127.0.0.1", "network"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # PyMongo 4.20, after a TLS handshake that failed
async def test_an_unreachable_server_is_one_sentence(
    standalone: Server, database_name: str, uri: str, sentence: str, kind: str
) -> None:
    """Within the time limit, with the host's name and without the password."""
    assert ssl.OPENSSL_VERSION  # TLS is there to be tried
    where = uri.format(closed=free_port(), open=standalone.process.port)
    with pytest.raises(ServerRefusesUs, match=sentence) as caught:
        await look(options(where, database_name))
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.kind == kind
    del caught
    gc.collect()  # so that the warning comes here


async def test_starting_ends_on_what_only_an_operator_can_mend(standalone: Server, database_name: str) -> None:
    """While starting, a missing role found by a write is exit 78 and not an endless wait."""
    async with bench(standalone.uri, database_name) as it:
        it.retrier.starting = True
        with standalone.failing("findAndModify", times=1, errorCode=13), pytest.raises(ServerRefusesUs):
            await it.ledger.claim()


async def test_two_may_prepare_at_once(standalone: Server, database_name: str) -> None:
    """Whoever comes second uses what is there."""
    what = options(standalone.uri, database_name)
    clients = [connect(what) for _ in range(4)]
    facts = await asyncio.gather(*(prepare(client, what, indexes=[("a",)]) for client in clients))
    for client in clients:
        await client.close()
    assert len({each.uuid for each in facts}) == 1
    assert sum(each.created for each in facts) == 1
