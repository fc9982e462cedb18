"""One host of mongodb_uri, asked directly: a name, a connection, a handshake, a `hello`. No user and no password is
sent. Each step is bounded in time; the first that fails is the host's.

The driver tries all hosts again and again until its time is up, and then says one thing about all of them.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import bson

from tailrace.commands.doctor.bounded import bounded
from tailrace.commands.doctor.finding import Subject

STEP = 3.0
"""Seconds for each of: the name, the connection, the handshake and the answer."""

_OP_MSG = 2013  # the opcode of messages and replies (MongoDB wire protocol)
_LARGEST = 1 << 20  # bytes of an answer to `hello`; it has some thousand

Address = tuple[str, int | None]
"""A host and its port; a path and None for a socket of this machine."""


@dataclass(slots=True)
class Probe:
    """What became of one host. `failed`: the step that did not succeed; None: it answered. `error`: what was raised.

    `certificate`: as `ssl` shows it, empty where it was not verified. `names`: those that the certificate is for, where
    the host's is not among them. `asked`: epoch seconds; `took`: seconds until the answer to `hello`.
    """

    address: Address
    failed: Subject | None = None
    error: BaseException | None = None
    resolved: int = 0
    certificate: Mapping[str, Any] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    hello: Mapping[str, Any] = field(default_factory=dict)
    asked: float = 0.0
    took: float = 0.0

    @property
    def where(self) -> str:
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else host if port is None else f"{host}:{port}"


async def probe(address: Address, context: ssl.SSLContext | None, deadline: float) -> Probe:
    """`context`: None where mongodb_uri does not ask for TLS. `deadline`: of the monotonic clock."""
    found = Probe(address, Subject.DNS)
    try:
        places = await bounded(lambda: _resolve(address), _left(deadline))
        found.resolved = len(places)
        found.failed = Subject.TCP
        await bounded(lambda: _ask(found, places, context, deadline), _left(deadline) * 4)
    except (OSError, TimeoutError, ValueError) as error:
        found.error = error
    return found


def _left(deadline: float) -> float:
    """Seconds for the next step."""
    return max(0.2, min(STEP, deadline - time.monotonic()))


def _resolve(address: Address) -> list[tuple[int, Any]]:
    """(family, address) of each place where it may be."""
    host, port = address
    if port is None:
        return [(socket.AF_UNIX, host)]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, place) for family, _, _, _, place in found))


def _ask(found: Probe, places: list[tuple[int, Any]], context: ssl.SSLContext | None, deadline: float) -> None:
    """Fills `found`. Raises OSError (ssl.SSLError is one), TimeoutError, ValueError for what is no MongoDB."""
    plain = _connect(places, deadline)
    try:
        talk = plain
        if context is not None:
            found.failed = Subject.TLS
            try:
                talk = context.wrap_socket(plain, server_hostname=found.address[0])
            except ssl.SSLCertVerificationError as error:
                if "mismatch" in str(error):
                    found.names = _names(places, context, deadline)
                raise
            found.certificate = talk.getpeercert() or {}
        with talk:
            found.failed = Subject.TLS if context is not None else Subject.MEMBERS
            talk.settimeout(_left(deadline))
            found.asked = time.time()
            began = time.monotonic()
            try:
                found.hello = _hello(talk, found)
            except ConnectionError:  # how a mongod treats those who should speak TLS, or show a certificate
                found.failed = Subject.TLS
                raise
            found.took = time.monotonic() - began
            found.failed = None
    finally:
        plain.close()


def _connect(places: list[tuple[int, Any]], deadline: float) -> socket.socket:
    """To the first place that lets us. Raises what the last one did."""
    for place in places:
        door = socket.socket(place[0], socket.SOCK_STREAM)
        door.settimeout(_left(deadline))
        try:
            door.connect(place[1])
        except OSError:
            door.close()
            if place == places[-1]:
                raise
        else:
            return door
    raise OSError("no address")


def _names(places: list[tuple[int, Any]], context: ssl.SSLContext, deadline: float) -> list[str]:
    """Those that the certificate is for: a second handshake, which does not ask about the name and sends nothing."""
    lenient = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    lenient.check_hostname = False
    for authority in context.get_ca_certs(binary_form=True):
        lenient.load_verify_locations(cadata=authority)
    try:
        with lenient.wrap_socket(_connect(places, deadline)) as talk:
            certificate: Mapping[str, Any] = talk.getpeercert() or {}
    except OSError:
        return []
    return [value for _kind, value in certificate.get("subjectAltName", ())]


def _hello(talk: socket.socket, found: Probe) -> Mapping[str, Any]:
    body = bson.encode({"hello": 1, "$db": "admin"})
    message = struct.pack("<4iIB", 21 + len(body), 1, 0, _OP_MSG, 0, 0) + body
    talk.sendall(message)
    length, _, _, opcode = struct.unpack("<4i", _exactly(talk, 16))
    found.failed = Subject.MEMBERS  # it has answered: whatever is wrong now is no longer the handshake
    if opcode != _OP_MSG or not 26 <= length <= _LARGEST:
        raise ValueError("what answers there is no MongoDB")
    answer = _exactly(talk, length - 16)
    try:
        return bson.decode(answer[5:])
    except bson.InvalidBSON:
        raise ValueError("what answers there is no MongoDB") from None


def _exactly(talk: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = talk.recv(size - len(data))
        if not more:
            raise ConnectionResetError("connection closed")
        data += more
    return data
