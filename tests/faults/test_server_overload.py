"""A primary that sheds load or crawls: less is asked of it, and all is stored once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.support.load import Load
from tests.support.proxy import Proxy
from tests.support.servers import Server
from tests.support.tailrace_process import Run, until
from tests.support.under_load import RATE, assert_calm, assert_exact, flags_for, soak, through

WORKERS = 4
LASTS = 60.0 if soak() else 2.0


def attempts_within(seconds: float) -> int:
    """The most attempts that one span makes: pauses are at least half of 0.05, 0.1, 0.2 ... 10 s (backoff.ceiling)."""
    attempts, waited, pause = 1, 0.0, 0.05
    while waited < seconds:
        waited += pause / 2
        pause = min(10.0, 2 * pause)
        attempts += 1
    return attempts


@pytest.mark.timeout(300 if soak() else 240)
def test_an_overloaded_server_is_not_stormed(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """Every insert is refused with code 462 and the labels of an overload: each span in flight backs off
    exponentially, the log has one warning, and all is stored once when it is over."""
    labels = ["SystemOverloadedError", "RetryableError"]
    with Proxy(standalone.process.port) as proxy, Load(tmp_path / "data", 300, rate=RATE) as load:
        flags = flags_for(tmp_path, through(standalone, proxy), database_name, max_workers=str(WORKERS))
        with Run(*flags) as run:
            run.wait_for("live", timeout=60)
            with standalone.failing("insert", errorCode=462, errorLabels=labels):
                run.wait_for("mongodb_trouble")
                before, begun = proxy.requests["insert"], time.monotonic()
                time.sleep(LASTS)
                attempts, lasted = proxy.requests["insert"] - before, time.monotonic() - begun
            print(f"{attempts} inserts in {lasted:.1f} s of overload")
            assert 0 < attempts <= WORKERS * attempts_within(lasted)
            run.wait_for("mongodb_back", timeout=30)
            assert_exact(run, flags, standalone.uri, database_name, load.enough())
        assert_calm(run, 1)
        assert "462" in run.named("mongodb_trouble")[0]["error"]


def test_a_slow_primary(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """Every insert takes half a second: fewer and larger ones are sent, nobody calls it an outage, and all is stored
    once."""
    with Proxy(standalone.process.port) as proxy, Load(tmp_path / "data", 300, rate=RATE) as load:
        flags = flags_for(tmp_path, through(standalone, proxy), database_name, max_workers=str(WORKERS))
        with Run(*flags) as run:
            run.wait_for("live", timeout=60)
            with standalone.failing("insert", blockConnection=True, blockTimeMS=500):
                before, begun = proxy.requests["insert"], time.monotonic()
                until(lambda: proxy.requests["insert"] - before >= 3 * WORKERS, what="some load")
                most = WORKERS * ((time.monotonic() - begun) / 0.5 + 1)
                assert proxy.requests["insert"] - before <= most + WORKERS, "one at a time of each span"
            stopped = assert_exact(run, flags, standalone.uri, database_name, load.enough())
        assert run.named("mongodb_trouble") == []
        assert stopped["duplicates"] == 0
