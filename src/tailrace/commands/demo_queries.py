"""Two queries that people ask of trades, as one would type them in mongosh, with their results.

What is shown is what was run: both the text and the call are made from one value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import Decimal128, Int64
from pymongo import DESCENDING, AsyncMongoClient
from rich.table import Table
from rich.text import Text

ROWS = 5
_LINE = 76  # columns of a query's text
_PLAIN_KEY = re.compile(r"[$A-Za-z_][$\w]*")

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A query, its text for mongosh, and the rows it gave, all of the same fields."""

    title: str
    text: str
    rows: Sequence[Mapping[str, Any]]


async def examples(client: AsyncMongoClient[Document], database: str, collection: str) -> list[Example]:
    """Both examples, of the liveliest coin of the last entries; none for an empty collection."""
    data = client[database][collection]
    newest = await data.find_one({"coin": "BTC"}, sort=[("time", DESCENDING)]) or await data.find_one()
    if newest is None:
        return []
    coin, time = str(newest["coin"]), newest["time"]
    fields = {"_id": 0, "time": 1, "side": 1, "px": 1, "sz": 1}
    latest = await data.find({"coin": coin}, fields).sort({"time": -1}).limit(ROWS).to_list()
    candles = candle_pipeline(coin, time.replace(second=0, microsecond=0) - timedelta(minutes=ROWS - 1))
    return [
        Example(
            title=f"the latest trades of {coin}",
            text=f"db.{collection}.find({shell({'coin': coin})}, {shell(fields)})\n"
            f"  .sort({shell({'time': -1})}).limit({ROWS})",
            rows=[{name: row[name] for name in fields if name in row} for row in latest],
        ),
        Example(
            title=f"one-minute candles of {coin}",
            text=f"db.{collection}.aggregate([\n{stages(candles)}\n])",
            rows=await (await data.aggregate(candles)).to_list(),
        ),
    ]


def candle_pipeline(coin: str, since: datetime) -> list[Document]:
    """Open, high, low, close, volume a minute: exact, since px and sz are Decimal128. Served by the index (coin, time).

    Several trades share a millisecond: `_id` keeps them in the order of the file.
    """
    return [
        {"$match": {"coin": coin, "time": {"$gte": since}}},
        {"$sort": {"time": 1, "_id": 1}},
        {
            "$group": {
                "_id": {"$dateTrunc": {"date": "$time", "unit": "minute"}},
                "open": {"$first": "$px"},
                "high": {"$max": "$px"},
                "low": {"$min": "$px"},
                "close": {"$last": "$px"},
                "volume": {"$sum": "$sz"},
                "trades": {"$sum": 1},
            }
        },
        {"$sort": {"_id": -1}},
    ]


def shell(value: object) -> str:
    """A query's value in the language of mongosh, in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)}: {shell(each)}" for name, each in value.items()) + "}"
    if isinstance(value, datetime):
        return f'ISODate("{value.isoformat(timespec="seconds")}Z")'
    return json.dumps(value)


def stages(pipeline: Sequence[Mapping[str, Any]]) -> str:
    """A pipeline's stages, one a line; a long one over several."""
    return ",\n".join(line for stage in pipeline for line in _stage(stage))


def _stage(stage: Mapping[str, Any]) -> Iterator[str]:
    line = f"  {shell(stage)}"
    if len(line) <= _LINE:
        yield line
        return
    ((name, body),) = stage.items()
    lines, rest = [], ""
    for field in (f"{_key(key)}: {shell(value)}" for key, value in body.items()):
        if rest and len(rest) + len(field) > _LINE - 8:
            lines.append(rest)
            rest = ""
        rest += f", {field}" if rest else field
    yield f"  {{{_key(name)}: {{\n    " + ",\n    ".join([*lines, rest]) + "}}"


def _key(name: str) -> str:
    return name if _PLAIN_KEY.fullmatch(name) else json.dumps(name)


def table(example: Example) -> Table:
    """The rows as a small table; the minute of a candle is its `_id`."""
    shown = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for name in example.rows[0] if example.rows else ():
        shown.add_column("minute" if name == "_id" else name, justify="left" if name in ("_id", "side") else "right")
    for row in example.rows:
        shown.add_row(*(Text(_cell(name, value)) for name, value in row.items()))
    return shown


def _cell(name: str, value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}" if name == "_id" else f"{value:%H:%M:%S}.{value.microsecond // 1000:03d}"
    if isinstance(value, Decimal128):
        return f"{value.to_decimal():f}"
    if isinstance(value, (int, Int64)):
        return f"{value:,}"
    return str(value)
