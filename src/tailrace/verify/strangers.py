"""Documents that no ledger entry explains: ids in the gaps between the lives of all sources, and ids of other types.

By seeks in the index of `_id` only: one query a gap, in constant memory whatever lies in the collection. Ids are read
before the ledger: a life is entered durably before its first document, so what `run` began meanwhile is explained.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

from bson import ObjectId

from tailrace.identity import ID_SIZE, PREFIX_SIZE
from tailrace.ingest.mongo.connection import Collection, Document
from tailrace.ingest.mongo.retrying import Retrier
from tailrace.verify.lives import Lives
from tailrace.verify.report import Unexplained

Gap = tuple[int, int]
"""Ids, both inclusive, as numbers of 96 bits."""

_PLACES = 1 << 8 * (ID_SIZE - PREFIX_SIZE)  # ids of one life
_SECOND = 1 << 64  # ids of one second
_PAGE = 5_000  # ids read in one query
_AT_ONCE = 8  # gaps looked at side by side: each query is a round trip and next to no work
_OTHERS = 100_000  # ids of other types that are counted: what comes after is "at least"

_SHOWN = 40  # characters of an id that is no ObjectId


def gaps(prefixes: Sequence[bytes], spans: Iterable[tuple[int, int]]) -> Iterator[Gap]:
    """What lies between the lives with these ascending `prefixes`, within `spans` of seconds `[from, to)`. Pure."""
    lives = [int.from_bytes(prefix, "big") * _PLACES for prefix in prefixes]
    at = 0
    for begin, end in merged(spans):
        low, last = begin * _SECOND, end * _SECOND - 1
        while at < len(lives) and lives[at] <= last:
            if low < lives[at]:
                yield low, lives[at] - 1
            low = max(low, lives[at] + _PLACES)
            at += 1
        if low <= last:
            yield low, last


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Disjoint and ascending. Pure."""
    result: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if result and begin <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((begin, end))
    return result


class Strangers:
    """The search through one collection. Reads only; used once."""

    def __init__(self, data: Collection, retrier: Retrier, lives: Lives) -> None:
        self._data = data
        self._retrier = retrier
        self._lives = lives
        self._found = Unexplained()

    async def search(
        self, spans: Iterable[tuple[int, int]] | None, on_progress: Callable[[int, int], None]
    ) -> Unexplained:
        """`spans`: of seconds, `[from, to)`; None: everything, other types too. `on_progress`: gaps done, and all."""
        everything = [(0, 1 << 32)]
        todo = list(gaps(await self._lives.prefixes(), everything if spans is None else spans))
        for first in range(0, len(todo), _AT_ONCE):
            on_progress(first, len(todo))
            await asyncio.gather(*(self._gap(low, high) for low, high in todo[first : first + _AT_ONCE]))
        if spans is None:
            await self._other_types(1)
            await self._other_types(-1)
        self._found.examples.sort()
        return self._found

    async def _gap(self, low: int, high: int) -> None:
        while low <= high:
            ids = await self._page(low, high)
            if not ids:
                return
            known = await self._lives.known(list(dict.fromkeys(key[:PREFIX_SIZE] for key in ids)))
            for key in ids:
                if key[:PREFIX_SIZE] not in known:
                    self._found.documents += 1
                    self._found.note(key.hex())
            last = int.from_bytes(ids[-1], "big")
            if ids[-1][:PREFIX_SIZE] in known:  # a life that was entered meanwhile: all of it is explained
                last |= _PLACES - 1
            low = last + 1

    async def _page(self, low: int, high: int) -> list[bytes]:
        query = {"_id": {"$gte": _object_id(low), "$lte": _object_id(high)}}
        documents = await self._retrier.call(
            lambda: self._data.find(query, {"_id": 1}).sort("_id", 1).limit(_PAGE).to_list(),
            "looking for documents that no file explains",
        )
        return [document["_id"].binary for document in documents]

    async def _other_types(self, direction: int) -> None:
        """Types sort before and after ObjectId, so these are the first and the last of the collection."""

        async def attempt() -> tuple[list[str], int]:
            examples: list[str] = []
            count = 0
            cursor = self._data.find({}, {"_id": 1}).sort("_id", direction).limit(_OTHERS).batch_size(100)
            async with cursor:
                async for document in cursor:
                    if isinstance(document["_id"], ObjectId):
                        break
                    count += 1
                    if len(examples) < 2:
                        examples.append(shown_id(document))
            return examples, count

        examples, count = await self._retrier.call(attempt, "looking for ids of other types")
        self._found.documents += count
        self._found.at_least |= count == _OTHERS
        for example in examples:
            self._found.note(example)


def shown_id(document: Document) -> str:
    """An `_id` of any type as one short line of text. Pure."""
    key = document["_id"]
    text = ascii(key)
    return f"{type(key).__name__} {text if len(text) <= _SHOWN else text[:_SHOWN] + '...'}"


def _object_id(number: int) -> ObjectId:
    return ObjectId(number.to_bytes(ID_SIZE, "big"))
