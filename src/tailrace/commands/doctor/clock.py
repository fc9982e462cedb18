"""Do the times of the files agree with this machine's clock? Notes only: no id and no order depends on it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.commands.doctor.files import hour_name
from tailrace.commands.doctor.finding import Finding, Subject, fine, note
from tailrace.model import SourceFile
from tailrace.words import duration_words

AHEAD = 2.0
"""Seconds that a file may be from the future: file systems stamp with a coarse clock, network ones with another's."""

SILENT = 600.0
"""Seconds without a write after which a node is said to be silent; it writes several blocks a second."""

APART = 120.0
"""Seconds between the last entry and the write of its file: buffers and late blocks account for some."""

SERVER_APART = 5.0
"""Seconds between the server's clock and ours."""

_SYNC = "let chrony or systemd-timesyncd keep the clock of"


def of_files(now: float, newest: SourceFile, entry_ns: int | None) -> Iterator[Finding]:
    """`now`: epoch seconds. `newest`: the file of the newest hour. `entry_ns`: time of its last entry, if known."""
    written = newest.mtime_ns / 1e9
    found = False
    if written - now > AHEAD:
        found = True
        yield note(
            Subject.CLOCK,
            f"{newest.path} was written {duration_words(written - now)} in the future: the clocks of the node and of "
            "this machine do not agree, and lags will be shown too small",
            f"{_SYNC} both machines",
        )
    elif now - written > SILENT:
        found = True
        yield note(
            Subject.CLOCK,
            f"the newest file was last written {duration_words(now - written)} ago ({newest.path})",
            "nothing for files of the past; else look whether the node runs and writes this stream",
        )
    if newest.hour > now + AHEAD:
        found = True
        yield note(
            Subject.CLOCK,
            f"the newest hour, {hour_name(newest.hour)}, has not begun by the clock of this machine (UTC)",
            f"{_SYNC} both machines",
        )
    apart = 0.0 if entry_ns is None or newest.compression else written - entry_ns / 1e9
    if abs(apart) > APART:
        found = True
        direction = "before" if apart > 0 else "after"
        yield note(
            Subject.CLOCK,
            f"the last entry of {newest.path} is from {duration_words(abs(apart))} {direction} its file was written",
            "nothing for files that were copied; else look at the node's clock, and whether it keeps up with the chain",
        )
    if not found:
        yield fine(Subject.CLOCK, f"the newest file was written {duration_words(max(0.0, now - written))} ago")


def of_server(theirs: float, ours: float, uncertain: float) -> Finding:
    """Epoch seconds, at the same moment give or take `uncertain` seconds (the time that the answer took)."""
    apart = theirs - ours
    if abs(apart) <= SERVER_APART + uncertain:
        return fine(Subject.SERVER_CLOCK, "the clocks of the server and of this machine agree within seconds")
    direction = "ahead of" if apart > 0 else "behind"
    return note(
        Subject.SERVER_CLOCK,
        f"the server's clock is {duration_words(abs(apart))} {direction} that of this machine; no stored time "
        "depends on it",
        f"{_SYNC} both machines",
    )
