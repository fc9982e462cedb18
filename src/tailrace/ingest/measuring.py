"""Where a source stands, measured a few times a second: lag, open files, live or not, every line accounted for."""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from tailrace.ingest.books import BookKeeper
from tailrace.ingest.feeder import Feeder
from tailrace.ingest.lasting import Lasting, Several
from tailrace.ingest.lives.roster import Roster
from tailrace.ingest.stats import SourceStats
from tailrace.words import hour_words

_COUNT_INTERVAL = 1.0  # seconds between two counts of the files: of ten thousand that wait one takes 6 ms
_BEHIND = 60.0  # seconds: age of the oldest byte that is not stored, of a source that was live


class Measuring:
    """Fills the gauges of `stats`. `log`: bound to the source."""

    def __init__(
        self,
        roster: Roster,
        feeder: Feeder,
        books: BookKeeper,
        stats: SourceStats,
        log: FilteringBoundLogger,
        *,
        once: bool,
    ) -> None:
        self._roster = roster
        self._books = books
        self._feeder = feeder
        self._stats = stats
        self._log = log
        self._once = once
        self._unbalanced = False
        self._count_at = float("-inf")
        self._behind = Lasting()
        self._missing = Several()
        self._said_missing: set[str] = set()
        self._all_held: float | None = None

    def measure(self, now: float) -> None:
        """`now`: monotonic seconds."""
        roster, stats = self._roster, self._stats
        self._feeder.look_at_newest()
        lags = [follower.lag(now) for follower in [*roster.followers(), *roster.retiring]]
        unread = roster.backlog(now)
        stats.lag_bytes = unread.waiting + sum(size for size, _age in lags)
        waited = 0.0 if unread.since is None else now - unread.since
        stats.lag_seconds = max([waited, *(age for _size, age in lags)])
        stats.files_open = roster.open_files
        stats.files_backlog = unread.files
        stats.checkpoint_age, unsaved = self._books.unsaved(now)
        stats.checkpoint_lag = stats.lag_bytes + unsaved
        if now >= self._count_at:
            self._count_at = now + _COUNT_INTERVAL
            self._count_files()
        self._look_whether_live(now)
        self._say_behind(now)
        self._say_missing(now)
        self._balance()

    def _say_behind(self, now: float) -> None:
        """Of a source that was live once: at the start `catching_up` says it."""
        stats = self._stats
        if stats.live and stats.lag_seconds >= _BEHIND:
            if self._behind.met(now):
                self._log.warning(
                    "falling_behind",
                    lag_bytes=stats.lag_bytes,
                    lag_s=round(stats.lag_seconds, 1),
                    for_s=self._behind.for_s(now),
                    meaning="nothing is lost: lines wait in their files, and are stored later than they are written",
                    todo="look at the write latency (tailrace status); while mongodb_trouble lasts that is why",
                )
        elif stats.lag_seconds < _BEHIND / 4 and (after := self._behind.over(now)) is not None:
            self._log.info(
                "keeping_up_again", after_s=after, lag_bytes=stats.lag_bytes, meaning="lines are stored as they come"
            )

    def _say_missing(self, now: float) -> None:
        missing = {hour_words(hour) for hour in self._stats.missing_hours}
        for hour in sorted(missing):
            if self._missing.met(hour, now):
                self._log.warning(
                    "hour_missing",
                    hour=hour,
                    meaning="there is no file of this hour, though there are of those around it, and none was read: "
                    "if the node wrote one, nothing of it is stored",
                    todo="if the node was up then, look for the file and put it in its place: it is read",
                )
        for hour in sorted(self._said_missing - missing):
            if (after := self._missing.over(hour, now)) is not None:
                self._log.info(
                    "hour_found",
                    hour=hour,
                    after_s=after,
                    meaning="it is there now, or too old to count, or its day's folder cannot be listed any more",
                )
        self._said_missing = missing

    def _count_files(self) -> None:
        stats, census = self._stats, self._roster.census
        counts = census.counts()
        stats.files_waiting, stats.files_following = counts.waiting, counts.following
        stats.files_sealed, stats.files_unreadable = counts.sealed, counts.unreadable
        stats.newest_hour = self._roster.newest_hour
        stats.missing_hours = census.missing
        stats.missing_blocks = census.missing_blocks()

    def _look_whether_live(self, now: float) -> None:
        """On a slow line under load something is in flight at all times: then it is live once no byte is unsettled that
        was noticed before every file had been entered."""
        if self._roster.waiting or self._roster.entering or self._roster.placing:
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
            "and rejected: a defect of tailrace, and no setting mends it",
            todo="run tailrace verify, which tells what is missing, and report it",
        )
