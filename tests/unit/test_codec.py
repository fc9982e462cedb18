"""The reference codec: exact documents of real lines, every reason with its neighbours stored, identity, replay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64, ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS

from tailrace.errors import SettingsError
from tailrace.identity import position_id
from tailrace.ingest.codec.codec import MAX_DOCUMENT, PythonCodec
from tailrace.model import Blocks, Encoded, Framing, Identity, Numbers, Reason, Reject
from tailrace.streams import schema_of, stream_of

DATA = Path(__file__).parents[3] / "shared" / "data"
PREFIX = bytes.fromhex("67cec630a1b2c3")
BASE = 1_000_000
OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)

ENA = (
    b'{"coin":"ENA","side":"B","time":"2025-03-10T11:24:42.070019819","px":"0.4511","sz":"2133.0","hash":"0xab",'
    b'"trade_dir_override":"Na","side_info":[{"user":"0x01","start_pos":"1157009.0","oid":78656316952,'
    b'"twap_id":545248,"cloid":null},{"user":"0x02","start_pos":"-9617.0","oid":78656314500,"twap_id":null,'
    b'"cloid":null}]}'
)
FILL = (
    b'["0x01",{"coin":"BTC","px":"81308.0","sz":"0.00033","side":"B","time":1778002753024,"startPosition":"0.20486",'
    b'"dir":"Open Long","closedPnl":"0.0","hash":"0x00","oid":412036451245,"crossed":true,"fee":"0.010866",'
    b'"tid":316059956208702,"feeToken":"USDC","twapId":1790552}]'
)
BLOCK = (
    b'"local_time":"2026-05-05T17:39:13.394308154","block_time":"2026-05-05T17:39:13.024084407",'
    b'"block_number":985148182'
)


def codec(family: str = "node_trades", framing: Framing = Framing.BARE, **options: Any) -> PythonCodec:
    settings = {"identity": Identity.POSITION, "numbers": Numbers.DECIMAL} | options
    return PythonCodec(schema_of(family), framing, **settings)


def encode(data: bytes, family: str = "node_trades", framing: Framing = Framing.BARE, **options: Any) -> Encoded:
    return codec(family, framing, **options).encode(data, PREFIX, BASE)


def wrapped(*entries: bytes, block: bytes = BLOCK) -> bytes:
    return b"{" + block + b',"events":[' + b",".join(entries) + b"]}"


def typed(value: Any) -> Any:
    """A value with the types of all its parts, since 1 == 1.0 == Int64(1)."""
    if isinstance(value, dict):
        return [(name, typed(inner)) for name, inner in value.items()]
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    return (type(value), value.bid if isinstance(value, Decimal128) else value)


def shown(document: bytes) -> Any:
    return typed(bson.decode(document, codec_options=OPTIONS))


def whole_number(value: int) -> int:
    return value if -(2**31) <= value < 2**31 else Int64(value)


def as_stored(value: Any) -> Any:
    """What JSON becomes where no schema says otherwise."""
    if isinstance(value, dict):
        return {name: as_stored(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [as_stored(inner) for inner in value]
    return whole_number(value) if type(value) is int else value


def time_fields(name: str, text: str) -> dict[str, Any]:
    """By `datetime` and `Decimal`, not by the code under test."""
    moment = datetime.fromisoformat(text[:19]).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    count = (moment.days * 86400 + moment.seconds) * 10**9 + int(Decimal("0" + (text[19:] or ".0")) * 10**9)
    return {name: DatetimeMS(count // 10**6), name + "_ns": Int64(count)}


def expected_trade(entry: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in entry.items():
        if name == "time":
            made |= time_fields(name, value)
        elif name in ("px", "sz"):
            made[name] = Decimal128(value)
        elif name == "side_info":
            made[name] = [as_stored(side) | {"start_pos": Decimal128(side["start_pos"])} for side in value]
        else:
            made[name] = as_stored(value)
    return made


def expected_fill(entry: list[Any]) -> dict[str, Any]:
    user, fill = entry
    made: dict[str, Any] = {"user": user}
    for name, value in fill.items():
        if name == "time":
            made |= {"time": DatetimeMS(value), "time_ns": Int64(value * 10**6)}
        elif name in ("px", "sz", "startPosition", "closedPnl", "fee", "builderFee", "deployerFee"):
            made[name] = Decimal128(value)
        elif name == "liquidation":
            made[name] = value | {"markPx": Decimal128(value["markPx"])}
        else:
            made[name] = as_stored(value)
    return made


def block_fields(line: dict[str, Any]) -> dict[str, Any]:
    number = {"block_number": whole_number(line["block_number"])}
    return number | time_fields("block_time", line["block_time"]) | time_fields("local_time", line["local_time"])


def identified(offset: int, index: int, members: dict[str, Any]) -> Any:
    return typed({"_id": ObjectId(position_id(PREFIX, offset, index))} | members)


def real(name: str) -> bytes:
    if not DATA.is_dir():
        pytest.skip("the real samples are not here")
    return (DATA / name).read_bytes()


def placed(data: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    offset = BASE
    for line in data.splitlines(keepends=True):
        yield offset, json.loads(line)
        offset += len(line)


# --- documents ---------------------------------------------------------------------------------------------------


def test_the_ena_line_becomes_this_document() -> None:
    """Field by field, in order, with types; written out, not computed."""
    made = encode(ENA + b"\n")
    assert made.rejects == []
    assert shown(made.documents[0]) == typed(
        {
            "_id": ObjectId("67cec630a1b2c300000f4240"),
            "coin": "ENA",
            "side": "B",
            "time": DatetimeMS(1741605882070),
            "time_ns": Int64(1741605882070019819),
            "px": Decimal128("0.4511"),
            "sz": Decimal128("2133.0"),
            "hash": "0xab",
            "trade_dir_override": "Na",
            "side_info": [
                {
                    "user": "0x01",
                    "start_pos": Decimal128("1157009.0"),
                    "oid": Int64(78656316952),
                    "twap_id": 545248,
                    "cloid": None,
                },
                {
                    "user": "0x02",
                    "start_pos": Decimal128("-9617.0"),
                    "oid": Int64(78656314500),
                    "twap_id": None,
                    "cloid": None,
                },
            ],
        }
    )


def test_the_real_trades() -> None:
    """All 15, against an independent reading by the standard library."""
    data = real("node_trades.jsonl")
    made = encode(data)
    assert (len(made.documents), made.rejects, made.lines) == (15, [], 15)
    for document, (offset, line) in zip(made.documents, placed(data), strict=True):
        assert shown(document) == identified(offset, 0, expected_trade(line))


def test_the_real_fills() -> None:
    """Every fill of every block, with its block fields; blocks without events give nothing."""
    data = real("node_fills_by_block.jsonl")
    made = encode(data, "node_fills", Framing.BY_BLOCK)
    expected = [
        identified(offset, index, expected_fill(entry) | block_fields(line))
        for offset, line in placed(data)
        for index, entry in enumerate(line["events"])
    ]
    assert made.lines == 51
    assert len(expected) > 10, "precondition: the sample has fills"
    assert made.rejects == []
    assert [shown(document) for document in made.documents] == expected


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        ("node_order_statuses_by_block.jsonl", "node_order_statuses_by_block"),
        ("node_order_statuses_streaming.jsonl", "node_order_statuses_streaming"),
        ("node_raw_book_diffs_by_block.jsonl", "node_raw_book_diffs_by_block"),
    ],
)
def test_real_untyped_streams(name: str, directory: str) -> None:
    """Entries as they are, with the block fields after them."""
    data = real(name)
    family, framing = stream_of(directory)
    made = encode(data, family, framing)
    assert made.rejects == []
    assert [shown(document) for document in made.documents] == [
        identified(offset, index, as_stored(entry) | block_fields(line))
        for offset, line in placed(data)
        for index, entry in enumerate(line["events"])
    ]
    assert len(made.documents) >= 500


def test_unknown_members_are_kept_where_they_stand() -> None:
    """At the top, in a side, in a liquidation; and unknown fields of the wrapper after the block fields."""
    odd = ENA.replace(b'"px"', b'"new":{"a":[1,2.5,{"b":null}]},"px"')
    odd = odd.replace(b'"oid":78656314500', b'"more":true,"oid":1')
    (document,) = encode(odd).documents
    assert shown(document) == identified(BASE, 0, expected_trade(json.loads(odd)))
    fill = FILL[:-2] + b',"liquidation":{"liquidatedUser":"0x03","markPx":"1.50","method":"market","x":1},"z":-1}]'
    block = b'"height":7,' + BLOCK + b',"more":{"q":[]}'
    (document,) = encode(wrapped(fill, block=block), "node_fills", Framing.STREAMING).documents
    line = json.loads(wrapped(fill, block=block))
    members = expected_fill(line["events"][0]) | block_fields(line) | {"height": 7, "more": {"q": []}}
    assert shown(document) == identified(BASE, 0, members)


def test_the_last_of_equal_names_counts_at_the_place_of_the_first() -> None:
    """RFC 8259 leaves it open; here it is a rule."""
    (document,) = encode(b'{"a":1,"b":2,"a":[3]}', "misc_events").documents
    assert shown(document) == identified(BASE, 0, {"a": [3], "b": 2})


def test_integers_take_four_bytes_when_they_fit() -> None:
    """As the driver's own encoder does, known field or not; nanoseconds always take eight."""
    for value in (-(2**31) - 1, -(2**31), 0, 2**31 - 1, 2**31, 2**63 - 1, -(2**63)):
        line = ENA.replace(b"545248", b"%d" % value).replace(b'"px"', b'"new":%d,"px"' % value)
        (document,) = encode(line).documents
        assert shown(document) == identified(BASE, 0, expected_trade(json.loads(line)))
        made = bson.decode(document, codec_options=OPTIONS)
        assert type(made["new"]) is type(made["side_info"][0]["twap_id"])
    (document,) = encode(ENA.replace(b"2025-03-10T11:24:42.070019819", b"1970-01-01T00:00:00")).documents
    assert type(bson.decode(document)["time_ns"]) is Int64


