"""`make mutants`: plants faults in the core, one at a time in a copy of `src`, and runs the tests concerned.

    make mutants                          everything (needs a mongod; minutes)
    make mutants ARGS="tracker identity"  files whose path has one of the words in it
    make mutants ARGS="--planted"         only those of `faults.py`; --generic: only those of `operators.py`

Killed: a test failed, or ran out of time. Survived: none did, so a test is missing: exit 1, unless `equivalent.py`
says why nothing can tell the two apart. Each mutant is a fork of this process, which has loaded pytest, hypothesis and
the driver; of tailrace it keeps nothing but what starts a mongod.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
import hypothesis
import pydantic
import pymongo
import pytest
from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.faults import FAULTS
from tests.mutation.operators import mutants_of
from tests.mutation.subjects import SUBJECTS
from tests.support.servers import Server

LOADED = (bson, hypothesis, pydantic, pymongo, pytest)  # once, here: the forks begin where these are in memory
ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tailrace"
PATIENCE = 30.0  # seconds that a mutant is given on top of
_TIMES = 4  # so many times what its tests take without a fault: one that is only slow must not count as noticed
_UNBOTHERED = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # of what was loaded before the fork
_OURS = frozenset(name for name in sys.modules if name.startswith("tests.mutation"))
_MEMORY = 4 << 30  # bytes of address space: a loop that never ends may also never stop to collect

Stages = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Task:
    """`stages`: arguments of pytest, one run after the other until one fails."""

    name: str
    file: str
    changed: bytes
    stages: Stages
    line: int = 0


def planted(words: Sequence[str] = ()) -> list[Task]:
    tasks = []
    for fault in FAULTS:
        source = (SOURCE / fault.file).read_bytes()
        if words and not any(word in fault.file for word in words):
            continue
        old = fault.old.encode()
        if source.count(old) != 1:
            raise SystemExit(
                f"make mutants: {fault.name}: the text to change is {source.count(old)} times in {fault.file}"
            )
        line = source[: source.index(old)].count(b"\n") + 1
        tasks.append(Task(fault.name, fault.file, source.replace(old, fault.new.encode()), (fault.tests,), line))
    return tasks


def generic(words: Sequence[str] = ()) -> list[Task]:
    tasks = []
    for file, stages in SUBJECTS.items():
        source = (SOURCE / file).read_bytes()
        if not words or any(word in file for word in words):
            tasks += [Task(m.key, file, m.applied(source), stages, m.line) for m in mutants_of(file, source)]
    return tasks


def run(
    tasks: Sequence[Task], jobs: int, times: dict[Stages, float] | None = None
) -> tuple[dict[str, str], dict[Stages, float]]:
    """(`killed`, `survived` or `timed out` by the name of the task, seconds that the stages of the last ones took).

    `times`: what the stages take without a fault; where not known, ten minutes are enough.
    """
    results: dict[str, str] = {}
    took: dict[Stages, float] = {}
    waiting = list(reversed(tasks))
    running: dict[int, tuple[int, Task, float]] = {}
    with tempfile.TemporaryDirectory(prefix="tailrace-mutants-") as folder, contextlib.ExitStack() as stack:
        slots = [Path(folder) / str(number) for number in range(jobs)]
        for path in slots:
            shutil.copytree(ROOT / "src", path / "src")  # with compiled files, whose sources keep their times
        servers = [stack.enter_context(_server(path)) if _need_a_server(tasks) else None for path in slots]
        free = list(range(jobs))
        while waiting or running:
            while waiting and free:
                task, slot = waiting.pop(), free.pop()
                _plant(slots[slot], task.file, task.changed)
                running[_fork(slots[slot], task, servers[slot])] = (slot, task, time.monotonic())
            time.sleep(0.02)
            for pid, (slot, task, begun) in list(running.items()):
                ended, status = os.waitpid(pid, os.WNOHANG)
                patience = PATIENCE + _TIMES * (times or {}).get(task.stages, 150.0)
                late = not ended and time.monotonic() - begun > patience
                if late:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    _calm(servers[slot])
                if ended or late:
                    code = os.waitstatus_to_exitcode(status)
                    took[task.stages] = time.monotonic() - begun
                    results[task.name] = "timed out" if late else "killed" if code else "survived"
                    if results[task.name] != "killed" and times is not None:
                        print(f"... {results[task.name]}: {task.name}", flush=True)
                    _plant(slots[slot], task.file, (SOURCE / task.file).read_bytes())
                    del running[pid]
                    free.append(slot)
    return results, took


def _plant(slot: Path, file: str, content: bytes) -> None:
    path = slot / "src" / "tailrace" / file
    path.write_bytes(content)
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        compiled.unlink()  # its time and size may be those of what stands there now


def _fork(slot: Path, task: Task, server: Server | None) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        code = _child(slot, task, server)
    except BaseException:  # noqa: BLE001  the fork must not go on as its parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _child(slot: Path, task: Task, server: Server | None) -> int:
    import resource  # noqa: PLC0415  # of this process alone

    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    with (slot / "log").open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.chdir(ROOT)
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(slot / "src"))
    os.environ |= {"PYTHONPATH": str(slot / "src"), "HYPOTHESIS_STORAGE_DIRECTORY": str(slot / "hypothesis")}
    # HAZARD: a test module that is loaded already is not loaded again, and holds on to what it imported.
    for name in [name for name in sys.modules if name.startswith(("tailrace", "tests.")) and name not in _OURS]:
        del sys.modules[name]
    for stage in task.stages:
        code = pytest.main(
            ["-x", "-q", "-p", "no:cacheprovider", "--tb=line", "--no-header", *_UNBOTHERED, *stage],
            plugins=[_Shared(server)],
        )
        if code:
            return int(code)
        import tailrace  # noqa: PLC0415  # from the copy, or the whole run proves nothing

        if not str(tailrace.__file__).startswith(str(slot)):
            print(f"{tailrace.__file__} is not the copy in {slot}")
            return 0
    return 0


def _need_a_server(tasks: Sequence[Task]) -> bool:
    return any("tests/mongo" in word for task in tasks for stage in task.stages for word in stage)


@contextlib.contextmanager
def _server(slot: Path) -> Iterator[Server]:
    """A standalone for all mutants of a slot, one after the other: fail points are the server's, not a client's."""
    server = Server(slot / "mongod")
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _calm(server: Server | None) -> None:
    """A test that was killed leaves its fail points."""
    if server is not None:
        server.command({"configureFailPoint": "failCommand", "mode": "off"})


class _Shared:
    """A pytest plugin: the fixture `standalone` is the slot's server."""

    def __init__(self, server: Server | None) -> None:
        self._server = server

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Any:
        if self._server is None or fixturedef.argname != "standalone":
            return None
        fixturedef.cached_result = (self._server, fixturedef.cache_key(request), None)  # type: ignore[arg-type]
        return self._server


