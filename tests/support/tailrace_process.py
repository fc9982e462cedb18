"""`tailrace` as its users run it: a subprocess with flags, logs as JSON lines, signals.

Whatever ingests here is held to invariant 5 when it ends (`must_balance`): no test has to ask for it or can forget it.
Of a process that was killed only its alarms count; the one that is started after it gives the figures.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

from tests.support.roles import out_of_sight

Event = dict[str, Any]


def environment(**more: str) -> dict[str, str]:
    """The environment without any setting of ours, and without a terminal's width."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TAILRACE_", "COLUMNS"))}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


def tailrace(*arguments: str, timeout: float = 60, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    words, handed = out_of_sight(arguments)
    done = subprocess.run(
        [sys.executable, "-m", "tailrace", *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment(**handed, **env),
        check=False,
    )
    if arguments[:1] == ("run",):
        must_balance(events_of(done.stderr.splitlines()), done.returncode)
    return done


def events_of(lines: Iterable[str]) -> list[Event]:
    """What was logged, of standard error. A line that is no event becomes one, `not_json`."""
    return [_event(line) for line in lines]


def _event(line: str) -> Event:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    return event if isinstance(event, dict) else {"event": "not_json", "text": line}


def must_balance(events: Iterable[Event], code: int | None) -> None:
    """Invariant 5, from the events of one `tailrace run` that ended with `code` (None: it is not known).

    lines read = settled + in flight; entries settled = inserted + duplicates + rejected; nothing is left in flight by
    a good end, unless it was said to be abandoned; and a good end gives its account.
    """
    names = {event.get("event"): event for event in events}
    assert "unaccounted" not in names, f"lines or entries are not accounted for: {names['unaccounted']}"
    accounts = [event for event in events if event.get("event") == "stopped"]
    for each in accounts:
        assert each["lines_read"] == each["lines"] + each["lines_in_flight"], each
        assert each["entries"] == each["inserted"] + each["duplicates"] + each["rejected"], each
        assert each["unaccounted"] == 0, each
        if code == 0 and "spans_abandoned" not in names:
            assert each["lines_in_flight"] == 0, each
    if code == 0 and names.keys() & {"live", "caught_up", "catching_up"}:
        assert accounts, "it ended well and gave no account (log_level above info?)"


class Run:
    """A `tailrace run` in the background. A context: it is killed at the end if it still runs."""

    def __init__(self, *flags: str, **env: str) -> None:
        words, handed = out_of_sight(flags)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tailrace", "run", "--http", "off", "--log-format", "json", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**handed, **env),
        )
        self.events: list[Event] = []
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            self.events.append(_event(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_error: object) -> None:
        if kind is not None:
            self._tell()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()
        if kind is None:
            must_balance(self.events, self.process.returncode)

    def _tell(self) -> None:
        """For whoever reads why a test failed: what was logged last, and the figures as they are now."""
        print("".join(self.lines[-30:]))
        for serving in self.named("serving"):
            with suppress(OSError):
                print(urlopen(f"{serving['url']}/status", timeout=5).read().decode()[:20_000])

    def named(self, event: str) -> list[Event]:
        return [each for each in list(self.events) if each.get("event") == event]

    def wait_for(self, event: str, timeout: float = 20, count: int = 1) -> Event:
        """The `count`-th event of that name; fails with all that was logged when the process ends or time is up."""
        deadline = time.monotonic() + timeout
        while len(self.named(event)) < count:
            ended = self.process.poll() is not None
            if time.monotonic() > deadline or (ended and not self._reader.is_alive()):
                raise AssertionError(f"no {event} in {timeout} s (ended: {ended}):\n{''.join(self.lines)}")
            time.sleep(0.01)
        return self.named(event)[count - 1]

    def stop(self, timeout: float = 20) -> Event:
        """SIGTERM, exit 0, and the `stopped` event."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        self._reader.join(10)
        assert code == 0, f"exit {code}:\n{''.join(self.lines)}"
        must_balance(self.events, code)
        return self.named("stopped")[-1]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self._reader.join(10)

    def ended(self, timeout: float = 30) -> int:
        code = self.process.wait(timeout)
        self._reader.join(10)
        must_balance(self.events, code)
        return code


def until(condition: Callable[[], bool], timeout: float = 20, what: str = "the condition") -> None:
    """Wait for a condition that another process brings about."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not hold within {timeout} s"
        time.sleep(0.02)


def hour_file(root: Path, name: str, stream: str = "node_trades") -> Path:
    """`<root>/<stream>/hourly/<name>` (name: `20250310/9`), its folders made."""
    path = root / stream / "hourly" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