@pytest.mark.parametrize("ms", [-1, -1999, 0, 1, 9223372036854, -9223372036854])
def test_times_before_1970_are_floored(ms: int) -> None:
    """A date is the millisecond that has begun."""
    fill = FILL.replace(b"1778002753024", b"%d" % ms)
    made = bson.decode(encode(fill, "node_fills").documents[0], codec_options=OPTIONS)
    assert (made["time"], made["time_ns"]) == (DatetimeMS(ms), ms * 10**6)
    (document,) = encode(ENA.replace(b"2025-03-10T11:24:42.070019819", b"1969-12-31T23:59:59.999999999Z")).documents
    made = bson.decode(document, codec_options=OPTIONS)
    assert (made["time"], made["time_ns"]) == (DatetimeMS(-1), -1)


def test_numbers_choose_the_type_of_decimals() -> None:
    """decimal128, double or the text, at every depth; nothing else changes."""
    for numbers, make in ((Numbers.DECIMAL, Decimal128), (Numbers.DOUBLE, float), (Numbers.STRING, str)):
        made = bson.decode(encode(ENA, numbers=numbers).documents[0], codec_options=OPTIONS)
        assert typed([made["px"], made["side_info"][1]["start_pos"]]) == typed([make("0.4511"), make("-9617.0")])
        assert made["time_ns"] == 1741605882070019819


