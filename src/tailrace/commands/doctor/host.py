"""What this machine gives: disk, descriptors, notifications of the kernel, the address of the endpoint."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tailrace.commands.doctor.finding import Finding, Subject, fine, note, problem
from tailrace.commands.doctor.state import existing
from tailrace.config import Address, Settings, Watch
from tailrace.ingest.mongo.connection import MAX_POOL
from tailrace.ingest.wiring import max_open
from tailrace.words import size_words

SPACE_NEEDED = 16 << 20
"""Bytes below which checkpoints may soon not be saved: the database, and a log of 4 MB beside it."""

SPACE_WANTED = 256 << 20
SPACE_EMBEDDED = 2 << 30
"""Bytes that are wanted, without and with a mongod of our own on the same disk: it stops when the disk is full."""

INODES_WANTED = 1000

_OTHER_FILES = 80  # endpoint, logs, local state, watches
_INOTIFY = Path("/proc/sys/fs/inotify")
_REMOTE = ("nfs", "cifs", "smb", "9p", "ceph", "gluster", "lustre", "afs", "virtiofs", "fuse.", "beegfs", "orangefs")
_PATIENCE = 1.0  # seconds for whoever listens on our address


def disk(path: Path, *, embedded: bool) -> Finding:
    """Of the file system on which `path` lies, or will."""
    there = existing(path)
    facts = os.statvfs(there)
    return of_disk(
        str(there),
        free=facts.f_bavail * facts.f_frsize,
        inodes=facts.f_favail if facts.f_files else None,
        wanted=SPACE_EMBEDDED if embedded else SPACE_WANTED,
    )


def of_disk(path: str, *, free: int, inodes: int | None, wanted: int) -> Finding:
    """`free` in bytes, `inodes`: None where the file system does not count them. Pure."""
    remedy = "free space there, or set state_dir to another disk"
    if free < SPACE_NEEDED or inodes == 0:
        what = f"only {size_words(free)} are" if free < SPACE_NEEDED else "no inode is"
        sentence = f"{what} free on the disk of {path}: checkpoints could not be saved, and a restart would read again"
        return problem(Subject.DISK, sentence, remedy)
    if free < wanted:
        return note(
            Subject.DISK, f"{size_words(free)} are free on the disk of {path}; {size_words(wanted)} are wanted", remedy
        )
    if inodes is not None and inodes < INODES_WANTED:
        return note(Subject.DISK, f"only {inodes} inodes are free on the disk of {path}", remedy)
    return fine(Subject.DISK, f"{size_words(free)} free on the disk of {path}")


def open_files(sources: int) -> Finding:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return of_open_files(soft, sources, max_open(sources))


def of_open_files(soft: int, sources: int, each: int) -> Finding:
    """`soft`: the limit; `each`: hour files that one source keeps open at most. Pure."""
    needed = sources * each + MAX_POOL + _OTHER_FILES
    known = f"{soft} open files allowed, {sources * each} of them for hour files"
    if needed <= soft:
        return fine(Subject.OPEN_FILES, known)
    return note(
        Subject.OPEN_FILES,
        f"{known}, and up to {needed} may be wanted: files would wait for their turn, connections could fail",
        f"raise the limit to {max(1024, needed)} or more: LimitNOFILE= of the systemd unit, or ulimit -n",
    )


def notifications(hourly: str, watch: Watch, poll: float) -> Finding:
    """Whether the kernel tells of changes below `hourly`: tried for a moment, which leaves nothing behind."""
    if watch is Watch.POLL:
        return fine(Subject.NOTIFICATIONS, f"watch = poll: looked at every {poll:g} s")
    try:
        kind = file_system_of(Path("/proc/self/mountinfo").read_text(), os.path.realpath(hourly))
    except OSError:
        kind = ""
    return of_notifications(hourly, watch, poll, refused=_inotify(hourly), kind=kind)


def of_notifications(hourly: str, watch: Watch, poll: float, *, refused: int, kind: str) -> Finding:
    """`refused`: the error number with which the kernel refuses a watch, or 0. `kind`: of the file system. Pure."""
    polled = f"new lines are seen every {poll:g} s (poll_interval) instead of at once; nothing is lost"
    if refused:
        limit = {errno.EMFILE: "max_user_instances", errno.ENOSPC: "max_user_watches"}.get(refused)
        sentence = f"the kernel gives no notifications for {hourly} ({os.strerror(refused)})"
        remedy = f"raise fs.inotify.{limit} (sysctl)" if limit else "nothing, or set watch = poll"
        if watch is Watch.NATIVE and limit != "max_user_watches":
            return problem(
                Subject.NOTIFICATIONS, f"{sentence}, and watch = native asks for them", f"{remedy}, or set watch = auto"
            )
        return note(Subject.NOTIFICATIONS, f"{sentence}: {polled}", remedy)
    if kind.startswith(_REMOTE):
        return note(
            Subject.NOTIFICATIONS,
            f"{hourly} is on {kind}, which does not tell what other machines write: {polled}",
            "run tailrace on the machine that writes, or set watch = poll and the poll_interval that is wanted",
        )
    return fine(Subject.NOTIFICATIONS, f"the kernel tells of changes ({kind or 'file system unknown'}{_limits()})")


def _limits() -> str:
    try:
        watches, instances = ((_INOTIFY / f"max_user_{each}").read_text().strip() for each in ("watches", "instances"))
    except OSError:
        return ""
    return f"; {watches} watches and {instances} instances for each user"


def _inotify(path: str) -> int:
    """0, or the error number with which the kernel refuses a watch on `path`."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        descriptor = library.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if descriptor < 0:
            return ctypes.get_errno()
        try:
            watch = library.inotify_add_watch(descriptor, os.fsencode(path), ctypes.c_uint32(0x100))  # IN_CREATE
            return ctypes.get_errno() if watch < 0 else 0
        finally:
            os.close(descriptor)
    except (OSError, AttributeError):
        return errno.ENOSYS


