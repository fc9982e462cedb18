"""The HTTP endpoint of `run`: the dashboard at /, and /metrics, /healthz, /readyz, /status, /history.

Threads (`connections`), so that it also answers when the event loop hangs. It only reads (`Monitor`).
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import structlog

from tailrace.config import Address
from tailrace.errors import ConfigurationError
from tailrace.ops import logs, page
from tailrace.ops.connections import Answer, Server, text
from tailrace.ops.documents import document, readiness_document
from tailrace.ops.exposition import Exposition
from tailrace.ops.status import Monitor

log = structlog.get_logger("tailrace.http")

_POLL = 5.0  # seconds: how long `stop` takes where a closed door does not wake whoever stands before it (not Linux)

PATHS = ("/", "/metrics", "/healthz", "/readyz", "/status", "/history")
_JSON = "application/json; charset=utf-8"

_WHY = {
    errno.EADDRINUSE: "the port is taken by another process, perhaps a second tailrace",
    errno.EACCES: "ports below 1024 are for the superuser",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


class Endpoint:
    """Bound by `start`, before anything else of a start-up, until `stop`. Used once."""

    def __init__(self, address: Address, monitor: Monitor) -> None:
        self._address = address
        self._routes = Routes(monitor)
        self._server: Server | None = None

    def start(self) -> Address:
        """Listen. The address says the port that was chosen when the setting's is 0.

        Raises ConfigurationError when the address cannot be had.
        """
        address = self._address
        try:
            family, host = _family(address)
            self._server = Server(family, (host, address.port), self._routes.answer)
        except OSError as error:
            why = _WHY.get(error.errno or 0, error.strerror or str(error))
            if isinstance(error, socket.gaierror):
                why = "its host has no address"
            raise ConfigurationError(
                f"http: cannot listen on {address}: {why}; set http to a free HOST:PORT, or to off."
            ) from error
        threading.Thread(target=self._server.serve_forever, args=(_POLL,), name="tailrace-http", daemon=True).start()
        return Address(address.host, self._server.server_address[1])

    def stop(self) -> None:
        """Idempotent. An answer that is being given may be cut off."""
        server, self._server = self._server, None
        if server is not None:
            ending = threading.Thread(target=server.shutdown, daemon=True)
            ending.start()
            # No more polling than that: a wake-up ten times a second is a fifth of what an idle tailrace costs.
            with suppress(OSError):
                server.socket.shutdown(socket.SHUT_RDWR)
            ending.join()
            server.server_close()


@asynccontextmanager
async def serving(address: Address | None, monitor: Monitor) -> AsyncIterator[Address | None]:
    """Serve what `monitor` knows, with its heartbeat in this event loop. No address: nothing is served.

    Gives the address, with the port that was chosen when the setting's is 0. Raises ConfigurationError on entry when it
    cannot be had.
    """
    if address is None:
        yield None
        return
    endpoint = Endpoint(address, monitor)
    bound = endpoint.start()
    log.info("serving", url=f"http://{bound}", paths=" ".join(PATHS))
    heart = asyncio.create_task(monitor.beats())
    try:
        yield bound
    finally:
        heart.cancel()
        await asyncio.gather(heart, return_exceptions=True)
        endpoint.stop()


class Routes:
    """Path -> answer. Called by any thread."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._exposition = Exposition(monitor.moment)
        routes = (self._page, self._metrics, self._healthz, self._readyz, self._status, self._history)
        self._routes: dict[str, Callable[[str], Answer]] = dict(zip(PATHS, routes, strict=True))

    def answer(self, path: str, accept: str) -> Answer:
        """`accept`: the request's header, or nothing."""
        route = self._routes.get(path)
        if route is None:
            return text(HTTPStatus.NOT_FOUND, f"Nothing is here: there are {', '.join(PATHS)}.")
        return route(accept)

    def _metrics(self, accept: str) -> Answer:
        return Answer(HTTPStatus.OK, *self._exposition.render(accept))

    def _healthz(self, _accept: str) -> Answer:
        sentence = self._monitor.hanging()
        if sentence is None:
            return text(HTTPStatus.OK, "The event loop turns.")
        return text(HTTPStatus.SERVICE_UNAVAILABLE, sentence)

    def _readyz(self, _accept: str) -> Answer:
        obstacles = self._monitor.readiness()
        status = HTTPStatus.SERVICE_UNAVAILABLE if obstacles else HTTPStatus.OK
        return _json(status, readiness_document(obstacles))

    def _status(self, _accept: str) -> Answer:
        monitor, obstacles = self._monitor, self._monitor.readiness()
        hours = monitor.hours() if monitor.hanging() is None else None
        shown = document(
            monitor.moment(), obstacles, history=monitor.history, hours=hours, problems=logs.RECENT.newest()
        )
        return _json(HTTPStatus.OK, shown)

    def _history(self, _accept: str) -> Answer:
        return Answer(HTTPStatus.OK, _JSON, json.dumps(self._monitor.history.document(time.time())).encode())

    def _page(self, _accept: str) -> Answer:
        return Answer(HTTPStatus.OK, page.CONTENT_TYPE, page.PAGE, page.HEADERS)


def _json(status: HTTPStatus, content: dict[str, Any]) -> Answer:
    return Answer(status, _JSON, json.dumps(content, indent=2).encode() + b"\n")


def _family(address: Address) -> tuple[socket.AddressFamily, str]:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _kind, _protocol, _name, where = found[0]
    return family, str(where[0])
