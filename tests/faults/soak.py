"""The long form of the kill suite: `make soak`, or `python -m tests.faults.soak --kills 1000 --seed 1`.

A private mongod, a simulated node, and tailrace, which is killed with -9 all the time. Ends with 0 when nothing was
lost and nothing doubled, by `tailrace verify` and by a count without tailrace's code; else with 1. A thousand kills
take about half an hour and 2 to 3 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from tests.support.servers import Server
from tests.support.soak import Soak, SoakOptions, SoakResult


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--rate", type=float, default=1500.0, help="entries a second that the node writes")
    parser.add_argument("--check-every", type=int, default=250, help="kills between two looks at what is stored")
    parser.add_argument("--directory", type=Path, help="where to work, made if need be; default: a temporary one")
    given = parser.parse_args()
    options = SoakOptions(kills=given.kills, seed=given.seed, rate=given.rate, check_every=given.check_every)
    if given.directory is not None:
        given.directory.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="tailrace-soak-", dir=given.directory))
    print(f"seed {options.seed}, {options.kills} kills, {options.rate:,.0f} entries/s, below {place}", flush=True)
    server = Server(place / "server")
    try:
        server.start()
        result = Soak(place, server.uri, "soak", options, say=lambda line: print(line, flush=True)).run()
    finally:
        server.kill()
        used = sum(file.stat().st_blocks * 512 for file in place.rglob("*") if file.is_file())
    show(result, options, used)
    if result.exact:
        shutil.rmtree(place)
        return 0
    print(f"kept for a closer look: {place}")
    return 1


def show(result: SoakResult, options: SoakOptions, used: int) -> None:
    rows = {
        "machine": f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}",
        "seed": options.seed,
        "kills": f"{result.kills}, {result.starting} of them before it read",
        "entries": f"{result.entries:,}, {result.kept:,} of them kept aside, at {options.rate:,.0f} a second",
        "archived": f"{result.archived} hours compressed in place",
        "looks": f"{result.looks} while it ran, and all of it at the end",
        "lost": result.lost,
        "doubled": result.doubled,
        "memory": f"{result.memory / 1e6:.0f} MB, the most that a process took",
        "start": f"{result.startup:.2f} s until it reads, on average of the last ones",
        "disk": f"{used / 1e9:.2f} GB",
        "duration": f"{result.seconds:,.0f} s",
    }
    for name, value in rows.items():
        print(f"{name:<10}{value}")
    for complaint in result.complaints:
        print(f"NOT EXACT: {complaint}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