# --- rejects -----------------------------------------------------------------------------------------------------


def nested(depth: int, inner: bytes = b"1") -> bytes:
    return b"[" * depth + inner + b"]" * depth


def with_px(px: bytes) -> bytes:
    return ENA.replace(b'"0.4511"', px)


BARE = {
    "utf8": (Reason.UTF8, ENA.replace(b"ENA", b"E\xffA")),
    "utf8 outside a string": (Reason.UTF8, ENA + b"\xff"),
    "utf8 before depth": (Reason.UTF8, nested(300) + b"\xed\xa0\x80"),
    "json": (Reason.JSON, ENA[:-1]),
    "json trailing": (Reason.JSON, ENA + b"}"),
    "json NaN": (Reason.JSON, with_px(b"NaN")),
    "json lone surrogate": (Reason.JSON, ENA.replace(b"ENA", b"\\ud800")),
    "json bom": (Reason.JSON, b"\xef\xbb\xbf" + ENA),
    "json after a huge number": (Reason.JSON, b'{"a":1e400,'),
    "json after a huge integer": (Reason.JSON, b'{"a":' + b"9" * 5000),
    "json before depth": (Reason.JSON, nested(150)[:-1]),
    "huge but not an integer": (Reason.JSON, b'{"a":0' + b"9" * 5000 + b"}"),
    "json number after a huge integer": (Reason.JSON, b'{"a":' + b"9" * 5000 + b',"b":0' + b"9" * 30 + b"}"),
    "form feed": (Reason.JSON, b"\x0c"),
    "depth": (Reason.DEPTH, nested(101)),
    "depth in an unknown member": (Reason.DEPTH, b'{"new":' + nested(100) + b"," + ENA[1:]),
    "depth without json": (Reason.DEPTH, b"[" * 201),
    "depth far beyond recursion": (Reason.DEPTH, b'{"a":' * 100_000),
    "depth in a discarded duplicate": (Reason.DEPTH, b'{"coin":' + nested(100) + b"," + ENA[1:]),
    "empty": (Reason.EMPTY, b""),
    "blank": (Reason.EMPTY, b" \t \r"),
    "missing": (Reason.MISSING, ENA.replace(b'"px"', b'"pxx"')),
    "missing inside": (Reason.MISSING, ENA.replace(b'"oid":78656314500', b'"old":78656314500')),
    "missing before type": (Reason.MISSING, ENA.replace(b'"px"', b'"pxx"').replace(b'"ENA"', b"1")),
    "missing inside before type": (Reason.MISSING, ENA.replace(b'"oid":78656314500,', b"").replace(b'"ENA"', b"1")),
    "nothing": (Reason.MISSING, b"{}"),
    "type": (Reason.TYPE, with_px(b"0.4511")),
    "type null": (Reason.TYPE, with_px(b"null")),
    "type root": (Reason.TYPE, b"[" + ENA + b"]"),
    "type scalar": (Reason.TYPE, b"1"),
    "type bool for integer": (Reason.TYPE, ENA.replace(b"78656316952", b"true")),
    "type float for integer": (Reason.TYPE, ENA.replace(b"78656316952", b"1.0")),
    "type decimal form": (Reason.TYPE, with_px(b'"1e5"')),
    "type decimal NaN": (Reason.TYPE, with_px(b'"NaN"')),
    "type decimal other script": (Reason.TYPE, with_px('"１.5"'.encode())),
    "type decimal inside": (Reason.TYPE, ENA.replace(b'"-9617.0"', b'"+9617.0"')),
    "type time form": (Reason.TYPE, ENA.replace(b"T11", b" 11")),
    "type time digits": (Reason.TYPE, ENA.replace(b".070019819", b".0700198190")),
    "type one side": (Reason.TYPE, ENA.replace(b',{"user":"0x02"', b'],"x":[{"user":"0x02"')),
    "type three sides": (Reason.TYPE, ENA.replace(b',{"user":"0x02"', b',{"user":"0x03","oid":1},{"user":"0x02"')),
    "type sides": (Reason.TYPE, ENA[: ENA.index(b"[")] + b'"ab"}'),
    "type side": (Reason.TYPE, ENA[: ENA.index(b"[")] + b'[{"user":"0x01","oid":1},"x"]}'),
    "type override": (Reason.TYPE, ENA.replace(b'"Na"', b"[]")),
    "type before range": (Reason.TYPE, with_px(b'"x"').replace(b"03-10", b"02-30")),
    "range integer": (Reason.RANGE, ENA.replace(b"78656316952", b"9223372036854775808")),
    "range below": (Reason.RANGE, ENA.replace(b"78656316952", b"-9223372036854775809")),
    "range unknown integer": (Reason.RANGE, ENA.replace(b'"px"', b'"new":[{"a":18446744073709551616}],"px"')),
    "range long integer": (Reason.RANGE, ENA.replace(b'"px"', b'"new":' + b"1" * 5000 + b',"px"')),
    "range double": (Reason.RANGE, ENA.replace(b'"px"', b'"new":[-1e400],"px"')),
    "range day": (Reason.RANGE, ENA.replace(b"03-10", b"02-30")),
    "range hour": (Reason.RANGE, ENA.replace(b"T11", b"T24")),
    "range second": (Reason.RANGE, ENA.replace(b":42.", b":60.")),
    "range year 0": (Reason.RANGE, ENA.replace(b"2025-", b"0000-")),
    "range year 1677": (Reason.RANGE, ENA.replace(b"2025-", b"1677-")),
    "range year 2263": (Reason.RANGE, ENA.replace(b"2025-", b"2263-")),
    "range digits": (Reason.RANGE, with_px(b'"0.' + b"1" * 34 + b'"')),
    "range before key": (Reason.RANGE, ENA.replace(b"03-10", b"02-30").replace(b'"px"', b'"a\\u0000":1,"px"')),
    "key": (Reason.KEY, ENA.replace(b'"px"', b'"a\\u0000b":1,"px"')),
    "key inside": (Reason.KEY, ENA.replace(b'"cloid"', b'"\\u0000":1,"cloid"', 1)),
    "key deep": (Reason.KEY, ENA.replace(b'"Na"', b'{"a":[{"b":{"\\u0000":1}}]}')),
    "key before reserved": (Reason.KEY, ENA.replace(b'"px"', b'"_id":{"\\u0000":1},"px"')),
    "reserved id": (Reason.RESERVED_FIELD, ENA.replace(b'"px"', b'"_id":1,"px"')),
    "reserved ns": (Reason.RESERVED_FIELD, ENA.replace(b'"px"', b'"x_ns":1,"px"')),
    "reserved time_ns": (Reason.RESERVED_FIELD, ENA.replace(b'"px"', b'"time_ns":1,"px"')),
    "reserved block field": (Reason.RESERVED_FIELD, ENA.replace(b'"px"', b'"block_time":1,"px"')),
    "too large": (Reason.TOO_LARGE, ENA.replace(b"ENA", b"E" * MAX_DOCUMENT)),
}
OTHER = ENA.replace(b"ENA", b"BTC")


