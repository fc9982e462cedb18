"""The writer against a server that fails: nothing is settled too early, nothing is lost, nothing doubled."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
import structlog
from tests.support.bench import a_life, a_span, assert_law, bench, wait_for
from tests.support.servers import ReplicaSet, Server

from tailrace.errors import EveryDocumentRefused, RuntimeFailure, Verdict
from tailrace.ingest.mongo.retry_classes import RetryClass
from tailrace.model import Encoded, Reason


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize(
    "failure",
    [
        {"closeConnection": True},
        {"errorCode": 189},
        {"errorCode": 91, "errorLabels": ["RetryableWriteError"]},
        {"errorCode": 50},
        {"errorCode": 462, "errorLabels": ["SystemOverloadedError", "RetryableError"]},
        {"errorCode": 999_999, "errorLabels": ["RetryableError", "SystemOverloadedError"]},
        {"errorCode": 13},
        {"writeConcernError": {"code": 91, "errmsg": "shutting down"}},
        {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
        {"writeConcernError": {"code": 100, "errmsg": "Not enough data-bearing nodes"}},
    ],
    ids=lambda failure: "-".join(f"{key}-{value}" for key, value in failure.items())[:60],
)
async def test_what_is_transient_is_retried_until_it_works(
    standalone: Server, database_name: str, failure: dict[str, Any], times: int
) -> None:
    """N failures of the insert, whatever they are, then success: every document once, nothing refused."""
    async with bench(standalone.uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 60)
        with standalone.failing("insert", times=times, **failure):
            outcome = await it.writer.write(chunk, encoded, compare_first=False)
        assert_law(encoded, outcome)
        assert outcome.rejects == {}
        assert outcome.duplicates == outcome.lost_reply, "what we find after a lost reply is our own"
        assert sum(it.health.retries.values()) == (1 if "writeConcernError" in failure else times)
        assert it.commands.names()[:2] == ["insert", "find"]  # after an unknown outcome the next step is to compare
        assert await it.counts() == (60, 0)
        assert it.health.state.ok


class Heard:
    """A pace that only listens."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def overloaded(self) -> None:
        self.said.append("overloaded")

    def failed(self) -> None:
        self.said.append("failed")


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ({"errorCode": 462}, "overloaded"),
        ({"errorCode": 999_999, "errorLabels": ["RetryableError", "SystemOverloadedError"]}, "overloaded"),
        ({"writeConcernError": {"code": 462, "errmsg": "too much"}}, "overloaded"),
        ({"errorCode": 189}, "failed"),
        ({"closeConnection": True}, "failed"),
        ({"writeConcernError": {"code": 64, "errmsg": "timed out"}}, "failed"),
    ],
    ids=str,
)
async def test_whoever_sets_the_pace_hears_what_the_server_says(
    standalone: Server, database_name: str, failure: dict[str, Any], said: str
) -> None:
    """That it has too much to do is told from other troubles, by command and by write concern."""
    pace = Heard()
    async with bench(standalone.uri, database_name, pace=pace) as it:
        chunk, encoded = a_span(a_life(), 60)
        with standalone.failing("insert", times=2, **failure):
            await it.writer.write(chunk, encoded, compare_first=False)
        times = 1 if "writeConcernError" in failure else 2  # what was written although is found by comparing
        assert pace.said == [said] * times


async def test_a_failing_read_is_retried(standalone: Server, database_name: str) -> None:
    """The proof itself may fail; the span still settles exactly."""
    async with bench(standalone.uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 60)
        await it.writer.write(chunk, encoded, compare_first=False)
        with standalone.failing("find", times=3, errorCode=11600):
            outcome = await it.writer.write(chunk, encoded, compare_first=True)
        assert outcome.duplicates == 60


