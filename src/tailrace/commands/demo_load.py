"""The demo's load: a simulated node in a process of its own, and the figures of the tailrace that follows it."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tailrace.config.units import format_duration
from tailrace.embedded import die_with_parent
from tailrace.errors import RuntimeFailure
from tailrace.ingest.instance import Instance
from tailrace.ingest.stats import SourceStats
from tailrace.ops.view import HISTORY, Clock, Server, Snapshot
from tailrace.simulator import Manifest, Plan

_SAMPLE = 0.25  # seconds between two looks at the counters
_RATE_SAMPLES = 8  # the shown rate is the mean over so many of them
_PAGE = resource.getpagesize()


class SimulatedNode:
    """`tailrace simulate` as a child: it shares no interpreter with what it is to be a load for.

    `begun`: monotonic seconds at which it began to write, None before.
    """

    def __init__(self, plan: Plan, manifest: Path) -> None:
        self.plan = plan
        self.begun: float | None = None
        self._manifest = manifest
        self._process: asyncio.subprocess.Process | None = None

    @property
    def writing(self) -> bool:
        return self.begun is not None and self._process is not None and self._process.returncode is None

    def stop(self) -> None:
        """It completes the lines it has begun, says what it wrote, and ends."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)

    async def run(self) -> Manifest:
        """Until its duration is over or `stop`; dead when this returns or raises. RuntimeFailure when it fails."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C in the terminal is for us; we tell it
            preexec_fn=die_with_parent(),  # forked by the event loop's thread, as there
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        try:
            complaints = asyncio.create_task(self._process.stderr.read())
            async for _line in self._process.stdout:  # its first one says that it begins
                self.begun = self.begun or time.monotonic()
            code = await self._process.wait()
            said = (await complaints).decode(errors="replace").strip().rpartition("\n")[2]
        finally:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
        if code != 0 or not self._manifest.is_file():
            raise RuntimeFailure(f"the simulated node ended with exit code {code}{': ' + said if said else ''}")
        return Manifest.from_json(self._manifest.read_text(encoding="utf-8"))

    def _command(self) -> list[str]:
        plan = self.plan
        assert plan.rate is not None
        assert plan.duration is not None
        return [
            *(sys.executable, "-m", "tailrace", "simulate", "--root", str(plan.root), "--stream", plan.stream),
            *("--rate", repr(plan.rate), "--speed", repr(plan.speed), "--duration", format_duration(plan.duration)),
            *("--bad", repr(plan.bad), "--seed", str(plan.seed), "--manifest", str(self._manifest)),
        ]


@dataclass(slots=True)
class Meter:
    """Looks at the counters of a running instance a few times a second, and makes snapshots of what it saw.

    A snapshot may be taken from any thread: everything it reads is replaced whole.
    """

    instance: Instance
    node: SimulatedNode
    stage: str = "starting"
    _rates: tuple[float, ...] = ()
    _rate: float = 0.0
    _cpu: float = 0.0
    _elapsed: float = 0.0
    _samples: deque[tuple[float, float, int]] = field(default_factory=lambda: deque(maxlen=_RATE_SAMPLES + 1))

    @property
    def stats(self) -> SourceStats:
        return next(iter(self.instance.stats.values()), SourceStats())

    async def run(self) -> None:
        """Until cancelled; the figures then stay as they were."""
        second, counted = time.monotonic(), 0
        while True:
            now, settled = time.monotonic(), self.stats.entries_settled
            self._look(now, settled)
            if self.node.begun is None:
                second, counted = now, settled
            elif now - second >= 1.0:
                self._rates = (*self._rates, (settled - counted) / (now - second))[-HISTORY:]
                second, counted = now, settled
            await asyncio.sleep(_SAMPLE)

    def finish(self) -> None:
        """All is stored: from now on the rate is the mean of the whole run."""
        if self._elapsed:
            self._rate = self.stats.entries_settled / self._elapsed

    def _look(self, now: float, settled: int) -> None:
        self._samples.append((now, time.process_time(), settled))
        (then, cpu, before), (_, cpu_now, _) = self._samples[0], self._samples[-1]
        if now > then:
            self._rate = (settled - before) / (now - then)
            self._cpu = (cpu_now - cpu) / (now - then)
        if self.node.begun is not None:
            self._elapsed = now - self.node.begun

    def snapshot(self) -> Snapshot:
        stats, plan = self.stats, self.node.plan
        duration = plan.duration or 0.0
        reached = plan.start + min(self._elapsed, duration) * plan.speed
        return Snapshot(
            stage=self.stage,
            elapsed=min(self._elapsed, duration),
            expected=duration,
            rate=self._rate,
            rates=self._rates,
            inserted=stats.done.inserted,
            duplicates=stats.done.duplicates,
            rejected=stats.done.rejected,
            lag_bytes=stats.lag_bytes,
            lag_seconds=stats.lag_seconds,
            lines_in_flight=stats.lines_in_flight,
            bytes_in_flight=stats.bytes_read - stats.bytes_settled,
            file=stats.file,
            rollovers=stats.rollovers,
            server=self._server(),
            cpu=self._cpu,
            memory=_resident(),
            clock=Clock(plan.start, reached, plan.start + duration * plan.speed, plan.speed),
        )

    def _server(self) -> Server:
        state = self.instance.health.state
        facts = next(iter(self.instance.facts.values()), None)
        about = f"MongoDB {facts.server_version}, {facts.topology}, private" if facts is not None else ""
        return Server(about, None if state.ok else time.monotonic() - state.since, state.sentence)


def _resident() -> int:
    """Bytes of memory that this process holds; its highest so far where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
