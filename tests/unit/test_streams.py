"""Schemas, the two text forms, and the comparison of documents."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import bson
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

from tailrace.model import Framing, Identity
from tailrace.streams import FAMILIES, Field, Kind, Schema, schema_of, stream_of
from tailrace.streams.compare import differing_field, elements
from tailrace.streams.decimals import decimal128, digits_of
from tailrace.streams.times import nanoseconds


@pytest.mark.parametrize(
    ("directory", "family", "framing"),
    [
        ("node_trades", "node_trades", Framing.BARE),
        ("node_trades_by_block", "node_trades", Framing.BY_BLOCK),
        ("node_trades_streaming", "node_trades", Framing.STREAMING),
        ("node_raw_book_diffs_by_block", "node_raw_book_diffs", Framing.BY_BLOCK),
        ("hip3_oracle_updates", "hip3_oracle_updates", Framing.BARE),
        ("_by_block", "_by_block", Framing.BARE),
    ],
)
def test_a_directory_name_tells_family_and_framing(directory: str, family: str, framing: Framing) -> None:
    """The suffix is the framing, the rest the family."""
    assert stream_of(directory) == (family, framing)


def test_two_families_are_known_and_every_other_is_untyped() -> None:
    """An unknown family has a schema that asks for nothing."""
    assert set(FAMILIES) == {"node_trades", "node_fills"}
    assert schema_of("node_trades") is FAMILIES["node_trades"]
    other = schema_of("misc_events")
    assert other == Schema(family="misc_events")
    assert (other.fields, other.event_time, other.key, other.indexes) == ((), None, (), ())


def every(fields: tuple[Field, ...]) -> list[Field]:
    return [found for known in fields for found in (known, *every(known.fields))]


@pytest.mark.parametrize("schema", FAMILIES.values(), ids=list(FAMILIES))
def test_what_a_schema_names_is_in_it(schema: Schema) -> None:
    """Event time, key and indexes are made of required fields; times stand at the top, where `_ns` has a place."""
    required = {known.name for known in schema.fields if known.required} | {"user"}
    assert schema.event_time in required
    assert {path[0] for path in schema.key} <= required
    assert {name for index in schema.indexes for name in index} <= required
    inner = [known for top in schema.fields for known in every(top.fields)]
    assert inner, "precondition: there are nested fields"
    assert not [known for known in inner if known.kind in (Kind.TIME, Kind.MILLIS)]


def test_what_is_left_out_of_comparing() -> None:
    """Nothing under position; under content what belongs to the copy, and the side of a trade."""
    copy = {"local_time", "local_time_ns", "block_time", "block_time_ns", "block_number"}
    assert schema_of("node_trades").compared(Identity.POSITION) == frozenset()
    assert schema_of("node_trades").compared(Identity.CONTENT) == copy | {"side"}
    assert schema_of("node_fills").compared(Identity.CONTENT) == copy


DECIMALS = ["0", "-0", "-0.0", "1.10", "0.0000145105", "2133.0", "-9617.0", "1107212.2156400001", "007.50"]
LONG = ["9" * 34, "-" + "9" * 34, "0." + "1" * 33, "1" + "0" * 18, "1" + "0" * 19, "9" * 19, "9" * 20]


@pytest.mark.parametrize("text", DECIMALS + LONG)
def test_a_decimal_has_exactly_the_digits_written(text: str) -> None:
    """Digits, scale and sign of the text, held against `decimal`, and the very bytes that the driver makes."""
    made = Decimal128.from_bid(decimal128(text)).to_decimal()
    assert made.as_tuple() == Decimal(text).as_tuple()
    assert decimal128(text) == Decimal128(text).bid
    assert digits_of(text) == len(text.replace("-", "").replace(".", ""))


ODD = [
    "",
    "-",
    ".",
    "+1",
    "1.",
    ".5",
    "-.5",
    "1e5",
    "NaN",
    "Infinity",
    " 1",
    "1 ",
    "1\n",
    "1_0",
    "--1",
    "1.2.3",
    "1.-2",
]
FOREIGN = ["\uff11", "\u0661.5", "1.\u0662", "\u00b2", "1,5"]


@pytest.mark.parametrize("text", ODD + FOREIGN)
def test_other_texts_are_no_decimals(text: str) -> None:
    """Much of this the driver's Decimal128 would take."""
    assert digits_of(text) is None
    with pytest.raises(ValueError, match="not a decimal"):
        decimal128(text)


