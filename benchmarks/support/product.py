"""`python -m tailrace run`, as its users start it: a subprocess, its log as JSON lines, each event timed on arrival.

The events give the time: `catching_up` is logged after start-up and before the first byte is read, `caught_up` (with
--once) or `live` when everything that was there is settled. What the process had used of the CPU by then is noted with
them; what lies before the first is start-up: imports, connecting, collections.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.support.machine import cpu_seconds, peak_rss
from benchmarks.support.servers import COLLECTION, DATABASE

_TIMED = {"catching_up", "caught_up", "live"}


@dataclass(frozen=True, slots=True)
class Seen:
    """An event: when it arrived (`time.perf_counter`), and for those that are timed what the process had used."""

    at: float
    fields: dict[str, Any]
    cpu: float = 0.0
    peak: int = 0


class Tailrace:
    """One `tailrace run` of node_trades. A context: killed at the end if it still runs."""

    def __init__(
        self, root: Path, uri: str, state: Path, *, once: bool = False, codec: str = "auto", more: Sequence[str] = ()
    ) -> None:
        """`more`: further flags."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        flags = [
            *("--root", str(root), "--stream", COLLECTION, "--database", DATABASE, "--state-dir", str(state)),
            *("--http", "off", "--log-format", "json", "--codec", codec, *(["--once"] if once else []), *more),
        ]
        self._codec = codec
        self.begun = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tailrace", "run", *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**kept, "PYTHONUNBUFFERED": "1", "TAILRACE_MONGODB_URI": uri},
        )
        self.pid = self._process.pid
        self.events: list[Seen] = []
        self._text: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join(10)

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            at = time.perf_counter()
            self._text.append(line)
            with suppress(ValueError):
                fields = json.loads(line)
                cpu, peak = 0.0, 0
                if fields.get("event") in _TIMED:
                    with suppress(OSError):  # it may be gone
                        cpu, peak = cpu_seconds(self.pid), peak_rss(self.pid)
                self.events.append(Seen(at, fields, cpu, peak))

    def event(self, name: str, limit: float = 60.0) -> Seen:
        """Wait for the first of that name; SystemExit with the log when it does not come."""
        deadline = time.monotonic() + limit
        while True:
            running = self._reader.is_alive()
            for seen in list(self.events):
                if seen.fields.get("event") == name:
                    return seen
            if not running or time.monotonic() > deadline:
                raise SystemExit(f"tailrace logged no {name}:\n{''.join(self._text[-20:])}")
            time.sleep(0.01)

    def running(self) -> bool:
        return self._process.poll() is None

    def ended(self, limit: float = 3600.0) -> float:
        """Seconds from its start to its end, which must be a good one."""
        code = self._process.wait(limit)
        wall = time.perf_counter() - self.begun
        self._reader.join(10)
        if code != 0:
            raise SystemExit(f"tailrace ended with {code}:\n{''.join(self._text[-20:])}")
        used = self.event("starting").fields.get("codec")
        if self._codec not in ("auto", used):
            raise SystemExit(f"The codec {self._codec} was asked for, and tailrace says that it used {used}.")
        return wall

    def stop(self) -> None:
        self._process.terminate()
        self.ended(60)
