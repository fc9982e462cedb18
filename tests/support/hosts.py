"""What a host does to a process: a disk that is full, limits of the kernel, a clock that jumps. Real means only."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FAKETIME = next((str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
"""The library of the Debian package faketime, for processes with threads; None where it is not installed."""


CLOCK_SEEN = 1
"""Seconds until a process has seen a jump."""


class Disk:
    """Where a state directory may lie. `fill` until nothing fits any more, `free` again."""

    def __init__(self, path: Path, *, mounted: bool) -> None:
        self.path = path
        self.mounted = mounted
        self._ballast = path / "ballast"

    def fill(self, pid: int) -> None:
        """A mounted disk is filled to the last byte. Elsewhere the process may write no file any further: the kernel
        refuses its writes as those to a full disk, with EFBIG in place of ENOSPC."""
        if not self.mounted:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            return
        with self._ballast.open("wb", buffering=0) as file:
            for size in (65536, 4096, 512, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def free(self, pid: int) -> None:
        if self.mounted:
            self._ballast.unlink()
        else:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    @property
    def left(self) -> int:
        """Bytes."""
        return os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_frsize


@contextmanager
def small_disk(path: Path, size: str = "1m") -> Iterator[Disk]:
    """A tmpfs of its own at `path`, where the machine lets us mount one; else a plain folder (see `Disk.fill`)."""
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True, check=False
    )
    try:
        yield Disk(path, mounted=mounted.returncode == 0)
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", str(path)], check=True)


class Clock:
    """The wall clock of processes that are started with `environment`; the monotonic clock stays as it is."""

    def __init__(self, file: Path) -> None:
        assert FAKETIME is not None
        self._file = file
        self.jump(0)
        self.environment = {
            "LD_PRELOAD": FAKETIME,
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": str(CLOCK_SEEN),  # reading it at each call makes a process ten times slower
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # with the "fix" waiting for the GIL takes 20 times as long
            "NO_FAKE_STAT": "1",  # the times of files are those of the disk
        }

    def jump(self, seconds: int) -> None:
        """From now on the clock is this far from the true time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}s\n")
        new.replace(self._file)


def descriptors(pid: int) -> int:
    """Open descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))
