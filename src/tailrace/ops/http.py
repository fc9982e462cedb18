"""The HTTP endpoint of `run`: the dashboard at /, and /metrics, /healthz, /readyz, /status, /history.

Threads of the standard library's server, so that it also answers when the event loop hangs. It only reads (`Monitor`),
and cannot take from the ingestion what it needs: connections, and with them descriptors and threads, are bounded.
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from types import MappingProxyType
from typing import Any, NamedTuple

import structlog

from tailrace.config import Address
from tailrace.errors import ConfigurationError
from tailrace.ops import logs, page
from tailrace.ops.documents import document, readiness_document
from tailrace.ops.exposition import Exposition
from tailrace.ops.status import Monitor

log = structlog.get_logger("tailrace.http")

_CONNECTIONS = 32  # at a time; one more is closed at once
_TIMEOUT = 10.0  # seconds that a client may be silent in the middle of a request
_POLL = 5.0  # seconds: how long `stop` takes where a closed door does not wake whoever stands before it (not Linux)
_PAUSE = 0.1  # seconds

PATHS = ("/", "/metrics", "/healthz", "/readyz", "/status", "/history")
_METHODS = "GET, HEAD"

_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json; charset=utf-8"

_WHY = {
    errno.EADDRINUSE: "the port is taken by another process, perhaps a second tailrace",
    errno.EACCES: "ports below 1024 are for the superuser",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


class Answer(NamedTuple):
    """What goes back to a client."""

    status: HTTPStatus
    content_type: str
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


class Endpoint:
    """Bound by `start`, before anything else of a start-up, until `stop`. Used once."""

    def __init__(self, address: Address, monitor: Monitor) -> None:
        self._address = address
        self._routes = Routes(monitor)
        self._server: _Server | None = None

    def start(self) -> Address:
        """Listen. The address says the port that was chosen when the setting's is 0.

        Raises ConfigurationError when the address cannot be had.
        """
        address = self._address
        try:
            family, host = _family(address)
            self._server = _Server(family, (host, address.port), self._routes.answer)
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
            return _text(HTTPStatus.NOT_FOUND, f"Nothing is here: there are {', '.join(PATHS)}.")
        return route(accept)

    def _metrics(self, accept: str) -> Answer:
        return Answer(HTTPStatus.OK, *self._exposition.render(accept))

    def _healthz(self, _accept: str) -> Answer:
        sentence = self._monitor.hanging()
        if sentence is None:
            return _text(HTTPStatus.OK, "The event loop turns.")
        return _text(HTTPStatus.SERVICE_UNAVAILABLE, sentence)

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


def _text(status: HTTPStatus, sentence: str) -> Answer:
    return Answer(status, _TEXT, f"{sentence}\n".encode())


def _json(status: HTTPStatus, content: dict[str, Any]) -> Answer:
    return Answer(status, _JSON, json.dumps(content, indent=2).encode() + b"\n")


def _family(address: Address) -> tuple[socket.AddressFamily, str]:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _kind, _protocol, _name, where = found[0]
    return family, str(where[0])


class _Server(ThreadingMixIn, TCPServer):
    """At most `_CONNECTIONS` threads, which die with the process.

    HAZARD: not on http.server.HTTPServer, which looks its host's name up in DNS when it binds: a minute where DNS is
    broken.
    """

    allow_reuse_address = True  # on Linux: past connections of a former process do not keep the port, a listener does
    request_queue_size = _CONNECTIONS
    daemon_threads = True
    block_on_close = False

    def __init__(
        self, family: socket.AddressFamily, where: tuple[str, int], answer: Callable[[str, str], Answer]
    ) -> None:
        self.address_family = family
        self.answer = answer
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        self._failures: set[str] = set()
        super().__init__(where, _Handler)

    def is_new(self, failure: str) -> bool:
        """Whether it is the first of its kind."""
        known = failure in self._failures
        self._failures.add(failure)
        return not known

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError:  # out of descriptors: the connection still waits, and asking again at once would eat a core
            time.sleep(_PAUSE)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread is to be had
            self._free.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news of ours."""


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD of one path, then the connection ends."""

    timeout = _TIMEOUT
    server: _Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        try:
            answer = self.server.answer(path, self.headers.get("Accept", ""))
        except Exception as error:  # noqa: BLE001  a defect in an answer must be an answer, and must not end anything
            if self.server.is_new(f"{path} {type(error).__name__}"):  # a scraper asks every few seconds
                log.error(
                    "http_failed",
                    path=path,
                    error=f"{type(error).__name__}: {error}",
                    meaning="nothing is lost, ingestion goes on; figures are missing there",
                    todo="a defect of tailrace: please report it",
                )
            answer = _text(HTTPStatus.INTERNAL_SERVER_ERROR, "This could not be answered; the log says why.")
        self._send(answer, **answer.headers)

    do_HEAD = do_GET  # noqa: N815  the standard library's name

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """What the standard library refuses, in plain text; it calls every method that has no `do_` 501."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._send(_text(HTTPStatus.METHOD_NOT_ALLOWED, f"Only {_METHODS} are answered here."), Allow=_METHODS)
        else:
            self._send(_text(HTTPStatus(code), HTTPStatus(code).phrase))

    def _send(self, answer: Answer, **headers: str) -> None:
        self.close_connection = True
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def version_string(self) -> str:
        return "tailrace"

    def log_message(self, format: str, *_arguments: Any) -> None:  # noqa: A002  the standard library's name
        """Requests are not logged."""
