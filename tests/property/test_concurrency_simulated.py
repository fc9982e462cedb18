"""How many spans may be in flight, against simulated servers: what it reaches, how soon, and what it never does.

Rates are held against the best of all fixed concurrencies on the same server; the knee is the least that reaches 0.95
of it. Every simulation prints its seed; `TAILRACE_TEST_SEED` chooses another.
"""

from __future__ import annotations

import os
from collections import deque
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.simulated_server import SPAN, Client, Fixed, Server, Simulation, best_fixed, controller, simulate

from tailrace.ingest.concurrency import Concurrency, ConcurrencyOptions

SEED = int(os.environ.get("TAILRACE_TEST_SEED", "1"))
SPEED = 85.0 / 2 * SPAN  # two slots: 85 spans/s
FAR = ((0.0, 0.1),)
MAJORITY = (0.003, 0.02)

STEADY = {
    "one slot": Server(slots=1),
    "two slots": Server(),
    "four slots": Server(slots=4),
    "eight slots": Server(slots=8),
    "two slots, 100 ms away": Server(delay=FAR),
    "four slots, 100 ms away": Server(slots=4, delay=FAR),
    "two slots that scatter": Server(scatter=0.5),
    "two slots that scatter, 100 ms away": Server(scatter=0.5, delay=FAR),
    "majority": Server(ack=MAJORITY, scatter=0.3),
    "majority, four slots": Server(slots=4, ack=MAJORITY, scatter=0.3),
    "majority, five times as fast": Server(speed=((0.0, 5 * SPEED),), ack=MAJORITY, scatter=0.5),
    "eight slots that crowd each other": Server(slots=8, crowding=0.25),
}


@pytest.mark.parametrize("name", STEADY)
def test_a_steady_server(name: str) -> None:
    """0.9 of the best rate there is, with at most three times the spans in flight that it takes (peaks: five times)."""
    server = STEADY[name]
    best, knee = best_fixed(server, seed=SEED)
    client = simulate(server, controller(), 60.0, SEED)
    assert client.rate(3, 60) >= 0.9 * best
    assert client.mean_allowed(3, 60) <= 3 * knee
    assert client.range_allowed(3, 60)[1] <= 5 * knee


def test_a_server_100_ms_away_keeps_the_rate() -> None:
    """Catch-up of a minute, its start included, keeps 0.9 of the rate without the delay; eight at once cannot."""
    near, far = (simulate(server, controller(), 60.0, SEED) for server in (Server(), Server(delay=FAR)))
    assert far.rate(0, 60) >= 0.9 * near.rate(0, 60)
    assert far.rate(2, 3) >= 0.9 * near.rate(2, 3)
    assert simulate(Server(delay=FAR), Fixed(8), 60.0, SEED).rate(0, 60) < 0.8 * near.rate(0, 60)


def test_changes_are_a_round_trip_apart() -> None:
    """However many spans come back in one, a step is seen to work or not before the next."""
    client = simulate(Server(delay=FAR, scatter=0.5), controller(), 60.0, SEED)
    times = [when for when, _allowed in client.allowed]
    assert len(times) > 20
    assert all(later - earlier >= 0.1 for earlier, later in pairwise(times))


@pytest.mark.parametrize("delay", [0.0, 0.1])
def test_a_server_that_becomes_ten_times_slower_and_fast_again(delay: float) -> None:
    """After each step 0.9 of the best rate from the tenth second on, with at most three times the knee in flight."""
    steps = ((0.0, SPEED), (20.0, SPEED / 10), (80.0, SPEED))
    client = simulate(Server(speed=steps, delay=((0.0, delay),)), controller(), 120.0, SEED)
    for since, until, speed in ((30.0, 80.0, SPEED / 10), (90.0, 120.0, SPEED)):
        best, knee = best_fixed(Server(speed=((0.0, speed),), delay=((0.0, delay),)), until=60.0, seed=SEED)
        assert client.rate(since, until) >= 0.9 * best
        assert client.mean_allowed(since, until) <= 3 * knee


def test_a_server_that_moves_100_ms_away_and_back() -> None:
    """Far: 0.9 within 3 s. Near again: the rate never falls, and the queue that is left is found within 15 s."""
    client = simulate(Server(delay=((0.0, 0.001), (20.0, 0.1), (50.0, 0.001))), controller(), 80.0, SEED)
    best, knee = best_fixed(Server(delay=((0.0, 0.001),)), seed=SEED)
    for since, until in ((5.0, 20.0), (23.0, 50.0), (50.0, 80.0)):
        assert client.rate(since, until) >= 0.9 * best
    assert client.mean_allowed(40, 50) > 3 * knee  # the precondition: it had to come down
    assert client.mean_allowed(65, 80) <= 3 * knee


