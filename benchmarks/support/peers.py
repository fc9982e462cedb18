"""Other programs that bring a file's lines into MongoDB, configured as fast as they allow.

    rsyslog      imfile -> ommongodb, a queue in memory. 8.2302 has no bulk, and inserts one document at a time whatever
                 one configures: with 8 workers, or 8 or 32 actions, mongod synced its journal once a document
    syslog-ng    file() -> mongodb(). 3.38 has no bulk either; eight workers, large fetches, flow control
    mongoimport  where it is on PATH

None of them is asked to parse JSON: each line is stored as one string, which is less work than tailrace does. Each runs
in the foreground from a folder of its own; started by root it runs as nobody.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.support.machine import cpu_seconds
from benchmarks.support.programs import module_of, mongoimport_program, rsyslog_program, syslog_ng_program
from benchmarks.support.servers import COLLECTION, DATABASE

CONNECTIONS = 8
"""Of syslog-ng. 32 brought no more (2026-11-24)."""

_COUNTED = 5.0  # seconds after which what a program inserted before it ended is in the count

_RSYSLOG = """\
global(workDirectory="{work}" maxMessageSize="64k")
module(load="imfile" mode="inotify")
module(load="{module}")
main_queue(queue.type="FixedArray" queue.size="200000" queue.dequeueBatchSize="4096" queue.workerThreads="1")
input(type="imfile" file="{file}" tag="t" readMode="0" freshStartTail="off" ruleset="out" persistStateInterval="100000")
template(name="line" type="list") {{ property(name="msg" outname="msg") }}
ruleset(name="out" queue.type="FixedArray" queue.size="200000" queue.dequeueBatchSize="1024") {{
  action(type="ommongodb" uristr="{uri}" db="{database}" collection="{collection}" template="line")
}}
"""

_SYSLOG_NG = """\
@version: 3.35
options {{ log-msg-size(65536); stats-freq(0); }};
source s {{ file("{file}" flags(no-parse) follow-freq(0.01) log-fetch-limit(10000) log-iw-size(100000)); }};
destination d {{ mongodb(uri("{uri}") collection("{collection}") workers({workers}) log-fifo-size(200000)
  value-pairs(pair("msg", "$MSG"))); }};
log {{ source(s); destination(d); flags(flow-control); }};
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A program that can be started here: `start(file, uri, folder)`."""

    name: str
    start: Callable[[Path, str, Path], Follower]


class Follower:
    """One of them, running. A context: ended with it. `pid` is the process that works."""

    def __init__(self, command: list[str], folder: Path, **env: str) -> None:
        self._log = (folder / "output").open("wb")
        user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if user is not None:
            shutil.chown(folder, user.pw_uid, user.pw_gid)
        self.output = folder / "output"
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd=folder,
            env={**os.environ, **env},
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        self._process.kill()
        self._process.wait()
        self._log.close()

    def cpu(self) -> float:
        """Seconds so far; 0 when it is gone."""
        with suppress(OSError):
            return cpu_seconds(self.pid)
        return 0.0

    def alive(self) -> bool:
        return self._process.poll() is None

    def complaint(self) -> str:
        return self.output.read_text(errors="replace")[-2000:]


def peers() -> tuple[list[Peer], list[str]]:
    """Those that are here, and a line for each that is not."""
    found: list[Peer] = []
    missing: list[str] = []
    for name, program, starter in (
        ("rsyslog", rsyslog_program(), _rsyslog),
        ("syslog-ng", syslog_ng_program(), _syslog_ng),
    ):
        if program is None:
            missing.append(f"{name} is not installed: left out.")
            continue
        try:
            module = module_of(name, program)
        except LookupError as error:
            missing.append(f"{error}: left out.")
            continue
        found.append(Peer(name, starter(program, module)))
    importer = mongoimport_program()
    if importer is None:
        missing.append("mongoimport is not on PATH: left out.")
    else:
        found.append(Peer("mongoimport", _mongoimport(importer)))
    return found, missing


def _rsyslog(program: str, module: Path) -> Callable[[Path, str, Path], Follower]:
    def start(file: Path, uri: str, folder: Path) -> Follower:
        config = folder / "rsyslog.conf"
        where = {"uri": _journaled(uri), "database": DATABASE, "collection": COLLECTION}
        config.write_text(_RSYSLOG.format(work=folder, module=module, file=file, **where))
        command = [program, "-n", "-f", str(config), "-i", str(folder / "pid"), "-M", str(module.parent)]
        return Follower(command, folder)

    return start


def _syslog_ng(program: str, module: Path) -> Callable[[Path, str, Path], Follower]:
    def start(file: Path, uri: str, folder: Path) -> Follower:
        config = folder / "syslog-ng.conf"
        uri = _journaled(uri, DATABASE)
        config.write_text(_SYSLOG_NG.format(file=file, uri=uri, collection=COLLECTION, workers=CONNECTIONS))
        places = [f"--{name}={folder / name}" for name in ("pidfile", "control", "persist-file")]
        modules = f"--module-path={module.parent}"
        return Follower([program, "-F", "--no-caps", "-f", str(config), *places, modules], folder)

    return start


def _mongoimport(program: str) -> Callable[[Path, str, Path], Follower]:
    def start(file: Path, uri: str, folder: Path) -> Follower:
        concern = "--writeConcern={w:'majority',j:true}"
        where = [f"--uri={uri}", f"--db={DATABASE}", f"--collection={COLLECTION}", concern]
        return Follower([program, "--quiet", "--numInsertionWorkers=4", *where, f"--file={file}"], folder)

    return start


def _journaled(uri: str, database: str = "") -> str:
    """The write concern of these programs is said in the URI."""
    base, _, options = uri.partition("/?")
    return f"{base}/{database}?{options}&w=majority&journal=true"


def wait_count(count: Callable[[], int], follower: Follower, goal: int, limit: float) -> tuple[float, float, int]:
    """(when the first documents were seen, when all were, how many the first look saw). SystemExit after `limit`."""
    deadline = time.monotonic() + limit
    ended: float | None = None
    first, seen = 0.0, 0
    while (stored := count()) < goal:
        now = time.monotonic()
        if stored and not seen:
            first, seen = time.perf_counter(), stored
        if ended is None and not follower.alive():
            ended = now
        if now > deadline or (ended is not None and now > ended + _COUNTED):
            raise SystemExit(f"{stored} of {goal} documents arrived:\n{follower.complaint()}")
        time.sleep(0.01)
    return (first or time.perf_counter()), time.perf_counter(), seen
