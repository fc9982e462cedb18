"""Where a source stands, measured a few times a second: lag, open files, live or not, every line accounted for."""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from tailrace.ingest.feeder import Feeder
from tailrace.ingest.lives.roster import Roster
from tailrace.ingest.stats import SourceStats


class Measuring:
    """Fills the gauges of `stats`. `log`: bound to the source."""

    def __init__(
        self, roster: Roster, feeder: Feeder, stats: SourceStats, log: FilteringBoundLogger, *, once: bool
    ) -> None:
        self._roster = roster
        self._feeder = feeder
        self._stats = stats
        self._log = log
        self._once = once
        self._unbalanced = False
        self._all_held: float | None = None

    def measure(self, now: float) -> None:
        """`now`: monotonic seconds."""
        roster, stats = self._roster, self._stats
        lags = [follower.lag(now) for follower in [*roster.followers(), *roster.retiring]]
        stats.lag_bytes = sum(size for size, _age in lags)
        stats.lag_seconds = max((age for _size, age in lags), default=0.0)
        stats.files_open = roster.open_files
        stats.files_backlog, _ = roster.backlog()
        self._look_whether_live(now)
        self._balance()

    def _look_whether_live(self, now: float) -> None:
        """On a slow line under load something is in flight at all times: then it is live once no byte is unsettled that
        was noticed before every file had been entered."""
        if self._roster.waiting or self._roster.placing:
            self._all_held = None
        elif self._all_held is None:
            self._all_held = now
        elif self._stats.lag_seconds < now - self._all_held and not self._once:
            self._feeder.is_live()

    def _balance(self) -> None:
        """Invariant 5, at every look: said once, since it never mends itself."""
        if self._unbalanced or not self._stats.imbalance():
            return
        self._unbalanced = True
        self._log.error(
            "unaccounted",
            **self._stats.figures(),
            meaning="lines read are not those settled and in flight, or entries settled not those inserted, duplicate "
            "and rejected: a defect of tailrace, and no setting mends it; report it, and run tailrace verify",
        )
