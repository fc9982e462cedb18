"""The notify protocol, over real datagram sockets; and the line that `systemctl status` shows."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.monitored import World
from tests.support.notify import Manager

from tailrace.errors import Verdict
from tailrace.ingest.stats import SourceStats
from tailrace.ops.systemd import Notifier, notifying, status_line

VARIABLES = {"WATCHDOG_USEC": "200000", "WATCHDOG_PID": "42"}


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{tmp_path}/notify" if request.param == "path" else f"@tailrace-test-{os.getpid()}-{time.monotonic_ns()}"


def fill(sender: socket.socket) -> None:
    """Until the manager's queue takes no more."""
    with suppress(BlockingIOError):
        while True:
            sender.send(b"noise")


def test_states_are_heard(address: str) -> None:
    """Ready, reloading with its time, ready again, stopping with the time that it may take: each one datagram."""
    with Manager(address) as manager:
        notifier = Notifier.take({"NOTIFY_SOCKET": address})
        assert notifier.listening
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        notifier.ready()
        notifier.reloading()
        notifier.ready()
        notifier.status("live")
        notifier.stopping(8.0)
        first, reloading, second, status, stopping, extended = manager.listen()
    assert (first, second, status) == ("READY=1", "READY=1", "STATUS=live")
    state, _, stamp = reloading.partition("\nMONOTONIC_USEC=")
    assert state == "RELOADING=1"
    assert before <= int(stamp) <= before + 60_000_000
    assert stopping.split("\n")[0] == "STOPPING=1"
    assert extended == "EXTEND_TIMEOUT_USEC=38000000"


def test_nobody_listens() -> None:
    """Without NOTIFY_SOCKET nothing is sent, and no watchdog is fed."""
    notifier = Notifier.take({"WATCHDOG_USEC": "1000000"})
    assert not notifier.listening
    assert notifier.watchdog_limit is None
    notifier.ready()
    notifier.status("live")
    notifier.stopping(1.0)


def test_children_hear_nothing_of_it(address: str) -> None:
    """The variables are gone from the environment: a child could otherwise say that we are ready."""
    environ = {"NOTIFY_SOCKET": address, **VARIABLES, "HOME": "/root"}
    Notifier.take(environ, pid=42)
    assert environ == {"HOME": "/root"}


