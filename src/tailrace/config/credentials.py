"""Where the connection string is found, and who else may have seen it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tailrace.config import uri
from tailrace.config.merge import Layer, Value
from tailrace.config.rules import FilePath

HIDDEN = uri.HIDDEN

_FILE_LIMIT = 64 * 1024  # bytes; a connection string has some hundred
_OTHERS = 0o007
_GROUP_AND_OTHERS = 0o077


def connection_string(
    layer: Layer, config: Path | None, problems: list[str], warnings: list[str], environ: Mapping[str, str]
) -> Value | None:
    """`mongodb_uri`, or what `mongodb_uri_file` (an absolute path by now) holds; None when neither is set or usable."""
    direct, file = layer.get("mongodb_uri"), layer.get("mongodb_uri_file")
    if direct is not None and file is not None:
        problems.append(
            f"mongodb_uri (from {direct.where}) and mongodb_uri_file (from {file.where}) are both set: "
            "remove one of the two."
        )
        return None
    if file is not None:
        try:
            path = FilePath().parse(file.given)
        except ValueError:
            return None  # validation says so
        kept = environ.get("CREDENTIALS_DIRECTORY")  # systemd sees to who reads it, by access lists that no mode shows
        return _from_file(file, path, problems, warnings, guarded=bool(kept) and path.is_relative_to(str(kept)))
    if direct is not None and isinstance(direct.given, str) and uri.has_secret(direct.given):
        if direct.where == "--mongodb-uri":
            warnings.append(
                "--mongodb-uri holds a password, which every user of this machine can read in the list of processes: "
                "use TAILRACE_MONGODB_URI or mongodb_uri_file."
            )
        elif config is not None and direct.where.startswith(f"{config}: ") and _mode(config) & _OTHERS:
            warnings.append(f"{config} holds a password that others can read: chmod o-rwx it, or use mongodb_uri_file.")
    return direct


def _from_file(named: Value, path: Path, problems: list[str], warnings: list[str], *, guarded: bool) -> Value | None:
    shown = HIDDEN if ":/" in str(path) else f'"{path}"'  # a connection string under the wrong key
    about = f"mongodb_uri_file = {shown} (from {named.where})"
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_LIMIT + 1).decode().strip()
    except OSError as error:
        problems.append(f"{about} cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        problems.append(f"{about} is not a text file.")
    else:
        if text and len(text) <= _FILE_LIMIT:
            if _mode(path) & _GROUP_AND_OTHERS and not guarded:
                warnings.append(f"{about} can be read by others than its owner: chmod 600 it.")
            return Value(text, f"the file {path}, named by {named.where}", named.base)
        problems.append(f"{about} is {'too long for a connection string' if text else 'empty'}.")
    return None


def _mode(path: Path) -> int:
    try:
        return os.stat(path).st_mode
    except OSError:  # gone since it was read: nothing to warn about
        return 0