def file_system_of(mounts: str, path: str) -> str:
    """Its type, such as ext4 or nfs4; empty when it cannot be told. `mounts`: text of /proc/self/mountinfo. Pure."""
    best, kind = "", ""
    for line in mounts.splitlines():
        left, dash, right = line.partition(" - ")
        words = left.split()
        if dash and len(words) >= 5:
            point = words[4].encode().decode("unicode_escape")  # a blank is \040
            inside = point in ("/", path) or path.startswith(f"{point}/")
            if inside and len(point) >= len(best):  # of two mounts on one point the later one counts
                best, kind = point, right.split()[0]
    return kind


def http(settings: Settings, holder: int | None) -> Finding:
    """Whether the endpoint's address can be had: bound and given back at once. `holder`: pid of the `run` that is at
    work on our state directory."""
    address = settings.http
    if address is None:
        return fine(Subject.HTTP, "off: no metrics, no health")
    error = _bind(address)
    if error is None:
        open_to_all = address.host in ("0.0.0.0", "::")  # noqa: S104  compared, not bound
        if open_to_all:
            sentence = f"{address} is free, and open to every machine that reaches this one"
            return note(Subject.HTTP, sentence, "let a firewall decide who reads it, or listen on 127.0.0.1")
        return fine(Subject.HTTP, f"{address} is free")
    if error.errno == errno.EADDRINUSE:
        return _taken(address, holder)
    why = "its host has no address" if isinstance(error, socket.gaierror) else error.strerror
    return problem(Subject.HTTP, f"cannot listen on {address}: {why}", "set http to a free HOST:PORT, or to off")


def _bind(address: Address) -> OSError | None:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(where)
    except OSError as error:
        return error
    return None


def _taken(address: Address, holder: int | None) -> Finding:
    status = _status(address)
    if status is None:
        remedy = "set http to a free HOST:PORT, or to off; ss -ltnp shows who listens"
        return problem(Subject.HTTP, f"{address} is taken by another program", remedy)
    pid = status.get("pid")
    if holder is not None and pid in (None, holder):
        return fine(Subject.HTTP, f"{address} is served by the run that is at work on this state directory")
    who = f"another tailrace{f' (pid {pid})' if pid else ''}"
    return problem(Subject.HTTP, f"{address} is taken by {who}", "set http to an address of its own, or to off")


def _status(address: Address) -> dict[str, Any] | None:
    """What /status says there; None when it is no tailrace that answers."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104  compared, not bound
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{Address(host, address.port)}/status", timeout=_PATIENCE) as answer:
            found = json.loads(answer.read(1 << 20))
    except urllib.error.HTTPError as error:
        error.close()
        return None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "sources" in found else None
