"""One measured catch-up of each kind: tailrace, the ceiling, a plain script, another program.

Each begins with an empty database whose last dirty pages are on disk, and ends only when every line is there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.support import load, peers, sent
from benchmarks.support.product import Tailrace
from benchmarks.support.servers import COLLECTION, DATABASE, Server

_ROOT = Path(__file__).resolve().parents[2]
_PEER_LIMIT = 1_800.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Catchup:
    """`seconds`: the part that the rate is made of; `wall`: the process from start to end; `startup`: what of it lay
    before the first read, where that is known. CPU in seconds: of the client within `seconds`, of all mongods from
    start to end. `peak`: bytes."""

    lines: int
    seconds: float
    wall: float
    client_cpu: float
    server_cpu: float
    startup: float | None = None
    peak: int | None = None

    @property
    def rate(self) -> float:
        return self.lines / self.seconds

    @property
    def client_us(self) -> float:
        return self.client_cpu / self.lines * 1e6

    @property
    def server_us(self) -> float:
        return self.server_cpu / self.lines * 1e6

    def raw(self) -> dict[str, Any]:
        return {**asdict(self), "rate": self.rate}


def tailrace(
    server: Server, file: Path, lines: int, work: Path, *, index: bool, codec: str, uri: str | None = None
) -> Catchup:
    """From `catching_up`, which is logged when it begins to read, to `caught_up`, when all is settled."""
    # An index is made only on a collection that tailrace makes.
    server.fresh(index=None if index else False)
    folder = Path(tempfile.mkdtemp(prefix="tailrace-", dir=work))
    root = load.tree(folder / "data", file)
    cpu = server.cpu()
    with Tailrace(root, uri or server.uri, folder / "state", once=True, codec=codec) as run:
        wall = run.ended()
        first, last = run.event("catching_up"), run.event("caught_up")
    _all_there(server, lines, "tailrace")
    return Catchup(
        lines=lines,
        seconds=last.at - first.at,
        wall=wall,
        client_cpu=last.cpu - first.cpu,
        server_cpu=server.cpu() - cpu,
        startup=first.at - run.begun,
        peak=last.peak or None,
    )


def ceiling(server: Server, documents: Sequence[bytes], client: sent.Client, *, index: bool) -> Catchup:
    server.fresh(index=index)
    found = sent.send(server, documents, client)
    return Catchup(
        lines=len(documents),
        seconds=found.seconds,
        wall=found.seconds,
        client_cpu=found.client_cpu,
        server_cpu=found.server_cpu,
    )


def plain(server: Server, file: Path, lines: int) -> Catchup:
    server.fresh(index=False)
    cpu, begun = server.cpu(), time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.support.plain", str(file), server.uri, DATABASE, COLLECTION]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The plain script failed:\n{done.stderr}")
    wall, told = time.perf_counter() - begun, json.loads(done.stdout)
    _all_there(server, lines, "the plain script")
    return Catchup(
        lines=lines,
        seconds=told["seconds"],
        wall=wall,
        client_cpu=told["cpu"],
        server_cpu=server.cpu() - cpu,
        startup=wall - told["seconds"],
    )


def peer(server: Server, program: peers.Peer, file: Path, lines: int, work: Path) -> Catchup:
    """From the first documents that were seen to the last, by looking at the count every 10 ms: what it needed to
    start is left out. Its file is a copy, and is all there from the beginning."""
    server.fresh(index=False)
    folder = Path(tempfile.mkdtemp(prefix="peer-", dir=work))
    folder.chmod(0o755)
    copy = folder / "lines"
    copy.write_bytes(file.read_bytes())
    copy.chmod(0o644)
    cpu, begun = server.cpu(), time.perf_counter()
    with program.start(copy, server.uri, folder) as follower:
        first, last, seen = peers.wait_count(server.count, follower, lines, _PEER_LIMIT)
        used = follower.cpu()
    return Catchup(
        lines=lines,
        seconds=max(last - first, 1e-9) * lines / max(1, lines - seen),
        wall=last - begun,
        client_cpu=used,
        server_cpu=server.cpu() - cpu,
        startup=first - begun,
    )


def _all_there(server: Server, lines: int, who: str) -> None:
    if server.count() != lines:
        raise SystemExit(f"{who} stored {server.count()} of {lines} lines: nothing can be said of its speed.")
