"""A replica set of three that loses members, primaries and cables under load with majority: exact, whatever comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest
from tests.support.load import Load
from tests.support.partition import ProxiedSet, ask, leader
from tests.support.servers import Server
from tests.support.tailrace_process import Run, until
from tests.support.under_load import RATE, assert_calm, assert_exact, checkpoint, flags_for, random_from_seed, soak

FAULTS = 12 if soak() else 4
RECOVERY = 30.0  # seconds after a fault's end until something new is settled; measured: below 8


@pytest.fixture
def proxied_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedSet]:
    members = ProxiedSet(tmp_path_factory.mktemp("proxied-set"))
    try:
        members.start()
        yield members
    finally:
        members.stop()


def _primary_of(members: ProxiedSet) -> Server:
    until(lambda: leader(members) is not None, 40, "a primary")
    primary = leader(members)
    assert primary is not None
    return primary


def _another_leads(members: ProxiedSet, old: Server) -> None:
    until(lambda: leader(members) not in (None, old), 40, "another primary")


def primary_killed(members: ProxiedSet, rng: Random) -> None:
    primary = _primary_of(members)
    primary.kill()
    if rng.random() < 0.5:
        _another_leads(members, primary)
    primary.start()


def stepped_down(members: ProxiedSet, rng: Random) -> None:
    primary = _primary_of(members)
    ask(primary, {"replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 0, "force": True})
    _another_leads(members, primary)


def primary_frozen(members: ProxiedSet, rng: Random) -> None:
    primary = _primary_of(members)
    with primary.frozen():
        _another_leads(members, primary)
        time.sleep(rng.uniform(0.0, 2.0))  # how long it does not know is what is random here


def primary_cut_off(members: ProxiedSet, rng: Random) -> None:
    primary = _primary_of(members)
    with members.isolated(primary):
        _another_leads(members, primary)
        time.sleep(rng.uniform(0.0, 2.0))


def primary_cut_off_from_members(members: ProxiedSet, rng: Random) -> None:
    """Clients still reach the old primary, which takes writes until it notices that it has no majority."""
    primary = _primary_of(members)
    with members.isolated(primary, clients=False):
        _another_leads(members, primary)
        time.sleep(rng.uniform(0.0, 1.0))


def clients_cut_off_from_primary(members: ProxiedSet, rng: Random) -> None:
    """No election: the members are well."""
    with members.isolated(_primary_of(members), members=False):
        time.sleep(rng.uniform(2.0, 4.0))


def secondary_killed(members: ProxiedSet, rng: Random) -> None:
    primary = _primary_of(members)
    secondary = rng.choice([member for member in members.members if member is not primary])
    secondary.kill()
    time.sleep(rng.uniform(0.2, 1.5))
    secondary.start()


KINDS: list[Callable[[ProxiedSet, Random], None]] = [
    primary_killed,
    stepped_down,
    primary_frozen,
    primary_cut_off,
    primary_cut_off_from_members,
    clients_cut_off_from_primary,
    secondary_killed,
]


def schedule(rng: Random, length: int) -> list[Callable[[ProxiedSet, Random], None]]:
    """Every kind before any comes again."""
    planned: list[Callable[[ProxiedSet, Random], None]] = []
    while len(planned) < length:
        planned += rng.sample(KINDS, len(KINDS))
    return planned[:length]


@pytest.mark.timeout(900 if soak() else 300)
def test_a_schedule_of_faults(tmp_path: Path, proxied_set: ProxiedSet, database_name: str) -> None:
    """Primaries killed, stepped down, frozen, cut off from members and clients, secondaries killed, one after another
    under load with majority: every line is stored once, and each fault is over seconds after its end."""
    rng = random_from_seed()
    flags = flags_for(tmp_path, proxied_set.uri, database_name)
    with ExitStack() as stack:
        load = stack.enter_context(Load(tmp_path / "data", 900, rate=RATE))
        run = stack.enter_context(Run(*flags))
        run.wait_for("live", timeout=60)
        for fault in schedule(rng, FAULTS):
            proxied_set.settled()
            begun = time.monotonic()
            fault(proxied_set, rng)
            ended, settled = time.monotonic(), checkpoint(tmp_path)
            until(lambda settled=settled: checkpoint(tmp_path) > settled, RECOVERY, f"recovery from {fault.__name__}")  # type: ignore[misc]  # bound now
            print(f"{fault.__name__}: {ended - begun:.1f} s, over {time.monotonic() - ended:.1f} s after its end")
            assert load.writing
        proxied_set.settled()
        assert_exact(run, flags, proxied_set.uri, database_name, load.enough())
        assert_calm(run, 3 * FAULTS)
