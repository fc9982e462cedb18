"""Connections of the HTTP endpoint: how many, for how long, and what is no request of ours.

Threads of the standard library's server. They cannot take from the ingestion what it needs: connections, and with them
descriptors and threads, are bounded.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from types import MappingProxyType
from typing import Any, NamedTuple

import structlog

log = structlog.get_logger("tailrace.http")

_CONNECTIONS = 32  # at a time; one more takes the place of the oldest
_TIMEOUT = 10.0  # seconds for all of a request and its answer, at least; looked at every few (`serve_forever`)
_PAUSE = 0.1  # seconds

_METHODS = "GET, HEAD"
_TEXT = "text/plain; charset=utf-8"

_STRANGE = (
    "On the loopback only a Host that is an address or localhost is answered: ask http://127.0.0.1, or let the proxy "
    "not pass the Host on (docs/security.md, The network)."
)


class Answer(NamedTuple):
    """What goes back to a client."""

    status: HTTPStatus
    content_type: str
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


def text(status: HTTPStatus, sentence: str) -> Answer:
    return Answer(status, _TEXT, f"{sentence}\n".encode())


_HOST = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::[0-9]*)?")  # RFC 9110, 7.2: an address of IPv6 has brackets


def is_local(host: str) -> bool:
    """Whether a header Host names this machine in a way that no foreign name server has a say in: by an address, as
    `localhost`, as `*.localhost`, or not at all.

    A web page reads what its own origin answers. It can have its name resolved to 127.0.0.1 once it is loaded (DNS
    rebinding), and would then read the loopback of whoever looks at it; but the browser still says that name here.
    """
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = (found[1] or found[2] or "").lower()
    if name in ("", "localhost") or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Server(ThreadingMixIn, TCPServer):
    """At most `_CONNECTIONS` threads, which die with the process.

    A request takes milliseconds: what is the oldest when all places are taken is slow, or means no good. It must not
    keep a scraper or a supervisor out.

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
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}  # since when, monotonic seconds; the oldest first
        self._failures: set[str] = set()
        self._local = ipaddress.ip_address(where[0]).is_loopback  # elsewhere: published on purpose
        super().__init__(where, Handler)

    def refuses(self, hosts: Sequence[str]) -> bool:
        """`hosts`: each header Host of a request."""
        return self._local and not all(map(is_local, hosts))

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
            self._end_one(older_than=0.0)
            if not self._free.acquire(timeout=_PAUSE):  # its answer is just being made: that cannot be cut short
                self.shutdown_request(request)
                return
        with self._lock:
            self._open[request] = time.monotonic()
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

    def service_actions(self) -> None:
        """Ends what has taken too long as a whole. Called after each connection, and every few seconds."""
        while self._end_one(older_than=_TIMEOUT):
            pass

    def _end_one(self, older_than: float) -> bool:
        """The oldest connection, if it is that old, in seconds. Its thread finds it closed, whatever it waits for."""
        with self._lock:
            oldest = next(iter(self._open), None)
            if oldest is None or time.monotonic() - self._open[oldest] < older_than:
                return False
            del self._open[oldest]
            with suppress(OSError):  # the client was faster
                oldest.shutdown(socket.SHUT_RDWR)
            return True

    def close_request(self, request: Any) -> None:
        """HAZARD: under the lock, or `_end_one` would act on a descriptor that is somebody else's by then."""
        with self._lock:
            self._open.pop(request, None)
            super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news of ours."""


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD of one path, then the connection ends."""

    timeout = _TIMEOUT  # of one wait for the client
    server: Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if self.server.refuses(self.headers.get_all("Host", [])):
            self._send(text(HTTPStatus.FORBIDDEN, _STRANGE))
            return
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
            answer = text(HTTPStatus.INTERNAL_SERVER_ERROR, "This could not be answered; the log says why.")
        self._send(answer, **answer.headers)

    do_HEAD = do_GET  # noqa: N815  the standard library's name

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """What the standard library refuses, in plain text; it calls every method that has no `do_` 501."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._send(text(HTTPStatus.METHOD_NOT_ALLOWED, f"Only {_METHODS} are answered here."), Allow=_METHODS)
        else:
            self._send(text(HTTPStatus(code), HTTPStatus(code).phrase))

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
