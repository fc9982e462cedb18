"""The endpoint on the loopback: what it answers, to whom it does not, and when the event loop hangs."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from tests.support.monitored import World
from tests.support.scrape import Reply, Scrape, ask
from tests.support.tailrace_process import until

from tailrace.config import Address
from tailrace.errors import ConfigurationError
from tailrace.ops import connections, http, page
from tailrace.ops.http import PATHS, Endpoint, serving

ANY_PORT = Address("127.0.0.1", 0)


@pytest.fixture
def world() -> World:
    world = World()
    world.monitor.started()
    return world


@pytest.fixture
def url(world: World) -> Iterator[str]:
    endpoint = Endpoint(ANY_PORT, world.monitor)
    yield f"http://{endpoint.start()}"
    endpoint.stop()


def test_every_path(url: str) -> None:
    """Each answers 200 with its type, is kept by no cache, and says nothing of what serves it."""
    types = {path: ask(url, path) for path in PATHS}
    assert {reply.status for reply in types.values()} == {200}
    assert types["/metrics"].headers["content-type"].startswith("text/plain; version=0.0.4")
    assert types["/healthz"].headers["content-type"] == "text/plain; charset=utf-8"
    for path in ("/readyz", "/status"):
        assert types[path].headers["content-type"] == "application/json; charset=utf-8"
        assert json.loads(types[path].body)["ready"] is True
    for reply in types.values():
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["server"] == "tailrace"
    assert Scrape(types["/metrics"].body).value("tailrace_server_ok") == 1


def test_paths_and_methods_that_are_not_there(url: str) -> None:
    """404 with the paths there are, 405 with the methods there are; HEAD has the headers of GET and no body."""
    for path in ("/index.html", "/metrics/", "/metricsx", "/%6detrics", "/../metrics", "http://elsewhere/metrics"):
        reply = ask(url, path, Host="localhost")
        assert (reply.status, "/readyz" in reply.body) == (404, True), path
    assert ask(url, "/readyz?verbose=1").status == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"):
        reply = ask(url, "/metrics", method)
        assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD"), method
    head = ask(url, "/readyz", "HEAD")
    assert (head.status, head.body) == (200, "")
    assert int(head.headers["content-length"]) == len(ask(url, "/readyz").body)


def test_not_ready_is_503(world: World, url: str) -> None:
    """With the sentence that says why."""
    world.waits = ["There is no node_trades stream below /data (yet)."]
    reply = ask(url, "/readyz")
    assert reply.status == 503
    assert json.loads(reply.body)["why"] == [{"code": "waiting_for_root", "sentence": world.waits[0]}]
    assert ask(url, "/healthz").status == 200


def test_a_busy_port_is_one_sentence(world: World, url: str) -> None:
    """It names the address and what to set; the one who has the port keeps it."""
    port = int(url.rpartition(":")[2])
    with pytest.raises(ConfigurationError) as caught:
        Endpoint(Address("127.0.0.1", port), world.monitor).start()
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert f"127.0.0.1:{port}" in sentence
    assert "set http to" in sentence
    assert ask(url, "/healthz").status == 200


def test_an_address_that_is_not_ours(world: World) -> None:
    """A foreign address and a host without one are configuration errors as well."""
    for host in ("192.0.2.1", "no-such-host.invalid"):
        with pytest.raises(ConfigurationError, match="http: cannot listen on"):
            Endpoint(Address(host, 0), world.monitor).start()


def test_the_port_is_free_after_stop(world: World) -> None:
    """A restart gets the same port at once, though clients were connected."""
    endpoint = Endpoint(ANY_PORT, world.monitor)
    address = endpoint.start()
    ask(f"http://{address}", "/healthz")
    endpoint.stop()
    endpoint.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(f"http://{address}", "/healthz")
    again = Endpoint(address, world.monitor)
    assert again.start() == address
    again.stop()


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6(world: World) -> None:
    """`[::1]:port` is listened on, and shown with its brackets."""
    endpoint = Endpoint(Address("::1", 0), world.monitor)
    try:
        address = endpoint.start()
    except ConfigurationError:
        pytest.skip("this machine has no ::1")
    assert ask(f"http://{address}", "/healthz").status == 200
    endpoint.stop()


def test_a_name_from_elsewhere_is_not_answered(url: str) -> None:
    """On the loopback, whatever the path: a web page whose name leads here (DNS rebinding) reads nothing."""
    for host in (
        "evil.example",
        "evil.example:9464",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[evil]",
        "a b",
    ):
        for path in PATHS:
            reply = ask(url, path, Host=host)
            assert (reply.status, reply.body.count("\n")) == (403, 1), (host, path)
            assert "security.md" in reply.body
            assert ask(url, path, "HEAD", Host=host).status == 403
    assert said(url, b"GET /status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n") == 403, "each of two"


def test_this_machine_is_answered(url: str) -> None:
    """By an address, as localhost, or by a client that sends no Host; with a port or without."""
    own = ("127.0.0.1", "localhost", "LOCALHOST", "tail.localhost", "[::1]", "192.0.2.1", "[2001:db8::1]")
    for host in (*own, *(f"{each}:9464" for each in own)):
        assert ask(url, "/healthz", Host=host).status == 200, host
    assert said(url, b"GET /healthz HTTP/1.0\r\n\r\n") == 200
    assert said(url, b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n") == 200


def test_what_is_published_has_any_name(world: World) -> None:
    """An endpoint that listens elsewhere than on the loopback is asked by whatever name its operator gave it."""
    endpoint = Endpoint(Address("0.0.0.0", 0), world.monitor)
    try:
        port = endpoint.start().port
        assert ask(f"http://127.0.0.1:{port}", "/status", Host="tailrace.example").status == 200
    finally:
        endpoint.stop()


def said(url: str, request: bytes) -> int:
    """The status of the answer to these very bytes."""
    with clients(url, 1) as (client,):
        client.sendall(request)
        return int(client.makefile("rb").readline().split()[1])


def answering() -> int:
    """Threads that have a connection."""
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


@contextmanager
def clients(url: str, count: int) -> Iterator[list[socket.socket]]:
    """So many connections on which nothing was sent, in their order."""
    where = ("127.0.0.1", int(url.rpartition(":")[2]))
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(where, timeout=5)) for _ in range(count)]


def test_clients_that_say_nothing_are_bounded(url: str) -> None:
    """More silent connections than there are places: the oldest is closed, the new one answered."""
    places = connections._CONNECTIONS
    until(lambda: answering() == 0, 5, "the end of what the test before began")
    with clients(url, places) as silent:
        until(lambda: answering() == places, 5, "all places being taken")
        assert ask(url, "/healthz").status == 200
        assert silent[0].recv(1) == b"", "the oldest is closed"
        with clients(url, 3 * places):
            assert ask(url, "/healthz").status == 200
            until(lambda: answering() <= places, 5, "no thread too many")


def test_clients_that_are_slow_keep_nobody_out(url: str) -> None:
    """As many as there are places, each with a byte every now and then: whoever asks is answered."""
    with clients(url, connections._CONNECTIONS) as slow:
        for byte in b"GET /healthz":
            for each in slow:
                with suppress(OSError):  # its place was given to another
                    each.send(bytes([byte]))
            assert ask(url, "/healthz", timeout=2).status == 200


@pytest.mark.parametrize("drips", [True, False], ids=["a byte at a time", "reads no answer"])
def test_a_request_has_an_end(world: World, monkeypatch: pytest.MonkeyPatch, drips: bool) -> None:
    """Whoever sends a byte before every time-out, or asks and takes nothing of the answer, is closed all the same."""
    monkeypatch.setattr(page, "PAGE", bytes(64 << 20))  # more than the buffers of the kernel hold
    monkeypatch.setattr(connections, "_TIMEOUT", 1.0)
    monkeypatch.setattr(http, "_POLL", 0.1)
    endpoint = Endpoint(ANY_PORT, world.monitor)
    until(lambda: answering() == 0, 5, "the end of what the test before began")
    with ExitStack() as stack:
        stack.callback(endpoint.stop)
        url, since = f"http://{endpoint.start()}", time.monotonic()
        (client,) = stack.enter_context(clients(url, 1))
        client.sendall(b"GET / HTTP/1.1\r\nX: " if drips else b"GET / HTTP/1.1\r\n\r\n")
        until(lambda: answering() == 1, 5, "a thread for it")

        def ended() -> bool:
            with suppress(OSError):
                client.send(b"x" if drips else b"")
            return answering() == 0

        until(ended, 5, "the end of a request that has no end")
        assert time.monotonic() - since >= 1.0


def test_a_defect_is_an_answer(world: World, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """500, and the next request is served."""

    def fail() -> list[str]:
        raise RuntimeError("a defect")

    monkeypatch.setattr(world.monitor, "_waiting", fail)
    assert ask(url, "/readyz").status == 500
    assert ask(url, "/healthz").status == 200


def test_a_loop_that_hangs() -> None:
    """/healthz answers while the event loop is blocked, 503 with a sentence, and 200 when it turns again.

    The loop is truly blocked; only the five seconds are skipped. While it turns, skipping them changes nothing.
    """
    world, turning = World(), threading.Event()
    block, blocked, release, end = (threading.Event() for _ in range(4))
    endpoint = Endpoint(ANY_PORT, world.monitor)
    url = f"http://{endpoint.start()}"

    async def main() -> None:
        heart = asyncio.create_task(world.monitor.beats())
        while not end.is_set():
            await asyncio.sleep(0.01)
            turning.set()
            if block.is_set() and not blocked.is_set():
                blocked.set()
                release.wait(20)
        heart.cancel()

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    try:
        assert turning.wait(10)
        assert ask(url, "/healthz").status == 200
        world.clock.now += 60
        until(lambda: ask(url, "/healthz").status == 200, 5, "a beat of a loop that turns")
        block.set()
        assert blocked.wait(10)
        assert ask(url, "/healthz").status == 200, "five seconds are not over"
        world.clock.now += 60
        replies: list[Reply] = [ask(url, path) for path in ("/healthz", "/readyz", "/metrics", "/status")]
        assert [reply.status for reply in replies] == [503, 503, 200, 200]
        assert "60 s" in replies[0].body
        assert Scrape(replies[2].body).value("tailrace_loop_age_seconds") == 60
        release.set()
        until(lambda: ask(url, "/healthz").status == 200, 5, "the loop turning again")
    finally:
        release.set()
        end.set()
        thread.join(10)
        endpoint.stop()
    assert not thread.is_alive()


async def test_serving() -> None:
    """The heart beats while it is entered; without an address nothing listens and nothing beats."""
    world = World()
    threads = threading.active_count()
    async with serving(None, world.monitor):
        await asyncio.sleep(0)
        assert world.monitor.moment().sources == ()
        assert threading.active_count() == threads
    async with serving(ANY_PORT, world.monitor):
        await asyncio.sleep(0)  # the heart's first beat is its first step
        assert world.monitor.moment().sources
        assert [thread.name for thread in threading.enumerate()].count("tailrace-http") == 1
    assert "tailrace-http" not in [thread.name for thread in threading.enumerate()]