def account(made: Encoded, data: bytes) -> None:
    """The law of `Encoded`, and that every document stands where it says."""
    assert made.lines == data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
    assert made.entries == len(made.documents) + len(made.rejects)


@pytest.mark.parametrize(("reason", "line"), BARE.values(), ids=list(BARE))
def test_a_bad_line_is_kept_aside_and_its_neighbours_are_stored(reason: Reason, line: bytes) -> None:
    """With its reason, its place and its bytes, whole."""
    data = ENA + b"\n" + line + b"\n" + OTHER + b"\n"
    made = encode(data)
    account(made, data)
    (reject,) = made.rejects
    start = BASE + len(ENA) + 1
    assert (reject.reason, reject.data) == (reason, line), reject.detail[:200]
    assert (reject.start, reject.end, reject.index) == (start, start + len(line) + 1, 0)
    assert reject.detail
    alone = [encode(ENA), codec().encode(OTHER, PREFIX, BASE + len(data) - len(OTHER) - 1)]
    assert made.documents == [document for part in alone for document in part.documents]


def test_every_reason_of_the_codec_is_produced_above() -> None:
    """The others are the tailer's (`too_long`) and the server's."""
    of_others = {Reason.TOO_LONG, Reason.SERVER_REFUSED, Reason.ID_CONFLICT}
    assert {reason for reason, _ in BARE.values()} == set(Reason) - of_others


