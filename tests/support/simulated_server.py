"""A server, the way to it, and clients with a backlog, as discrete events. No clock, no sleep; a seed repeats a run.

    encode --> send --delay/2--> queue -> one of `slots` for (size / speed) -> acknowledgement --delay/2--> client

What changes with time is a list of (from when, value). Times in seconds, sizes in bytes.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Protocol

from tailrace.ingest.concurrency import Concurrency, ConcurrencyOptions

SPAN = 1 << 20
RETRY = 0.25  # seconds a client waits after a failure or a refusal

Steps = Sequence[tuple[float, float]]


def at(steps: Steps, now: float) -> float:
    """The value that holds at `now`: the last step that has begun."""
    return next(value for since, value in reversed(steps) if since <= now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """`speed`: bytes a second of one slot. `delay`: there and back. `ack`: wait after the service, uniform in a range.

    `scatter`: of service times, as a share (uniform). `crowding`: each other busy slot makes a service longer by this
    share. `stalls`: nothing is served within. `down`: every span fails, those in flight as well. `refusing`: refused.
    """

    slots: int = 2
    speed: Steps = ((0.0, 85.0 / 2 * SPAN),)  # two slots: 85 spans/s
    delay: Steps = ((0.0, 0.0),)
    ack: tuple[float, float] = (0.0, 0.0)
    scatter: float = 0.0
    crowding: float = 0.0
    stalls: Sequence[tuple[float, float]] = ()
    down: Sequence[tuple[float, float]] = ()
    refusing: Sequence[tuple[float, float]] = ()


class Controller(Protocol):
    """What a client asks and tells; `Concurrency` in tests, others to compare with."""

    @property
    def allowed(self) -> int: ...
    def settled(self, now: float, *, seconds: float, size: int, in_flight: int) -> None: ...
    def overloaded(self, now: float) -> None: ...
    def failed(self, now: float) -> None: ...
    def caught_up(self, now: float) -> None: ...


@dataclass
class Fixed:
    """As many as it was told, always."""

    allowed: int

    def settled(self, now: float, *, seconds: float, size: int, in_flight: int) -> None: ...
    def overloaded(self, now: float) -> None: ...
    def failed(self, now: float) -> None: ...
    def caught_up(self, now: float) -> None: ...


def controller(most: int = 64, least: int = 1) -> Concurrency:
    return Concurrency(ConcurrencyOptions(least=least, most=most))


@dataclass
class Client:
    """Keeps as much in flight as is allowed while there is a backlog; `arrivals`: when a span comes, None: endless.

    `encoders`, `encoding`: threads that each take so many seconds for a span before it is sent; 0: no time. `whole`:
    the controller is told the seconds since a span was put in flight, else those since it was sent.
    """

    control: Controller
    sizes: Callable[[Random], int] = lambda _random: SPAN
    arrivals: deque[float] | None = None
    starts: float = 0.0
    encoders: int = 2
    encoding: float = 0.0
    whole: bool = True
    waiting: int = 0
    in_flight: int = 0
    acks: list[tuple[float, int, float]] = field(default_factory=list)  # (when, bytes, seconds since it was sent)
    allowed: list[tuple[float, int]] = field(default_factory=list)

    def rate(self, since: float, until: float) -> float:
        """Bytes a second."""
        return sum(size for when, size, _seconds in self.acks if since <= when < until) / (until - since)

    def mean_allowed(self, since: float, until: float) -> float:
        """Averaged over time."""
        return sum(allowed * seconds for allowed, seconds in self._pieces(since, until)) / (until - since)

    def range_allowed(self, since: float, until: float) -> tuple[int, int]:
        pieces = [allowed for allowed, _seconds in self._pieces(since, until)]
        return min(pieces), max(pieces)

    def _pieces(self, since: float, until: float) -> list[tuple[int, float]]:
        ends = [when for when, _allowed in self.allowed[1:]] + [until]
        pieces = [
            (allowed, min(end, until) - max(start, since))
            for (start, allowed), end in zip(self.allowed, ends, strict=True)
        ]
        return [(allowed, seconds) for allowed, seconds in pieces if seconds > 0]


@dataclass(eq=False)
class _Span:
    client: Client
    size: int
    taken: float
    sent: float = 0.0
    attempt: int = 0


class Simulation:
    """One server and its clients. `run` once."""

    def __init__(self, server: Server, clients: Sequence[Client], seed: int) -> None:
        print(f"simulation: seed {seed}, {server}")
        self._server = server
        self._clients = clients
        self._random = Random(seed)
        self._free = [0.0] * server.slots
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = 0
        self._flying: set[_Span] = set()
        self._encoders = {id(client): [0.0] * client.encoders for client in clients}

    def run(self, until: float) -> None:
        for client in self._clients:
            self._at(client.starts, self._fill_of(client))
            for when in client.arrivals or ():
                self._at(when, self._arrived(client))
        for start, _end in self._server.down:
            self._at(start, self._all_fail)
        while self._events and self._events[0][0] < until:
            now, _number, event = heapq.heappop(self._events)
            event(now)

    def _at(self, when: float, event: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (when, self._number, event))

    def _arrived(self, client: Client) -> Callable[[float], None]:
        def event(now: float) -> None:
            client.waiting += 1
            self._fill(client, now)

        return event

    def _fill_of(self, client: Client) -> Callable[[float], None]:
        return lambda now: self._fill(client, now)

    def _fill(self, client: Client, now: float) -> None:
        if client.arrivals is not None and not client.waiting:
            client.control.caught_up(now)
        allowed = client.control.allowed
        if not client.allowed or client.allowed[-1][1] != allowed:
            client.allowed.append((now, allowed))
        while client.in_flight < allowed and (client.arrivals is None or client.waiting):
            client.waiting -= client.arrivals is not None
            client.in_flight += 1
            span = _Span(client, client.sizes(self._random), now)
            if client.encoding:
                encoders = self._encoders[id(client)]
                end = max(now, heapq.heappop(encoders)) + client.encoding
                heapq.heappush(encoders, end)
                self._at(end, partial(self._send, span))
            else:
                self._send(span, now)

    def _send(self, span: _Span, now: float) -> None:
        if span.attempt:
            span.taken = now  # the controller is told of the last attempt
        span.sent = now
        span.attempt += 1
        self._flying.add(span)
        attempt = span.attempt
        way = at(self._server.delay, now) / 2
        self._at(now + way, lambda when: self._reaches(span, attempt, when, way))

    def _reaches(self, span: _Span, attempt: int, now: float, way: float) -> None:
        server, random = self._server, self._random
        if attempt != span.attempt or span not in self._flying:
            return
        if _within(server.down, now) or _within(server.refusing, now):
            failing = _within(server.down, now)
            self._at(now + way, lambda when: self._refused(span, when, failing=failing))
            return
        start = max(now, heapq.heappop(self._free))
        busy = sum(free > start for free in self._free)
        service = span.size / at(server.speed, start) * (1 + server.crowding * busy)
        service *= 1 + random.uniform(-server.scatter, server.scatter)
        end = start + service
        for begins, ends in server.stalls:
            if start < ends and end > begins:
                end += ends - max(begins, start)
        heapq.heappush(self._free, end)
        self._at(end + random.uniform(*server.ack) + way, lambda when: self._acknowledged(span, attempt, when))

    def _acknowledged(self, span: _Span, attempt: int, now: float) -> None:
        if attempt != span.attempt or span not in self._flying:
            return
        client = span.client
        seconds = now - (span.taken if client.whole else span.sent)
        self._flying.discard(span)
        client.acks.append((now, span.size, seconds))
        client.control.settled(now, seconds=seconds, size=span.size, in_flight=client.in_flight)
        client.in_flight -= 1
        self._fill(client, now)

    def _refused(self, span: _Span, now: float, *, failing: bool) -> None:
        if span not in self._flying:
            return
        self._flying.discard(span)
        control = span.client.control
        (control.failed if failing else control.overloaded)(now)
        self._fill(span.client, now)
        self._at(now + RETRY * self._random.uniform(0.5, 1), lambda when: self._send(span, when))

    def _all_fail(self, now: float) -> None:
        self._free = [0.0] * self._server.slots
        for span in sorted(self._flying, key=lambda span: span.sent):
            self._refused(span, now, failing=True)


def _within(times: Sequence[tuple[float, float]], now: float) -> bool:
    return any(start <= now < end for start, end in times)


def simulate(server: Server, control: Controller, until: float, seed: int = 1) -> Client:
    """One client with an endless backlog."""
    client = Client(control)
    Simulation(server, [client], seed).run(until)
    return client


def best_fixed(server: Server, most: int = 64, until: float = 12.0, seed: int = 1) -> tuple[float, int]:
    """(bytes a second of the best fixed concurrency, the knee: the least that reaches 0.95 of it)."""
    rates = {}
    for allowed in range(1, most + 1):
        rates[allowed] = simulate(server, Fixed(allowed), until, seed).rate(until / 4, until)
        if allowed > 8 and rates[allowed] < 1.001 * rates[allowed // 2]:
            break  # twice as many brought nothing
    best = max(rates.values())
    return best, next(allowed for allowed, rate in rates.items() if rate >= 0.95 * best)
