"""How many spans may be in flight: every rule alone."""

from __future__ import annotations

import pytest

from tailrace.ingest.concurrency import Concurrency, ConcurrencyOptions

SPAN = 1_000_000
BASE = 0.1  # seconds: the latency with nothing queued
OPTIONS = ConcurrencyOptions(most=64, samples=(4, 16))


class Hand:
    """Feeds a controller one round at a time, at a clock of its own."""

    def __init__(self, options: ConcurrencyOptions = OPTIONS) -> None:
        self.options = options
        self.control = Concurrency(options)
        self.now = 1000.0
        self.control.settled(self.now, seconds=BASE, size=SPAN, in_flight=1)  # the first one opens a round

    @property
    def allowed(self) -> int:
        return self.control.allowed

    def round(self, latency: float, *, size: int = SPAN, in_flight: int | None = None, old: int = 0) -> int:
        """As many spans as a round takes, sent now and back `latency` later; `old` ones sent long before as well."""
        if self.control._round.draining:
            self.settle(0.0, in_flight=self.allowed)  # what was too many has left
        fewest, most = self.options.samples
        self.now += latency
        full = self.allowed if in_flight is None else in_flight
        for _ in range(old):
            self.settle(1000 * latency, in_flight=full)
        for _ in range(min(max(fewest, self.allowed), most)):
            self.settle(latency, size=size, in_flight=full)
        return self.allowed

    def settle(self, seconds: float, *, size: int = SPAN, in_flight: int = 1) -> None:
        self.control.settled(self.now, seconds=seconds, size=size, in_flight=in_flight)

    def grown_to(self, allowed: int) -> None:
        for _ in range(64):
            if self.allowed < allowed:
                self.round(BASE)
        assert self.allowed == allowed

    def slowly(self) -> None:
        """Past the quick start: a round over `grow`."""
        before = self.allowed
        assert self.round(1.8 * BASE) == before


@pytest.mark.parametrize(("least", "most"), [(0, 8), (-1, 1), (9, 8)])
def test_bounds_must_be_in_order(least: int, most: int) -> None:
    with pytest.raises(ValueError, match="1 <= least <= most"):
        ConcurrencyOptions(least=least, most=most)


def test_it_starts_at_the_least() -> None:
    assert Concurrency(ConcurrencyOptions(least=3, most=8)).allowed == 3


def test_nothing_moves_when_least_is_most() -> None:
    """A setting of one worker means one, whatever the server does."""
    hand = Hand(ConcurrencyOptions(least=2, most=2))
    assert {hand.round(latency) for latency in (BASE, BASE, 9 * BASE, 9 * BASE, BASE)} == {2}


def test_it_doubles_while_latency_does_not_move() -> None:
    """64 in flight after six round trips and a few: a server 100 ms away is used well within seconds."""
    hand = Hand()
    assert [hand.round(BASE) for _ in range(7)] == [2, 4, 8, 16, 32, 64, 64]


def test_a_round_with_some_queueing_adds_one() -> None:
    """Between half-way to `grow` and `grow`: one more."""
    hand = Hand()
    hand.grown_to(8)
    assert hand.round(1.34 * BASE) == 16
    assert hand.round(1.36 * BASE) == 17
    assert hand.round(1.69 * BASE) == 18


def test_once_latency_has_grown_it_adds_one_at_a_time() -> None:
    """The quick start is over for good at the first sign of a queue."""
    hand = Hand()
    hand.grown_to(8)
    hand.slowly()
    assert [hand.round(BASE) for _ in range(3)] == [9, 10, 11]


def test_between_grow_and_shrink_it_stays() -> None:
    hand = Hand()
    hand.grown_to(8)
    assert [hand.round(BASE * ratio) for ratio in (1.71, 1.99, 1.71, 1.99)] == [8] * 4


def test_latency_over_shrink_twice_in_a_row_halves() -> None:
    hand = Hand()
    hand.grown_to(8)
    assert hand.round(2.01 * BASE) == 8
    assert hand.round(2.01 * BASE) == 4