def test_what_nearly_is_a_fault_is_stored() -> None:
    """The borders of each rule, from within."""
    fine = [
        ENA.replace(b'"Na"', b'{"LiquidatedMarket":{"_id":1,"x_ns":2,"block_time":3}}'),
        ENA.replace(b'"Na"', b"null"),
        ENA.replace(b'"trade_dir_override":"Na",', b""),
        ENA.replace(b'"start_pos":"1157009.0",', b"").replace(b'"cloid":null', b'"cloid":"0x"'),
        ENA.replace(b"78656316952", b"9223372036854775807").replace(b"545248", b"-9223372036854775808"),
        ENA.replace(b'"px"', b'"new":1e308,"tiny":1e-400,"_ids":1,"ns":1,"user":"u","\\u00e9":"\\u0000","":1,"px"'),
        ENA.replace(b'"px"', b'"new":' + nested(98, b'"[[{\\"[["') + b',"px"'),
        ENA.replace(b'"px"', b'"new":"' + b"[" * 1000 + b'","px"'),
        ENA.replace(b'"px"', b'"new":[' + b"[[]]," * 1000 + b'[]],"px"'),
        ENA.replace(b'"px"', b'"new":1e400,"new":' + b"9" * 5000 + b',"new":1,"px"'),
        with_px(b'"-' + b"9" * 34 + b'"'),
        ENA.replace(b"2025-03-10", b"2262-04-11"),
        b" \t" + ENA + b" \r",
        ENA.replace(b'":', b'" : \t').replace(b',"', b' , "'),
    ]
    for line in fine:
        made = encode(line)
        assert [reject.reason for reject in made.rejects] == [], line[:300]
        assert len(made.documents) == 1


def test_a_document_of_16_mib_is_the_largest() -> None:
    """One byte more is `too_large`."""
    rest = len(encode(b'{"a":""}', "misc_events").documents[0])
    largest = b'{"a":"' + b"x" * (MAX_DOCUMENT - rest) + b'"}'
    assert [len(document) for document in encode(largest, "misc_events").documents] == [16 * 1024 * 1024]
    (reject,) = encode(largest.replace(b'"}', b'x"}'), "misc_events").rejects
    assert reject.reason is Reason.TOO_LARGE


FILLS = {
    "no pair": (Reason.TYPE, FILL[8:-1]),
    "three": (Reason.TYPE, FILL[:-1] + b",1]"),
    "user": (Reason.TYPE, b"[1" + FILL[7:]),
    "two users": (Reason.TYPE, b'["0x01","ab"]'),
    "text of two": (Reason.TYPE, b'"ab"'),
    "object of two": (Reason.TYPE, b'{"a":{},"b":{}}'),
    "missing": (Reason.MISSING, FILL.replace(b'"tid"', b'"tiid"')),
    "crossed": (Reason.TYPE, FILL.replace(b"true", b"1")),
    "time": (Reason.TYPE, FILL.replace(b"1778002753024", b"1778002753024.0")),
    "liquidation": (Reason.TYPE, FILL[:-2] + b',"liquidation":{"markPx":1}}]'),
    "liquidation digits": (Reason.RANGE, FILL[:-2] + b',"liquidation":{"markPx":"' + b"1" * 35 + b'"}}]'),
    "time range": (Reason.RANGE, FILL.replace(b"1778002753024", b"9223372036855")),
    "reserved user": (Reason.RESERVED_FIELD, FILL[:-2] + b',"user":1}]'),
}


@pytest.mark.parametrize(("reason", "line"), FILLS.values(), ids=list(FILLS))
@pytest.mark.parametrize("framing", list(Framing), ids=str)
def test_a_bad_fill_is_kept_aside(reason: Reason, line: bytes, framing: Framing) -> None:
    """Bare as its line; wrapped by itself, with the block fields, between its siblings."""
    if framing.wrapped:
        made = encode(wrapped(FILL, line, FILL), "node_fills", framing)
        assert [reject.data for reject in made.rejects] == [wrapped(line)]
    else:
        made = encode(FILL + b"\n" + line + b"\n" + FILL, "node_fills", framing)
        assert [reject.data for reject in made.rejects] == [line]
    assert [reject.reason for reject in made.rejects] == [reason]
    assert len(made.documents) == 2


def test_null_stands_for_an_optional_member_of_a_fill() -> None:
    """Whatever its kind; it is stored as null."""
    names = [
        "startPosition",
        "dir",
        "closedPnl",
        "crossed",
        "fee",
        "feeToken",
        "cloid",
        "twapId",
        "builder",
        "builderFee",
        "deployerFee",
    ]
    names.append("liquidation")
    fill = json.loads(FILL)
    fill[1] |= dict.fromkeys(names)
    for numbers in Numbers:
        (document,) = encode(json.dumps(fill).encode(), "node_fills", numbers=numbers).documents
        made = bson.decode(document)
        assert [made[name] for name in names] == [None] * len(names)


# --- wrapped lines -----------------------------------------------------------------------------------------------

