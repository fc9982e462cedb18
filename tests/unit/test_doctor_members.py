"""What `check` says of the hosts of a set, and of a write concern that they can or cannot meet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tailrace.commands.doctor.finding import Finding, Level, Subject
from tailrace.commands.doctor.members import clock_of, of_members, of_write_concern, topology_of
from tailrace.commands.doctor.wire import Probe
from tailrace.config import WriteConcern

MAJORITY = WriteConcern("majority")
PSA = {"hosts": ["p:1", "s:1"], "arbiters": ["a:1"]}
PSS = {"hosts": ["p:1", "s:1"], "passives": ["t:1"]}
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def member(host: str, kind: str, members: dict[str, Any], behind: float = 0.0) -> Probe:
    flag = {"primary": "isWritablePrimary", "secondary": "secondary", "arbiter": "arbiterOnly"}.get(kind, "other")
    last = {"lastWriteDate": NOON, "majorityWriteDate": NOON - timedelta(seconds=behind)}
    return Probe((host, 1), hello={"setName": "rs0", "me": f"{host}:1", flag: True, "lastWrite": last, **members})


def down(host: str) -> Probe:
    return Probe((host, 1), failed=Subject.TCP, error=ConnectionRefusedError())


def judged(concern: WriteConcern, *probes: Probe, config: dict[str, Any] | None = None) -> Finding:
    return of_write_concern(concern, topology_of(probes), config)


def only(*probes: Probe, direct: bool = False) -> Finding:
    [finding] = of_members(probes, direct=direct)
    return finding


@pytest.mark.parametrize(
    ("w", "level"), [("majority", Level.OK), (1, Level.OK), (2, Level.PROBLEM), (5, Level.PROBLEM)]
)
def test_a_standalone(w: Any, level: Level) -> None:
    """It is a majority of itself; more members than one it cannot be."""
    assert judged(WriteConcern(w), Probe(("h", 1), hello={"isWritablePrimary": True})).level is level


def test_more_members_than_there_are() -> None:
    """5+j on three members: a problem where the whole configuration may be read, a note where hidden ones may be."""
    probes = [member("p", "primary", PSS), member("s", "secondary", PSS), member("t", "secondary", PSS)]
    config: dict[str, Any] = {"members": [{}, {}, {}]}
    assert judged(WriteConcern(5), *probes, config=config).level is Level.PROBLEM
    assert judged(WriteConcern(5), *probes).level is Level.NOTE
    assert judged(WriteConcern(3), *probes, config=config).level is Level.OK
    assert judged(WriteConcern(4), *probes, config={"members": [{}, {}, {}, {"hidden": True}]}).level is Level.NOTE


def test_a_majority_with_an_arbiter_and_a_member_down() -> None:
    """Primary, secondary, arbiter: two of three votes are a majority, and only one of them has data. A note, and a
    problem as soon as the set itself says that no majority acknowledges."""
    fresh = [member("p", "primary", PSA), down("s"), member("a", "arbiter", PSA)]
    finding = judged(MAJORITY, *fresh)
    assert finding.level is Level.NOTE
    assert "needs 2 members with data, and 1 of 2 can be reached" in finding.sentence
    stuck = judged(MAJORITY, member("p", "primary", PSA, behind=300), down("s"), member("a", "arbiter", PSA))
    assert stuck.level is Level.PROBLEM
    assert "every write would wait" in stuck.sentence
    both = [member("p", "primary", PSA), member("s", "secondary", PSA), member("a", "arbiter", PSA)]
    assert judged(MAJORITY, *both).level is Level.OK


def test_a_set_of_three_with_one_down_has_its_majority() -> None:
    """That is what a set is for."""
    probes = [member("p", "primary", PSS), member("s", "secondary", PSS), down("t")]
    assert judged(MAJORITY, *probes).level is Level.OK
    assert judged(WriteConcern(3), *probes).level is Level.NOTE


def test_members_that_were_not_asked_are_not_said_to_be_down() -> None:
    """directConnection=true asks one host alone. What the set itself says of its majority counts all the same."""
    healthy = judged(MAJORITY, member("p", "primary", PSS))
    assert healthy.level is Level.OK
    assert "2 of 3 members with data acknowledge; 1 answer; 2 were not asked" in healthy.sentence
    assert judged(MAJORITY, member("p", "primary", PSS, behind=90)).level is Level.NOTE
    assert judged(WriteConcern(4), member("p", "primary", PSS), config={"members": [{}, {}, {}]}).level is Level.PROBLEM


def test_members_without_a_vote_are_no_majority() -> None:
    """Five with data and three votes: two are enough."""
    probes = [member("p", "primary", PSS), member("s", "secondary", PSS), down("t")]
    config = {"members": [{}, {}, {}, {"votes": 0}, {"votes": 0}]}
    assert "2 of 5 members" in judged(MAJORITY, *probes, config=config).sentence


def test_a_majority_that_lags() -> None:
    """All are up and far behind: writes wait, which is worth knowing."""
    probes = [member(each, kind, PSS, behind=90) for each, kind in (("p", "primary"), ("s", "secondary"))]
    assert judged(MAJORITY, *probes).level is Level.NOTE


def test_members_are_shown_with_what_they_are() -> None:
    """One that cannot be had is among them."""
    finding = only(member("p", "primary", PSA), member("a", "arbiter", PSA), down("s"))
    assert finding.level is Level.OK
    assert finding.sentence == "replica set rs0: p:1 primary, a:1 arbiter, s:1 not to be had"


def test_without_a_primary() -> None:
    """Nothing can be written: a problem. Asked for directly, the remedy is another one."""
    assert "has no primary" in only(member("s", "secondary", PSS), down("p")).sentence
    assert "remove directConnection" in only(member("s", "secondary", PSS), direct=True).remedy
    assert "rs.initiate()" in only(Probe(("h", 1), hello={"isreplicaset": True})).remedy


def test_a_mongos_does_not_say() -> None:
    """Neither fine nor a problem: not looked at."""
    probe = Probe(("m", 1), hello={"msg": "isdbgrid", "isWritablePrimary": True})
    assert only(probe).level is Level.OK
    assert judged(MAJORITY, probe).level is Level.SKIPPED


def test_the_clock_of_an_answer() -> None:
    """Epoch seconds of a time that is UTC and does not say so, as the driver's decoder gives it."""
    assert clock_of({"localTime": datetime(1970, 1, 1, 0, 1, 0, 500_000)}) == 60.5  # noqa: DTZ001  as it is decoded
    assert clock_of({}) is None
