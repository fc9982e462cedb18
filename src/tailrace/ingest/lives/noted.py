"""The sizes at which a file was seen, each with its time: they date the oldest byte that is not stored yet."""

from __future__ import annotations

_KEPT = 64  # of one file


class Noted:
    """Sizes grow, and so do their times (monotonic seconds)."""

    __slots__ = ("_sizes",)

    def __init__(self) -> None:
        self._sizes: list[tuple[int, float]] = []

    @property
    def end(self) -> int:
        """The greatest size; 0: none is noted."""
        return self._sizes[-1][0] if self._sizes else 0

    def grown(self, size: int, now: float) -> None:
        """The file was seen with `size` bytes. One that is not above `end` says nothing new."""
        if size <= self.end:
            return
        if len(self._sizes) >= _KEPT:
            self._sizes.pop()  # the newest: the age of the oldest byte must not shrink
        self._sizes.append((size, now))

    def cut(self, size: int) -> None:
        """What was noted beyond `size` is not there, or no lag."""
        while self._sizes and self._sizes[-1][0] > size:
            self._sizes.pop()

    def passed(self, offset: int) -> None:
        """What lies before `offset` is stored."""
        while self._sizes and self._sizes[0][0] <= offset:
            self._sizes.pop(0)

    def since(self, offset: int) -> float | None:
        """When the byte at `offset` was noticed; None: it was not."""
        for size, at in self._sizes:
            if size > offset:
                return at
        return None