@pytest.mark.parametrize("text", ["1" * 35, "0." + "0" * 34, "0" * 35])
def test_a_decimal_over_34_digits_is_refused_and_not_rounded(text: str) -> None:
    """Digits are counted as written, leading zeros too."""
    assert digits_of(text) == 35
    with pytest.raises(ValueError, match="more digits"):
        decimal128(text)


@pytest.mark.parametrize("fraction", ["", ".1", ".12", ".070019819", ".123456", ".000000001", ".999999999"])
@pytest.mark.parametrize("zone", ["", "Z"])
@pytest.mark.parametrize("day", ["2025-03-10", "1969-12-31", "2024-02-29", "1677-09-22", "2262-04-11"])
def test_a_time_keeps_all_its_digits(day: str, fraction: str, zone: str) -> None:
    """Held against `datetime` for the seconds and `Decimal` for the fraction."""
    text = f"{day}T11:24:42{fraction}{zone}"
    whole = datetime.fromisoformat(f"{day}T11:24:42+00:00") - datetime(1970, 1, 1, tzinfo=UTC)
    expected = whole.days * 86_400 * 10**9 + whole.seconds * 10**9 + int(Decimal("0" + (fraction or ".0")) * 10**9)
    assert nanoseconds(text) == expected


NO_SUCH_TIMES = [
    "2025-02-30T00:00:00",
    "2025-13-01T00:00:00",
    "2025-01-01T24:00:00",
    "2025-01-01T00:60:00",
    "0000-01-01T00:00:00",
    "2016-12-31T23:59:60",
    "2025-02-29T00:00:00.123456789",
    "2025-00-01T00:00:00Z",
]


@pytest.mark.parametrize("text", NO_SUCH_TIMES)
def test_a_time_that_does_not_exist_is_refused(text: str) -> None:
    """No leap second, no 30th of February: nothing is moved to the next day."""
    with pytest.raises(ValueError, match=r"must be|out of range"):
        nanoseconds(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025-03-10",
        "2025-03-10 11:24:42",
        "2025-03-10t11:24:42",
        "2025-03-10T11:24:42z",
        "2025-03-10T11:24:42.",
        "2025-03-10T11:24:42.1234567890",
        "2025-03-10T11:24:42,5",
        "2025-03-10T11:24:42+00:00",
        "2025-03-10T11:24",
        "2025-3-10T11:24:42",
        "\uff12025-03-10T11:24:42",
        "2025-03-10T11:24:42.12345678\u0661",
        "2025-03-10T11:24:42.123456 89",
        "2025-03-10T11:24:42\n",
        "1741605882",
    ],
)
def test_other_texts_are_no_times(text: str) -> None:
    """One form, so that two readers cannot read two times."""
    with pytest.raises(ValueError, match="not a time"):
        nanoseconds(text)


VALUES = {
    "double": 1.5,
    "string": "héllo\0x",
    "document": {"a": 1, "b": {"c": []}},
    "array": [1, "x", None],
    "binary": Binary(b"\0\1\2", 128),
    "old_binary": Binary(b"abc", 2),
    "oid": ObjectId(b"123456789012"),
    "bool": True,
    "date": datetime(2025, 1, 1, tzinfo=UTC),
    "null": None,
    "regex": Regex("^a.*", "imx"),
    "ref": DBRef("c", 1),
    "code": Code("function(){}"),
    "scoped": Code("function(){}", {"x": 1}),
    "int32": 7,
    "timestamp": Timestamp(1, 2),
    "int64": Int64(7),
    "decimal": Decimal128("1.10"),
    "min": MinKey(),
    "max": MaxKey(),
}
OLD = b"\x06undefined\0" + b"\x0cpointer\0\x03\0\0\0ab\0" + b"123456789012" + b"\x0esymbol\0\x02\0\0\0s\0"


