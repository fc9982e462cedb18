"""What a driver's error says, in one short line for logs and messages. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pymongo import errors

from tailrace.ingest.mongo.verdicts import CODE_NAMES, code_of, parts_of

_SHORT = 300  # characters


def describe(error: BaseException) -> str:
    """One short line for logs and messages. Never `str()` of an OperationFailure: it carries documents."""
    if isinstance(error, errors.OperationFailure):
        details: Mapping[str, Any] = error.details if isinstance(error.details, Mapping) else {}
        concerns = parts_of(details, "writeConcernErrors")
        if concerns:
            return f"write concern not met: {_short(str(concerns[-1].get('errmsg', '')))}"
        name = details.get("codeName") or CODE_NAMES.get(code_of(error)) or type(error).__name__
        message = details.get("errmsg") or str(getattr(error, "_message", "")).partition(", full error: ")[0]
        return _short(f"{name} ({error.code}): {_denied(str(message)) or message}")
    text = str(error).partition(", Timeout: ")[0].partition(" (configured timeouts:")[0].partition(", full error: ")[0]
    return _short(f"{type(error).__name__}: {text}" if text else type(error).__name__)


_DENIED = re.compile(r"not authorized on (\S+) to execute command \{ (\w+): (?:\"([^\"]+)\")?")

_PRIVILEGES: Final[Mapping[str, str]] = {
    "aggregate": "find",
    "count": "find",
    "create": "insert or createCollection",
    "createIndexes": "createIndex",
    "delete": "remove",
    "findAndModify": "find, update or insert",
    "getMore": "find",
    "update": "update or insert",
}
"""Commands that ask for a privilege of another name."""


def _denied(message: str) -> str | None:
    """Which right is missing; the server's own text is the whole command, with its session and its cluster time."""
    match = _DENIED.search(message)
    if match is None:
        return None
    database, command, collection = match.groups()
    where = f"{database}.{collection}" if collection else database
    return f"the user may not {_PRIVILEGES.get(command, command)} on {where} (docs/security.md has the roles)"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else line[: _SHORT - 3] + "..."
