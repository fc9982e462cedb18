"""Where a running instance answers: what was asked for, else what it wrote down itself, else the setting `http`."""

from __future__ import annotations

import os
from pathlib import Path

from tailrace.commands.watching.fields import Fields
from tailrace.config import Address, Settings
from tailrace.config.connection import Listen
from tailrace.errors import ConfigurationError
from tailrace.ops import notes
from tailrace.ops.client import Place, Unanswered, listening

_LAST_PID = 1 << 22  # of Linux

_OFF = (
    "set http to an address such as 127.0.0.1:9464 and restart it, and `tailrace status`, health checks and metrics "
    "can ask it"
)


def find(settings: Settings) -> Place:
    """The file of an instance that lives wins: port 0, or another `http` on its command line, are known only there.

    Raises ConfigurationError where nothing is served, Unanswered where nothing can be known.
    """
    pid, address = instance_of(settings.state_dir / notes.INSTANCE)
    if pid is not None:
        if address is None:
            raise ConfigurationError(f"the tailrace that runs (pid {pid}) serves nothing: {_OFF}")
        return listening(address)
    if settings.http is None:
        raise ConfigurationError(f"http = off: a tailrace with this setting serves nothing; {_OFF}")
    if settings.http.port == 0:
        raise Unanswered(
            f"no tailrace answers: none with state_dir {settings.state_dir} runs, or this user may not read its "
            f"{notes.INSTANCE}, which alone tells the port; give --url"
        )
    return listening(settings.http)


def instance_of(path: Path) -> tuple[int | None, Address | None]:
    """(its pid, where it serves) of an instance that lives; (None, None) when there is none, or none can be seen.

    HAZARD: the lock of the state directory is not tried. To hold it for a moment would make a `run` fail that starts
    in that moment. A pid that another program has by now leads to an address where nobody answers, and that is said.
    """
    content = Fields(notes.read(path))
    pid, http = content.number("pid"), content.text("http")
    if pid is None or not 0 < pid <= _LAST_PID or not _lives(int(pid)):
        return None, None
    if not http:
        return int(pid), None
    try:
        return int(pid), Listen().parse(http)
    except ValueError:
        return None, None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:  # another user's
        return True
    except OSError:
        return False
    return True