def test_overload() -> None:
    """Refused for five seconds: down to the floor by halves, at most one a second; 0.9 within 8 s after its end."""
    client = simulate(Server(refusing=((20.0, 25.0),), delay=FAR), controller(), 50.0, SEED)
    changes = [(when, allowed) for when, allowed in client.allowed if 20 <= when < 25.2]
    start = next(allowed for when, allowed in reversed(client.allowed) if when < 20)
    assert start >= 10
    assert changes[0][0] < 20.2
    assert [allowed for _when, allowed in changes] == [start // 2**n for n in range(1, len(changes) + 1)]
    assert all(later - earlier >= 1 for (earlier, _a), (later, _b) in pairwise(changes))
    assert changes[-1][1] == 1
    assert client.rate(33, 50) >= 0.9 * client.rate(5, 20)


@pytest.mark.parametrize("delay", [0.0, 0.1])
@pytest.mark.parametrize("seconds", [2.0, 5.0, 10.0])
def test_a_failover(seconds: float, delay: float) -> None:
    """0.9 of the rate before, from 2.5 s after the next primary takes writes, however long it took."""
    client = simulate(Server(down=((20.0, 20.0 + seconds),), delay=((0.0, delay),)), controller(), 45.0, SEED)
    assert client.rate(20.2, 20 + seconds) == 0
    assert client.range_allowed(20.5, 20 + seconds) == (1, 1)
    back = 20 + seconds + 2.5
    assert client.rate(back, back + 2) >= 0.9 * client.rate(5, 20)


@pytest.mark.parametrize("delay", [0.0, 0.1])
@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_a_single_stall(seconds: float, delay: float) -> None:
    """A stall of the storage engine takes nothing but its own time: half a second later the rate is what it was."""
    stalled = Server(stalls=((16.0, 16.0 + seconds),), delay=((0.0, delay),))
    client = simulate(stalled, controller(), 30.0, SEED)
    after = 16 + seconds + delay + 0.5
    assert client.rate(16.1 + delay, 16 + seconds) == 0
    assert client.rate(after, after + 2) >= 0.9 * client.rate(5, 15)
    assert client.range_allowed(16, after)[0] > 1


def test_stalls_every_five_seconds() -> None:
    """Checkpoints of half a second: 0.9 of what the best fixed concurrency reaches between them."""
    server = Server(stalls=[(start, start + 0.5) for start in range(5, 60, 5)], ack=MAJORITY, scatter=0.3)
    best = max(simulate(server, Fixed(allowed), 60.0, SEED).rate(5, 60) for allowed in (2, 4, 8, 16))
    assert simulate(server, controller(), 60.0, SEED).rate(5, 60) >= 0.9 * best


def test_a_live_trickle_stays_at_the_least() -> None:
    """40 spans a second, each alone: nothing waits, so there is never a second one in flight."""
    random = Random(SEED)
    times = deque(sorted(random.uniform(0, 60) for _ in range(600)))
    apart = deque(when for when, later in pairwise(times) if later - when > 0.02)
    client = Client(controller(), sizes=lambda random: random.randint(300, 30_000), arrivals=apart)
    Simulation(Server(ack=MAJORITY), [client], SEED).run(61)
    assert len(client.acks) == len(apart) > 400
    assert client.mean_allowed(0, 60) <= 1.02
    assert max(seconds for _when, _size, seconds in client.acks) < 0.05


def test_a_backlog_that_ends() -> None:
    """2,000 spans at once, then a trickle: grows, is done at 0.9 of the best rate, and is back at the floor in 3 s."""
    arrivals = deque([0.0] * 2000 + [27.0 + tick / 5 for tick in range(50)])
    client = Client(controller(), arrivals=arrivals)
    Simulation(Server(delay=FAR), [client], SEED).run(40)
    done = client.acks[1999][0]
    assert 2000 * SPAN / done >= 0.9 * 85 * SPAN
    assert client.range_allowed(0, done)[1] >= 10
    assert client.range_allowed(30, 37) == (1, 1)


SIZES = {
    "half to one and a half": lambda random: int(SPAN * random.uniform(0.5, 1.5)),
    "every fourth tiny": lambda random: SPAN // 20 if random.random() < 0.25 else SPAN,
    "log-normal": lambda random: int(SPAN * min(4.0, random.lognormvariate(0, 0.6))),
}


@pytest.mark.parametrize("delay", [0.0, 0.1])
@pytest.mark.parametrize("name", SIZES)
def test_spans_of_unequal_size(name: str, delay: float) -> None:
    """A short or a large span is not taken for a fast or a slow server; at most four times the knee in flight."""
    server, sizes = Server(delay=((0.0, delay),)), SIZES[name]
    rates = {}
    for allowed in (2, 4, 8, 12, 16, 24, 32):
        fixed = Client(Fixed(allowed), sizes=sizes)
        Simulation(server, [fixed], SEED).run(30)
        rates[allowed] = fixed.rate(3, 30)
    knee = next(allowed for allowed, rate in rates.items() if rate >= 0.95 * max(rates.values()))
    client = Client(controller(), sizes=sizes)
    Simulation(server, [client], SEED).run(60)
    assert client.rate(3, 60) >= 0.9 * max(rates.values())
    assert client.mean_allowed(3, 60) <= 4 * knee


@pytest.mark.parametrize("server", [Server(speed=((0.0, 4 * SPEED),), delay=((0.0, delay),)) for delay in (0.0, 0.1)])
@pytest.mark.parametrize("encoding", [0.02, 0.1])
def test_a_codec_that_is_slower_than_the_server(server: Server, encoding: float) -> None:
    """Spans do not pile up before the two threads that encode: that wait is latency like any other."""
    rates = {}
    for allowed in (1, 2, 3, 4, 6, 8, 12, 16, 24):
        fixed = Client(Fixed(allowed), encoding=encoding)
        Simulation(server, [fixed], SEED).run(30)
        rates[allowed] = fixed.rate(3, 30)
    knee = next(allowed for allowed, rate in rates.items() if rate >= 0.95 * max(rates.values()))
    client = Client(controller(), encoding=encoding)
    Simulation(server, [client], SEED).run(60)
    assert client.rate(3, 60) >= 0.9 * max(rates.values())
    assert client.mean_allowed(3, 60) <= 3 * knee


@pytest.mark.parametrize("late", [0.0, 20.0])
@pytest.mark.parametrize("delay", [0.0, 0.1])
def test_two_on_one_server(delay: float, late: float) -> None:
    """Over two minutes neither gets more than twice the other's rate, and the server stays busy.

    They share no more than that: each takes the other's queue for distance, so together they may reach `most`.
    """
    first, second = Client(controller(most=16)), Client(controller(most=16), starts=late)
    Simulation(Server(delay=((0.0, delay),)), [first, second], SEED).run(150)
    rates = sorted(client.rate(30, 150) for client in (first, second))
    assert rates[1] <= 2 * rates[0]
    assert sum(rates) >= 0.9 * 85 * SPAN


Times = st.floats(0, 100, allow_nan=False)
Events = st.lists(
    st.one_of(
        st.tuples(st.just("settled"), Times, st.floats(0, 1e3), st.integers(0, 1 << 34), st.integers(0, 100)),
        st.tuples(st.sampled_from(["overloaded", "failed", "caught_up"]), Times),
        st.tuples(st.just("rounds"), Times, st.floats(0, 1e3), st.integers(0, 1 << 34), st.integers(1, 60)),
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=300)
@given(least=st.integers(1, 5), more=st.integers(0, 64), events=Events)
def test_it_never_leaves_its_bounds(least: int, more: int, events: list[tuple[object, ...]]) -> None:
    """least <= allowed <= most after any events in any order, with any numbers; a clock that stands raises nothing."""
    control = Concurrency(ConcurrencyOptions(least=least, most=least + more))
    now = 0.0
    for name, ahead, *rest in events:
        now += float(str(ahead))
        if name in {"settled", "rounds"}:
            seconds, size, number = (float(str(value)) for value in rest)
            for _ in range(int(number) if name == "rounds" else 1):
                now += seconds if name == "rounds" else 0.0
                in_flight = control.allowed if name == "rounds" else int(number)
                control.settled(now, seconds=seconds, size=int(size), in_flight=in_flight)
                assert least <= control.allowed <= least + more
        else:
            getattr(control, str(name))(now)
        assert least <= control.allowed <= least + more
