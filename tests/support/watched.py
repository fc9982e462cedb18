"""A `run` that is looked at every second while others do things to it: what was seen, and what was wrong with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.support.agreement import Table
from tests.support.scrape import Scrape, Series, ask
from tests.support.tailrace_process import until

SOON = 2.0
"""Seconds: a lag below it is none that an operator would see."""

LIMIT = 60.0
"""Seconds for the lag to be small again."""

_FRESH = 1.6  # seconds after which a look is surely of now: one a second, of figures that are half a second old at most


@dataclass(frozen=True, slots=True)
class Fault:
    """`back`: seconds from its end until the lag is small, as the scraper saw it."""

    at: float
    what: str
    lasted: float
    back: float


@dataclass(slots=True)
class MixedResult:
    """`cpu`: share of a core that `run` took while the node wrote; `worst_lag`: seconds; `memory`: bytes."""

    seconds: float = 0.0
    faults: list[Fault] = field(default_factory=list)
    reloads: int = 0
    rollovers: int = 0
    scrapes: int = 0
    cpu: float = 0.0
    memory: int = 0
    worst_lag: float = 0.0
    tables: dict[str, Table] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)


class Scraper:
    """Asks every second, and holds each answer against the one before."""

    def __init__(self, url: str, result: MixedResult) -> None:
        self._url, self._result = url, result
        self._before: Series = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scraper")
        self.lag = 0.0
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def through(self, kind: Callable[[], str], begun: float) -> Fault:
        """Bring a fault about, and wait until the lag is small again, or for `LIMIT`. `begun`: of all."""
        at = time.monotonic()
        what = kind()
        ended = time.monotonic()
        with suppress(AssertionError):
            until(lambda: time.monotonic() - ended > _FRESH and self.lag < SOON, LIMIT)
        fault = Fault(at - begun, what, ended - at, time.monotonic() - ended)
        if self.lag >= SOON:
            self._complain(f"{what}: the lag was still {self.lag:.1f} s after {fault.back:.0f} s")
        self._result.faults.append(fault)
        return fault

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            try:
                self._look(Scrape(ask(self._url, "/metrics").body))
                assert ask(self._url, "/status").status == 200
            except Exception as error:  # noqa: BLE001  whatever it is, the verdict at the end names it
                self._complain(f"a scrape failed: {type(error).__name__}: {error}")
            due += 1.0
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _look(self, scrape: Scrape) -> None:
        result = self._result
        result.scrapes += 1
        self.lag = scrape.value("tailrace_lag_seconds")
        result.worst_lag = max(result.worst_lag, self.lag)
        for name in ("tailrace_unaccounted", "tailrace_lost_bytes_total", "tailrace_missing_hours"):
            if scrape.value(name):
                self._complain(f"{name} is {scrape.value(name):g}")
        for key, was in self._before.items():
            if key[0].endswith(("_total", "_count", "_sum", "_bucket")) and scrape.series.get(key, -1.0) < was:
                self._complain(f"{key} went from {was:g} to {scrape.series.get(key)}")
        self._before = scrape.series

    def _complain(self, sentence: str) -> None:
        self._result.complaints.append(f"scrape {self._result.scrapes}: {sentence}")