def with_old_types(document: bytes) -> bytes:
    body = document[4:-1] + OLD
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


def test_the_walk_knows_every_type_a_server_can_hold() -> None:
    """Names and bytes of each element, the deprecated types included."""
    document = with_old_types(bson.encode(VALUES))
    found = list(elements(document))
    assert [name.decode() for name, _ in found] == [*VALUES, "undefined", "pointer", "symbol"]
    kinds = {element[0] for _, element in found}
    assert kinds == {*range(1, 0x14), 0x7F, 0xFF}, "precondition: no type is missing"
    for name, element in found[: len(VALUES)]:
        assert bson.encode({name.decode(): VALUES[name.decode()]})[4:-1] == element[:1] + name + b"\0" + element[1:]


def test_equal_documents_do_not_differ() -> None:
    """The same bytes, and the same fields among and before those of somebody else."""
    ours = bson.encode({"_id": 1, "px": Decimal128("1.10"), "n": Int64(1)})
    assert differing_field(ours, ours) is None
    assert differing_field(ours, bson.encode({"_id": 1, "n": Int64(1), **VALUES, "px": Decimal128("1.10")})) is None


@pytest.mark.parametrize(
    ("stored", "named"),
    [
        ({"_id": 1, "px": Decimal128("1.1"), "n": Int64(1)}, "px"),
        ({"_id": 1, "px": Decimal128("1.10"), "n": 1}, "n"),
        ({"_id": 1, "px": Decimal128("1.10"), "n": 1.0}, "n"),
        ({"_id": 1, "px": Decimal128("1.10")}, "n"),
        ({"_id": 1, "n": 2}, "px"),
        ({"_id": 1}, "px"),
    ],
)
def test_the_first_field_that_differs_is_named(stored: dict[str, object], named: str) -> None:
    """Another value, another type of the same value, or none at all."""
    ours = bson.encode({"_id": 1, "px": Decimal128("1.10"), "n": Int64(1)})
    assert differing_field(ours, bson.encode(stored)) == named


def test_ignored_fields_may_differ() -> None:
    """And only they."""
    ours = bson.encode({"_id": 1, "local_time": 5, "side": "A", "px": 1})
    stored = bson.encode({"_id": 1, "side": "B", "px": 1})
    assert differing_field(ours, stored) == "local_time"
    assert differing_field(ours, stored, frozenset({"local_time", "side"})) is None
    assert differing_field(ours, bson.encode({"_id": 1, "px": 2}), frozenset({"local_time", "side"})) == "px"


@pytest.mark.parametrize("cut", range(1, 40))
def test_broken_bson_is_an_error_and_not_an_answer(cut: int) -> None:
    """A document cut anywhere, with its length mended, raises ValueError."""
    whole = bson.encode({"s": "text", "d": {"x": 1}, "r": Regex("a", "i"), "i": 5, "b": Binary(b"xyz", 0)})
    assert len(whole) > 45, "precondition: every cut falls inside"
    body = whole[4:-1][:-cut]
    broken = (len(body) + 5).to_bytes(4, "little") + body + b"\0"
    borders = {4 + sum(len(e) + len(n) + 1 for n, e in list(elements(whole))[:count]) for count in range(6)}
    if len(broken) - 1 in borders:
        assert differing_field(whole, broken) is not None
    else:
        with pytest.raises(ValueError, match=r"not a whole|unknown BSON|not found"):
            differing_field(whole, broken)
