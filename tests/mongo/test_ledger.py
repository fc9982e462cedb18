"""The ledger on a real server: lives, settings, first start, progress, and the lease of the one live writer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.support.bench import HOUR, a_life, bench
from tests.support.servers import ReplicaSet, Server

from tailrace.errors import SettingsChanged, SourceTaken
from tailrace.ingest.mongo.ledger import PrefixTaken, Progress, StoredSettings
from tailrace.model import Identity, Numbers, Offset, StartAt

SETTINGS = StoredSettings(identity=Identity.POSITION, numbers=Numbers.DECIMAL, family="node_trades")


def a_progress(prefix: bytes, uuid: bytes, offset: int) -> Progress:
    return Progress(
        prefix=prefix,
        offset=offset,
        guard=b"guard%d" % offset,
        collection_uuid=uuid,
        path="/data/11.gz",
        finished=False,
        lines=offset // 8,
        inserted=offset // 8,
        duplicates=0,
        rejected=0,
        checksum=None,
    )


async def test_a_life_is_entered_once_and_known_from_then_on(standalone: Server, database_name: str) -> None:
    """Entering it again changes nothing and gives the recorded path and start; majority and j are asked for."""
    async with bench(standalone.uri, database_name) as it:
        life = replace(a_life(), start=Offset(77))
        assert await it.ledger.enter(life) == life
        again = await it.ledger.enter(replace(life, path="/data/11.gz", start=Offset(0)))
        assert again == life
        (known,) = await it.ledger.lives(HOUR)
        assert (known.life, known.progress) == (life, None)
        assert await it.ledger.lives(HOUR + 3600) == []
        concerns = [command["writeConcern"] for name, command in it.commands.sent if name == "findAndModify"]
        assert concerns == [{"w": "majority", "j": True}] * 2


async def test_a_prefix_belongs_to_one_life(standalone: Server, database_name: str) -> None:
    """An equal prefix with another full fingerprint is refused, and `allocate` takes the next salt."""
    async with bench(standalone.uri, database_name) as it:
        life = a_life()
        foreign = replace(life, fingerprint=life.fingerprint[:3] + bytes(29))
        assert foreign.prefix == life.prefix
        await it.ledger.enter(foreign)
        with pytest.raises(PrefixTaken):
            await it.ledger.enter(life)
        given = await it.ledger.allocate(
            hour=life.hour, head=b"head", number=0, source="node", family=life.family, path=life.path, start=life.start
        )
        assert given.salt == 1
        assert given == a_life(salt=1)
        assert given.prefix != life.prefix


async def test_allocating_again_gives_the_same_life(standalone: Server, database_name: str) -> None:
    """Also from two tasks at once, and after the answer was lost."""
    async with bench(standalone.uri, database_name) as it:

        async def allocate() -> object:
            return await it.ledger.allocate(
                hour=HOUR, head=b"x", number=0, source="node", family="f", path="/p", start=Offset(0)
            )

        with standalone.failing("findAndModify", times=3, closeConnection=True):
            lives = await asyncio.gather(*(allocate() for _ in range(5)))
        assert len(set(lives)) == 1
        assert len(await it.ledger.lives(HOUR)) == 1


async def test_many_lives_are_entered_at_once(standalone: Server, database_name: str) -> None:
    """More than one command holds; those whose prefix is another's come back, the others are there; read in pages."""
    async with bench(standalone.uri, database_name) as it:
        lives = [a_life(hour=HOUR + 3600 * number) for number in range(1500)]
        foreign = replace(lives[7], fingerprint=lives[7].fingerprint[:3] + bytes(29), source="other")
        await it.ledger.enter(foreign)
        assert await it.ledger.enter_many(lives) == [lives[7]]
        assert await it.ledger.enter_many(lives) == [lives[7]]
        known = [entry.life async for entry in it.ledger.all_lives()]
        assert known == [life for life in lives if life is not lives[7]]


async def test_progress_is_kept_for_its_collection_and_never_goes_back(standalone: Server, database_name: str) -> None:
    """Recorded, read back, not undone by an older row; forgotten with the collection; then recorded anew."""
    async with bench(standalone.uri, database_name) as it:
        life, uuid = a_life(), it.facts.uuid
        await it.ledger.enter(life)
        await it.ledger.record([a_progress(life.prefix, uuid, 800)])
        await it.ledger.record([a_progress(life.prefix, uuid, 400)])
        (known,) = await it.ledger.lives(HOUR)
        assert known.progress == a_progress(life.prefix, uuid, 800)
        await it.ledger.record([])
        await it.admin.data.drop()
    async with bench(standalone.uri, database_name) as it:
        assert it.facts.uuid != uuid
        (known,) = await it.ledger.lives(HOUR)
        assert known.progress is None
        await it.ledger.record([a_progress(life.prefix, it.facts.uuid, 80)])
        (known,) = await it.ledger.lives(HOUR)
        assert known.progress == a_progress(life.prefix, it.facts.uuid, 80)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"identity": Identity.CONTENT}, "identity = position, and identity = content is set now"),
        ({"numbers": Numbers.DOUBLE}, "numbers = decimal, and numbers = double is set now"),
        ({"family": "node_fills"}, "stream = node_trades, and stream = node_fills is set now"),
        ({"schema": 99}, "schema version 1, and this tailrace writes version 99"),
    ],
)
async def test_changed_settings_are_refused_once_something_is_stored(
    standalone: Server, database_name: str, changed: dict[str, object], sentence: str
) -> None:
    """Both values and a way out are named; while nothing is stored the new ones are taken."""
    other = replace(SETTINGS, **changed)  # type: ignore[arg-type]  # values as in the parameters above
    async with bench(standalone.uri, database_name) as it:
        await it.ledger.settings_agree(SETTINGS)
        await it.ledger.settings_agree(other)
        await it.ledger.settings_agree(SETTINGS)
        await it.ledger.enter(a_life())
        with pytest.raises(SettingsChanged) as caught:
            await it.ledger.settings_agree(other)
        assert sentence in str(caught.value)
        assert "another collection name" in str(caught.value)
        await it.ledger.settings_agree(SETTINGS)