def test_one_slow_round_is_no_reason() -> None:
    """A stall of the storage engine, however long, is one round."""
    hand = Hand()
    hand.grown_to(8)
    for _ in range(5):
        assert hand.round(8 * BASE) == 8
        assert hand.round(1.8 * BASE) == 8


def _halved(hand: Hand) -> None:
    hand.grown_to(8)
    hand.slowly()
    hand.round(2.5 * BASE)  # 8 spans in 0.25 s
    assert hand.round(2.5 * BASE) == 4


def test_a_cut_that_costs_no_throughput_stays() -> None:
    """Half as many move 0.85 of the bytes: the rest had only waited."""
    hand = Hand()
    _halved(hand)
    assert hand.round(1.4 * BASE) == 4  # 4 spans in 0.14 s: 28.6/s of 32/s
    assert hand.round(1.4 * BASE) == 5
    assert hand.round(2.01 * BASE) == 5  # the baseline is what it was
    assert hand.round(2.01 * BASE) == 2


def test_a_cut_that_costs_throughput_is_taken_back() -> None:
    """The server is slower or further away: fewer in flight would only be less, and its latency is the new baseline."""
    hand = Hand()
    _halved(hand)
    assert hand.round(2.5 * BASE) == 8  # 4 spans in 0.25 s: half
    assert hand.round(2.5 * BASE) == 16  # quickly: another server, or another way to it


def test_the_rate_before_a_cut_is_that_of_the_worse_round() -> None:
    """The first slow round may be half of better times: the cut is not held against those."""
    hand = Hand()
    hand.grown_to(8)
    hand.slowly()
    hand.round(2.5 * BASE, old=20)
    assert hand.round(2.5 * BASE) == 4
    assert hand.round(1.4 * BASE) == 4


def test_a_cut_is_judged_once_what_was_too_many_has_left() -> None:
    hand = Hand()
    _halved(hand)
    for in_flight in (8, 7, 6, 5):
        hand.now += BASE
        for _ in range(16):
            hand.settle(BASE / 2, in_flight=in_flight)
    assert hand.allowed == 4
    assert hand.round(2.5 * BASE) == 8  # only this round was counted


def test_nothing_is_decided_within_a_round_trip() -> None:
    """Spans sent before the last change tell nothing of it, however many come back."""
    hand = Hand()
    hand.grown_to(4)
    hand.now += 0.9 * BASE
    for _ in range(100):
        hand.settle(BASE, in_flight=4)
    assert hand.allowed == 4
    hand.now += 0.1 * BASE
    for _ in range(4):
        assert hand.allowed == 4
        hand.settle(BASE, in_flight=4)
    assert hand.allowed == 8


def test_it_does_not_grow_while_fewer_are_in_flight_than_allowed() -> None:
    """When bytes or reading limit what is in flight, a higher limit is worth nothing and not tried."""
    hand = Hand()
    hand.grown_to(4)
    assert hand.round(BASE, in_flight=3) == 4
    assert hand.round(BASE, in_flight=4) == 8


