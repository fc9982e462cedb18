"""A network that breaks between tailrace and mongod, by a proxy that cuts at the borders of messages: exact."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from tests.support.bench import a_life, a_span, bench
from tests.support.load import Load
from tests.support.proxy import Proxy
from tests.support.servers import Server
from tests.support.tailrace_process import Run, until
from tests.support.under_load import RATE, assert_calm, assert_exact, flags_for, random_from_seed, soak, through

TIMES = 40 if soak() else 5
ENDINGS = ["close", "reset", "hang"]
pytestmark = pytest.mark.timeout(600 if soak() else 240)


def one_after_another(proxy: Proxy, rng: Random, kind: str, times: int, plan: Callable[[], None]) -> None:
    """`times` faults of a kind, each planned at a random moment and waited for."""
    for number in range(1, times + 1):
        time.sleep(rng.uniform(0.0, 0.3))  # the moment is what is random here
        plan()
        until(lambda number=number: proxy.happened[kind] >= number, what=f"{kind} number {number}")  # type: ignore[misc]  # bound now
    assert proxy.happened[kind] == times


def test_the_reply_is_lost_after_the_write_was_applied(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """The server applies an insert and its reply never comes (closed, reset, or silent for ever): our own documents are
    found by comparing, counted as duplicates, and stored once."""
    rng = random_from_seed()
    with Proxy(standalone.process.port) as proxy, Load(tmp_path / "data", 300, rate=RATE) as load:
        flags = flags_for(tmp_path, through(standalone, proxy), database_name, write_timeout="1s")
        with Run(*flags) as run:
            run.wait_for("live", timeout=60)
            endings = iter(
                [*("close", "reset", "hang"), *(rng.choice(["close", "reset", "hang"]) for _ in range(TIMES))]
            )
            one_after_another(proxy, rng, "lost_reply", TIMES, lambda: proxy.lose_reply("insert", ending=next(endings)))
            stopped = assert_exact(run, flags, standalone.uri, database_name, load.enough())
        assert_calm(run, TIMES)
        assert stopped["duplicates"] >= TIMES, "each lost reply was to an insert of one document at least"


def test_reset_in_mid_message(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """A connection is reset (RST) after some bytes of an insert, or of its reply: what was applied is found, what was
    not is inserted, each once."""
    rng = random_from_seed()
    with Proxy(standalone.process.port) as proxy, Load(tmp_path / "data", 300, rate=RATE) as load:
        flags = flags_for(tmp_path, through(standalone, proxy), database_name)
        with Run(*flags) as run:
            run.wait_for("live", timeout=60)
            one_after_another(proxy, rng, "cut_request", TIMES, lambda: proxy.reset_request("insert", rng.random()))
            one_after_another(proxy, rng, "cut_reply", TIMES, lambda: proxy.reset_reply("insert", rng.random()))
            stopped = assert_exact(run, flags, standalone.uri, database_name, load.enough())
        assert_calm(run, 2 * TIMES)
        assert stopped["duplicates"] >= TIMES, "each cut reply was to an insert of one document at least"


def test_half_open_connections(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """All connections fall silent without an end (no FIN, no RST) and stay so, while new ones work again 3 s later: the
    heartbeat notices, sooner than `write_timeout` (30 s), and all is stored once."""
    short = "" if soak() else "&heartbeatFrequencyMS=500&connectTimeoutMS=1000"
    with Proxy(standalone.process.port) as proxy, Load(tmp_path / "data", 300, rate=RATE) as load:
        flags = flags_for(tmp_path, through(standalone, proxy) + short, database_name)
        with Run(*flags) as run:
            run.wait_for("live", timeout=60)
            proxy.swallow = True
            run.wait_for("mongodb_trouble")
            proxy.swallow = False
            healed = time.monotonic()
            run.wait_for("mongodb_back", timeout=20)
            print(f"over {time.monotonic() - healed:.1f} s after new connections work again")
            assert_exact(run, flags, standalone.uri, database_name, load.enough())
        assert_calm(run, 1)
        assert proxy.happened["swallowed"] > 0


def test_a_slow_trickle(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """A line so slow that no full batch gets through within `write_timeout`: batches shrink until they do, so what was
    written is stored, once, instead of being tried for ever."""
    with Proxy(standalone.process.port) as proxy, Load(tmp_path / "data", 0.8) as load:
        written = load.written()
        flags = flags_for(tmp_path, through(standalone, proxy), database_name, write_timeout="1s", max_workers="4")
        with Run(*flags) as run:
            run.wait_for("starting")
            proxy.rate = 400_000.0  # bytes a second and connection; a full span makes more than 1 MB
            run.wait_for("live", timeout=60)
            proxy.rate = None
            assert_exact(run, flags, standalone.uri, database_name, written)
        assert_calm(run, 10)  # at least one: the limit was reached


async def test_a_proof_over_a_slow_line(standalone: Server, database_name: str) -> None:
    """What is stored already is compared in smaller parts when reading all of it takes longer than `write_timeout`."""
    with Proxy(standalone.process.port) as proxy:
        async with bench(through(standalone, proxy), database_name, timeout=1.0) as it:
            chunk, encoded = a_span(a_life(), 1000, filling="x" * 1000)
            await it.writer.write(chunk, encoded, compare_first=False)
            proxy.rate = 400_000.0
            async with asyncio.timeout(30):
                outcome = await it.writer.write(chunk, encoded, compare_first=True)
            assert outcome.duplicates == 1000
            assert it.commands.names().count("find") >= 3, "it was cut"


def test_latency(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """150 ms each way, as to another continent: no trouble, and the source goes live though something is in flight all
    the time."""
    with Proxy(standalone.process.port) as proxy, Load(tmp_path / "data", 300, rate=RATE) as load:
        flags = flags_for(tmp_path, through(standalone, proxy), database_name)
        with Run(*flags) as run:
            run.wait_for("catching_up")
            assert run.named("live") == []
            proxy.latency = 0.15
            run.wait_for("live", timeout=60)
            assert load.writing
            proxy.latency = 0.0
            stopped = assert_exact(run, flags, standalone.uri, database_name, load.enough())
        assert stopped["duplicates"] == 0
        assert run.named("mongodb_trouble") == []
