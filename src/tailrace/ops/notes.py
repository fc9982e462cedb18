"""Small files in the state directory by which a running instance can be found and asked, whatever `http` says.

    instance.json   {"pid", "http", "started"}      from when all sources have started, to the end
    reload.json     {"pid", "number", "began", "at", "outcome", "changed", "left", "problems"}   after each

Only time is lost when one cannot be written: nothing of the ingestion rests on them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

INSTANCE = "instance.json"
RELOAD = "reload.json"

_LARGEST = 1 << 20  # bytes

log = structlog.get_logger("tailrace")


def write(path: Path, content: Mapping[str, object]) -> None:
    """Whole or not at all, readable by our user alone. What goes wrong is said in the log."""
    temporary = path.with_name(f"{path.name}.new")
    try:
        with open(temporary, "w", encoding="utf-8", opener=_private) as file:
            json.dump(content, file)
        temporary.replace(path)
    except OSError as error:
        log.warning(
            "note_not_written",
            path=str(path),
            why=error.strerror,
            meaning="tailrace status and reload may not find this process; the ingestion goes on",
        )


def read(path: Path) -> dict[str, Any]:
    """Empty when there is none, or it is not what `write` wrote."""
    with suppress(OSError, ValueError, RecursionError), path.open("rb") as file:
        content = json.loads(file.read(_LARGEST))
        if isinstance(content, dict):
            return content
    return {}


def remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
