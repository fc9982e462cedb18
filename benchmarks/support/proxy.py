"""A TCP proxy before a mongod: it delays both ways, or notes when each insert was acknowledged. Threads, two a
connection; one process of its own (`Proxied`), so that it shares no interpreter lock with what it observes.

Delaying does not slow: bytes wait for their time in a queue, and as many as come are on their way at once.
"""

from __future__ import annotations

import json
import multiprocessing
import queue
import socket
import struct
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Self

_HEADER = struct.Struct("<iiii")  # length, requestID, responseTo, opcode (MongoDB wire protocol)
_OP_MSG = 2013
_INSERT = b"\x02insert\0"  # type and name of the first element of the body
_LENGTH = struct.Struct("<i")
_FIRST = 25  # where the first element begins: after header 16, flags 4, kind 1, length of the body 4
_OBJECT_ID = b"\x07_id\0"
_END = object()


class Ack(NamedTuple):
    """One insert: when its reply passed (`time.perf_counter`), how many documents, and the places in the file that
    their position `_id`s name (tailrace), in order; without such ids there are none."""

    at: float
    documents: int
    places: list[int]


class Proxied:
    """The proxy in a process of its own, before 127.0.0.1:`target`. `delay`: seconds each way. `note`: the collection
    whose inserts are noted. A context; `acks` stops it."""

    def __init__(self, target: int, *, delay: float = 0.0, note: str | None = None) -> None:
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        self._pipe: Connection = ours
        self._process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(target, delay, note, theirs), daemon=True
        )
        self._process.start()
        self.port: int = ours.recv()

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.join()

    def acks(self) -> list[Ack]:
        """All so far, and from now on none."""
        self._pipe.send("stop")
        return [Ack(*each) for each in json.loads(self._pipe.recv())]

    def acknowledged(self) -> int:
        """Documents so far."""
        self._pipe.send("count")
        return int(self._pipe.recv())


def serve(target: int, delay: float, note: str | None, pipe: Any) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    acks: list[Ack] = []
    threading.Thread(target=_accept, args=(listener, target, delay, note, acks), daemon=True).start()
    pipe.send(listener.getsockname()[1])
    while pipe.recv() == "count":
        pipe.send(sum(ack.documents for ack in acks))
    pipe.send(json.dumps(acks))


def _accept(listener: socket.socket, target: int, delay: float, note: str | None, acks: list[Ack]) -> None:
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", target))
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting: dict[int, bytes] = {}
        for ways in ((client, server, True), (server, client, False)):
            if note is None:
                _start(_delaying, ways[0], ways[1], delay)
            else:
                _start(_noting, *ways, note.encode() + b"\0", waiting, acks)


def _start(work: Any, *what: Any) -> None:
    threading.Thread(target=work, args=what, daemon=True).start()


def _delaying(source: socket.socket, to: socket.socket, delay: float) -> None:
    pending: queue.SimpleQueue[Any] = queue.SimpleQueue()
    if delay:
        _start(_deliver, pending, to)
    with suppress(OSError):
        while data := source.recv(1 << 18):
            if delay:
                pending.put((time.monotonic() + delay, data))
            else:
                to.sendall(data)
    if delay:
        pending.put(_END)
    else:
        _close(to)


def _deliver(pending: queue.SimpleQueue[Any], to: socket.socket) -> None:
    with suppress(OSError):
        while (item := pending.get()) is not _END:
            due, data = item
            time.sleep(max(0.0, due - time.monotonic()))
            to.sendall(data)
    _close(to)


def _noting(
    source: socket.socket,
    to: socket.socket,
    requests: bool,
    collection: bytes,
    waiting: dict[int, bytes],
    acks: list[Ack],
) -> None:
    with suppress(OSError, EOFError):
        while True:
            head = _exactly(source, _HEADER.size)
            length, number, answers, opcode = _HEADER.unpack(head)
            body = _exactly(source, length - _HEADER.size)
            message = bytes(head) + body
            if requests:
                if opcode == _OP_MSG and message.startswith(_INSERT, _FIRST):
                    name = _FIRST + len(_INSERT) + 4
                    if message[name : name + len(collection)] == collection:
                        waiting[number] = message
                to.sendall(message)
            else:
                to.sendall(message)
                at = time.perf_counter()
                if (kept := waiting.pop(answers, None)) is not None:
                    acks.append(ack_of(at, kept))
    _close(to)


def ack_of(at: float, message: bytes) -> Ack:
    """What an insert's request was about; looked into after its reply has been passed on."""
    places, count = [], 0
    place = 21 + int(_LENGTH.unpack_from(message, 21)[0])  # past the body
    while place < len(message) and message[place] == 1:  # a sequence of documents
        end = place + 1 + _LENGTH.unpack_from(message, place + 1)[0]
        place += 1 + 4
        place = message.index(b"\0", place) + 1
        while place < end:
            count += 1
            if message[place + 4 : place + 9] == _OBJECT_ID:
                places.append(int.from_bytes(message[place + 16 : place + 21], "big"))
            place += _LENGTH.unpack_from(message, place)[0]
    return Ack(at, count, places)


def _exactly(source: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        got = source.recv_into(view[at:])
        if not got:
            raise EOFError
        at += got
    return data


def _close(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
