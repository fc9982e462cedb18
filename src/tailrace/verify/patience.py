"""How long a live `run` is waited for before something counts as missing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Patience:
    """What a live `run` has read but not settled yet is missing for a moment. Up to `looks` waits in a row per file,
    anew after one that helped, and `total` of them in all."""

    def __init__(self, looks: int = 3, pause: float = 1.0, total: int = 60) -> None:
        self._looks = looks
        self._pause = pause
        self._total = total
        self._left = looks
        self._live: Callable[[], Awaitable[bool]] | None = None

    def only_while(self, live: Callable[[], Awaitable[bool]]) -> None:
        """`live`: whether anybody is at work whom it is worth to wait for."""
        self._live = live

    def next_file(self) -> None:
        self._left = self._looks

    helped = next_file

    async def again(self) -> bool:
        """Waits and says True: look once more. False: what is missing is missing.

        HAZARD: who is gone now may have stored it after our look and ended since: without a wait, but once more.
        """
        if not self._left or not self._total:
            return False
        if self._live is not None and not await self._live():
            self._left = 0
            return True
        self._left -= 1
        self._total -= 1
        await asyncio.sleep(self._pause)
        return True