@pytest.mark.parametrize(
    ("more", "limit"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "200000"}, 0.2),
        (VARIABLES, 0.2),
        ({**VARIABLES, "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_whose_watchdog_it_is(more: dict[str, str], limit: float | None) -> None:
    """Fed when it is ours, or nobody's by name; not when it is another process's, or no number."""
    assert Notifier.take({"NOTIFY_SOCKET": "/nowhere", **more}, pid=42).watchdog_limit == limit


def test_an_address_of_another_kind() -> None:
    """vsock, of a virtual machine's own manager, is not spoken: nobody is told, nothing fails."""
    notifier = Notifier("vsock:2:1234")
    assert not notifier.listening
    notifier.ready()


def test_the_same_line_is_sent_once(address: str) -> None:
    """A status is sent when it changes, in one line, and not after the end has begun."""
    with Manager(address) as manager:
        notifier = Notifier(address)
        for line in ("live", "live", "MongoDB\nREADY=1", "live"):
            notifier.status(line)
        notifier.stopping(0)
        notifier.status("live again")
        heard = manager.listen()
    assert heard[:3] == ["STATUS=live", "STATUS=MongoDB READY=1", "STATUS=live"]
    assert [each for each in heard if "again" in each] == []


def test_a_manager_that_comes_late(address: str) -> None:
    """States that could not be sent are sent, in their order, before the next thing that can; nothing is raised."""
    notifier = Notifier(address)
    notifier.status("starting")
    notifier.reloading()
    notifier.ready()
    with Manager(address) as manager:
        notifier.status("live")
        reloading, ready, status = manager.listen()
    assert reloading.startswith("RELOADING=1")
    assert (ready, status) == ("READY=1", "STATUS=live")


def test_a_manager_that_takes_nothing(address: str) -> None:
    """A full socket neither stops us nor loses the state: it comes once there is room."""
    with Manager(address) as manager, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        other.connect(b"\0" + address[1:].encode() if address.startswith("@") else address)
        fill(other)
        notifier = Notifier(address)
        began = time.monotonic()
        notifier.ready()
        notifier.status("live")
        assert time.monotonic() - began < 1
        assert {*manager.listen()} == {"noise"}
        notifier.status("live")
        assert manager.listen()[-2:] == ["READY=1", "STATUS=live"]


async def test_the_watchdog_is_fed_from_the_loop(address: str) -> None:
    """Twice in each limit while the loop turns; not while it hangs."""
    with Manager(address) as manager:
        notifier = Notifier(address, watchdog=0.2)
        feeding = asyncio.create_task(notifier.watchdog())
        await asyncio.sleep(1.05)
        fed = manager.listen().count("WATCHDOG=1")
        assert 5 <= fed <= 11
        time.sleep(0.6)  # noqa: ASYNC251  the loop hangs: that is what is tested
        assert manager.listen().count("WATCHDOG=1") == fed
        await asyncio.sleep(0.15)
        assert manager.listen().count("WATCHDOG=1") > fed
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def test_the_watchdog_of_the_ill(address: str) -> None:
    """Not fed while we are not healthy, and again when we are."""
    healthy = False
    with Manager(address) as manager:
        feeding = asyncio.create_task(Notifier(address, watchdog=0.1).watchdog(lambda: healthy))
        await asyncio.sleep(0.3)
        assert manager.listen() == []
        healthy = True
        await asyncio.sleep(0.2)
        assert "WATCHDOG=1" in manager.listen()
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def test_no_watchdog_is_no_work() -> None:
    """The task ends at once where systemd set none."""
    async with asyncio.timeout(1):
        await Notifier("/nowhere").watchdog()


async def test_a_long_start(address: str) -> None:
    """Start-up is extended until ready, and not afterwards; the line says `starting` until then."""
    world = World()
    with Manager(address) as manager:
        notifier = Notifier(address)
        async with notifying(notifier, world.monitor, every=0.05):
            await asyncio.sleep(0.2)
            heard = manager.listen()
            assert heard.count("EXTEND_TIMEOUT_USEC=60000000") >= 2
            assert heard.count("STATUS=starting") == 1
            notifier.ready()
            await asyncio.sleep(0.2)
            manager.listen()
            before = len(manager.heard)
            world.stats["tokyo -> db.trades"].live = True
            await asyncio.sleep(0.2)
            assert manager.listen()[before:] == ["STATUS=live, 0 entries/s, lag 0 s"]
        await asyncio.sleep(0.2)
        assert len(manager.listen()) == before + 1, "nothing after its end"


async def test_a_ready_one_says_so_at_once(address: str) -> None:
    """The line does not go on saying `starting` until the next look."""
    world = World()
    world.stats["tokyo -> db.trades"].live = True
    with Manager(address) as manager:
        notifier = Notifier(address)
        async with notifying(notifier, world.monitor, every=30):
            await asyncio.sleep(0.05)
            notifier.ready()
            await asyncio.sleep(0.2)
            assert manager.listen()[-2:] == ["READY=1", "STATUS=live, 0 entries/s, lag 0 s"]


# -- the line --------------------------------------------------------------------------------------------------------


@pytest.fixture
def world() -> World:
    world = World()
    world.monitor.started()
    world.stats["tokyo -> db.trades"].live = True
    return world


def shown(world: World, seconds: float = 10, entries: int = 0) -> str:
    """The line after `seconds` in which `entries` were settled."""
    world.monitor.beat()
    before = world.monitor.moment()
    world.clock.now += seconds
    world.stats["tokyo -> db.trades"].entries_settled += entries
    world.monitor.beat()
    return status_line(world.monitor.moment(), before)


def test_the_line_of_one_that_is_live(world: World) -> None:
    """The rate between the two looks and the lag; without an earlier look no rate."""
    assert shown(world, entries=28_120) == "live, 2,812 entries/s, lag 0 s"
    world.stats["tokyo -> db.trades"].lag_seconds = 7.4
    assert shown(world) == "live, 0 entries/s, lag 7 s"
    assert status_line(world.monitor.moment(), None) == "live, lag 7 s"


def test_the_line_of_one_that_catches_up(world: World) -> None:
    """How much lies before it; when nothing does, it waits for files."""
    stats = world.stats["tokyo -> db.trades"]
    stats.live, stats.lag_bytes = False, 1_200_000_000
    assert shown(world, entries=2_000_000) == "catching up, 200,000 entries/s, 1.2 GB behind"
    stats.lag_bytes = 0
    assert shown(world) == "waiting for files, 0 entries/s"


def test_the_line_of_trouble(world: World) -> None:
    """What lasts is said first: MongoDB away, MongoDB refusing, files that cannot be read."""
    world.stats["tokyo -> db.trades"].locked = ["/a", "/b"]
    assert shown(world).startswith("2 of the node's files cannot be read")
    world.stats.clear()
    world.monitor.beat()
    assert status_line(world.monitor.moment(), None).startswith("no source is followed")
    world.stats["tokyo -> db.trades"] = SourceStats()
    world.health.failed("write", Verdict.RETRY, "no primary of mongodb://user:secret@db1")
    assert shown(world, seconds=40) == "MongoDB in trouble for 40 s: reading waits, nothing is lost"
    world.health.failed("write", Verdict.OPERATOR, "not authorized")
    assert shown(world).startswith("MongoDB has refused us for")


def test_a_source_that_came_or_went(world: World) -> None:
    """A reload that adds or takes away a source makes no rate of its past."""
    before = world.monitor.moment()
    world.clock.now += 10
    world.monitor.beat()
    after = world.monitor.moment()
    other = tuple(replace(each, source="osaka") for each in after.sources)
    assert status_line(replace(after, sources=other), before).startswith("live, 0 entries/s")
    assert status_line(after, replace(before, sources=())).startswith("live, 0 entries/s")


def test_no_time_between(world: World) -> None:
    """The same moment twice is no division by zero."""
    world.monitor.beat()
    moment = world.monitor.moment()
    assert status_line(moment, moment) == "live, 0 entries/s, lag 0 s"
