"""When a file's descriptor may be closed. Pure; a seal closes the descriptor and decides nothing else.

A sealed file is still looked at every minute (`discovery`), and opened again when it has grown: a wrong seal costs a
second, never a line.
"""

from __future__ import annotations

TORN_PATIENCE = 24
"""How many times longer a file with a torn rest is held open (2 h with the default of 5 min).

A node has been seen to finish a line after 59 minutes, and pruning to delete files after 2 hours: as long as the
descriptor is open, the end of that line reaches us even when its name is gone. But not for ever: a node that was
killed leaves one torn file each time, and descriptors are bounded. Sealed then, the rest is found again by the scan.
"""


def may_seal(*, idle_s: float, later_hour_exists: bool, read_to_end: bool, torn: bool, seal_after: float) -> bool:
    """`idle_s`: seconds since the file last grew or was opened, by a monotonic clock. `read_to_end`: no complete line
    is unread or in flight. `torn`: bytes without a newline remain. `seal_after`: seconds.
    """
    patience = seal_after * TORN_PATIENCE if torn else seal_after
    return later_hour_exists and read_to_end and idle_s >= patience