async def test_a_write_concern_error_beside_duplicates_proves_nothing(standalone: Server, database_name: str) -> None:
    """A reply with 11000s and a write-concern error: not one document is settled by it, all are compared again."""
    async with bench(standalone.uri, database_name) as it:
        life = a_life()
        chunk, encoded = a_span(life, 40)
        half = Encoded(documents=encoded.documents[::2], rejects=[], lines=20)
        await it.writer.write(chunk, half, compare_first=False)
        it.commands.sent.clear()
        with standalone.failing("insert", times=1, writeConcernError={"code": 64, "errmsg": "timed out"}):
            outcome = await it.writer.write(chunk, encoded, compare_first=False)
        assert_law(encoded, outcome)
        assert outcome.duplicates == 40
        assert it.commands.names() == ["insert", "find", "update"]
        assert await it.counts() == (40, 0)


async def test_an_unlisted_refusal_of_one_document_keeps_it_aside(standalone: Server, database_name: str) -> None:
    """A span of one document: refused for a code nobody knows, it is kept aside."""
    async with bench(standalone.uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 1)
        with standalone.failing("insert", times=1, errorCode=987_654):
            outcome = await it.writer.write(chunk, encoded, compare_first=False)
        assert outcome.rejects == {Reason.SERVER_REFUSED: 1}
        assert await it.counts() == (0, 1)


async def test_an_unlisted_refusal_of_every_document_stops(standalone: Server, database_name: str) -> None:
    """Every document refused for an unlisted reason: that is not the documents' fault. Nothing is kept aside."""
    async with bench(standalone.uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 8)
        with (
            standalone.failing("insert", errorCode=987_654),
            pytest.raises(EveryDocumentRefused, match=r"all 8 documents of /data.*987654"),
        ):
            await it.writer.write(chunk, encoded, compare_first=False)
        assert await it.counts() == (0, 0)


async def test_a_whole_command_that_fails_once_for_an_unlisted_code_costs_nothing(
    standalone: Server, database_name: str
) -> None:
    """Bisecting is enough: the halves are accepted."""
    async with bench(standalone.uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 9)
        with standalone.failing("insert", times=2, errorCode=987_654):
            outcome = await it.writer.write(chunk, encoded, compare_first=False)
        assert (outcome.inserted, outcome.rejects) == (9, {})


async def test_a_defect_stops_and_settles_nothing(standalone: Server, database_name: str) -> None:
    """A STOP verdict (data corruption) ends with RuntimeFailure, not with a retry or a reject."""
    async with bench(standalone.uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 5)
        with standalone.failing("insert", times=1, errorCode=301), pytest.raises(RuntimeFailure):
            await it.writer.write(chunk, encoded, compare_first=False)
        assert await it.counts() == (0, 0)


async def test_mongod_killed_in_mid_write(own_server: Server, database_name: str) -> None:
    """kill -9 with spans in flight, twice, restarted on the same data: every document once, one log line per turn."""
    with structlog.testing.capture_logs() as logs:
        async with bench(own_server.uri, database_name) as it:
            life = a_life()
            settled = 0
            stop = asyncio.Event()

            async def load(worker: int) -> int:
                nonlocal settled
                start = worker * 50_000_000
                entries = 0
                while not stop.is_set():
                    chunk, encoded = a_span(life, 300, start=start, first=100_000)
                    assert_law(encoded, await it.writer.write(chunk, encoded, compare_first=False))
                    start = chunk.span.end
                    entries += 300
                    settled += 300
                return entries

            workers = [asyncio.create_task(load(worker)) for worker in range(3)]
            for _ in range(2):
                enough = settled + 3000
                await wait_for(partial(lambda enough: settled > enough, enough))
                own_server.kill()
                await wait_for(lambda: not it.health.state.ok)
                await own_server.process.start()
                await wait_for(lambda: it.health.state.ok)
            stop.set()
            written = sum(await asyncio.gather(*workers))
            assert await it.counts() == (written, 0)
    events = [entry["event"] for entry in logs]
    assert events == ["mongodb_trouble", "mongodb_back"] * 2
    assert "nothing is lost" in logs[0]["meaning"]


async def test_a_server_that_hangs(own_server: Server, database_name: str) -> None:
    """An attempt ends by its time limit, health says so, and the span settles when the server goes on."""
    async with bench(own_server.uri, database_name, timeout=0.5) as it:
        chunk, encoded = a_span(a_life(), 100)
        with own_server.frozen():
            task = asyncio.create_task(it.writer.write(chunk, encoded, compare_first=False))
            await wait_for(lambda: not it.health.state.ok)
            assert it.health.state.verdict is Verdict.RETRY
            assert not task.done()
        async with asyncio.timeout(20):
            assert_law(encoded, await task)
        assert await it.counts() == (100, 0)


