"""The settled prefix of one life: the offset that a checkpoint may name, whatever order the acks come in.

Pure: no I/O, no clock, no lock. Used from one thread (the event loop's).
`tests/property/test_tracker_laws.py` is its specification.
"""

from __future__ import annotations

from collections import OrderedDict

from tailrace.model import Offset


class SettledPrefix:
    """Spans of one life between being read and being settled. Offsets in bytes of the uncompressed file.

    Spans are added in file order, without gap or overlap, and settled in any order, each once.

    Invariants: `start <= settled <= read`; `settled` never moves back, and no span below it is unsettled;
    it is the greatest such offset at a span's edge; when nothing is in flight, `settled == read`.

    Every operation is O(1): the unsettled spans are an ordered hash table, and the first of them ends the
    prefix. A plain dict will not do: it leaves a hole for each entry deleted at its front and walks over all
    of them to find its first, so a slow span before many fast ones would cost quadratic time.
    """

    __slots__ = ("_bytes_in_flight", "_read", "_unsettled")

    def __init__(self, start: int) -> None:
        if start < 0:
            raise ValueError(f"an offset is never negative: {start}")
        self._read = Offset(start)
        self._bytes_in_flight = 0
        self._unsettled: OrderedDict[int, int] = OrderedDict()  # start -> end, in file order

    def add(self, start: int, end: int) -> None:
        """A span was read. ValueError, and nothing changes, unless it begins at `read` and is not empty."""
        if start != self._read:
            what = "leaves a gap after" if start > self._read else "overlaps"
            raise ValueError(f"span [{start}, {end}) {what} what was read up to {self._read}")
        if end <= start:
            raise ValueError(f"span [{start}, {end}) is empty")
        self._unsettled[start] = end
        self._read = Offset(end)
        self._bytes_in_flight += end - start

    def settle(self, start: int, end: int) -> Offset:
        """All documents and rejects of a span are durably acknowledged: the new end of the settled prefix.

        ValueError, and nothing changes, when this very span is not in flight: never added, cut differently,
        or settled before. Passing over such a call would move a checkpoint past bytes that nobody stored.
        """
        if self._unsettled.get(start) != end:
            raise ValueError(f"span [{start}, {end}) is not in flight")
        del self._unsettled[start]
        self._bytes_in_flight -= end - start
        return self.settled

    @property
    def settled(self) -> Offset:
        """End of the settled prefix: where it is safe to resume."""
        return Offset(next(iter(self._unsettled), self._read))

    @property
    def read(self) -> Offset:
        """End of the last span added."""
        return self._read

    @property
    def in_flight(self) -> int:
        """Number of spans added and not yet settled."""
        return len(self._unsettled)

    @property
    def bytes_in_flight(self) -> int:
        """Bytes in those spans. Less than `read - settled` while a span is settled ahead of an earlier one."""
        return self._bytes_in_flight
