"""Rejects on a real server: whole, once, in parts where they are large, and read back."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.bench import HOUR, Bench, a_life, a_span, bench
from tests.support.servers import Server

from tailrace import identity
from tailrace.errors import FileRewritten, RuntimeFailure
from tailrace.ingest.mongo.connection import seconds_of
from tailrace.ingest.mongo.reject_queries import RejectFilter, RejectHead, RejectReader
from tailrace.ingest.mongo.rejects import PART_SIZE
from tailrace.model import LongLine, Offset, Reason, Reject, Span


def a_reject(data: bytes, *, start: int = 0, reason: Reason = Reason.JSON, index: int = 0) -> Reject:
    return Reject(
        start=Offset(start), end=Offset(start + len(data) + 1), index=index, reason=reason, detail="why", data=data
    )


async def write_rejects(it: Bench, *rejects: Reject) -> None:
    chunk, encoded = a_span(a_life(), 1)
    outcome = await it.writer.write(chunk, replace(encoded, rejects=list(rejects)), compare_first=False)
    assert outcome.rejected == len(rejects)


async def all_heads(it: Bench, which: RejectFilter | None = None, **more: int) -> list[RejectHead]:
    reader = RejectReader(it.handles.rejects, it.retrier)
    return [head async for head in reader.find(which or RejectFilter(), **more)]


async def bytes_of(it: Bench, head: RejectHead) -> bytes:
    return b"".join([part async for part in RejectReader(it.handles.rejects, it.retrier).load_bytes(head)])


async def test_a_reject_is_kept_with_its_place_and_bytes(standalone: Server, database_name: str) -> None:
    """Every field of the head, and the bytes as they were; an `_id` that follows from place and bytes."""
    async with bench(standalone.uri, database_name) as it:
        data = b'{"broken": \xff'
        await write_rejects(it, a_reject(data, start=70, index=2))
        (document,) = await it.heads()
        life = a_life()
        assert document["_id"] == identity.reject_id(identity.position_id(life.prefix, 70, 2), data)
        assert seconds_of(document["hour"]) == HOUR
        (head,) = await all_heads(it)
        assert head.reject(data) == a_reject(data, start=70, index=2)
        assert (head.source, head.family, head.path, head.prefix) == ("node", "node_trades", life.path, life.prefix)
        assert (head.size, head.parts, document["encoding"]) == (len(data), 1, "zstd")
        assert await bytes_of(it, head) == data


async def test_the_same_reject_again_is_a_no_op(standalone: Server, database_name: str) -> None:
    """Written three times it is there once; other bytes at the same place are another reject."""
    async with bench(standalone.uri, database_name) as it:
        for _ in range(3):
            await write_rejects(it, a_reject(b"bad"), a_reject(b"", start=9, reason=Reason.EMPTY))
        await write_rejects(it, a_reject(b"worse"))
        assert sorted([await bytes_of(it, head) for head in await all_heads(it)]) == [b"", b"bad", b"worse"]
        assert await it.handles.rejects.count_documents({}) == 3


@pytest.mark.parametrize("size", [PART_SIZE, PART_SIZE + 1, 3 * PART_SIZE - 1])
async def test_large_rejects_lie_in_parts(standalone: Server, database_name: str, size: int) -> None:
    """Incompressible bytes over 8 MiB: parts first, the head last, whole when read back, no-op when kept again."""
    async with bench(standalone.uri, database_name) as it:
        data = random.Random(size).randbytes(size)
        it.commands.sent.clear()
        await write_rejects(it, a_reject(data))
        updates = [command["updates"] for name, command in it.commands.sent if name == "update"]
        sizes = [len(update[0]["q"]["_id"]) for update in updates]
        parts = -(-size // PART_SIZE)
        assert sizes == [24] * (parts - 1) + [20]
        await write_rejects(it, a_reject(data))
        (head,) = await all_heads(it)
        assert head.parts == parts
        assert await it.handles.rejects.count_documents({}) == parts
        assert await bytes_of(it, head) == data


def long_line(path: Path, size: int, blocks: Callable[[], Iterator[bytes]] | None = None) -> LongLine:
    def read() -> Iterator[bytes]:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                yield block

    return LongLine(Span(a_life(), Offset(100), Offset(100 + size + 1)), blocks or read)


async def test_a_long_line_is_kept_in_constant_memory(standalone: Server, database_name: str, tmp_path: Path) -> None:
    """70 MiB in one line: whole when read back, the `_id` as if it had been hashed at once, memory a few parts."""
    path = tmp_path / "line"
    noise = random.Random(1).randbytes(1 << 20)
    with path.open("wb") as file:
        for number in range(70):
            file.write(noise[number:] + noise[:number])
    data = path.read_bytes()
    async with bench(standalone.uri, database_name) as it:
        it.commands.keep = False  # else it would hold the whole line
        tracemalloc.start()
        outcome = await it.writer.write_long_line(long_line(path, len(data)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (outcome.lines, outcome.rejects) == (1, {Reason.TOO_LONG: 1})
        assert peak < 64 << 20
        (head,) = await all_heads(it)
        assert head.key == identity.reject_id(identity.position_id(a_life().prefix, 100), data)
        assert (head.size, head.parts, head.reason) == (len(data), 9, Reason.TOO_LONG)
        assert await bytes_of(it, head) == data


async def test_a_long_line_that_changes_is_not_kept(standalone: Server, database_name: str, tmp_path: Path) -> None:
    """Other bytes at the second reading, more or fewer of them: FileRewritten, and no head."""
    for second in (b"b" * 100, b"a" * 99, b"a" * (PART_SIZE + 1)):
        turns = iter([[b"a" * 100], [second]])

        def blocks(turns: Iterator[list[bytes]] = turns) -> Iterator[bytes]:
            return iter(next(turns))

        async with bench(standalone.uri, database_name) as it:
            line = long_line(tmp_path, 100, blocks)
            with pytest.raises(FileRewritten):
                await it.writer.write_long_line(line)
            assert await it.heads() == []


async def test_rejects_are_found_by_filter_and_deleted_whole(standalone: Server, database_name: str) -> None:
    """Reason, hour, file; in pages; `get` by id; deleting takes the parts along and leaves the others."""
    async with bench(standalone.uri, database_name) as it:
        big = random.Random(0).randbytes(PART_SIZE + 5)
        reasons = [Reason.JSON, Reason.UTF8, Reason.JSON]
        await write_rejects(
            it, *[a_reject(b"x%d" % n, start=10 * n, reason=reason) for n, reason in enumerate(reasons)]
        )
        await write_rejects(it, a_reject(big, start=500, reason=Reason.TOO_LARGE))
        reader = RejectReader(it.handles.rejects, it.retrier)
        assert await reader.counts(RejectFilter()) == {Reason.JSON: 2, Reason.TOO_LARGE: 1, Reason.UTF8: 1}
        assert [head.start for head in await all_heads(it, page=1)] == [0, 10, 20, 500]
        assert [head.start for head in await all_heads(it, limit=3, page=2)] == [0, 10, 20]
        assert [head.start for head in await all_heads(it, RejectFilter(reasons=frozenset({Reason.JSON})))] == [0, 20]
        assert await all_heads(it, RejectFilter(since=HOUR + 3600)) == []
        assert len(await all_heads(it, RejectFilter(since=HOUR, path=a_life().path, source="node"))) == 4
        assert await all_heads(it, RejectFilter(path="/other")) == []
        *_, large = await all_heads(it)
        assert await reader.get(large.key) == large
        assert await reader.get(bytes(20)) is None
        await reader.delete([large])
        assert await it.handles.rejects.count_documents({}) == 3


async def test_a_missing_part_is_said(standalone: Server, database_name: str) -> None:
    """Somebody deleted a part by hand: reading it back fails loudly instead of giving half of the bytes."""
    async with bench(standalone.uri, database_name) as it:
        await write_rejects(it, a_reject(random.Random(0).randbytes(PART_SIZE + 5)))
        await it.handles.rejects.delete_one({"part": 1})
        (head,) = await all_heads(it)
        with pytest.raises(RuntimeFailure, match=r"part 1 .* is missing"):
            await bytes_of(it, head)


async def test_keeping_rejects_is_retried(standalone: Server, database_name: str) -> None:
    """Three lost answers, then kept, once."""
    async with bench(standalone.uri, database_name) as it:
        with standalone.failing("update", times=3, closeConnection=True):
            await write_rejects(it, a_reject(b"bad"))
        assert len(await it.heads()) == 1


async def test_many_rejects_of_one_span(standalone: Server, database_name: str) -> None:
    """More than one command holds; all of them, in order of place."""
    async with bench(standalone.uri, database_name) as it:
        await write_rejects(it, *[a_reject(b"line %d" % n, start=20 * n) for n in range(2500)])
        assert [head.start for head in await all_heads(it)] == [20 * n for n in range(2500)]


async def test_a_server_that_shuts_down_does_not_end_us(standalone: Server, database_name: str) -> None:
    """A reply that the write concern was not met because the server is going: tried again, and kept."""
    async with bench(standalone.uri, database_name) as it:
        error = {"code": 91, "errmsg": "Replication is being shut down"}
        with standalone.failing("update", times=2, writeConcernError=error):
            await write_rejects(it, a_reject(b"bad"))
        assert len(await it.heads()) == 1
