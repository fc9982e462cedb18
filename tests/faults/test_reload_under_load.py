"""Reloads while a node writes: whatever changes, and whoever comes and goes, nothing is lost and nothing is doubled."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from random import Random
from typing import Any

from tests.support.counting import count, hours_of_tree
from tests.support.load import Load, counts
from tests.support.servers import Server
from tests.support.tailrace_process import Run, tailrace, until
from tests.support.under_load import random_from_seed

SECONDS = 15.0  # that the node writes
EVERY = 0.7  # seconds between two reloads
LEAST = 12  # reloads that must have been, or the test has shown nothing
FROZEN = 3.0  # seconds


def test_nothing_is_lost_or_doubled_across_reloads(tmp_path: Path, own_server: Server, database_name: str) -> None:
    """2,800 entries a second, an hour every three seconds, a reload every 0.7 s that changes limits and adds or removes
    a second source; mongod frozen in the middle. Both collections hold each line once, and `verify` agrees."""
    rng = random_from_seed()
    config, state = tmp_path / "tailrace.toml", tmp_path / "state"
    flags = ("--config", str(config), "--mongodb-uri", own_server.uri)
    write(config, rng, tmp_path, database_name, guest=True)
    with Load(tmp_path / "data", SECONDS) as load, Load(tmp_path / "guest", SECONDS, rate=300.0) as guest:
        until(lambda: hours_of_tree(tmp_path / "data") != {} != hours_of_tree(tmp_path / "guest"))
        with Run(*flags, "--state-dir", str(state)) as run:
            run.wait_for("live", count=2)
            begun, there, frozen = time.monotonic(), True, False
            while load.writing:
                there = not there if rng.random() < 0.5 else there
                write(config, rng, tmp_path, database_name, guest=there)
                before = len(run.named("reloaded"))
                run.process.send_signal(signal.SIGHUP)
                if not frozen and time.monotonic() - begun > SECONDS / 3:
                    frozen = True
                    with own_server.frozen():
                        time.sleep(FROZEN)
                run.wait_for("reloaded", 20, before + 1)
                time.sleep(rng.uniform(0.0, 2 * EVERY - 0.4))
            assert frozen
            write(config, rng, tmp_path, database_name, guest=True)
            run.process.send_signal(signal.SIGHUP)
            written = {"node_trades": load.written(), "guests": guest.written()}
            for name, each in written.items():
                expected = (each.good, sum(each.bad.values()))
                until(lambda: counts(own_server.uri, database_name, collection=name) == expected, 20, f"all of {name}")  # noqa: B023  it is called before the next turn
            run.stop()
        reloads, accounts = run.named("reloaded"), run.named("stopped")
        print(f"{len(reloads)} reloads, {len(accounts)} accounts")
        assert len(reloads) >= LEAST
        assert any("removed" in each for reload in reloads for each in reload["changed"]), "the guest never went"
        assert not run.named("source_not_started")
        assert not run.named("reload_refused")
        assert not run.named("unaccounted")
    for name, place in (("node_trades", "data"), ("guests", "guest")):
        tally = count(own_server.uri, database_name, hours_of_tree(tmp_path / place), collection=name)
        assert tally.exact, f"{name}: {tally}"
        assert tally.entries == written[name].entries
        assert sum(each["entries"] for each in accounts if f".{name}" in each["source"]) >= tally.entries
    proof = tailrace("verify", *flags, "--state-dir", str(state))
    assert proof.returncode == 0, proof.stdout + proof.stderr


def write(config: Path, rng: Random, place: Path, database: str, *, guest: bool) -> None:
    """A configuration with limits drawn anew, with the second source or without."""
    draw = rng.choice
    limits: dict[str, Any] = {
        "poll_interval": draw(("20ms", "100ms", "1s")),
        "seal_after": draw(("1s", "2s", "1m")),
        "max_workers": draw((1, 2, 16)),
        "max_in_flight_bytes": draw(("64KiB", "1MiB", "64MiB")),
        "write_timeout": draw(("1s", "2s", "30s")),
        "retry_max_delay": draw(("100ms", "1s")),
        "shutdown_grace": draw(("0", "1s", "8s")),
        "log_level": draw(("info", "debug")),
    }
    text = f'database = "{database}"\n'
    text += "".join(f"{name} = {value if isinstance(value, int) else repr(value)}\n" for name, value in limits.items())
    text += f'\n[[sources]]\nroot = "{place / "data"}"\nstream = "node_trades"\n'
    if guest:
        text += (
            f'\n[[sources]]\nroot = "{place / "guest"}"\nstream = "node_trades"\nsource = "g"\ncollection = "guests"\n'
        )
    whole = config.with_suffix(".new")
    whole.write_text(text)
    whole.replace(config)
