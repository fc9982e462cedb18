"""Which rejects are meant: by hour or day, by the beginning of an `_id`; and how their stream was framed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from bson.binary import Binary

from tailrace.errors import UsageError
from tailrace.identity import ID_SIZE
from tailrace.ingest.files.names import HOURLY
from tailrace.ingest.mongo.connection import Collection, Document, hour_date
from tailrace.ingest.mongo.reject_queries import RejectFilter, RejectHead, RejectReader
from tailrace.ingest.mongo.retrying import Retrier
from tailrace.model import Framing
from tailrace.streams import stream_of

KEY_SIZE = ID_SIZE + 8
"""Bytes of a reject's `_id`."""

SHORTEST = 8
"""Hex digits of an `_id` that one must at least give: the hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoursFilter(RejectFilter):
    """`hours`: `[from, to)` in epoch seconds, of the file."""

    hours: tuple[int, int] | None = None

    def query(self) -> Document:
        # Not super(): it does not know this class yet where slots make dataclass build a second one.
        query = RejectFilter.query(self)
        if self.hours is not None:
            query["hour"] = {"$gte": hour_date(self.hours[0]), "$lt": hour_date(self.hours[1])}
        return query


async def find_key(rejects: Collection, retrier: Retrier, word: str) -> bytes | None:
    """The `_id` that begins with these hex digits; None when there is none. Raises UsageError for anything else."""
    low, high = bounds(word)
    query = {"_id": {"$gte": Binary(low), "$lte": Binary(high)}, "reject": {"$exists": False}}
    found = await retrier.call(
        lambda: rejects.find(query, {"_id": 1}).sort("_id", 1).limit(3).to_list(), "looking for a reject"
    )
    keys = [bytes(document["_id"]) for document in found]
    if len(keys) > 1:
        raise UsageError(f"{word} begins several rejects ({', '.join(key.hex() for key in keys)}): give more of it")
    return keys[0] if keys else None


def bounds(word: str) -> tuple[bytes, bytes]:
    """The least and the greatest reject `_id` that begins with the hex digits `word`. Pure. Raises UsageError."""
    digits = word.lower()
    if not SHORTEST <= len(digits) <= 2 * KEY_SIZE or set(digits) - set("0123456789abcdef"):
        raise UsageError(f"{word!r} is not the id of a reject: {SHORTEST} to {2 * KEY_SIZE} hex digits, as listed")
    return bytes.fromhex(digits.ljust(2 * KEY_SIZE, "0")), bytes.fromhex(digits.ljust(2 * KEY_SIZE, "f"))


async def by_keys(reader: RejectReader, keys: Sequence[bytes]) -> AsyncIterator[RejectHead]:
    """The heads of these that are still there."""
    for key in keys:
        head = await reader.get(key)
        if head is not None:
            yield head


def framing_of(head: RejectHead, declared: Mapping[str, Framing], otherwise: Framing) -> Framing:
    """How the lines of the file were framed that a reject comes from. Pure.

    What the configuration says of its source by name (`declared`) counts first, then the stream's directory in its
    path; `otherwise` when that is not named after the family.
    """
    framing = declared.get(head.source)
    if framing is not None:
        return framing
    parts = PurePath(head.path).parts
    if len(parts) >= 4 and parts[-3] == HOURLY:
        family, found = stream_of(parts[-4])
        if family == head.family:
            return found
    return otherwise
