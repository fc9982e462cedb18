"""A standalone mongod that is killed, frozen or gone under load: exact, calm, and over within seconds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.support.ingested import line, trade
from tests.support.load import Load
from tests.support.servers import Server
from tests.support.tailrace_process import Run, hour_file
from tests.support.under_load import MEMORY, RATE, assert_calm, assert_exact, flags_for, peak, random_from_seed, soak


@pytest.mark.timeout(600 if soak() else 240)
def test_mongod_killed_again_and_again(tmp_path: Path, own_server: Server, database_name: str) -> None:
    """mongod is killed with -9 at random moments under load and started again: every line is stored once, and each
    outage is one warning and one line when it is over."""
    rng = random_from_seed()
    kills = 20 if soak() else 3
    flags = flags_for(tmp_path, own_server.uri, database_name)
    with Load(tmp_path / "data", 600, rate=RATE) as load, Run(*flags) as run:
        run.wait_for("live", timeout=60)
        for number in range(kills):
            time.sleep(rng.uniform(0.2, 1.5))  # the moment of the kill is what is random here
            own_server.kill()
            run.wait_for("mongodb_trouble", count=number + 1)
            time.sleep(rng.uniform(0.0, 1.0))
            own_server.start()
            run.wait_for("mongodb_back", count=number + 1)
        written = load.enough()
        assert_exact(run, flags, own_server.uri, database_name, written)
    assert_calm(run, kills)


@pytest.mark.timeout(900 if soak() else 240)
def test_mongod_frozen_for_longer_than_every_timeout(tmp_path: Path, own_server: Server, database_name: str) -> None:
    """mongod holds its connections and answers nothing (SIGSTOP) until every limit of the client has passed, several
    times over: every line is stored once, the server is retried without a line per attempt."""
    frozen_for = 100.0 if soak() else 4.0
    flags = flags_for(tmp_path, own_server.uri, database_name)
    if not soak():  # the longest limit of the client: 500 ms between heartbeats and 1 s for each
        options = "&heartbeatFrequencyMS=500&connectTimeoutMS=1000"
        flags = flags_for(tmp_path, own_server.uri + options, database_name, write_timeout="1s")
    with Load(tmp_path / "data", 600, rate=RATE) as load, Run(*flags) as run:
        run.wait_for("live", timeout=60)
        with own_server.frozen():
            run.wait_for("mongodb_trouble")
            time.sleep(frozen_for)
            assert not run.named("mongodb_back")
        thawed = time.monotonic()
        run.wait_for("mongodb_back", timeout=30)
        print(f"over {time.monotonic() - thawed:.1f} s after the thaw")
        written = load.enough()
        assert_exact(run, flags, own_server.uri, database_name, written)
    assert_calm(run, 1)
    assert run.named("mongodb_back")[-1]["retries"] >= 3


@pytest.mark.timeout(1200 if soak() else 240)
def test_mongod_gone_for_minutes(tmp_path: Path, own_server: Server, database_name: str) -> None:
    """mongod is stopped while the node goes on writing: reading stops, memory stays bounded, and once it is back all
    that was written meanwhile is stored within seconds."""
    gone_for = 300.0 if soak() else 4.0
    flags = flags_for(tmp_path, own_server.uri, database_name)
    with Load(tmp_path / "data", 1200, rate=RATE) as load, Run(*flags) as run:
        run.wait_for("live", timeout=60)
        own_server.stop()
        run.wait_for("mongodb_trouble")
        time.sleep(gone_for)
        own_server.start()
        back = time.monotonic()
        run.wait_for("mongodb_back", timeout=30)
        print(f"over {time.monotonic() - back:.1f} s after the start")
        written = load.enough()
        assert_exact(run, flags, own_server.uri, database_name, written)
    assert_calm(run, 1)
    assert run.named("mongodb_back")[-1]["after_s"] > gone_for - 1


def test_a_backlog_larger_than_memory_while_mongod_hangs(
    tmp_path: Path, own_server: Server, database_name: str
) -> None:
    """80 MB appear while mongod answers nothing: as much is read as may be in flight, and no more."""
    block = b"".join(line(trade(number)) for number in range(1000))
    flags = flags_for(tmp_path, own_server.uri, database_name)
    hour_file(tmp_path / "data", "20250310/9").write_bytes(block)
    with Run(*flags) as run:
        run.wait_for("live", timeout=60)
        with own_server.frozen(), hour_file(tmp_path / "data", "20250310/9").open("ab") as file:
            for _ in range(80_000_000 // len(block)):
                file.write(block)
            run.wait_for("mongodb_trouble")
            time.sleep(1.5)  # without a bound 60 MB would be read and encoded by now
            most = peak(run.process.pid)
        print(f"peak {most / 1e6:.1f} MB")
        assert most < MEMORY
        run.kill()
