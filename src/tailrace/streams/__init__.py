"""What a line of each stream means, as data.

    schema.py       the words a schema is written in
    node_trades.py  node_fills.py   the families that are known
    decimals.py     times.py        the two text forms, as numbers
    compare.py      is a stored document the one we would write

A stream is a directory of the node; its name is the family's name and a suffix for the framing. A family
that is not known here is untyped: its entries are objects, kept as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tailrace.model import Framing
from tailrace.streams.node_fills import NODE_FILLS
from tailrace.streams.node_trades import NODE_TRADES
from tailrace.streams.schema import EntryShape, Field, Kind, Schema

__all__ = ["FAMILIES", "EntryShape", "Field", "Kind", "Schema", "schema_of", "stream_of"]

FAMILIES: Mapping[str, Schema] = MappingProxyType({schema.family: schema for schema in (NODE_TRADES, NODE_FILLS)})


def stream_of(directory_name: str) -> tuple[str, Framing]:
    """Family and framing: `node_trades_by_block` is (`node_trades`, BY_BLOCK). A bare suffix is a family."""
    for framing in (Framing.BY_BLOCK, Framing.STREAMING):
        family = directory_name.removesuffix(framing.value)
        if family and family != directory_name:
            return family, framing
    return directory_name, Framing.BARE


def schema_of(family: str) -> Schema:
    """The known schema, else the untyped one of that name."""
    return FAMILIES.get(family) or Schema(family=family)
