"""What is concluded from a reply, beside a real collection that knows better.

The replies are made here, since no server refuses single documents on demand for these reasons; what is compared with
them is really stored, or really absent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import bson
import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect, BulkWriteError, InvalidOperation, NetworkTimeout, OperationFailure
from structlog.testing import capture_logs
from tests.support.bench import Bench, bench
from tests.support.servers import Server

from tailrace.errors import RuntimeFailure, Verdict
from tailrace.ingest.mongo.retrying import Attempts
from tailrace.ingest.mongo.settling import Documents, Settlement
from tailrace.model import DuplicateCause, Reason

NOTHING: frozenset[str] = frozenset()
REPLAY, LOST = DuplicateCause.REPLAY, DuplicateCause.LOST_REPLY


def documents(count: int) -> Documents:
    keys = [b"%012d" % number for number in range(count)]
    return {key: bson.encode({"_id": ObjectId(key), "n": number}) for number, key in enumerate(keys)}


def reply(inserted: int, *errors: tuple[int, int, str], concern: int | None = None) -> BulkWriteError:
    """`errors`: (index, code, message)."""
    concerns = [] if concern is None else [{"code": concern, "errmsg": "not met"}]
    found = [{"index": index, "code": code, "errmsg": message} for index, code, message in errors]
    return BulkWriteError({"nInserted": inserted, "writeErrors": found, "writeConcernErrors": concerns})


class Scene:
    """A settlement, a run of attempts that failed twice before, and the server's health as it is reported."""

    def __init__(self, it: Bench, attempts: Attempts) -> None:
        self.it = it
        self.attempts = attempts
        self.settlement = Settlement(it.handles.data, it.retrier, NOTHING)
        attempts.failures = 2

    async def store(self, some: Documents) -> None:
        await self.it.handles.data.insert_many([bson.decode(document) for document in some.values()])

    @property
    def reported(self) -> tuple[Verdict | None, str]:
        return self.it.health.state.verdict, self.it.health.state.sentence


@asynccontextmanager
async def scene(server: Server, database: str) -> AsyncIterator[Scene]:
    async with bench(server.uri, database) as it:
        with it.retrier.attempts("storing documents") as attempts:
            yield Scene(it, attempts)


async def test_documents_refused_for_a_passing_reason_are_tried_again(standalone: Server, database_name: str) -> None:
    """And only those: after a pause, compared first, nothing of them settled; the worst reason is the one reported."""
    async with scene(standalone, database_name) as it:
        ours = documents(6)
        keys = list(ours)
        await it.store({keys[0]: ours[keys[0]], keys[5]: ours[keys[5]]})
        errors = [(1, 91, "going"), (2, 13, "no right"), (3, 11000, "dup"), (4, 121, "rule"), (5, 11000, "dup")]
        left = await it.settlement._partly(it.attempts, ours, reply(1, *errors), REPLAY)
        assert left == [({key: ours[key] for key in keys[1:4]}, REPLAY)]
        assert (it.settlement.inserted, it.settlement.duplicates, it.settlement.unlisted) == (1, 1, 0)
        assert {key: refusal.reason for key, refusal in it.settlement.refused.items()} == {
            keys[4]: Reason.SERVER_REFUSED
        }
        assert it.reported == (Verdict.OPERATOR, "no right (code 13)")
        assert it.attempts.failures == 3


async def test_of_two_passing_reasons_the_first_is_reported(standalone: Server, database_name: str) -> None:
    async with scene(standalone, database_name) as it:
        ours = documents(4)
        errors = [(0, 11000, "dup"), (1, 91, "first"), (2, 189, "second"), (3, 91, "third")]
        left = await it.settlement._partly(it.attempts, ours, reply(0, *errors), REPLAY)
        assert left == [(ours, REPLAY)]
        assert it.reported == (Verdict.RETRY, "first (code 91)")


async def test_a_document_s_error_that_is_a_defect_stops(standalone: Server, database_name: str) -> None:
    """Corruption on the server is nothing to go on from, and nothing to keep aside for."""
    async with scene(standalone, database_name) as it:
        with pytest.raises(RuntimeFailure, match=r"storing documents: corrupt \(code 301\)"):
            await it.settlement._partly(it.attempts, documents(1), reply(0, (0, 301, "corrupt")), REPLAY)
        assert it.settlement.refused == {}


@pytest.mark.parametrize(("failures", "quiet"), [(0, True), (4, True), (5, False), (6, False)])
async def test_a_duplicate_that_no_majority_shows_yet_is_waited_for(
    standalone: Server, database_name: str, failures: int, quiet: bool
) -> None:
    """It is never settled on the error alone. Five quick looks are no trouble, more are reported."""
    async with scene(standalone, database_name) as it:
        it.attempts.failures = failures
        ours = documents(2)
        left = await it.settlement._partly(it.attempts, ours, reply(0, (0, 11000, "dup"), (1, 11000, "dup")), REPLAY)
        assert left == [(ours, REPLAY)]
        assert (it.settlement.duplicates, it.settlement.refused) == (0, {})
        assert it.it.health.state.ok is quiet
        assert it.attempts.failures == failures + 1
        assert quiet or "not visible to the majority yet" in it.it.health.state.sentence


