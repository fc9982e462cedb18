"""Asks a running tailrace what it is doing: `/status` and `/history` over HTTP, each failure one sentence.

    place_of(url)      what an operator typed -> Place
    listening(address) where `run` listens -> Place
    fetch_status(place), fetch_history(place)

A connection a request, no proxy (none of the environment is asked), no redirect, an end to how long and how much.
What comes back is whatever a program at that address says: whoever shows it escapes it.
"""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, NoReturn
from urllib.parse import urlsplit

from tailrace.config import Address
from tailrace.errors import RuntimeFailure, UsageError, one_line

FORMAT = 1
"""The only version of `/status` and `/history` that is understood here."""

TIMEOUT = 5.0
"""Seconds for one answer. An instance answers within milliseconds, also when its event loop hangs."""

_LARGEST = 16 << 20  # bytes of an answer; that of fifty sources with 72 hours each is 1 MB
_PIECE = 1 << 16
_PORT = 9464  # where no scheme says another
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  listened on, not listening


class Unanswered(RuntimeFailure):
    """Nothing usable came back. The message is one sentence with the address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an instance serves. `prefix`: the path before `/status`, where a reverse proxy stands before it."""

    host: str
    port: int
    encrypted: bool = False
    prefix: str = ""

    def __str__(self) -> str:
        return f"{'https' if self.encrypted else 'http'}://{Address(self.host, self.port)}{self.prefix}"


def listening(address: Address) -> Place:
    """An address that stands for all of a machine's is asked on the loopback."""
    return Place(host=_ANYWHERE.get(address.host, address.host), port=address.port)


def place_of(url: str) -> Place:
    """`http://host:9464`, `https://host/prefix`, `host:9464`, `host`. Raises UsageError for anything else."""
    wrong = f"url {one_line(url)!r} is no address such as http://127.0.0.1:9464"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise UsageError(wrong) from None
    if "@" in parts.netloc:
        raise UsageError("url: a user and a password are not supported: tailrace asks for none; give http://host:port")
    plain = url.isprintable() and url.isascii() and " " not in url
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or not plain or port == 0:
        raise UsageError(wrong)
    encrypted = parts.scheme == "https"
    usual = _PORT if "://" not in url else 443 if encrypted else 80
    prefix = parts.path.rstrip("/").removesuffix("/status")
    return Place(host=host, port=port or usual, encrypted=encrypted, prefix=prefix)


def fetch_status(place: Place, *, timeout: float = TIMEOUT) -> dict[str, Any]:
    """The object of `/status`, of whatever version. Raises Unanswered."""
    code, body = _get(place, "/status", timeout)
    if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Unanswered(f"{place} answers /status with error {code}: if it is a tailrace, its log says why")
    if code == HTTPStatus.FORBIDDEN:
        raise Unanswered(
            f"{place} refuses /status (HTTP 403): a tailrace that listens on the loopback answers to an address or "
            "localhost only; ask it so, or let the proxy not pass the Host on"
        )
    content = _object(body) if code == HTTPStatus.OK else None
    if content is None or _version(content) is None:
        heard = f"HTTP {code}" if code != HTTPStatus.OK else "no JSON of ours"
        raise Unanswered(
            f"no tailrace answers at {place}: another program does ({heard} at /status); is the address right?"
        )
    return content


def fetch_history(place: Place, *, timeout: float = TIMEOUT) -> dict[str, Any] | None:
    """The object of `/history`; None where the instance has none (an older one). Raises Unanswered."""
    code, body = _get(place, "/history", timeout)
    content = _object(body) if code == HTTPStatus.OK else None
    return content if content is not None and _version(content) == FORMAT else None


def must_understand(status: dict[str, Any], place: Place) -> None:
    """Raises Unanswered for a version of `/status` that is not FORMAT."""
    version = _version(status)
    if version != FORMAT:
        theirs = status.get("version")
        named = f" {one_line(theirs[:40])}" if isinstance(theirs, str) else ""
        raise Unanswered(
            f"the tailrace{named} at {place} answers in version {version} of /status, and this one understands version "
            f"{FORMAT}: use the status command of the tailrace that runs there, or --json"
        )


def _version(content: dict[str, Any]) -> int | None:
    version = content.get("format")
    return version if isinstance(version, int) and not isinstance(version, bool) and 0 < version < 1000 else None


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _get(place: Place, path: str, timeout: float) -> tuple[int, bytes]:
    """(HTTP status, body). Raises Unanswered."""
    kind = HTTPSConnection if place.encrypted else HTTPConnection
    connection = kind(place.host, place.port, timeout=timeout)
    deadline = time.monotonic() + timeout
    try:
        connection.request("GET", place.prefix + path, headers={"Accept": "application/json", "Connection": "close"})
        with connection.getresponse() as response:
            return response.status, _body(response, place, deadline)
    except (OSError, HTTPException, ValueError) as error:
        _unanswered(place, error, timeout)
    finally:
        connection.close()


def _body(response: HTTPResponse, place: Place, deadline: float) -> bytes:
    """All of it, or Unanswered, or TimeoutError: the time-out of the connection counts from byte to byte."""
    body = bytearray()
    while piece := response.read1(_PIECE):
        body += piece
        if len(body) > _LARGEST:
            raise Unanswered(f"no tailrace answers at {place}: another program does, with more than {_LARGEST} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body)


def _unanswered(place: Place, error: Exception, timeout: float) -> NoReturn:
    if isinstance(error, HTTPException) and not isinstance(error, ConnectionError):
        raise Unanswered(f"no tailrace answers at {place}: another program does, and not in HTTP") from None
    if isinstance(error, ConnectionRefusedError):
        why = "nothing listens there: is `tailrace run` running, on this machine?"
    elif isinstance(error, TimeoutError):
        why = f"nothing came within {timeout:g} s: is the machine reachable, and the process neither stopped nor stuck?"
    elif isinstance(error, socket.gaierror):
        why = "the name of the host is not known"
    elif isinstance(error, ConnectionError):
        why = "the connection was broken off: is `tailrace run` just ending, or has it too many connections?"
    else:
        reason = error.strerror if isinstance(error, OSError) else None
        why = f"{one_line(reason or str(error))}: is `tailrace run` running, and the address right?"
    raise Unanswered(f"no tailrace answers at {place}: {why}") from None
