"""What the other areas have found by the time that the collections are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.errors import PyMongoError

from tailrace.commands.doctor.files import Seen
from tailrace.commands.doctor.finding import Finding, Subject, note
from tailrace.commands.doctor.state import StateSeen
from tailrace.commands.doctor.wire import Probe
from tailrace.config import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`uri`: of the server that is asked. `seen`: by the name of the source."""

    settings: Settings
    uri: str
    seen: Mapping[str, Seen]
    state: StateSeen
    probes: Sequence[Probe]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSeen:
    """What holds for every collection of a server. `fits`: its version does. `compatible`: its
    featureCompatibilityVersion, and `databases`: their names; empty where this user may not ask, and not all of them
    where it may see some. `privileges`: from connectionStatus; None without a user. `now`: its clock, epoch seconds."""

    fits: bool
    compatible: tuple[int, ...]
    databases: Sequence[str]
    privileges: Sequence[Mapping[str, Any]] | None
    now: float | None


def out_of_time(error: PyMongoError) -> bool:
    """Whether nothing but time was lacking. HAZARD: the server says so with an OperationFailure (MaxTimeMSExpired), as
    it refuses a user or a right."""
    return error.timeout


def too_slow(subject: Subject, limit: float) -> Finding:
    """A server that answers, but not all within `limit` seconds: it may only be far away, and `run` would start."""
    return note(
        subject,
        f"it answers, and not all that was asked within {limit:g} s: the rest is not known",
        "nothing if it is far away or busy just now; else look whether it is overloaded: its log, db.currentOp()",
    )
