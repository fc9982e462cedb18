"""A real `tailrace run` beside a node that writes, and the verdict at the end: all of it, once, in bounded memory."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from random import Random

from pymongo.errors import PyMongoError
from tests.support.counting import count, hours_of_tree
from tests.support.load import exact
from tests.support.proxy import Proxy
from tests.support.servers import Server
from tests.support.tailrace_process import Event, Run, tailrace, until

from tailrace.simulator import Manifest

IN_FLIGHT = 8 * 1024 * 1024
"""Bytes: `max_in_flight_bytes` of these runs."""

RATE = 1500.0
"""Entries a second that the node writes, about 1 MB/s: half of what the design asks for; the machine is shared."""

MEMORY = 80 * 1024 * 1024 + 4 * IN_FLIGHT
"""Bytes: what the process may ever have taken. The program itself takes about 75 MB; a span in flight is held as
lines, as documents, and as the driver's message."""

SOAK = "TAILRACE_SOAK"
"""Variable: set for the long forms."""


def soak() -> bool:
    return bool(os.environ.get(SOAK))


def random_from_seed() -> Random:
    """Repeatable with TAILRACE_TEST_SEED; says the seed, which pytest shows when a test fails."""
    seed = int(os.environ.get("TAILRACE_TEST_SEED") or int.from_bytes(os.urandom(4)))
    print(f"TAILRACE_TEST_SEED={seed}")
    return Random(seed)


def flags_for(directory: Path, uri: str, database: str, **more: str) -> list[str]:
    """Of a run on `directory`/data. `more`: settings by name; the limits are short unless they say otherwise."""
    settings = {
        "root": str(directory / "data" / "node_trades"),
        "mongodb_uri": uri,
        "database": database,
        "state_dir": str(directory / "state"),
        "poll_interval": "100ms",
        "max_in_flight_bytes": f"{IN_FLIGHT}B",
        **more,
    }
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]


def through(server: Server, proxy: Proxy) -> str:
    """The server's URI by way of the proxy."""
    return server.uri.replace(f":{server.process.port}", f":{proxy.port}")


def checkpoint(directory: Path) -> int:
    """Bytes below the checkpoints of a run of `flags_for`, all files together."""
    path = directory / "state" / "checkpoints.sqlite3"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as state:
        [(total,)] = state.execute("SELECT coalesce(sum(offset), 0) FROM checkpoint")
    return int(total)


def peak(pid: int) -> int:
    """Bytes of memory that a process has ever held (proc(5), VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def all_there(uri: str, database: str, written: Manifest) -> bool:
    """`exact`; a server that does not answer is "not yet"."""
    with suppress(PyMongoError):
        return exact(uri, database, written)
    return False


def assert_exact(run: Run, flags: list[str], uri: str, database: str, written: Manifest) -> Event:
    """Everything written is stored once, memory stayed bounded, `verify` agrees. Stops the run; its `stopped` event."""
    limit = 90 + written.entries / 1000  # seconds; a quiet machine stores ten times as many
    until(lambda: all_there(uri, database, written), limit, "every line stored once")
    most = peak(run.process.pid)
    stopped = run.stop()
    print(f"peak {most / 1e6:.1f} MB, {written.entries} entries, {stopped}")
    assert stopped["unaccounted"] == 0
    assert most < MEMORY, f"{most} bytes"
    assert exact(uri, database, written), "nothing was added by stopping"
    tally = count(uri, database, hours_of_tree(Path(flags[flags.index("--root") + 1]).parent))
    assert tally.exact, tally
    assert (tally.stored, tally.kept) == (written.good, sum(written.bad.values())), tally
    proof = tailrace("verify", *flags, timeout=60 + limit)
    assert proof.returncode == 0, proof.stdout + proof.stderr
    return stopped


def assert_calm(run: Run, outages: int) -> None:
    """The log has one to `outages` warnings about the server (one more on a slow machine), each with its end, and
    a summary at most every 30 s; nothing else in it is worse than what was kept aside."""
    troubles, ends = run.named("mongodb_trouble"), run.named("mongodb_back")
    log = "".join(run.lines)
    assert 1 <= len(troubles) <= outages + 1, log
    assert len(ends) == len(troubles), log
    assert all("nothing is lost" in trouble["meaning"] for trouble in troubles)
    in_trouble = sum(end["after_s"] for end in ends)
    assert len(run.named("mongodb_still_in_trouble")) <= in_trouble / 30, log
    expected = {"mongodb_trouble", "mongodb_still_in_trouble", "kept_aside", "collection", "configuration"}
    bad = [event for event in run.events if event.get("level") in {"warning", "error", "critical"}]
    assert {event["event"] for event in bad} <= expected, log