LINES = {
    "depth beyond parsing": (Reason.DEPTH, wrapped(ENA, nested(199))),
    "depth of a wrapper field": (Reason.DEPTH, wrapped(ENA, block=BLOCK + b',"x":' + nested(100))),
    "depth of a root array": (Reason.DEPTH, nested(101)),
    "depth of what should be events": (Reason.DEPTH, b"{" + BLOCK + b',"events":{"a":' + nested(99) + b"}}"),
    "missing": (Reason.MISSING, wrapped(ENA, block=BLOCK.replace(b"block_number", b"number"))),
    "missing events": (Reason.MISSING, b"{" + BLOCK + b"}"),
    "missing before type": (Reason.MISSING, b'{"events":1,"local_time":1}'),
    "type": (Reason.TYPE, b"[" + ENA + b"]"),
    "type events": (Reason.TYPE, b"{" + BLOCK + b',"events":{}}'),
    "type events null": (Reason.TYPE, b"{" + BLOCK + b',"events":null}'),
    "type number": (Reason.TYPE, wrapped(ENA, block=BLOCK.replace(b"985148182", b'"985148182"'))),
    "type time": (Reason.TYPE, wrapped(ENA, block=BLOCK.replace(b"T17", b"t17"))),
    "range time": (Reason.RANGE, wrapped(ENA, block=BLOCK.replace(b"05-05", b"05-32"))),
    "range number": (Reason.RANGE, wrapped(ENA, block=BLOCK.replace(b"985148182", b"9" * 20))),
    "range unknown": (Reason.RANGE, wrapped(ENA, block=BLOCK + b',"x":[1e400]')),
    "key": (Reason.KEY, wrapped(ENA, block=BLOCK + b',"x":{"\\u0000":1}')),
    "reserved": (Reason.RESERVED_FIELD, wrapped(ENA, block=BLOCK + b',"_id":1')),
    "reserved ns": (Reason.RESERVED_FIELD, wrapped(ENA, block=BLOCK + b',"time_ns":1')),
    "empty events, bad wrapper": (Reason.TYPE, wrapped(block=BLOCK.replace(b"985148182", b"null"))),
    "json": (Reason.JSON, wrapped(ENA)[:-1]),
    "utf8": (Reason.UTF8, wrapped(ENA.replace(b"ENA", b"\xc0\x80"))),
    "empty": (Reason.EMPTY, b"\t"),
}


@pytest.mark.parametrize(("reason", "line"), LINES.values(), ids=list(LINES))
def test_a_wrapper_that_is_off_rejects_its_line_as_one_entry(reason: Reason, line: bytes) -> None:
    """Whole, with nothing of it stored; the lines around it are."""
    data = b"\n".join((wrapped(ENA), line, wrapped(OTHER, OTHER), b""))
    made = encode(data, framing=Framing.BY_BLOCK)
    account(made, data)
    assert [(reject.reason, reject.data, reject.index) for reject in made.rejects] == [(reason, line, 0)]
    assert len(made.documents) == 3


ENTRIES = {name: case for name, case in BARE.items() if case[0] in list(Reason)[5:]} | {
    "depth": (Reason.DEPTH, nested(99)),
    "depth before missing": (Reason.DEPTH, b'{"a":' + nested(98) + b"}"),
    "carried": (Reason.RESERVED_FIELD, ENA.replace(b'"px"', b'"\\u0068eight":1,"px"')),
}


@pytest.mark.parametrize(("reason", "entry"), ENTRIES.values(), ids=list(ENTRIES))
def test_a_bad_entry_is_kept_alone_and_its_siblings_are_stored(reason: Reason, entry: bytes) -> None:
    """Its own bytes within its wrapper's; encoded again at its place it has the same verdict and `_id`."""
    block = BLOCK + b', "height" : 7'
    line = b"{" + block + b',"events":[' + b" , ".join((ENA, entry, b" " + OTHER)) + b"]}"
    data = line + b"\n"
    made = encode(data, framing=Framing.STREAMING)
    (reject,) = made.rejects
    assert (reject.reason, reject.index) == (reason, 1), reject.detail[:200]
    assert (reject.start, reject.end) == (BASE, BASE + len(data))
    assert reject.data == wrapped(entry, block=BLOCK + b',"height":7')
    assert [document[9:21] for document in made.documents] == [position_id(PREFIX, BASE, index) for index in (0, 2)]
    again = codec(framing=Framing.STREAMING).encode(reject.data, PREFIX, BASE + reject.index)
    assert again.documents == []
    assert [(r.reason, r.index, r.data, r.start) for r in again.rejects] == [(reason, 0, reject.data, BASE + 1)]


def test_a_mended_entry_replays_to_the_same_document() -> None:
    """The wrapper that is kept aside gives, at offset + index, what the line would have given."""
    line = wrapped(ENA, with_px(b"1"), OTHER, block=BLOCK + b',"x":{"y":[1.0]}')
    (reject,) = encode(line, framing=Framing.BY_BLOCK).rejects
    mended = reject.data.replace(b'"px":1', b'"px":"1"')
    assert mended != reject.data
    again = codec(framing=Framing.BY_BLOCK).encode(mended, PREFIX, reject.start + reject.index)
    whole = encode(line.replace(b'"px":1,', b'"px":"1",'), framing=Framing.BY_BLOCK)
    assert again.documents == [whole.documents[1]]


