"""How many spans may be in flight: grows while more helps, shrinks when it does not. Pure; time is an argument.

The measure is one round: spans that were sent after the last change, so whatever is decided is decided at most once a
round trip. Its mean latency is held against the baseline, the latency with nothing of ours queued:

    up to `grow`       more helps: one more, or twice as many while nothing is known yet
    between            enough: stays
    over `shrink`      twice in a row (a stall of the server is one round): half, and the cut is judged

Latency alone cannot tell a queue of ours from a server that has become slower or further away. Every cut can: if the
next round moves as many bytes, the cut was free and stays; if it moves fewer, nothing was queued, so what that round
measured is the new baseline, and the cut is taken back. For the same reason a baseline is measured again from time to
time by a cut to a quarter: a queue that stands since a server came nearer looks like any other latency.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyOptions:
    """`least`, `most`: spans, 1 <= least <= most. Times in seconds, the others are ratios.

    `grow`, `shrink`: latency over baseline. A queue as long as what is served doubles latency, so at `shrink` half of
    what is in flight waits; `grow` lies above the scatter of a mean of few samples.
    `free`: the share of the rate that a cut must keep; 0.85 lets a halving stay when the other half brought 15 %.
    `samples`: spans of a round, at least and at most; at least as many as are allowed in between.
    `remeasure`: between measurements of the baseline, also at least 50 of its latencies: a cut to a quarter lasts about
    two of them, so it costs 3 % at most.
    `overload`: within it, refusals for overload are one: longer than the replies to spans in flight take to arrive.
    `rest`: no growth so long after an overload.
    `decay`: between two steps down when nothing waits.
    """

    least: int = 1
    most: int = 8
    grow: float = 1.7
    shrink: float = 2.0
    free: float = 0.85
    samples: tuple[int, int] = (4, 16)
    remeasure: float = 10.0
    overload: float = 1.0
    rest: float = 2.0
    decay: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise ValueError(f"1 <= least <= most does not hold for {self.least} and {self.most}")


@dataclass(slots=True)
class _Round:
    """What was seen since `since`. `draining`: more is in flight than allowed, so it has not begun yet."""

    since: float
    draining: bool
    moved: int = 0  # bytes of all spans that settled
    samples: int = 0  # those sent since, and of usual size
    seconds: float = 0.0
    size: int = 0
    full: int = 0  # samples that ended while all that is allowed was in flight


@dataclass(frozen=True, slots=True)
class _Cut:
    """A decrease that is not judged yet. `allowed`, `rate` (bytes a second): before it. `again`: if free, go on."""

    allowed: int
    rate: float
    again: bool


class Concurrency:
    """One per process. Called from one event loop, with times of one monotonic clock.

    Invariant: least <= allowed <= most, whatever is called with whatever numbers, in any order.
    """

    def __init__(self, options: ConcurrencyOptions) -> None:
        self._options = options
        self._allowed = options.least
        self._usual = 0.0  # bytes of a span, smoothed
        self._baseline = 0.0  # seconds, 0: not known
        self._baseline_size = 1.0  # bytes of the spans that it was measured with
        self._fast = True
        self._high = 0  # rounds over `shrink` in a row
        self._rate = 0.0  # bytes a second of the round before
        self._cut: _Cut | None = None
        self._measure_at = 0.0
        self._overloaded_at = float("-inf")
        self._decayed_at = float("-inf")
        self._round = _Round(0.0, draining=True)

    @property
    def allowed(self) -> int:
        """Spans that may be in flight now."""
        return self._allowed

    def bound(self, least: int, most: int) -> None:
        """Other bounds from now on; what was learnt stays. Raises ValueError unless 1 <= least <= most."""
        self._options = replace(self._options, least=least, most=most)
        self._set(self._allowed)

    def settled(self, now: float, *, seconds: float, size: int, in_flight: int) -> None:
        """A span of `size` bytes was acknowledged `seconds` after it was put in flight; `in_flight`: itself included.

        From its last attempt if it was retried. The wait for a thread that encodes must be in `seconds`: without it the
        codec's queue is not seen, and all that is allowed ends up waiting there.
        """
        self._usual += (size - self._usual) * (0.1 if self._usual else 1.0)
        this = self._round
        if this.draining:
            if in_flight <= self._allowed:
                self._begin(now)
            return
        this.moved += size
        if now - seconds < this.since or size < self._usual / 2:  # sent before, or the short end of a file
            return
        this.samples += 1
        this.seconds += seconds
        this.size += size
        this.full += in_flight >= self._allowed
        fewest, most = self._options.samples
        if this.samples >= min(max(fewest, self._allowed), most) and now > this.since:
            self._decide(now, this)

    def overloaded(self, now: float) -> None:
        """The server refused work because it has too much: half at once, once an `overload`; no growth for a `rest`."""
        if now - self._overloaded_at >= self._options.overload:
            self._overloaded_at = now
            self._restart(now, self._allowed // 2, fast=False)

    def failed(self, now: float) -> None:
        """The server or the way to it failed: what was sent before tells nothing; then from the floor, quickly."""
        self._restart(now, self._options.least, fast=True)

    def caught_up(self, now: float) -> None:
        """Nothing waits, so nothing is tried. Half, once a `decay`; the next backlog may grow quickly."""
        if now - self._decayed_at < self._options.decay and self._allowed > self._options.least:
            self._restart(now, self._allowed, fast=self._fast)
            return
        self._decayed_at = now
        self._restart(now, self._allowed // 2, fast=True)

    def _decide(self, now: float, this: _Round) -> None:
        """A round is over: exactly one of stay, more, fewer."""
        options = self._options
        latency, size, rate = this.seconds / this.samples, this.size / this.samples, this.moved / (now - this.since)
        before, self._rate = self._rate, rate
        if not self._baseline:
            self._measured(now, latency, size)
        if self._cut is not None:
            self._judge(now, self._cut, latency, size, rate)
            return
        if self._allowed == options.least:
            self._measured(now, latency, size)  # at the floor nothing of ours queues
        elif latency * options.grow < self._baseline:
            self._baseline, self._baseline_size = max(latency, 1e-9), max(size, 1.0)  # a queue can only add
            self._measure_at = min(self._measure_at, now + options.remeasure)
        # What a larger span may explain is no growth of latency; with a server far away a smaller one is not faster.
        ratio = latency / (self._baseline * max(1.0, size / self._baseline_size))
        self._high = self._high + 1 if ratio > options.shrink else 0
        if self._high > 1:
            self._fast = False
            self._lower(now, 2, rate=min(before, rate), again=False)  # the first of the two may be half of better times
        elif now >= self._measure_at and self._allowed > options.least and not self._high:
            self._lower(now, 4, rate=(before + rate) / 2, again=True)
        else:
            if ratio <= options.grow and 2 * this.full >= this.samples and now - self._overloaded_at >= options.rest:
                self._set(2 * self._allowed if self._fast and ratio <= (1 + options.grow) / 2 else self._allowed + 1)
            self._fast = self._fast and ratio <= options.grow
            self._begin(now)

    def _lower(self, now: float, divisor: int, *, rate: float, again: bool) -> None:
        self._cut = _Cut(self._allowed, rate, again)
        self._high = 0
        self._set(self._allowed // divisor)
        self._begin(now, draining=True)

    def _judge(self, now: float, cut: _Cut, latency: float, size: float, rate: float) -> None:
        self._cut = None
        if rate >= self._options.free * cut.rate:
            if cut.again and self._allowed > self._options.least:
                self._lower(now, 4, rate=cut.rate, again=True)
                return
        else:
            known = self._baseline
            self._measured(now, latency, size)
            self._fast = self._fast or self._baseline > self._options.grow * known  # another server, or another way
            self._set(cut.allowed)
        self._begin(now)

    def _measured(self, now: float, latency: float, size: float) -> None:
        """A latency with nothing of ours queued. Near the known one it only moves it half way: it is a mean of few."""
        options = self._options
        if self._baseline and 1 / options.shrink <= latency / self._baseline <= options.shrink:
            latency, size = (latency + self._baseline) / 2, (size + self._baseline_size) / 2
        self._baseline, self._baseline_size = max(latency, 1e-9), max(size, 1.0)
        self._measure_at = now + max(options.remeasure, 50 * latency)

    def _restart(self, now: float, allowed: int, *, fast: bool) -> None:
        self._cut = None
        self._high = 0
        self._fast = fast
        self._set(allowed)
        self._begin(now, draining=True)

    def _set(self, allowed: int) -> None:
        self._allowed = min(max(allowed, self._options.least), self._options.most)

    def _begin(self, now: float, *, draining: bool = False) -> None:
        self._round = _Round(now, draining)
