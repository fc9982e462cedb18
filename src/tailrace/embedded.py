"""A private mongod of our own: `mongodb_uri = embedded`, the demo, and the tests.

    find_mongod      where the program is: PATH, or the wheel of the extra `embedded`
    MongodProcess    one mongod on the loopback, its data in a directory, started and stopped with us
    EmbeddedMongod   that, under a state directory: a leftover of a killed parent is stopped first

Real data may lie in it: it is always stopped so that it can flush, and killed only when that takes too long.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tailrace.errors import ConfigurationError

CACHE_GB = 0.5
"""The server's cache: its own default is half of the machine's memory."""

START_LIMIT = 60.0
"""Seconds until it must answer. Recovery after a kill reads the journal, normally within two."""

STOP_LIMIT = 30.0
"""Seconds that a clean shutdown may take, then it is killed; the journal holds everything acknowledged."""

_WHEEL = "fiftyone"  # the package that carries the server's program, see pyproject: extra `embedded`
_WHEEL_PROGRAM = Path("db", "bin", "mongod")
_POLL = 0.05  # seconds between two looks
_LOG_TAIL = 4096  # bytes of the server's log that are looked at for a reason
_PING_LIMIT = 1.0  # seconds
_OP_MSG = 2013  # the opcode of messages and replies (MongoDB wire protocol)
_PING = b"\x1e\0\0\0\x10ping\0\1\0\0\0\x02$db\0\6\0\0\0admin\0\0"  # BSON of {"ping": 1, "$db": "admin"}
_PR_SET_PDEATHSIG = 1  # prctl(2)


def find_mongod(program: str | None = None) -> Path:
    """`program` (tests only) or the first of: `mongod` on PATH, the wheel's. Raises ConfigurationError."""
    candidates = [program] if program else [shutil.which("mongod"), _in_wheel()]
    for candidate in candidates:
        if candidate is not None and os.access(candidate, os.X_OK):
            return Path(candidate)
    raise ConfigurationError(
        "no mongod was found for mongodb_uri = embedded: pip install 'tailrace[embedded]' (Linux x86_64), or put a "
        "mongod on PATH, or set mongodb_uri to a server of yours"
    )


def _in_wheel() -> str | None:
    """The wheel's program. The package is looked up, not imported: importing it would run its code."""
    spec = importlib.util.find_spec(_WHEEL)
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        program = Path(location) / _WHEEL_PROGRAM
        if program.is_file():
            return str(program)
    return None