def test_huge_numbers_reject_one_entry_only() -> None:
    """The parser gives up the line; the siblings are stored all the same."""
    for number in (b"1e400", b"9" * 30, b"9" * 6000):
        bad = ENA.replace(b'"px"', b'"new":' + number + b',"px"')
        made = encode(wrapped(ENA, bad, OTHER), framing=Framing.BY_BLOCK)
        assert [(r.reason, r.data) for r in made.rejects] == [(Reason.RANGE, wrapped(bad))]
        assert made.documents == [
            encode(wrapped(ENA), framing=Framing.BY_BLOCK).documents[0],
            codec(framing=Framing.BY_BLOCK).encode(wrapped(OTHER), PREFIX, BASE + 2).documents[0],
        ]


def test_no_events_are_a_line_and_nothing_else() -> None:
    """It counts as read."""
    made = encode(wrapped() + b"\n" + wrapped() + b"\n", framing=Framing.BY_BLOCK)
    assert (made.documents, made.rejects, made.lines) == ([], [], 2)


def test_a_field_of_the_wrapper_named_as_the_user_of_a_fill_is_reserved() -> None:
    """There is one `user` in a document."""
    made = encode(wrapped(FILL, block=BLOCK + b',"user":1'), "node_fills", Framing.BY_BLOCK)
    assert [reject.reason for reject in made.rejects] == [Reason.RESERVED_FIELD]
    assert made.documents == []


# --- lines and identity ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"", ENA, ENA + b"\n", b"\n", b"\n\n" + ENA, ENA + b"\r\n" + ENA, ENA + b"\x0b" + ENA, b"\r\n\n\x85"]
)
def test_lines_end_at_newlines_only(data: bytes) -> None:
    """The last may lack its newline; an end of line of another kind is white space or part of the text."""
    made = encode(data)
    account(made, data)
    assert made.entries == made.lines
    ends = [reject.end for reject in made.rejects]
    assert all(end <= BASE + len(data) for end in ends)


def test_a_carriage_return_stays_with_a_reject() -> None:
    """Bytes are kept as they are, but for the newline."""
    (reject,) = encode(b"x\r\n").rejects
    assert (reject.data, reject.end) == (b"x\r", BASE + 3)


def test_a_thousand_equal_lines() -> None:
    """A thousand documents by position, one `_id` by content; places come along where the `_id` has none."""
    data = (ENA + b"\n") * 1000
    by_position = encode(data)
    assert len({document[9:21] for document in by_position.documents}) == 1000
    assert by_position.document_lines is None
    by_content = encode(data, identity=Identity.CONTENT)
    assert len(by_content.documents) == 1000
    assert len(set(by_content.documents)) == 1
    assert by_content.document_lines == [(BASE + number * (len(ENA) + 1), 0) for number in range(1000)]


def test_places_of_content_documents_skip_what_is_kept_aside() -> None:
    """One place a document, in order."""
    data = wrapped(ENA, b"1", OTHER) + b"\nbad\n" + wrapped(ENA) + b"\n"
    made = encode(data, framing=Framing.BY_BLOCK, identity=Identity.CONTENT)
    last = BASE + data.rindex(b"{" + BLOCK)
    assert made.document_lines == [(BASE, 0), (BASE, 2), (last, 0)]
    assert len(made.documents) == 3


def test_content_ids_by_hand() -> None:
    """The hashed bytes of a trade and of a fill, written out."""
    (trade,) = encode(ENA, identity=Identity.CONTENT).documents
    key = b"19:1741605882070019819,3:ENA,11:78656316952,11:78656314500,"
    assert trade[9:21] == (1741605882).to_bytes(4, "big") + blake2b(key, digest_size=8).digest()
    (fill,) = encode(FILL, "node_fills", identity=Identity.CONTENT).documents
    key = b"13:1778002753024,3:BTC,15:316059956208702,4:0x01,12:412036451245,1:B,"
    assert fill[9:21] == (1778002753).to_bytes(4, "big") + blake2b(key, digest_size=8).digest()


