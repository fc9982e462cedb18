"""BSON documents end to end in one buffer: the form in which a million of them cost no million objects. Pure.

A driver sends such a buffer as it lies; a document of its own is made only of those that somebody looks at.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import overload


class Packed(Sequence[bytes]):
    """`data`: the documents, end to end; `ends`: for each the offset after it in `data`. Immutable by agreement.

    Invariant: `ends` grows, its last is `len(data)`; a document is at least five bytes (an empty one).
    """

    __slots__ = ("data", "ends")

    def __init__(self, data: bytes, ends: Sequence[int]) -> None:
        self.data = data
        self.ends = ends

    @classmethod
    def of(cls, documents: Iterable[bytes]) -> Packed:
        """The same documents, packed. What is packed already is given back as it is."""
        if isinstance(documents, Packed):
            return documents
        parts = list(documents)
        ends, end = [], 0
        for part in parts:
            end += len(part)
            ends.append(end)
        return cls(b"".join(parts), ends)

    def cut(self, most: int, size: int) -> Iterator[Packed]:
        """The same documents in order, in parts of at most `most` and at most `size` bytes; one is always admitted."""
        first, start, count = 0, 0, len(self.ends)
        while first < count:
            last = min(bisect_right(self.ends, start + size, first, min(first + most, count)), count)
            last = max(last, first + 1)
            if first == 0 and last == count:
                yield self
                return
            end = self.ends[last - 1]
            yield Packed(self.data[start:end], [each - start for each in self.ends[first:last]])
            first, start = last, end

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self.ends)))]
        at = index + len(self.ends) if index < 0 else index
        end = self.ends[at]  # IndexError, also for what is still negative: see below
        if at < 0:
            raise IndexError(index)
        return self.data[self.ends[at - 1] if at else 0 : end]

    def __iter__(self) -> Iterator[bytes]:
        data, start = self.data, 0
        for end in self.ends:
            yield data[start:end]
            start = end

    def __eq__(self, other: object) -> bool:
        """Equal to any sequence of the same documents, so that a test may say what it expects as a list."""
        if isinstance(other, Packed | list | tuple):
            return list(self) == list(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # a sequence that is compared by value, as a list is
