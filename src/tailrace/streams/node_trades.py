"""Trades, one entry each (`--write-trades`). Source: real files and the node's README."""

from __future__ import annotations

from tailrace.streams.schema import Field, Kind, Schema

_SIDE = (
    Field(name="user", kind=Kind.TEXT, required=True),
    Field(name="start_pos", kind=Kind.DECIMAL),
    Field(name="oid", kind=Kind.INTEGER, required=True),
    Field(name="twap_id", kind=Kind.INTEGER),
    Field(name="cloid", kind=Kind.TEXT),
)

NODE_TRADES = Schema(
    family="node_trades",
    fields=(
        Field(name="coin", kind=Kind.TEXT, required=True),
        Field(name="side", kind=Kind.TEXT, required=True),
        Field(name="time", kind=Kind.TIME, required=True),
        Field(name="px", kind=Kind.DECIMAL, required=True),
        Field(name="sz", kind=Kind.DECIMAL, required=True),
        Field(name="hash", kind=Kind.TEXT, required=True),
        # An open set: "Na", "LiquidatedMarket", or an object of a single member.
        Field(name="trade_dir_override", kind=Kind.TEXT_OR_OBJECT),
        # [0] is the buyer, [1] the seller.
        Field(name="side_info", kind=Kind.PAIR, required=True, fields=_SIDE),
    ),
    event_time="time",
    # A hash is not unique (a sweep is several trades), there is no trade id.
    key=(("time",), ("coin",), ("side_info", 0, "oid"), ("side_info", 1, "oid")),
    # In 2024 each trade was written twice, side B, then A.
    not_compared=frozenset({"side"}),
    indexes=(("coin", "time"),),
    user_indexes=(("side_info.user",),),
)
