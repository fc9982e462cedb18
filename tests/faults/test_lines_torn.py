"""A line that is torn for longer than every timer, and then finished: also sealed, also over a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.ingested import Tree, trades
from tests.support.servers import Server

from tailrace.ingest.files import seal
from tailrace.ingest.instance import Instance

OLD, NEW = "20250310/9", "20250310/10"
WHOLE, TORN = trades(0, 2), trades(2, 1)


@asynccontextmanager
async def running(tree: Tree) -> AsyncIterator[Instance]:
    """`run`, in this process, with every timer as short as it can be."""
    instance = Instance(tree.settings(poll_interval="10ms", seal_after="1s"), once=False)
    stop = asyncio.Event()
    task = asyncio.create_task(instance.run(stop))
    try:
        yield instance
        stop.set()
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def eventually(instance: Instance, *, lines: int | None = None, open_files: int | None = None) -> None:
    """Until so many lines are settled, or files open."""
    async with asyncio.timeout(30):
        while True:
            figures = list(instance.stats.values())
            settled, opened = sum(each.done.lines for each in figures), sum(each.files_open for each in figures)
            if lines in {None, settled} and open_files in {None, opened} and figures:
                return
            await asyncio.sleep(0.02)


@pytest.fixture
def tree(tmp_path: Path, standalone: Server, database_name: str, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """An older hour with a torn line beside the newest one; a torn file is sealed as soon as any other."""
    monkeypatch.setattr(seal, "TORN_PATIENCE", 1)
    tree = Tree(tmp_path, standalone.uri, database_name)
    tree.write(OLD, WHOLE + TORN[:100])
    tree.write(NEW, trades(10, 1))
    return tree


def stored(tree: Tree) -> list[int]:
    with tree.documents() as documents:
        return sorted(int(each["hash"], 16) for each in documents.find())


async def sealed(instance: Instance) -> None:
    """Both files were read, and only the newest is open still: the torn one outlasted poll, idle and seal."""
    await eventually(instance, lines=3, open_files=2)
    await eventually(instance, open_files=1)


async def test_finished_after_it_was_sealed(tree: Tree) -> None:
    """The file was closed with its torn line; the end of the line is found by the scan, and it is one document."""
    async with running(tree) as instance:
        await sealed(instance)
        tree.write(OLD, TORN[100:200])
        await eventually(instance, open_files=2)
        tree.write(OLD, TORN[200:] + trades(3, 1))
        await eventually(instance, lines=5)
    assert stored(tree) == [0, 1, 2, 3, 10]


async def test_finished_while_stopped_after_it_was_sealed(tree: Tree) -> None:
    """Sealed, stopped, finished, started: it is not taken for finished."""
    async with running(tree) as instance:
        await sealed(instance)
    tree.write(OLD, TORN[100:] + trades(3, 1))
    async with running(tree) as instance:
        await eventually(instance, lines=2)
    assert stored(tree) == [0, 1, 2, 3, 10]


async def test_finished_after_a_restart_that_passed_it_over(tree: Tree) -> None:
    """Sealed, and passed over at the next start since it has not changed; then finished."""
    async with running(tree) as instance:
        await sealed(instance)
    async with running(tree) as instance:
        await eventually(instance, open_files=1)
        await asyncio.sleep(0.3)
        tree.write(OLD, TORN[100:] + trades(3, 1))
        await eventually(instance, lines=2)
    assert stored(tree) == [0, 1, 2, 3, 10]
    report = await asyncio.to_thread(tree.verify)
    assert report.proven
