"""The state directory and the lock on it: at most one `tailrace run` at a time.

The lock is `flock(2)` on `<state_dir>/lock`, held by an open descriptor and nothing else: the kernel gives it back
when the process ends, however it ends, so there is no stale lock to clean up. The pid and host inside are for the
message only. The file is never deleted: two processes could then hold locks on two files of the same name.

Hazard: a child that inherits the descriptor would keep the lock. Python opens it close-on-exec; do not fork without
exec.
"""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from typing import Self

from tailrace.errors import ConfigurationError, StateLocked

LOCK = "lock"
_OTHERS = 0o077


class StateDirectory:
    """A directory that is ours alone until `release`. `path` is absolute. `warnings`: sentences for the log."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor
        mode = path.stat().st_mode & 0o777
        self.warnings: tuple[str, ...] = ()
        if mode & _OTHERS:
            self.warnings = (f"state_dir: {path} is open to other users (mode {mode:04o}); expected is 0700.",)

    @classmethod
    def take(cls, state_dir: Path) -> Self:
        """Makes the directory (0700, only the last part; the parents as usual) and takes the lock.

        StateLocked: another process has it. ConfigurationError: it cannot be made, written or locked.
        """
        path = state_dir.absolute()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
            return cls(path, descriptor)
        except BlockingIOError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise StateLocked(
                f"state_dir: {path} is in use by another tailrace run ({holder}): stop that one, or give this one a "
                "state_dir of its own."
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise _unusable(path, error) from error

    def release(self) -> None:
        """Gives the lock back; again is a no-op."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _holder(descriptor: int) -> str:
    pid, _, host = os.pread(descriptor, 512, 0).decode(errors="replace").strip().partition(" ")
    return f"pid {pid} on {host}" if pid and host else "which has only just started"


def _unusable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"state_dir: {path} cannot be used ({error.strerror}): make it a directory that this user may write to, or set "
        "another state_dir."
    )
