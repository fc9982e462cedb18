"""What a hint is, what a watcher gives, and the watcher that gives none. `watch` has the one that asks the kernel.

Hints come late, twice or never (overflow, network mounts, races with `mkdir`), and nothing may depend on them: the
periodic rescan is the truth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self


class WatchMode(StrEnum):
    AUTO = "auto"
    NATIVE = "native"
    POLL = "poll"


@dataclass(frozen=True, slots=True)
class Hint:
    """Where to look: files, folders, or everything. False when it names nothing."""

    paths: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    everything: bool = False

    def __bool__(self) -> bool:
        return self.everything or bool(self.paths) or bool(self.folders)


class Watcher(Protocol):
    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_error: object) -> None: ...

    def follow(self, hourly: Collection[str], folders: Collection[str] = ()) -> None:
        """Watch these hourly folders (one, or all candidates while none of them exists), their newest days, and these
        day folders besides. To be called after scans; repeating it is cheap and renews what was replaced."""

    async def wait(self, timeout: float) -> Hint:
        """All that was noticed since the last call, at once when there is something; an empty hint after `timeout`.

        The caller spaces its calls: what happens in between is merged, most of it by the kernel."""

    def wake(self) -> None:
        """A wait that is going on returns now, as after its timeout: the caller has another one."""


class PollingWatcher:
    """Notices nothing; the caller's periodic scan does it all."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        pass

    def follow(self, hourly: Collection[str], folders: Collection[str] = ()) -> None:
        pass

    async def wait(self, timeout: float) -> Hint:
        self._woken.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        return Hint()

    def wake(self) -> None:
        self._woken.set()
