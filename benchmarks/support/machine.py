"""What this machine is, which versions run on it, and what a process has used so far (Linux, /proc)."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pymongo
from benchmarks.support.programs import rsyslog_program, syslog_ng_program

from tailrace import __version__
from tailrace.embedded import find_mongod

TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds: what /proc counts CPU time in
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process, in bytes. `pss`: with its share of what it has in common with others."""

    rss: int
    pss: int


def facts() -> dict[str, str]:
    """What is printed above every table."""
    return {
        "cpu": _cpu_model(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{_meminfo('MemTotal') / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        **versions(),
    }


def versions() -> dict[str, str]:
    found = {
        "python": platform.python_version(),
        "pymongo": f"{pymongo.version}{'' if pymongo.has_c() else ' (without C)'}",
        "msgspec": msgspec.__version__,
        "mongod": _said(str(find_mongod()), "--version", pattern=r"db version v(\S+)"),
        "tailrace": f"{__version__} ({_commit()}), codec {'python' if why_no_native() else 'native'} by default",
    }
    for name, program, flag in (("rsyslog", rsyslog_program(), "-v"), ("syslog-ng", syslog_ng_program(), "--version")):
        found[name] = "not installed" if program is None else _said(program, flag, pattern=r"(\d+\.[\d.]+)")
    return found


def why_no_native() -> str | None:
    """Why the codec in Rust is not to be had here; None: it is. Asked in a process of its own: it is not for us."""
    question = "from tailrace.config.native import why_no_native_codec as why; print(why() or '')"
    done = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)
    return done.stdout.strip() or None


def codecs(wanted: str, say: Callable[[str], None]) -> list[str]:
    """Those of `wanted` (native, python or both) that can be measured; the first is what `auto` takes."""
    why_not = why_no_native()
    if wanted != "python" and why_not is not None:
        say(f"The native codec is left out: {why_not}.")
    there = ["python"] if why_not is not None else ["native", "python"]
    return [codec for codec in there if wanted in (codec, "both")] or ["python"]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads; in steps of `TICK`. Raises OSError when it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK  # utime, stime: fields 14 and 15 of proc(5)


def memory(pid: int) -> Memory:
    """Raises OSError when it is gone."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = dict(re.findall(r"^(Rss|Pss): +(\d+) kB", text, re.MULTILINE))
    return Memory(rss=int(found["Rss"]) * 1024, pss=int(found["Pss"]) * 1024)


def peak_rss(pid: int) -> int:
    """Bytes: the highest that its resident set ever was. Raises OSError when it is gone."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


def _cpu_model() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found.group(1) if found else platform.machine()


def _meminfo(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


def _commit() -> str:
    """Of the checkout, with a + when something in src/ differs from it."""
    git = ["git", "-C", str(_ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain", "src"], capture_output=True, text=True, check=False)
    return (head.stdout.strip() or "no git") + ("+" if changed.stdout.strip() else "")


def _said(*command: str, pattern: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except OSError as error:
        return f"cannot be run ({error.strerror})"
    found = re.search(pattern, done.stdout + done.stderr)
    return found.group(1) if found else "unknown"