@pytest.mark.parametrize(("family", "entry"), [("node_trades", ENA), ("node_fills", FILL)])
def test_all_framings_agree_on_content_ids(family: str, entry: bytes) -> None:
    """Bare, by block and streaming copies of an event are one document's `_id`."""
    bare = encode(entry, family, identity=Identity.CONTENT)
    block = encode(wrapped(entry), family, Framing.BY_BLOCK, identity=Identity.CONTENT)
    later = wrapped(entry, block=BLOCK.replace(b"17:39:13", b"18:39:13"))
    streaming = encode(later, family, Framing.STREAMING, identity=Identity.CONTENT)
    assert bare.documents[0][9:21] == block.documents[0][9:21] == streaming.documents[0][9:21]


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("1969-12-31T23:59:59.999999999", False),
        ("1970-01-01T00:00:00", True),
        ("2106-02-07T06:28:15.999999999", True),
        ("2106-02-07T06:28:16", False),
    ],
)
def test_content_identity_holds_1970_to_2106(text: str, stored: bool) -> None:
    """Four bytes of seconds: outside, `range`; with position identity there is nothing wrong."""
    line = ENA.replace(b"2025-03-10T11:24:42.070019819", text.encode())
    assert len(encode(line).documents) == 1
    made = encode(line, identity=Identity.CONTENT)
    assert [reject.reason for reject in made.rejects] == ([] if stored else [Reason.RANGE])
    ms = int((datetime.fromisoformat(text[:19] + "+00:00") - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1000
    made = encode(FILL.replace(b"1778002753024", b"%d" % ms), "node_fills", identity=Identity.CONTENT)
    assert [reject.reason for reject in made.rejects] == ([] if stored else [Reason.RANGE])


def test_content_identity_needs_an_event_time() -> None:
    """The setting is refused with the stream's name."""
    with pytest.raises(SettingsError, match="node_order_statuses"):
        codec("node_order_statuses", identity=Identity.CONTENT)


def test_a_codec_remembers_nothing_that_changes_a_verdict() -> None:
    """The same line after thousands of other shapes, good and bad, gives the same bytes."""
    subject = codec()
    before = subject.encode(ENA, PREFIX, BASE)
    for number in range(3000):
        line = ENA.replace(b'"px"', b'"f%d":1,"px"' % number)
        assert len(subject.encode(line, PREFIX, BASE).documents) == 1
        subject.encode(line.replace(b'"sz"', b'"zs"'), PREFIX, BASE)
    assert subject.encode(ENA, PREFIX, BASE) == before
    assert [type(reject) for reject in subject.encode(b'["coin"]', PREFIX, BASE).rejects] == [Reject]


def block(number: bytes, *entries: bytes) -> bytes:
    return wrapped(*entries, block=BLOCK.replace(b"985148182", number))


def test_block_numbers_of_wrapped_lines() -> None:
    """First, highest, and what is left out above the highest so far; lines without entries and with bad ones count,
    what goes back does not."""
    lines = [block(b"7", ENA), block(b"8"), block(b"11", b"5"), block(b"9"), block(b"12", ENA), block(b"11", ENA)]
    lines += [block(b"13", ENA, b"{}"), block(b"20")]
    made = encode(b"\n".join(lines), framing=Framing.BY_BLOCK)
    assert made.blocks == Blocks(7, 20, ((9, 10), (14, 19)))
    assert made.blocks.missing == 8
    assert encode(block(b"7"), framing=Framing.STREAMING).blocks == Blocks(7, 7)
    assert encode(block(b"-5") + b"\n" + block(b"-3"), framing=Framing.STREAMING).blocks == Blocks(-5, -3, ((-4, -4),))


UNNUMBERED = {
    "bare": ENA,
    "empty": b" ",
    "utf8": block(b"7", b'"\xff"'),
    "json": block(b"7")[:-1],
    "too deep to be read": block(b"7", b"[" * 200 + b"]" * 200),
    "no object": b"[7]",
    "text": block(b'"7"'),
    "number": block(b"7.0"),
    "true": block(b"true"),
    "null": block(b"null"),
    "over int64": block(b"9223372036854775808"),
    "below int64": block(b"-9223372036854775809"),
    "of many digits": block(b"-" + b"7" * 5000),
    "inside an entry": b'{"events":[{"block_number":7}]}',
}


@pytest.mark.parametrize("line", UNNUMBERED.values(), ids=UNNUMBERED)
def test_lines_without_a_block_number(line: bytes) -> None:
    """They say nothing of numbers, and nothing of those of their neighbours."""
    assert encode(line, framing=Framing.BY_BLOCK).blocks is None
    around = b"\n".join((block(b"3"), line, block(b"4")))
    assert encode(around, framing=Framing.BY_BLOCK).blocks == Blocks(3, 4)


def test_a_line_kept_aside_for_its_wrapper_has_its_number() -> None:
    """It was read and is in the rejects: its block is not missing."""
    for line in (block(b"7").replace(b"local_time", b"_id"), block(b"7").replace(b"[]", b"{}"), b'{"block_number":7}'):
        made = encode(block(b"6") + b"\n" + line + b"\n" + block(b"8"), framing=Framing.BY_BLOCK)
        assert len(made.rejects) == 1
        assert made.blocks == Blocks(6, 8)


def test_bare_lines_have_no_block_numbers() -> None:
    assert encode(block(b"7") + b"\n" + ENA).blocks is None


@pytest.mark.parametrize("number", [-(2**63), 2**63 - 1])
def test_block_numbers_at_the_borders(number: int) -> None:
    """Of 64 bits, the whole way from one end to the other."""
    assert encode(block(b"%d" % number), framing=Framing.BY_BLOCK).blocks == Blocks(number, number)
    far = encode(block(b"%d" % -(2**63)) + b"\n" + block(b"%d" % (2**63 - 1)), framing=Framing.BY_BLOCK).blocks
    assert far is not None
    assert far.missing == 2**64 - 2
