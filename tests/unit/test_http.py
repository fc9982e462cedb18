"""The endpoint on the loopback: what it answers, to whom it does not, and when the event loop hangs."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator

import pytest
from tests.support.monitored import World
from tests.support.scrape import Reply, Scrape, ask
from tests.support.tailrace_process import until

from tailrace.config import Address
from tailrace.errors import ConfigurationError
from tailrace.ops import connections
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
        reply = ask(url, path)
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


def test_clients_that_say_nothing_are_bounded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More silent connections than there are places: the ones too many are closed, and places come back."""
    monkeypatch.setattr(connections.Handler, "timeout", 1.0)
    where = ("127.0.0.1", int(url.rpartition(":")[2]))
    silent = [socket.create_connection(where, timeout=5) for _ in range(connections._CONNECTIONS)]
    with socket.create_connection(where, timeout=5) as one_more:
        assert one_more.recv(1) == b"", "closed at once"
    assert threading.active_count() < connections._CONNECTIONS + 10
    until(lambda: _status(url) == 200, 10, "a place becoming free")
    for each in silent:
        each.close()


def _status(url: str) -> int:
    try:
        return ask(url, "/healthz").status
    except OSError:
        return 0


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