def baseline(tasks: Sequence[Task], jobs: int) -> tuple[list[str], dict[Stages, float]]:
    """(The stages whose tests do not pass without any fault: a mutant killed by one of those would prove nothing; what
    the stages take, with as many at a time as there will be)."""
    whole = {task.stages: task for task in tasks}
    checks = [
        Task(" | ".join(" ".join(stage) for stage in stages), task.file, (SOURCE / task.file).read_bytes(), stages)
        for stages, task in whole.items()
    ]
    results, took = run(checks, jobs)
    return [name for name, result in results.items() if result != "survived"], took


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description="Plant faults in the core; the tests must fail.")
    parser.add_argument("words", nargs="*", help="only files with one of these in their path")
    parser.add_argument("--planted", action="store_true", help="only the faults that were planted by hand")
    parser.add_argument("--generic", action="store_true", help="only the faults made from the syntax tree")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(words)
    tasks = [] if given.generic else planted(given.words)
    tasks += [] if given.planted else generic(given.words)
    broken, times = baseline(tasks, given.jobs)
    if broken:
        print("make mutants: these tests fail without any fault:", *broken, sep="\n  ", file=sys.stderr)
        return 2
    begun = time.monotonic()
    results, _ = run(tasks, given.jobs, times)
    missing = _report(tasks, results)
    print(f"{len(results)} faults in {time.monotonic() - begun:.0f} s, commit {_commit()}")
    return 1 if missing else 0


def _report(tasks: Sequence[Task], results: dict[str, str]) -> int:
    """Prints a line for each file and each survivor; how many survivors nobody has given a reason for."""
    print(f"{'file':40} {'faults':>7} {'killed':>7} {'late':>7} {'equal':>7} {'survived':>9}")
    missing = 0
    for file in dict.fromkeys(task.file for task in tasks):
        names = [task.name for task in tasks if task.file == file]
        count = Counter("equal" if results[n] == "survived" and n in EQUIVALENT else results[n] for n in names)
        print(
            f"{file:40} {len(names):7} {count['killed']:7} {count['timed out']:7} {count['equal']:7} "
            f"{count['survived']:9}"
        )
        missing += count["survived"]
    for task in tasks:
        if results[task.name] == "survived" and task.name not in EQUIVALENT:
            print(f"SURVIVED  src/tailrace/{task.file}:{task.line}  {task.name}")
        elif results[task.name] == "timed out":
            print(f"timed out src/tailrace/{task.file}:{task.line}  {task.name}")
        elif results[task.name] != "survived" and task.name in EQUIVALENT:
            print(f"not equivalent after all: {task.name}")
    return missing


def _commit() -> str:
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, check=False)
    return done.stdout.decode().strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
