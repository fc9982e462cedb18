"""What is lost and what is doubled, counted without tailrace: json, the files' bytes and plain PyMongo.

    raw line -> its entries -> in the collection? in the rejects? in neither: lost
    documents and rejects that no line stands for: doubled

An entry is compared with all its fields: times to the nanosecond, decimals digit by digit. Nothing of tailrace's
codec, identity, ledger or `verify` is used; of an `_id` only its hour is looked at (`ObjectId.generation_time`,
documented), so that memory holds one hour at a time.
"""

from __future__ import annotations

import calendar
import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lz4.frame  # type: ignore[import-untyped]  # lz4 ships no types
import zstandard
from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient, ReadPreference
from pymongo.database import Database
from pymongo.read_concern import ReadConcern
from tests.support.entries import key_of, of_document, of_line

Document = dict[str, Any]
Hour = int  # epoch seconds
Source = Iterable[bytes] | Path | Sequence[Path]

_OPENERS: Mapping[str, Any] = {".gz": gzip.open, ".zst": zstandard.open, ".lz4": lz4.frame.open}
_EXAMPLES = 5


@dataclass(slots=True)
class Tally:
    """Of one hour, or of all. Law when all is well: entries == stored + kept, and nothing lost or doubled.

    `stored`, `kept`: entries of lines that were found in the collection, in the rejects. `lost`: lines' entries found
    in neither. `doubled`: documents and rejects that no line stands for. `reasons`: of the rejects, as they are stored.
    """

    lines: int = 0
    entries: int = 0
    stored: int = 0
    kept: int = 0
    lost: int = 0
    doubled: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        return not self.lost and not self.doubled

    def add(self, other: Tally) -> None:
        for name in ("lines", "entries", "stored", "kept", "lost", "doubled"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.reasons.update(other.reasons)
        self.examples += other.examples[: _EXAMPLES - len(self.examples)]

    def __str__(self) -> str:
        return (
            f"{self.entries:,} entries in {self.lines:,} lines: {self.stored:,} stored, {self.kept:,} kept aside, "
            f"{self.lost:,} lost, {self.doubled:,} doubled" + "".join(f"\n    {each}" for each in self.examples)
        )


def count(
    uri: str,
    database: str,
    written: Mapping[Hour, Source],
    *,
    collection: str = "node_trades",
    by_hour: bool = True,
    everything: bool = True,
) -> Tally:
    """Count what was `written` (by the hour of the file: its path, its paths, or all its lines) against the database.

    `by_hour`: False under content identity, whose `_id`s follow the events. `everything`: there must be nothing in the
    database but what was written; False looks at these hours only.
    """
    total, documents, rejects = Tally(), 0, 0
    with MongoClient[Document](uri) as client:
        base = _reading(client, database)
        groups: list[tuple[list[Hour] | None, list[Source]]]
        if by_hour:
            groups = [([hour], [source]) for hour, source in sorted(written.items())]
        else:
            groups = [(None, list(written.values()))]
        for hours, sources in groups:
            hour = None if hours is None else hours[0]
            stored, kept = _stored(base, collection, hour), _kept(base, collection, hour)
            documents += stored.total()
            rejects += kept.counter.total()
            tally = Tally(reasons=kept.reasons)
            for source in sources:
                for line in _lines(source):
                    _take(line, stored, kept.counter, tally)
            tally.doubled = stored.total() + kept.counter.total()
            if tally.doubled:
                tally.examples.append(f"{tally.doubled} without a line in hour {hour}")
            total.add(tally)
        if everything:
            beyond = base[collection].count_documents({}) - documents
            beyond += base[f"{collection}.rejects"].count_documents({"reason": {"$exists": True}}) - rejects
            if beyond:
                total.doubled += abs(beyond)
                total.examples.append(f"{beyond} documents and rejects outside of every hour that was written")
    return total


def hours_of_tree(root: Path, stream: str = "node_trades") -> dict[Hour, Path]:
    """The hour files below a data directory. Of a plain file and its archive the plain one: the same bytes."""
    found: dict[Hour, Path] = {}
    for path in sorted((root / stream / "hourly").glob("*/*")):
        name = path.name.split(".")[0]
        if name.isdigit() and path.suffix in ("", *_OPENERS):
            day = path.parent.name
            hour = calendar.timegm((int(day[:4]), int(day[4:6]), int(day[6:]), int(name), 0, 0))
            if hour not in found or not path.suffix:
                found[hour] = path
    return found


def _reading(client: MongoClient[Document], database: str) -> Database[Document]:
    options: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
    return client.get_database(
        database, options, read_preference=ReadPreference.PRIMARY, read_concern=ReadConcern("majority")
    )


# -- what was written ------------------------------------------------------------------------------------------------


def _lines(source: Source) -> Iterator[bytes]:
    """Complete lines, without their newline; a file that is only begun has a rest, which is no line yet."""
    if isinstance(source, Path):
        with _OPENERS.get(source.suffix, open)(source, "rb") as file:
            yield from _lines(file)
        return
    for each in source:
        if isinstance(each, Path):
            yield from _lines(each)
        elif each.endswith(b"\n"):
            yield each[:-1]


def _take(line: bytes, stored: Counter[int], kept: Counter[int], tally: Tally) -> None:
    """Cross the line's entries off what is there."""
    tally.lines += 1
    value = _parsed(line)
    whole = hash(line)
    if kept[whole] and not _wrapped(value):  # before the documents: an equal line cannot be both
        kept[whole] -= 1
        tally.entries += 1
        tally.kept += 1
        return
    entries = value["events"] if _wrapped(value) else [value]
    absent = []
    for entry in entries:
        key = key_of(of_line(entry))
        if stored[key]:
            stored[key] -= 1
            tally.stored += 1
        elif kept[key]:
            kept[key] -= 1
            tally.kept += 1
        else:
            absent.append(entry)
    tally.entries += len(entries)
    if absent and kept[whole]:  # a wrapped line that was kept aside whole
        kept[whole] -= 1
        tally.entries -= len(absent) - 1
        tally.kept += 1
    elif absent:
        tally.lost += len(absent)
        if len(tally.examples) < _EXAMPLES:
            tally.examples.append(f"lost: {line[:200]!r}")


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _wrapped(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("events"), list)


# -- what is there ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Kept:
    counter: Counter[int]
    reasons: Counter[str]


def _stored(base: Database[Document], collection: str, hour: Hour | None) -> Counter[int]:
    query: Document = {}
    if hour is not None:
        query = {"_id": {"$gte": _first_id(hour), "$lt": _first_id(hour + 3600)}}
    return Counter(key_of(of_document(document)) for document in base[collection].find(query, batch_size=10_000))


def _first_id(hour: Hour) -> ObjectId:
    return ObjectId(hour.to_bytes(4, "big") + bytes(8))


def _kept(base: Database[Document], collection: str, hour: Hour | None) -> _Kept:
    """Rejects by their bytes; of a wrapped line with a single entry by that entry."""
    rejects = base[f"{collection}.rejects"]
    query: Document = {"reason": {"$exists": True}}
    if hour is not None:
        rest = bytes(16)  # BSON orders binaries by their length first: the bounds must be as long as the `_id`s
        query["_id"] = {"$gte": hour.to_bytes(4, "big") + rest, "$lt": (hour + 3600).to_bytes(4, "big") + rest}
    counter: Counter[int] = Counter()
    reasons: Counter[str] = Counter()
    unpack = zstandard.ZstdDecompressor().decompress
    for head in rejects.find(query):
        data = unpack(head["bytes"], max_output_size=1 << 24)
        if head["parts"] > 1:
            parts = rejects.find({"reject": head["_id"]}).sort("part", 1)
            data += b"".join(unpack(part["bytes"], max_output_size=1 << 24) for part in parts)
        assert len(data) == head["size"], f"a reject of {head['path']} lacks bytes"
        value = _parsed(data)
        single = _wrapped(value) and len(value["events"]) == 1
        counter[key_of(of_line(value["events"][0])) if single else hash(data)] += 1
        reasons[head["reason"]] += 1
    return _Kept(counter, reasons)
