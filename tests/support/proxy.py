"""A TCP proxy before a mongod that breaks what passes through it, at the borders of the wire protocol's messages.

A message is framed by its header: length, requestID, responseTo, opcode, four little-endian int32 (MongoDB wire
protocol); an OP_MSG names its command in the first element of its body. More is not understood here, and compressed
messages are not looked into. Standing conditions (`rate`, `latency`, `swallow`, `hold`) may be set at any time from any
thread; faults for one message (`lose_reply`, `reset_request`, `reset_reply`) wait for the next one that they fit.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

import bson

_HEADER = struct.Struct("<iiii")
_OP_MSG = 2013
_BODY = 16 + 4 + 1  # after header, flags, kind of section
_COMMAND = _BODY + 4 + 1  # after length of BSON, type of the first element
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: closing sends RST (socket(7))
_LOOK = 0.02  # seconds between two looks at a condition that holds a message back
_SLICES = 20.0  # a second, of a trickle
CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Message:
    """One message, whole. `command`: of a request, else what stands in its place."""

    data: bytes

    @property
    def id(self) -> int:
        return int(_HEADER.unpack_from(self.data)[1])

    @property
    def answers(self) -> int:
        return int(_HEADER.unpack_from(self.data)[2])

    @property
    def command(self) -> str:
        if _HEADER.unpack_from(self.data)[3] != _OP_MSG:
            return ""
        return self.data[_COMMAND : self.data.index(b"\0", _COMMAND)].decode(errors="replace")

    @property
    def body(self) -> dict[str, Any]:
        """Of an OP_MSG that has nothing but a body: a reply."""
        return bson.decode(self.data[_BODY:])


async def read_message(reader: asyncio.StreamReader) -> Message:
    """Raises EOFError at the end of the stream."""
    head = await reader.readexactly(_HEADER.size)
    return Message(head + await reader.readexactly(_HEADER.unpack(head)[0] - _HEADER.size))


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls one message. `after`: the share of its bytes that still passes."""

    kind: str
    command: str
    ending: str = "reset"
    after: float = 0.0


