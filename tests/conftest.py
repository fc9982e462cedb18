"""Fixtures for every folder: real servers, started once and always stopped; coroutine tests run by asyncio.run."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from tests.support import roles
from tests.support.servers import ReplicaSet, Server

if roles.authenticated():
    roles.tests_connect_as_admin()

_numbers = itertools.count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """An `async def` test runs in an event loop of its own."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}

    async def run() -> None:
        try:
            await test(**arguments)
        finally:
            # A driver's monitor that was just connecting closes its socket when it gets the chance (PyMongo 4.20).
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if others:
                await asyncio.wait(others, timeout=1)

    asyncio.run(run())
    return True


@pytest.fixture(scope="session")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A standalone mongod for all tests. One that kills its server wants `own_server`."""
    server = Server(tmp_path_factory.mktemp("standalone"))
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def replica_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    """Three members on the loopback. A test that stops some starts them again and calls `settled`."""
    members = ReplicaSet(tmp_path_factory.mktemp("replica-set"))
    try:
        members.start()
        yield members
    finally:
        members.stop()


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A standalone for this test alone, started: to kill, to freeze. Inside a coroutine test start it again with
    `await server.process.start()`: the event loop is running, and a helper thread would take it along when it ends."""
    server = Server(tmp_path_factory.mktemp("own-server"))
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def lazy_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As `own_server`, but its journal is synced every 500 ms only (the most there is) unless a write asks for it."""
    server = Server(tmp_path_factory.mktemp("lazy-server"), "--journalCommitInterval", "500")
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(autouse=True)
def default_logs() -> Iterator[None]:
    """A test that sets up the logs (a command run in this process) does not set them up for those after it."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def database_name() -> str:
    """A fresh name for each test, so that no test sees another's documents."""
    return f"test_{os.getpid()}_{next(_numbers)}"
