"""Which process runs on a state directory, without touching its lock.

HAZARD: the lock is never tried. To hold it for a moment would make a `run` fail that starts in that moment.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from tailrace.ingest.state.directory import LOCK


def holder(state_dir: Path) -> int | None:
    """The pid of the `run` that holds it, None when none does that can be seen from here.

    By the kernel's list of locks; where that does not show other processes (a container), by whether the one who wrote
    its pid into the file still has it open. Raises OSError when the directory cannot be looked at.
    """
    lock = state_dir / LOCK
    try:
        stat = os.stat(lock)
    except FileNotFoundError:
        return None
    with suppress(OSError):
        locked = holder_of(Path("/proc/locks").read_text(), stat.st_dev, stat.st_ino)
        if locked is not None:
            return locked
    pid, _, host = lock.read_text(errors="replace").strip().partition(" ")
    if pid.isdecimal() and host == socket.gethostname() and _has_open(int(pid), lock):
        return int(pid)
    return None


def holder_of(locks: str, device: int, inode: int) -> int | None:
    """The pid that holds an flock on this file. `locks`: text of /proc/locks (proc(5)). Pure."""
    wanted = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    for line in locks.splitlines():
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[5] == wanted and words[4].isdecimal():
            return int(words[4])
    return None


def _has_open(pid: int, path: Path) -> bool:
    try:
        open_files = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # gone, or another user's
        return False
    for each in open_files:
        with suppress(OSError):
            if os.path.samefile(each, path):
                return True
    return False