class Proxy:
    """Listens on `port` of the loopback for `target`. A context; lives in a thread of its own.

    `origin`: of a connection by the port it comes from, for those who cut some off (`hold`) and not others.
    `happened` counts the faults that befell a message, `requests` the messages by command; `seen` has the replies to
    the commands named in `watch`.
    """

    def __init__(self, target: int, *, origin: Callable[[int], str] = lambda _port: CLIENT) -> None:
        self.target = target
        self.rate: float | None = None
        self.latency = 0.0
        self.swallow = False
        self.happened: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.watch: set[str] = set()
        self.seen: list[dict[str, Any]] = []
        self.held: frozenset[str] = frozenset()
        self._origin = origin
        self._faults: list[Fault] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._started = threading.Event()
        self._stop: Callable[[], object] = self._listener.close
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    # -- faults ------------------------------------------------------------------------------------------------

    def lose_reply(self, command: str, *, ending: str = "close") -> None:
        """The server gets the next such command and answers; the answer is dropped, then the connection is closed
        ("close", "reset") or stays silent ("hang")."""
        self._faults.append(Fault("lost_reply", command, ending))

    def reset_request(self, command: str, after: float) -> None:
        """The next such command is cut after that share of its bytes, and the connection reset on both sides."""
        self._faults.append(Fault("cut_request", command, after=after))

    def reset_reply(self, command: str, after: float) -> None:
        """The answer to the next such command is cut after that share of its bytes, and the connection reset."""
        self._faults.append(Fault("cut_reply", command, after=after))

    @contextmanager
    def holding(self, origins: Collection[str]) -> Iterator[None]:
        """Nothing passes from or to connections of these origins, nor is anything lost: a cut cable."""
        before, self.held = self.held, self.held | set(origins)
        try:
            yield
        finally:
            self.held = before

    def take(self, message: Message) -> Fault | None:
        """The fault that this request is for, once."""
        for fault in self._faults:
            if fault.command == message.command:
                self._faults.remove(fault)
                return fault
        return None

    # -- running -----------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait(10)
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop()
        self._thread.join(10)

    async def _serve(self) -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        server = await asyncio.start_server(self._accept, sock=self._listener, limit=1 << 20)
        self._started.set()
        await stopped.wait()
        # Links, and what is just being accepted: that holds its socket from its first step on, closes it, and must not
        # find the server closed (asyncio loses it then).
        loop.remove_reader(self._listener)
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.sleep(0)
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0)  # transports end in the turn after
        server.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(self._relay(reader, writer))
        link.add_done_callback(lambda _: writer.close())  # also of one that was cancelled before it began

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        origin = self._origin(writer.get_extra_info("peername")[1])
        try:
            theirs = await asyncio.open_connection("127.0.0.1", self.target, limit=1 << 20)
        except OSError:  # the server is gone: so are we
            reset(writer)
            return
        link = _Link(self, origin, (reader, writer), theirs)
        with suppress(asyncio.CancelledError):
            await link.run()


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One client's connection and ours to the server."""

    def __init__(self, proxy: Proxy, origin: str, client: Stream, server: Stream) -> None:
        self._proxy = proxy
        self._origin = origin
        self._client = client
        self._server = server
        self._awaited: dict[int, Fault] = {}
        self._watched: set[int] = set()
        self._dead = False  # what was swallowed is missing: this connection never recovers

    async def run(self) -> None:
        pumps = [asyncio.create_task(self._requests()), asyncio.create_task(self._replies())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for _reader, writer in (self._client, self._server):  # first: the waiting below may be cancelled
                writer.close()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _requests(self) -> None:
        while True:
            message = await read_message(self._client[0])
            self._proxy.requests[message.command] += 1
            if message.command in self._proxy.watch:
                self._watched.add(message.id)
            fault = self._proxy.take(message)
            if fault is not None and fault.kind != "cut_request":
                self._awaited[message.id] = fault
                fault = None
            if not await self._deliver(message, self._server[1], fault):
                return

    async def _replies(self) -> None:
        while True:
            message = await read_message(self._server[0])
            fault = self._awaited.pop(message.answers, None)
            if message.answers in self._watched:
                self._proxy.seen.append(message.body)
            if not await self._deliver(message, self._client[1], fault):
                return

    async def _deliver(self, message: Message, to: asyncio.StreamWriter, fault: Fault | None) -> bool:
        """Pass it on, as things are; False when this connection is over."""
        proxy = self._proxy
        if fault is not None and fault.kind == "lost_reply":
            proxy.happened[fault.kind] += 1
            self._dead = fault.ending == "hang"
            if fault.ending == "reset":
                reset(self._client[1])
            return self._dead
        if proxy.latency:
            await asyncio.sleep(proxy.latency)
        while self._origin in proxy.held:  # noqa: ASYNC110 - set from another thread, which has no event of this loop
            await asyncio.sleep(_LOOK)
        self._dead = self._dead or proxy.swallow
        if self._dead:
            proxy.happened["swallowed"] += 1
            return True
        data = message.data
        if fault is not None:
            data = data[: max(1, min(len(data) - 1, int(len(data) * fault.after)))]
        await self._send(data, to)
        if fault is not None:
            proxy.happened[fault.kind] += 1
            reset(self._client[1])
            reset(self._server[1])
            return False
        return True

    async def _send(self, data: bytes, to: asyncio.StreamWriter) -> None:
        at = 0
        while at < len(data):
            rate = self._proxy.rate
            step = len(data) if rate is None else max(1, int(rate / _SLICES))
            to.write(data[at : at + step])
            await to.drain()
            at += step
            if rate is not None:
                await asyncio.sleep(1 / _SLICES)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST: what was sent and not read yet is gone, too."""
    connection: socket.socket = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