def test_the_short_end_of_a_file_is_no_sample() -> None:
    """A span of less than half the usual size is quick, and does not make the others look slow."""
    hand = Hand()
    hand.grown_to(4)
    hand.now += BASE / 10
    for _ in range(3):
        hand.settle(BASE / 10, size=SPAN // 10, in_flight=4)
    hand.now += BASE
    for _ in range(3):
        hand.settle(BASE, in_flight=4)
    assert hand.allowed == 4
    hand.settle(BASE, in_flight=4)
    assert hand.allowed == 8


def test_larger_spans_may_take_longer() -> None:
    """Three times the bytes in three times the time is no queue."""
    hand = Hand()
    hand.grown_to(4)
    assert [hand.round(3 * BASE, size=3 * SPAN) for _ in range(2)] == [8, 16]


def test_smaller_spans_may_take_as_long() -> None:
    """Near a server far away the size hardly matters."""
    hand = Hand()
    hand.grown_to(4)
    assert [hand.round(BASE, size=SPAN * 6 // 10) for _ in range(2)] == [8, 16]


def test_the_baseline_is_measured_again_by_a_cut_to_a_quarter() -> None:
    """After `remeasure` seconds, not before; what was allowed comes back when the cut costs throughput."""
    hand = Hand()
    hand.grown_to(16)
    hand.slowly()
    measured = hand.control._measure_at
    while hand.now + 1.8 * BASE < measured:
        assert hand.round(1.8 * BASE) == 16
    assert hand.round(1.8 * BASE) == 4
    assert hand.round(BASE) == 16
    assert hand.round(1.8 * BASE) == 16
    assert hand.control._measure_at > measured + 9


def test_nothing_is_measured_in_a_slow_round() -> None:
    """A stall when the baseline is due is waited for: it would be judged by the rate of the stall."""
    hand = Hand()
    hand.grown_to(16)
    hand.slowly()
    hand.now = hand.control._measure_at
    assert hand.round(5 * BASE) == 16
    assert hand.round(1.8 * BASE) == 4


def test_measuring_goes_on_down_while_it_is_free() -> None:
    """A queue that stands since the server came nearer is found: 64, 16, 4, and there the rate falls."""
    hand = Hand()
    hand.grown_to(64)
    hand.slowly()
    hand.round(1.8 * BASE, old=48)
    hand.now = hand.control._measure_at
    rate = 64 / (1.8 * BASE)
    hand.control._round.since = hand.now
    assert hand.round(1.8 * BASE, old=48) == 16
    assert hand.round(16 / rate) == 4
    assert hand.round(4 / rate) == 1
    assert hand.round(4 / rate * 2) == 4


def test_a_faster_server_is_believed_at_once() -> None:
    """A queue only adds to latency, so a lower one is a lower baseline: what follows is held against it."""
    hand = Hand()
    hand.grown_to(8)
    hand.slowly()
    assert hand.round(0.5 * BASE) == 9
    assert [hand.round(1.1 * BASE) for _ in range(2)] == [9, 4]


def test_after_a_slow_server_became_fast_the_baseline_is_measured_soon() -> None:
    """Not 50 of the slow latencies later: what it is believed at once may hold a queue of ours."""
    hand = Hand()
    for _ in range(4):
        hand.round(1.0)
    assert hand.control._measure_at > hand.now + 40
    hand.round(0.1)
    assert hand.control._measure_at == hand.now + 10


def test_a_baseline_near_the_known_one_moves_it_half_way() -> None:
    """One round is a mean of few: 1.5 times the known latency makes it 1.25 times."""
    hand = Hand()
    hand.grown_to(16)
    hand.slowly()
    hand.now = hand.control._measure_at
    assert hand.round(1.8 * BASE) == 4
    assert hand.round(1.5 * BASE) == 16
    assert hand.round(1.7 * 1.27 * BASE) == 16
    assert hand.round(1.7 * 1.24 * BASE) == 17


def test_overload_halves_at_once_and_a_burst_counts_once() -> None:
    """Code 462 from each of eight spans in flight is one piece of news."""
    hand = Hand()
    hand.grown_to(32)
    for ms in range(8):
        hand.control.overloaded(hand.now + ms / 1000)
        assert hand.allowed == 16
    hand.control.overloaded(hand.now + 0.999)
    assert hand.allowed == 16
    hand.control.overloaded(hand.now + 1.0)
    assert hand.allowed == 8


def test_a_slow_round_before_an_overload_does_not_count_after_it() -> None:
    """One decrease for one trouble: the halving is given its two rounds to work."""
    hand = Hand()
    hand.grown_to(16)
    hand.round(3 * BASE)
    hand.control.overloaded(hand.now)
    assert [hand.round(3 * BASE) for _ in range(2)] == [8, 4]


def test_overload_that_lasts_leads_to_the_floor() -> None:
    hand = Hand()
    hand.grown_to(64)
    seen = []
    for _ in range(8):
        hand.now += 1
        hand.control.overloaded(hand.now)
        seen.append(hand.allowed)
    assert seen == [32, 16, 8, 4, 2, 1, 1, 1]


def test_after_an_overload_it_rests_and_then_adds_one_at_a_time() -> None:
    hand = Hand()
    hand.grown_to(16)
    hand.control.overloaded(hand.now)
    over = hand.now
    while hand.now + BASE < over + OPTIONS.rest:
        assert hand.round(BASE) == 8
    hand.now = over + OPTIONS.rest
    assert [hand.round(BASE) for _ in range(3)] == [9, 10, 11]


def test_a_failure_leads_to_the_floor_and_quickly_back() -> None:
    """After a failover the next primary is met with `least` spans, then 2, 4, 8, ..."""
    hand = Hand()
    hand.grown_to(16)
    hand.slowly()
    hand.control.failed(hand.now)
    assert hand.allowed == 1
    assert [hand.round(BASE) for _ in range(4)] == [2, 4, 8, 16]


def test_what_was_sent_before_a_failure_is_no_sample() -> None:
    """A span that waited through a failover for its primary says nothing of the next one."""
    hand = Hand()
    hand.grown_to(4)
    hand.now += 5
    hand.control.failed(hand.now)
    hand.settle(5, in_flight=1)
    hand.now += BASE
    for _ in range(20):
        hand.settle(5, in_flight=1)
    assert hand.allowed == 1
    for _ in range(4):
        hand.settle(BASE, in_flight=1)
    assert hand.allowed == 2


def test_a_failure_ends_the_judgement_of_a_cut() -> None:
    """What was allowed before the failover does not come back in one step."""
    hand = Hand()
    _halved(hand)
    hand.control.failed(hand.now)
    assert hand.round(2.5 * BASE) == 2


def test_caught_up_goes_down_step_by_step() -> None:
    """Half every `decay`, so that a backlog that is gone for a moment does not cost the rate."""
    hand = Hand()
    hand.grown_to(16)
    start = hand.now
    seen = {}
    for tick in range(25):
        hand.control.caught_up(start + tick / 10)
        seen[tick] = hand.allowed
    assert [seen[tick] for tick in (0, 4, 5, 9, 10, 14, 15, 19, 20)] == [8, 8, 4, 4, 2, 2, 1, 1, 1]


def test_a_moment_without_a_backlog_ends_a_round() -> None:
    """What settled before it does not add up to a reason to grow, also between two steps down."""
    hand = Hand()
    hand.grown_to(8)
    hand.control.caught_up(hand.now)
    hand.settle(BASE, in_flight=4)
    hand.now += BASE
    for _ in range(8):
        for _ in range(3):
            hand.settle(BASE, in_flight=4)
        hand.control.caught_up(hand.now)
    assert hand.allowed == 4
    assert hand.round(BASE) == 8


def test_without_a_backlog_it_does_not_grow() -> None:
    """One span at a time, each of which finds nothing waiting behind it: the live path stays at the floor."""
    hand = Hand()
    for _ in range(100):
        hand.now += BASE
        hand.settle(BASE, in_flight=1)
        hand.control.caught_up(hand.now)
    assert hand.allowed == 1


def test_a_new_backlog_is_not_held_against_live_spans() -> None:
    """Live spans are small and quick; at the floor the baseline is measured with what comes."""
    hand = Hand()
    for _ in range(10):
        hand.round(BASE / 100, size=SPAN // 100)
    hand.now += 10
    for _ in range(10):
        hand.now += 1
        hand.control.caught_up(hand.now)
    assert hand.allowed == 1
    assert [hand.round(BASE) for _ in range(4)] == [2, 4, 8, 16]
    hand.slowly()
    assert [hand.round(2.5 * BASE) for _ in range(2)] == [16, 8]


def test_a_clock_that_stands_raises_nothing() -> None:
    """No time, no rate: the round goes on."""
    control = Concurrency(OPTIONS)
    for _ in range(20):
        control.settled(1.0, seconds=0.0, size=SPAN, in_flight=1)
    assert control.allowed == 1
