"""What the hosts are to each other, and whether the write concern can be met by them. Pure."""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tailrace.commands.doctor.finding import Finding, Subject, fine, note, problem, skipped
from tailrace.commands.doctor.wire import Probe
from tailrace.config import WriteConcern
from tailrace.words import duration_words

LAGGING = 30.0
"""Seconds between a set's newest write and the newest that a majority has: an idle primary writes every ten."""

_ASK_SET = "look at rs.status() on a member: a majority of them must be up and see each other"


def kind_of(hello: Mapping[str, Any]) -> str:
    """primary, secondary, arbiter, standalone, mongos, or other. Empty: it has not answered."""
    if not hello:
        return ""
    if hello.get("msg") == "isdbgrid":
        return "mongos"
    if hello.get("isreplicaset"):
        return "not initiated"
    if "setName" not in hello:
        return "standalone"
    if hello.get("isWritablePrimary"):
        return "primary"
    return "secondary" if hello.get("secondary") else "arbiter" if hello.get("arbiterOnly") else "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """`hello`: of the one that is to be written to, else of any that answered, else empty. `up`: members with data that
    answered us. `data`: members with data that every user may know of: hidden ones are not among them. `voters`: of
    those and the arbiters, each taken to have its vote. `unasked`: of `data`, those that nobody has asked
    (directConnection)."""

    hello: Mapping[str, Any]
    kind: str
    data: int
    voters: int
    up: int
    unasked: int


STANDALONE = Topology(hello={}, kind="standalone", data=0, voters=0, up=0, unasked=0)
"""What a private mongod is, also while it does not run."""


def topology_of(probes: Sequence[Probe]) -> Topology:
    answered = [each for each in probes if each.failed is None]
    first = next((each for each in answered if kind_of(each.hello) == "primary"), answered[0] if answered else None)
    hello: Mapping[str, Any] = {} if first is None else first.hello
    members = {str(name) for name in (*hello.get("hosts", ()), *hello.get("passives", ()))}
    # A member may be known by two names, one of mongodb_uri and one of its own.
    up = {str(each.hello.get("me")) for each in answered if kind_of(each.hello) in ("primary", "secondary")}
    return Topology(
        hello=hello,
        kind=kind_of(hello),
        data=len(members),
        voters=len(members) + len(hello.get("arbiters", ())),
        up=len(up),
        unasked=len(members - up - {each.where for each in probes}),
    )


def of_members(probes: Sequence[Probe], *, direct: bool) -> Iterator[Finding]:
    """`direct`: mongodb_uri asks for this one host, whatever set it belongs to."""
    topology = topology_of(probes)
    if not topology.hello:
        yield skipped(Subject.MEMBERS, "no host has answered")
        return
    seen = {each.where: kind_of(each.hello) or "not to be had" for each in probes}
    shown = ", ".join(f"{where} {kind}" for where, kind in seen.items())
    if topology.kind == "not initiated":
        sentence = f"{shown}: started for a replica set that was never initiated; it takes no writes"
        yield problem(Subject.MEMBERS, sentence, "run rs.initiate() on it, or start it without --replSet")
    elif topology.kind in ("standalone", "mongos"):
        yield fine(Subject.MEMBERS, shown)
    elif topology.kind == "primary":
        yield fine(Subject.MEMBERS, f"replica set {topology.hello['setName']}: {shown}")
    elif direct:
        sentence = f"{shown}, and directConnection=true asks for no other: nothing can be written there"
        yield problem(
            Subject.MEMBERS, sentence, "remove directConnection from mongodb_uri, so that the primary is found"
        )
    else:
        sentence = f"the replica set {topology.hello.get('setName', '')} has no primary that can be reached: {shown}"
        yield problem(Subject.MEMBERS, sentence, _ASK_SET)


def configured(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """(members with data, votes, votes of members with data) of a set's configuration (replSetGetConfig)."""
    members = config.get("members", ())
    data = [each for each in members if not each.get("arbiterOnly")]
    return len(data), sum(each.get("votes", 1) for each in members), sum(each.get("votes", 1) for each in data)


def of_write_concern(concern: WriteConcern, topology: Topology, config: Mapping[str, Any] | None) -> Finding:
    """`config`: of the set, with hidden members; None where this user may not read it."""
    subject, shown = Subject.WRITE_CONCERN, f"write_concern = {concern}"
    if topology.kind == "standalone":
        if concern.w in ("majority", 1):
            return fine(subject, f"{shown}: the journal of the one server")
        sentence = f"{shown} asks for {concern.w} servers, and this is a standalone: every write would be refused"
        return problem(subject, sentence, "set write_concern = majority")
    if topology.kind == "mongos":
        return skipped(subject, "a mongos does not say how many members its shards have")
    if not topology.data:
        return skipped(subject, "no member has answered")
    data, voters, voting_data = (
        (topology.data, topology.voters, topology.data) if config is None else configured(config)
    )
    needed = min(voters // 2 + 1, voting_data) if concern.w == "majority" else concern.w
    if needed > data:
        known = "" if config is not None else " that this user may know of (hidden ones are not among them)"
        sentence = f"{shown} asks for {needed} members, and the set has {data} with data{known}"
        remedy = f"set write_concern = majority, or at most {data}+j"
        if config is None:
            return note(subject, f"{sentence}: writes would be refused", remedy)
        return problem(subject, f"{sentence}: every write would be refused", remedy)
    behind = _majority_behind(topology.hello)
    if topology.up < needed and not topology.unasked:
        sentence = f"{shown} needs {needed} members with data, and {topology.up} of {data} can be reached from here"
        if behind > LAGGING:
            sentence += f"; no majority has acknowledged for {duration_words(behind)}: every write would wait"
            return problem(subject, sentence, _ASK_SET)
        return note(subject, f"{sentence}: if the primary does not reach more, every write waits", _ASK_SET)
    if behind > LAGGING:
        sentence = f"the set's majority is {duration_words(behind)} behind its primary: writes wait for as long"
        return note(subject, sentence, "look at rs.printSecondaryReplicationInfo(), and why the others lag")
    asked = f"; {topology.unasked} were not asked (directConnection=true)" if topology.unasked else ""
    return fine(subject, f"{shown}: {needed} of {data} members with data acknowledge; {topology.up} answer{asked}")


def _majority_behind(hello: Mapping[str, Any]) -> float:
    """Seconds."""
    last = hello.get("lastWrite", {})
    newest, majority = last.get("lastWriteDate"), last.get("majorityWriteDate")
    if not isinstance(newest, datetime) or not isinstance(majority, datetime):
        return 0.0
    return (newest - majority).total_seconds()


def clock_of(hello: Mapping[str, Any]) -> float | None:
    """The server's clock when it answered, epoch seconds."""
    local = hello.get("localTime")
    return calendar.timegm(local.utctimetuple()) + local.microsecond / 1e6 if isinstance(local, datetime) else None
