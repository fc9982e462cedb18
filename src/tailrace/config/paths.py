"""What paths say: the stream that `root` leads to, where state goes by default. Only `stream_below` looks at a disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tailrace.config.rules import either
from tailrace.config.sources import family_of

HOURLY = "hourly"

KNOWN_FAMILIES = frozenset(
    (
        "node_trades",
        "node_fills",
        "node_twap_statuses",
        "node_order_statuses",
        "node_raw_book_diffs",
        "misc_events",
        "hip3_oracle_updates",
    )
)
"""Families that a node writes: a directory of such a name is a stream's also when it does not exist yet."""


def absolute(text: str, base: Path, environ: Mapping[str, str]) -> str:
    """`text` with a leading `~` taken from HOME and anything relative from `base`. Looks at no disk."""
    home = environ.get("HOME")
    if home and (text == "~" or text.startswith("~/")):
        text = home + text[1:]
    return str(base / text)


def stream_below(root: Path) -> str:
    """The stream's directory that `root` is or lies in. A link is judged by its own name, then by its target's.

    Raises ValueError with the end of a sentence about `root` when its name does not tell.
    """
    real = Path(os.path.realpath(root))
    if real.parent.name == HOURLY:
        raise ValueError(f"lies within an hourly folder; set root to {real.parent.parent}")
    for path in (root, real):
        directory = path.parent if path.name == HOURLY else path
        if family_of(directory.name) in KNOWN_FAMILIES:
            return directory.name
    if real.name == HOURLY and real.parent.name:
        return real.parent.name
    try:
        if (real / HOURLY).is_dir():
            return real.name
        seen = sorted(child.name for child in real.iterdir() if _is_stream(child))
    except FileNotFoundError:
        raise ValueError("does not exist yet, and its name is not a stream's; set stream, too") from None
    except NotADirectoryError:
        raise ValueError("is not a directory") from None
    except OSError as error:
        reason = f"cannot be read ({error.strerror}), and its name is not a stream's; set stream, too"
        raise ValueError(reason) from None
    if not seen:
        raise ValueError("holds no stream yet, and its name is not a stream's; set stream, too")
    raise ValueError(f"is a data directory; set stream, too, to one of those in it: {either(seen[:20])}")


def contradicts(root: Path, stream: str) -> str | None:
    """The stream that `root` leads to by its own name, when that is another one than `stream`."""
    directory = root.parent if root.name == HOURLY else root
    named = directory.name
    if (
        named == stream
        or family_of(stream) not in KNOWN_FAMILIES
        or (family_of(named) not in KNOWN_FAMILIES and root.name != HOURLY)
    ):
        return None
    # os.path: an unreadable parent or an endless name is "no", where pathlib raises
    return None if os.path.isdir(directory / stream) else named


def _is_stream(directory: Path) -> bool:
    return family_of(directory.name) in KNOWN_FAMILIES or (directory / HOURLY).is_dir()


def default_state_dir(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """(path, the variable it comes from); None when the environment names no home at all.

    systemd gives several state directories with colons between; the first is ours. XDG wants relative paths ignored.
    """
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given.startswith("/"):
        return given, "STATE_DIRECTORY"
    given = environ.get("XDG_STATE_HOME", "")
    if given.startswith("/"):
        return given.rstrip("/") + "/tailrace", "XDG_STATE_HOME"
    given = environ.get("HOME", "")
    if given.startswith("/"):
        return given.rstrip("/") + "/.local/state/tailrace", "HOME"
    return None
