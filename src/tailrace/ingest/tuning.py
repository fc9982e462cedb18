"""What of the settings may change while a source is followed (`Instance.reload`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """`poll_interval`, `seal_after`, `shutdown_grace`: seconds."""

    poll_interval: float
    seal_after: float
    shutdown_grace: float
    max_line_bytes: int
