"""Everything at once, for minutes: `python -m tests.faults.mixed --seconds 600 --seed 1`.

A simulated node at 2,800 entries a second whose hours last a minute, a private mongod that is killed, restarted and
frozen, a `run` that is reloaded every twenty seconds and scraped every second. Ends with 0 when the account balanced at
every look, the lag was small soon after each fault, and metrics, `/status`, `tailrace status`, the dashboard, MongoDB
and the files on disk agree at the end; else with 1. Ten minutes take about 2 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.support.mixed import Mixed, MixedOptions
from tests.support.watched import MixedResult


def main() -> int:
    parser = argparse.ArgumentParser(prog="mixed", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="that the node writes")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--rate", type=float, default=2800.0, help="entries a second that the node writes")
    parser.add_argument("--hour", type=float, default=60.0, help="seconds that an hour of the node lasts")
    parser.add_argument("--reload-every", type=float, default=20.0, help="seconds")
    parser.add_argument("--no-page", action="store_true", help="leave the dashboard out (no chromium)")
    parser.add_argument("--directory", type=Path, help="where to work, made if need be; default: a temporary one")
    given = parser.parse_args()
    options = MixedOptions(
        seconds=given.seconds,
        seed=given.seed,
        rate=given.rate,
        hour=given.hour,
        reload_every=given.reload_every,
        page=not given.no_page,
    )
    if given.directory is not None:
        given.directory.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="tailrace-mixed-", dir=given.directory))
    print(f"seed {options.seed}, {options.seconds:g} s, {options.rate:,.0f} entries/s, below {place}", flush=True)
    result = Mixed(place, options, say=lambda line: print(line, flush=True)).run()
    show(result)
    if not result.complaints:
        shutil.rmtree(place)
        return 0
    print(f"kept for a closer look: {place}")
    return 1


def show(result: MixedResult) -> None:
    metrics = result.tables["/metrics"]
    slowest = max((fault.back for fault in result.faults), default=0.0)
    rows = {
        "duration": f"{result.seconds:,.0f} s",
        "entries": f"{metrics['entries']:,} in {metrics['lines']:,} lines",
        "documents": f"{metrics['made']:,}, {metrics['lost_reply']:,} of them acknowledged by a second attempt",
        "rejects": f"{metrics['rejected']:,}",
        "hours": f"{result.rollovers} rollovers",
        "reloads": result.reloads,
        "faults": f"{len(result.faults)}, lag small again at most {slowest:.1f} s after each",
        "worst lag": f"{result.worst_lag:.1f} s",
        "scrapes": f"{result.scrapes}, and as many of /status",
        "CPU": f"{result.cpu:.1%} of a core, while asked every second",
        "memory": f"{result.memory / 1e6:.0f} MB at most",
        "agree": ", ".join(result.tables),
    }
    for name, value in rows.items():
        print(f"{name:<10}{value}")
    for complaint in result.complaints:
        print(f"NOT EXACT: {complaint}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