def free_port() -> int:
    """A port of the loopback that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class MongodProcess:
    """One mongod. `directory` gets `mongod/` (its data, 0700), `mongod.log` and `mongod.pid`.

    The port stays the same over restarts of one object.
    """

    def __init__(
        self, directory: Path, *, program: Path | None = None, port: int | None = None, arguments: Sequence[str] = ()
    ) -> None:
        self.directory = directory.absolute()  # a leftover is known by this path in its command line
        self.dbpath = self.directory / "mongod"
        self.log = self.directory / "mongod.log"
        self._complaints = self.directory / "mongod.stderr"  # of the loader, before there is a log
        self.pid_file = self.directory / "mongod.pid"
        self._program = program
        self._port = port
        self._arguments = list(arguments)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        if self._port is None:
            self._port = free_port()
        return self._port

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    @property
    def pid(self) -> int | None:
        """While it runs, or was last known to."""
        return None if self._process is None else self._process.pid

    async def start(self) -> str:
        """Start it and wait until it answers; its URI. Raises ConfigurationError with the reason from its log."""
        program = self._program if self._program is not None else find_mongod()
        self.dbpath.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [
            str(program),
            *("--dbpath", str(self.dbpath), "--port", str(self.port), "--bind_ip", "127.0.0.1"),
            *("--logpath", str(self.log), "--logappend", "--pidfilepath", str(self.pid_file), "--nounixsocket"),
            *("--wiredTigerCacheSizeGB", str(CACHE_GB), *self._arguments),
        ]
        # HAZARD: PDEATHSIG fires when the *thread* that forked dies, not the process: start from the thread that runs
        # the event loop, which lives as long as we do. preexec_fn runs between fork and exec, where other threads'
        # locks may be held for ever: it makes two system calls and allocates nothing that needs a lock.
        with os.fdopen(os.open(self._complaints, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as complaints:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - fork is quick; the program is ours to choose
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                start_new_session=True,  # a Ctrl-C in the terminal is for us; we stop it when we are done with it
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - the hazard above
            )
        try:
            await self._answer()
        except BaseException:
            self.kill()
            raise
        return self.uri

    async def _answer(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_LIMIT
        while not await _pings(self.port):
            if self._process is None or self._process.poll() is not None:
                raise ConfigurationError(f"the embedded mongod did not start: {self._reason()}")
            if loop.time() > deadline:
                raise ConfigurationError(
                    f"the embedded mongod did not answer within {START_LIMIT:.0f} s: see {self.log}"
                )
            await asyncio.sleep(_POLL)

    def _reason(self) -> str:
        """The last error of its log, or where to look; before there is a log, what the loader complained about."""
        complaint = self._complaints.read_text(errors="replace").strip().rpartition("\n")[2]
        if "shared librar" in complaint:
            return f"{complaint.rpartition('shared libraries: ')[2]}: install that library (Debian: libcurl4)"
        try:
            tail = self.log.read_bytes()[-_LOG_TAIL:].decode(errors="replace")
        except OSError:
            return "it wrote no log; does the program run on this machine?"
        for sign, reason in (
            ("DBPathInUse", f"another mongod uses {self.dbpath}"),
            ("Address already in use", f"port {self.port} is taken"),
            ("No space left", "the disk is full"),
            ("Permission denied", f"it may not write to {self.dbpath}"),
        ):
            if sign in tail:
                return reason
        return f"see {self.log}"

    async def stop(self) -> None:
        """Clean shutdown; kill after STOP_LIMIT. Nothing happens when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        if not await _gone(lambda: process.poll() is not None):
            process.kill()
            await asyncio.to_thread(process.wait)
        self.pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """kill -9, and wait until it is dead. What was acknowledged with j is in its journal."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


async def _pings(port: int) -> bool:
    """Whether a server on the loopback answers a ping. By hand: a driver's client would start monitors and pools,
    and leave a connection half open when it is closed after milliseconds (PyMongo 4.20)."""
    header = struct.pack("<iiii", 16 + 5 + len(_PING), 1, 0, _OP_MSG)
    try:
        async with asyncio.timeout(_PING_LIMIT):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(header + bytes(5) + _PING)  # no flags; one section of kind 0, the body
                answer = await reader.readexactly(16)
            finally:
                writer.close()
                await writer.wait_closed()
    except (OSError, EOFError):  # TimeoutError is an OSError
        return False
    return struct.unpack_from("<i", answer, 12) == (_OP_MSG,)


class EmbeddedMongod:
    """The private server of a state directory. Not for two processes at once: hold the directory's lock."""

    def __init__(self, directory: Path, *, program: Path | None = None) -> None:
        self._mongod = MongodProcess(directory, program=program)

    @property
    def uri(self) -> str:
        return self._mongod.uri

    async def start(self) -> str:
        """Its URI. Raises ConfigurationError when none can be had or it does not start."""
        await _stop_leftover(self._mongod)
        return await self._mongod.start()

    async def stop(self) -> None:
        await self._mongod.stop()


async def _stop_leftover(mongod: MongodProcess) -> None:
    """A mongod whose parent was killed, on a system without PDEATHSIG or in the moment before it fires.

    HAZARD: a pid is reused. Only a process whose command line names our dbpath is ours to stop.
    """
    try:
        pid = int(mongod.pid_file.read_text())
    except (OSError, ValueError):
        return
    if not _serves(pid, mongod.dbpath):
        return
    os.kill(pid, signal.SIGTERM)
    if not await _gone(lambda: not _serves(pid, mongod.dbpath)):
        os.kill(pid, signal.SIGKILL)
        await _gone(lambda: not _serves(pid, mongod.dbpath))


def _serves(pid: int, dbpath: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(dbpath) in words  # a zombie's command line is empty


async def _gone(is_gone: Callable[[], bool]) -> bool:
    deadline = asyncio.get_running_loop().time() + STOP_LIMIT
    while not is_gone():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(_POLL)
    return True


def die_with_parent() -> Callable[[], None] | None:
    """For the child: SIGTERM when its parent dies, however it dies. Everything is looked up before the fork."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)

    return in_child
