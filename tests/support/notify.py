"""The other end of the notify protocol: a datagram socket, as systemd binds one for a service."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Self


class Manager:
    """What systemd would hear, datagram by datagram. `name`: a path, or `@name` for an abstract socket. A context."""

    def __init__(self, name: str | Path) -> None:
        self.name = str(name)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(b"\0" + self.name[1:].encode() if self.name.startswith("@") else self.name)
        self.heard: list[str] = []
        self.times: list[float] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def listen(self, seconds: float = 0.0) -> list[str]:
        """All that was heard until now; what comes within `seconds` is among it. Monotonic times are beside it."""
        deadline = time.monotonic() + seconds
        while True:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            with suppress(TimeoutError, BlockingIOError):
                self.heard.append(self._socket.recv(65536).decode())
                self.times.append(time.monotonic())
                continue
            if time.monotonic() >= deadline:
                return self.heard

    def wait_for(self, message: str, timeout: float = 20, after: int = 0) -> int:
        """The place of the first datagram from `after` on that begins with `message`; fails when time is up."""
        deadline = time.monotonic() + timeout
        while True:
            self.listen(0.02)
            for place, each in enumerate(self.heard[after:], after):
                if each.startswith(message):
                    return place
            assert time.monotonic() < deadline, f"no {message} in {timeout} s: {self.heard[after:]}"
