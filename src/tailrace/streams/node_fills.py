"""Fills, `["0xuser", {...}]` each (`--write-fills`). Source: real files and the API's fill schema.

The node adds fields without notice; only those that every version has are required.
"""

from __future__ import annotations

from tailrace.streams.schema import EntryShape, Field, Kind, Schema

_LIQUIDATION = (
    Field(name="liquidatedUser", kind=Kind.TEXT),
    Field(name="markPx", kind=Kind.DECIMAL),
    Field(name="method", kind=Kind.TEXT),
)

NODE_FILLS = Schema(
    family="node_fills",
    shape=EntryShape.FILL,
    fields=(
        Field(name="coin", kind=Kind.TEXT, required=True),
        Field(name="px", kind=Kind.DECIMAL, required=True),
        Field(name="sz", kind=Kind.DECIMAL, required=True),
        Field(name="side", kind=Kind.TEXT, required=True),
        Field(name="time", kind=Kind.MILLIS, required=True),
        Field(name="startPosition", kind=Kind.DECIMAL),
        Field(name="dir", kind=Kind.TEXT),
        Field(name="closedPnl", kind=Kind.DECIMAL),
        Field(name="hash", kind=Kind.TEXT, required=True),
        Field(name="oid", kind=Kind.INTEGER, required=True),
        Field(name="crossed", kind=Kind.BOOLEAN),
        Field(name="fee", kind=Kind.DECIMAL),
        Field(name="tid", kind=Kind.INTEGER, required=True),
        Field(name="cloid", kind=Kind.TEXT),
        Field(name="feeToken", kind=Kind.TEXT),
        Field(name="twapId", kind=Kind.INTEGER),
        Field(name="builder", kind=Kind.TEXT),
        Field(name="builderFee", kind=Kind.DECIMAL),
        Field(name="deployerFee", kind=Kind.DECIMAL),
        Field(name="liquidation", kind=Kind.OBJECT, fields=_LIQUIDATION),
    ),
    event_time="time",
    # Both fills of a trade have one tid; dust conversions have tid 0 and one oid for hundreds of users.
    key=(("time",), ("coin",), ("tid",), ("user",), ("oid",), ("side",)),
    indexes=(("coin", "time"),),
    user_indexes=(("user",),),
)