async def test_documents_alone_hold_the_settings_too(standalone: Server, database_name: str) -> None:
    """A collection with documents whose ledger lost its lives is not empty."""
    async with bench(standalone.uri, database_name) as it:
        await it.ledger.settings_agree(SETTINGS)
        await it.handles.data.insert_one({"_id": 1})
        with pytest.raises(SettingsChanged):
            await it.ledger.settings_agree(replace(SETTINGS, numbers=Numbers.STRING))


async def test_clustered_is_no_reason_to_refuse(standalone: Server, database_name: str) -> None:
    """It says how documents are stored, not what: a warning of `prepare`, no more."""
    async with bench(standalone.uri, database_name) as it:
        await it.ledger.settings_agree(SETTINGS)
        await it.ledger.enter(a_life())
        await it.ledger.settings_agree(replace(SETTINGS, clustered=True))


async def test_the_first_start_is_over_when_it_was_completed(standalone: Server, database_name: str) -> None:
    """One that died half-way is still the first; `start_at` is the first start's for ever."""
    async with bench(standalone.uri, database_name) as it:
        assert await it.ledger.first_start(StartAt.END)
        assert await it.ledger.first_start(StartAt.END)
        with pytest.raises(SettingsChanged, match="start_at = end and was not completed, and start_at = beginning"):
            await it.ledger.first_start(StartAt.BEGINNING)  # what was recorded as skipped would stay skipped
        await it.ledger.started()
        assert not await it.ledger.first_start(StartAt.BEGINNING)
        document = await it.handles.files.find_one({"_id": "source/node"})
        assert document is not None
        assert (document["state"], document["start_at"]) == ("started", "end")


async def test_a_second_writer_is_refused_while_the_first_renews(standalone: Server, database_name: str) -> None:
    """The message names host, process, source and what to change; the first goes on undisturbed."""
    async with (
        bench(standalone.uri, database_name, lease=2) as one,
        bench(standalone.uri, database_name, lease=2, instance="instance-b") as two,
    ):
        await one.ledger.claim()

        async def renew() -> None:
            while True:
                await asyncio.sleep(0.3)
                await one.ledger.renew()

        renewing = asyncio.create_task(renew())
        with pytest.raises(SourceTaken, match=r"source 'node' of .*trades\.files .* process \d+ on .*setting source"):
            async with asyncio.timeout(10):
                await two.ledger.claim()
        await one.ledger.renew()
        renewing.cancel()


async def test_a_lease_that_expired_is_taken_over(standalone: Server, database_name: str) -> None:
    """Not before its time is over by the server's clock; the first, if it comes back, learns that it was replaced."""
    async with (
        bench(standalone.uri, database_name, lease=1.5) as one,
        bench(standalone.uri, database_name, lease=1.5, instance="instance-b") as two,
    ):
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await one.ledger.claim()
        async with asyncio.timeout(10):
            await two.ledger.claim()
        assert loop.time() - begin >= 1.4
        with pytest.raises(SourceTaken):
            await one.ledger.renew()
        await one.ledger.release()
        await two.ledger.renew()


async def test_the_same_state_directory_takes_over_at_once(standalone: Server, database_name: str) -> None:
    """A restart after kill -9 does not wait; a process that still ran on a copy of it notices."""
    async with bench(standalone.uri, database_name) as one, bench(standalone.uri, database_name) as two:
        await one.ledger.claim()
        async with asyncio.timeout(2):
            await two.ledger.claim()
        with pytest.raises(SourceTaken):
            await one.ledger.renew()


async def test_a_released_source_is_free_at_once(standalone: Server, database_name: str) -> None:
    async with (
        bench(standalone.uri, database_name) as one,
        bench(standalone.uri, database_name, instance="instance-b") as two,
    ):
        await one.ledger.claim()
        await one.ledger.first_start(StartAt.BEGINNING)
        await one.ledger.started()
        await one.ledger.release()
        async with asyncio.timeout(2):
            await two.ledger.claim()
        assert not await two.ledger.first_start(StartAt.BEGINNING)


async def test_the_ledger_waits_out_an_outage(replica_set: ReplicaSet, database_name: str) -> None:
    """No majority for a while: `enter` does not return before there is one."""
    async with bench(replica_set.uri, database_name, timeout=1.0) as it:
        one, two = replica_set.secondaries
        with one.frozen(), two.frozen():
            task = asyncio.create_task(it.ledger.enter(a_life()))
            await asyncio.sleep(2.5)
            assert not task.done()
            assert not it.health.state.ok
        async with asyncio.timeout(30):
            await task
    await asyncio.to_thread(replica_set.settled)