async def test_when_nothing_is_left_the_trouble_is_over(standalone: Server, database_name: str) -> None:
    """All inserted, proven or refused: the next failure is the first again."""
    async with scene(standalone, database_name) as it:
        ours = documents(3)
        keys = list(ours)
        await it.store({key: ours[key] for key in keys[:2]})
        await it.attempts.wait(Verdict.RETRY, "before")
        left = await it.settlement._partly(it.attempts, ours, reply(1, (1, 11000, "dup"), (2, 424_242, "why")), REPLAY)
        assert left == []
        assert (it.settlement.inserted, it.settlement.duplicates, it.settlement.unlisted) == (1, 1, 1)
        assert it.it.health.state.ok
        assert it.attempts.failures == 0


@pytest.mark.parametrize(("code", "expected"), [(100, Verdict.OPERATOR), (64, Verdict.RETRY), (424_242, Verdict.RETRY)])
async def test_a_write_concern_error_settles_nothing_and_is_reported(
    standalone: Server, database_name: str, code: int, expected: Verdict
) -> None:
    """Not even what the same reply counts as inserted or names as a duplicate. Comes again, compared first."""
    async with scene(standalone, database_name) as it:
        ours = documents(2)
        left = await it.settlement._partly(it.attempts, ours, reply(1, (1, 11000, "dup"), concern=code), REPLAY)
        assert left == [(ours, LOST)], "what was inserted is ours, and will be found"
        assert (it.settlement.inserted, it.settlement.duplicates, it.settlement.refused) == (0, 0, {})
        assert it.reported == (expected, "write concern not met: not met")
        assert it.attempts.failures == 3


async def test_a_command_without_an_answer_comes_again_compared_first(standalone: Server, database_name: str) -> None:
    """In halves, in order, when it was too slow for its size; whole when the connection broke."""
    async with scene(standalone, database_name) as it:
        ours = documents(101)
        assert await it.settlement._failed(it.attempts, ours, AutoReconnect("reset"), REPLAY) == [(ours, LOST)]
        assert (it.attempts.failures, it.reported[0]) == (3, Verdict.RETRY)
        left = await it.settlement._failed(it.attempts, ours, NetworkTimeout("timed out"), REPLAY)
        assert [(len(part), compare) for part, compare in left] == [(51, LOST), (50, LOST)]
        assert [key for part, _ in reversed(left) for key in part] == list(ours)
        with pytest.raises(RuntimeFailure):
            await it.settlement._failed(it.attempts, ours, InvalidOperation("closed"), REPLAY)


async def test_a_command_refused_as_a_whole_is_cut_down_to_the_document(standalone: Server, database_name: str) -> None:
    """The halves hold all, in order, and need no comparing: the server took none. A single one is read before it is
    refused."""
    async with scene(standalone, database_name) as it:
        ours = documents(3)
        keys = list(ours)
        refusal: Any = OperationFailure("why", 424_242)
        left = await it.settlement._failed(it.attempts, ours, refusal, REPLAY)
        assert left == [({key: ours[key] for key in keys[1:]}, None), ({keys[0]: ours[keys[0]]}, None)]
        await it.store({keys[0]: ours[keys[0]]})
        await it.attempts.wait(Verdict.RETRY, "before")
        for key in keys[:2]:
            assert await it.settlement._failed(it.attempts, {key: ours[key]}, refusal, REPLAY) == []
            assert (it.attempts.failures, it.it.health.state.ok) == (0, True)
        assert (it.settlement.duplicates, list(it.settlement.refused), it.settlement.unlisted) == (1, [keys[1]], 1)


async def test_an_insert_that_works_ends_the_trouble(standalone: Server, database_name: str) -> None:
    async with scene(standalone, database_name) as it:
        await it.attempts.wait(Verdict.RETRY, "before")
        assert await it.settlement._attempt(it.attempts, documents(2), None) == []
        assert (it.attempts.failures, it.it.health.state.ok, it.settlement.inserted) == (0, True, 2)


@pytest.mark.parametrize(("code", "reads"), [(50, 3), (11600, 2)])
async def test_comparing_is_tried_again_in_halves_when_it_was_too_slow(
    standalone: Server, database_name: str, code: int, reads: int
) -> None:
    """The trouble is reported, every document is compared once in the end, and what is absent keeps its order."""
    async with scene(standalone, database_name) as it:
        ours = documents(101)
        keys = list(ours)
        await it.store({key: ours[key] for key in keys[::2]})
        it.it.commands.sent.clear()
        with capture_logs() as logs, standalone.failing("find", times=1, errorCode=code):
            absent = await it.settlement._compare(ours, LOST)
        assert list(absent) == keys[1::2]
        assert (it.settlement.duplicates, it.settlement.lost_reply) == (51, 51)
        assert it.it.commands.names().count("find") == reads
        assert "mongodb_trouble" in [entry["event"] for entry in logs]
