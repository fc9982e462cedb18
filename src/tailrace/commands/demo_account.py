"""The demo's second opinion: what the simulator says it wrote, against counts that MongoDB makes itself.

Shares nothing with `verify`: no codec, no ledger, no id is computed here. Both must come to the same end.

    manifest (per file: good, bad by reason)  --+
    documents and distinct trades per hour    --+--> Account: missing, doubled
    rejects per hour and reason               --+
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import AsyncMongoClient

from tailrace.simulator import Manifest

Hour = int  # epoch seconds; the demo writes one file an hour
Client = AsyncMongoClient[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What MongoDB counted. `stored`: documents by the hour in their `_id`; `distinct`: trades among them, by hour;
    `kept`: rejects by hour and reason."""

    stored: Mapping[Hour, int]
    distinct: Mapping[Hour, int]
    kept: Mapping[tuple[Hour, str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Written against stored. `kept` by reason, as stored. Law when all is well: written == stored + kept."""

    written: int
    stored: int
    kept: Mapping[str, int]
    missing: int
    doubled: int

    @property
    def balanced(self) -> bool:
        return self.written == self.stored + sum(self.kept.values()) and not self.missing and not self.doubled

    def sentence(self) -> str:
        """The result, in one line."""
        aside = sum(self.kept.values())
        equal = "=" if self.written == self.stored + aside else "!="
        return (
            f"wrote {self.written:,} {equal} stored {self.stored:,} + kept aside {aside:,}; "
            f"missing {self.missing:,}, doubled {self.doubled:,}"
        )


def settle_accounts(manifest: Manifest, counts: Counts, *, missing: int = 0, extra: int = 0) -> Account:
    """File by file and reason by reason, so that a loss here and a surplus there never cancel out. Pure.

    `missing`, `extra`: what `verify` found; of two opinions the worse one is reported.
    """
    good: Counter[Hour] = Counter()
    bad: Counter[tuple[Hour, str]] = Counter()
    for file in manifest.files:
        good[file.hour] += file.good
        for reason, count in file.bad.items():
            bad[file.hour, reason] += count
    distinct, kept = Counter(counts.distinct), Counter(counts.kept)
    copies = sum(counts.stored.values()) - distinct.total()
    by_reason: Counter[str] = Counter()
    for (_hour, reason), count in kept.items():
        by_reason[reason] += count
    return Account(
        written=good.total() + bad.total(),
        stored=sum(counts.stored.values()),
        kept=dict(sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))),
        missing=max(missing, (good - distinct).total() + (bad - kept).total()),
        doubled=max(extra, copies + (distinct - good).total() + (kept - bad).total()),
    )


async def count(client: Client, database: str, collection: str) -> Counts:
    """Count with MongoDB's own means. What makes a trade: time with all digits, coin, both oids; there is no id."""
    data, rejects = client[database][collection], client[database][f"{collection}.rejects"]
    trades: list[dict[str, Any]] = [
        {
            "$group": {
                "_id": {"time": "$time", "ns": "$time_ns", "coin": "$coin", "oids": "$side_info.oid"},
                "hour": {"$min": {"$toDate": "$_id"}},
            }
        },
        {"$group": {"_id": "$hour", "count": {"$sum": 1}}},
    ]
    documents: list[dict[str, Any]] = [{"$group": {"_id": {"$toDate": "$_id"}, "count": {"$sum": 1}}}]
    aside: list[dict[str, Any]] = [
        {"$match": {"reject": {"$exists": False}}},  # heads, not parts
        {"$group": {"_id": {"hour": "$hour", "reason": "$reason"}, "count": {"$sum": 1}}},
    ]
    stored = await (await data.aggregate(documents, allowDiskUse=True)).to_list()
    distinct = await (await data.aggregate(trades, allowDiskUse=True)).to_list()
    kept = await (await rejects.aggregate(aside)).to_list()
    return Counts(
        stored={_seconds(row["_id"]): int(row["count"]) for row in stored},
        distinct={_seconds(row["_id"]): int(row["count"]) for row in distinct},
        kept={(_seconds(row["_id"]["hour"]), str(row["_id"]["reason"])): int(row["count"]) for row in kept},
    )


def _seconds(date: datetime) -> Hour:
    """The driver gives dates without a zone, in UTC."""
    return int(date.replace(tzinfo=UTC).timestamp())