async def test_slow_writes_that_all_succeed(standalone: Server, database_name: str) -> None:
    """3.5 seconds each. While nobody was answered for three, that is said, and no failure is counted; from the first
    answer on the others that wait are no trouble, however long each does."""
    async with bench(standalone.uri, database_name) as it:

        async def write(number: int) -> None:
            await asyncio.sleep(number)
            chunk, encoded = a_span(a_life(number=number), 10)
            assert_law(encoded, await it.writer.write(chunk, encoded, compare_first=False))

        with standalone.failing("insert", blockConnection=True, blockTimeMS=3500):
            tasks = [asyncio.create_task(write(number)) for number in range(4)]
            await wait_for(lambda: not it.health.state.ok)
            assert it.health.state.sentence == "it has not answered for 3 s while storing documents"
            await tasks[0]
            seen = set()
            while not tasks[-1].done():
                seen.add(it.health.state.ok)
                await asyncio.sleep(0.01)
            await asyncio.gather(*tasks)
        assert seen == {True}
        assert (it.health.state.retries, set(it.health.retries.values())) == (0, {0})
        assert await it.counts() == (40, 0)


async def test_no_majority_settles_nothing(replica_set: ReplicaSet, database_name: str) -> None:
    """Both secondaries hang: the primary has the documents, but the span is not settled before a majority has them."""
    async with bench(replica_set.uri, database_name, timeout=1.0) as it:
        chunk, encoded = a_span(a_life(), 50)
        one, two = replica_set.secondaries
        with one.frozen(), two.frozen():
            task = asyncio.create_task(it.writer.write(chunk, encoded, compare_first=False))
            await wait_for(lambda: not it.health.state.ok)
            assert not task.done()
        async with asyncio.timeout(30):
            outcome = await task
        assert_law(encoded, outcome)
        replica_set.settled()
        assert await it.counts() == (50, 0)


async def test_failover_in_mid_load(replica_set: ReplicaSet, database_name: str) -> None:
    """The primary is killed with spans in flight: what was settled is there afterwards, once."""
    async with bench(replica_set.uri, database_name, timeout=3.0) as it:
        life = a_life()
        settled = 0
        stop = asyncio.Event()

        async def load(worker: int) -> int:
            nonlocal settled
            start = worker * 50_000_000
            entries = 0
            while not stop.is_set():
                chunk, encoded = a_span(life, 300, start=start, first=100_000)
                assert_law(encoded, await it.writer.write(chunk, encoded, compare_first=False))
                start = chunk.span.end
                entries += 300
                settled += 300
            return entries

        workers = [asyncio.create_task(load(worker)) for worker in range(3)]
        await wait_for(lambda: settled > 3000)
        primary = replica_set.primary
        primary.kill()
        mark = settled
        await wait_for(lambda: settled > mark + 3000, 40)
        await primary.process.start()
        stop.set()
        written = sum(await asyncio.gather(*workers))
        assert await it.counts() == (written, 0)
    await asyncio.to_thread(replica_set.settled)


async def test_why_an_entry_was_there_already(standalone: Server, database_name: str) -> None:
    """Acknowledged and lost on the way back: `lost_reply`, exactly those. Sent again by another run: `replay`."""
    async with bench(standalone.uri, database_name) as it:
        chunk, encoded = a_span(a_life(), 40)
        with standalone.failing("insert", times=1, writeConcernError={"code": 64, "errmsg": "timed out"}):
            outcome = await it.writer.write(chunk, encoded, compare_first=False)
        assert (outcome.inserted, outcome.duplicates, outcome.lost_reply) == (0, 40, 40)
        assert it.health.retries[RetryClass.WRITE_CONCERN] == 1
        for compare_first in (False, True):
            again = await it.writer.write(chunk, encoded, compare_first=compare_first)
            assert (again.inserted, again.duplicates, again.lost_reply, again.repeated) == (0, 40, 0, 0)
