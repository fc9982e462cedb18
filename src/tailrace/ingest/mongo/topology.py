"""The servers behind the connection string, as the driver's monitors saw them last. Nothing is asked for it."""

from __future__ import annotations

from dataclasses import dataclass

from pymongo.server_description import ServerDescription

from tailrace.ingest.mongo.connection import Client
from tailrace.ingest.mongo.describing import describe
from tailrace.model import MemberKind

_KINDS = {
    "RSPrimary": MemberKind.PRIMARY,
    "RSSecondary": MemberKind.SECONDARY,
    "RSArbiter": MemberKind.ARBITER,
    "Standalone": MemberKind.STANDALONE,
    "Mongos": MemberKind.MONGOS,
    "LoadBalancer": MemberKind.MONGOS,
    "Unknown": MemberKind.UNKNOWN,
}
_WRITABLE = frozenset((MemberKind.PRIMARY, MemberKind.STANDALONE, MemberKind.MONGOS))


@dataclass(frozen=True, slots=True)
class Member:
    """`kind`: a MemberKind. `round_trip`: seconds, smoothed; None where there is no connection. `error`: why."""

    address: str
    kind: str
    round_trip: float | None
    error: str

    @property
    def writable(self) -> bool:
        return self.kind in _WRITABLE


def members_of(client: Client) -> tuple[Member, ...]:
    """By address. Empty before the driver's monitors have started."""
    described = client.topology_description.server_descriptions().values()
    return tuple(sorted((_member(each) for each in described), key=lambda member: member.address))


def _member(server: ServerDescription) -> Member:
    host, port = server.address
    address = host if port is None else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    error = describe(server.error) if isinstance(server.error, Exception) else ""
    return Member(address, _KINDS.get(server.server_type_name, MemberKind.OTHER), server.round_trip_time, error)
