"""Laws of the codec over any bytes: nothing raised, nothing lost, no second opinion."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import bson
import msgspec
import pytest
from bson import Decimal128
from bson.codec_options import CodecOptions, DatetimeConversion
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.identity import position_id
from tailrace.ingest.codec.codec import PythonCodec
from tailrace.ingest.codec.document import NO_BLOCK, DocumentWriter
from tailrace.ingest.codec.faults import entry_fault, parse
from tailrace.ingest.codec.nesting import DEPTH_LIMIT, LINE_DEPTH_LIMIT, depth_of, is_shallow
from tailrace.model import Encoded, Framing, Identity, Numbers, blocks_joined
from tailrace.streams import schema_of
from tailrace.streams.decimals import DIGIT_LIMIT, decimal128, digits_of
from tailrace.streams.times import nanoseconds

PREFIX = b"1234567"
OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
POSITION = position_id(PREFIX, 0)
SIDE: dict[str, Any] = {"user": "0x1", "start_pos": "-9617.0", "oid": 78656316952, "twap_id": 5, "cloid": None}
TRADE: dict[str, Any] = {
    "coin": "ENA",
    "side": "B",
    "time": "2025-03-10T11:24:42.070019819",
    "px": "0.4511",
    "sz": "2133.0",
    "hash": "0xab",
    "trade_dir_override": "Na",
    "side_info": [SIDE, SIDE | {"twap_id": None, "cloid": "0x2"}],
}
FILL: list[Any] = [
    "0x1",
    {
        "coin": "BTC",
        "px": "81308.0",
        "sz": "0.00033",
        "side": "B",
        "time": 1778002753024,
        "startPosition": "0.20486",
        "dir": "Open Long",
        "closedPnl": "0.0",
        "hash": "0x0",
        "oid": 412036451245,
        "crossed": True,
        "fee": "0.010866",
        "tid": 316059956208702,
        "feeToken": "USDC",
        "twapId": None,
        "liquidation": {"liquidatedUser": "0x3", "markPx": "1.50", "method": "market"},
    },
]
BLOCK: dict[str, Any] = {
    "local_time": "2026-05-05T17:39:13.394308154",
    "block_time": "2026-05-05T17:39:13.024084407",
    "block_number": 985148182,
}
Subject = tuple[str, Framing, Identity, Numbers]
SUBJECTS: list[Subject] = [
    ("node_trades", Framing.BARE, Identity.POSITION, Numbers.DECIMAL),
    ("node_trades", Framing.BY_BLOCK, Identity.CONTENT, Numbers.DECIMAL),
    ("node_fills", Framing.BARE, Identity.CONTENT, Numbers.STRING),
    ("node_fills", Framing.STREAMING, Identity.POSITION, Numbers.DOUBLE),
    ("misc_events", Framing.BARE, Identity.POSITION, Numbers.DECIMAL),
    ("misc_events", Framing.BY_BLOCK, Identity.POSITION, Numbers.DECIMAL),
]


class SlowCodec(PythonCodec):
    """Never takes the fast way: every line is asked for its reason."""

    def _entries(self, line: bytes, prefix: bytes, start: int, numbers: list[int]) -> list[bytes]:
        raise ValueError("slow")


OURS = ["_id", "x_ns", "time_ns", "block_time", "user"]
NAMES = st.sampled_from([*OURS, "coin", "px", "oid", "time", "events", "side_info", "new", "é", "", "a\0"])
DECIMALS = ["1", "-1.50", "1e5", "NaN", "+1", ".5", "1.", "１"]
TIMES = [
    "2025-03-10T11:24:42",
    "2025-02-30T00:00:00",
    "2025-03-10T11:24:60",
    "1969-12-31T23:59:59.9Z",
    "1600-01-01T00:00:00",
    "2107-01-01T00:00:00",
    "2025-03-10T11:24:42.1234567890",
    "2025-03-10t11:24:42",
    "0000-01-01T00:00:00",
    "2025-03-10T11:24:42.12345678٣",
    "9999-12-31T23:59:59.999999999",
]
TEXTS = st.sampled_from(["", "ab", "\0", *DECIMALS, "1" * 35, "0." + "1" * 33, "9" * 19, "9" * 20, *TIMES])
BORDERS = st.sampled_from([2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**400])
INTEGERS = st.one_of(BORDERS, st.sampled_from([0, 1, -1, -1000, 9223372036855]))
SCALARS = st.one_of(st.none(), st.booleans(), INTEGERS, TEXTS, st.sampled_from([0.0, -0.0, 1.0, 1e308, 5e-324]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def changed(draw: st.DrawFn, whole: Any) -> Any:
    """A sound value with a few places dropped, replaced or added to, at any depth."""
    value = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(0, 3))):
        place = value
        while True:
            inner = list(place.values()) if isinstance(place, dict) else list(place)
            inner = [found for found in inner if isinstance(found, dict | list)]
            if not inner or draw(st.booleans()):
                break
            place = draw(st.sampled_from(inner))
        change = draw(st.sampled_from(["drop", "replace", "add"]))
        if isinstance(place, list):
            if change == "add" or not place:
                place.append(draw(VALUES))
            elif change == "drop":
                place.pop()
            else:
                place[draw(st.integers(0, len(place) - 1))] = draw(VALUES)
        elif change == "add" or not place:
            place[draw(NAMES)] = draw(VALUES)
        else:
            name = draw(st.sampled_from(list(place)))
            if change == "drop":
                del place[name]
            else:
                place[name] = draw(VALUES)
    return value


ENTRIES = st.one_of(changed(TRADE), changed(FILL), VALUES)
WRAPPERS = st.lists(ENTRIES, max_size=4).flatmap(lambda events: changed(BLOCK | {"events": events}))
STRUCTURE = [b'{"a":', b"[", b"]", b"}", b'"', b"\\", b'"x":', b",", b"[" * 60, b'{"a":' * 60, b"]" * 60, b"}" * 60]
SCRAPS = [b"1e400", b"9" * 25, b"-", b"0", b".", b"e", b"null", b" ", b"\r", b"\0", b"\\ud800", b"\\u0000"]
SHARDS = st.sampled_from([*STRUCTURE, *SCRAPS, b"\xff", b"\xed\xa0\x80"])


@st.composite
def torn(draw: st.DrawFn, texts: st.SearchStrategy[bytes]) -> bytes:
    """A line with a shard put over a stretch of it."""
    text = draw(texts)
    start = draw(st.integers(0, len(text)))
    return text[:start] + draw(SHARDS) + text[start + draw(st.integers(0, 12)) :]


WRITTEN = st.one_of(ENTRIES, WRAPPERS).map(lambda value: json.dumps(value, ensure_ascii=False).encode())
DEEP = st.builds(
    lambda half, inner, tail: b'{"a":' * half + b"[[" * half + inner + b"]]" * half + b"}" * half + tail,
    st.sampled_from([15, 24, 32, 33, 34, 35, 49, 50, 66, 67, 100]),
    st.sampled_from([b"", b'"]"', b"1e400", b'"\\"]"', b'"']),
    st.sampled_from([b"", b"x", b"\xff"]),
)
DEEP_INSIDE = st.builds(
    lambda deep, wrapper: json.dumps(wrapper).replace('"0x1"', deep.decode("latin-1"), 1).encode(),
    DEEP,
    st.sampled_from([TRADE, FILL, BLOCK | {"events": [TRADE, TRADE]}, BLOCK | {"x": "0x1", "events": [TRADE]}]),
)
LINES = st.one_of(WRITTEN, torn(WRITTEN), torn(torn(WRITTEN)), DEEP, DEEP_INSIDE, st.binary(max_size=40)).map(
    lambda line: line.replace(b"\n", b" ")
)
DATA = st.builds(lambda lines, end: b"\n".join(lines) + end, st.lists(LINES, max_size=5), st.sampled_from([b"", b"\n"]))


def joined(parts: list[Encoded]) -> Encoded:
    places = [part.document_lines for part in parts]
    return Encoded(
        [document for part in parts for document in part.documents],
        [reject for part in parts for reject in part.rejects],
        sum(part.lines for part in parts),
        None if None in places else [place for part in places for place in part or []],
        blocks=blocks_joined(part.blocks for part in parts),
    )


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
@settings(deadline=None, max_examples=250)
@given(data=DATA)
def test_any_bytes_are_accounted_for(subject: Subject, data: bytes) -> None:
    """Never an exception; every line and every rejected byte is there; the fast way never differs from the slow; and
    chunks can be cut at any line."""
    family, framing, identity, numbers = subject
    codec = PythonCodec(schema_of(family), framing, identity=identity, numbers=numbers)
    base = 1000
    made = codec.encode(data, PREFIX, base)

    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    assert made.lines == len(lines)
    assert made.entries == len(made.documents) + len(made.rejects)
    if not framing.wrapped:
        assert made.entries == len(lines)
    for document in made.documents:
        assert struct.unpack_from("<i", document) == (len(document),)
        assert document[4:9] == b"\x07_id\0"
        bson.decode(document, codec_options=OPTIONS)

    starts = [base]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    for reject in made.rejects:
        line = lines[starts.index(reject.start)]
        assert reject.end == min(reject.start + len(line) + 1, base + len(data))
        again = codec.encode(reject.data + b"\n", PREFIX, reject.start + reject.index)
        assert [(found.reason, found.data) for found in again.rejects] == [(reject.reason, reject.data)]
        if reject.data != line:
            assert framing.wrapped
            entry = reject.data[reject.data.index(b'"events":[') + 10 : -2]
            assert entry in line

    slow = SlowCodec(schema_of(family), framing, identity=identity, numbers=numbers)
    assert slow.encode(data, PREFIX, base) == made

    whole = [line + b"\n" for line in lines]
    if lines and not data.endswith(b"\n"):
        whole[-1] = lines[-1]
    parts = [codec.encode(line, PREFIX, start) for line, start in zip(whole, starts, strict=False)]
    if parts:
        assert joined(parts) == made


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
@settings(deadline=None, max_examples=400)
@given(entry=ENTRIES)
def test_the_writer_fails_exactly_when_there_is_a_fault(subject: Subject, entry: Any) -> None:
    """The fast half and the slow half share no reading code and agree on every entry."""
    family, _, identity, numbers = subject
    fault = entry_fault(entry, schema_of(family), identity, frozenset())
    writer = DocumentWriter(schema_of(family), identity, numbers)
    if fault is None:
        assert bson.decode(writer.document(entry, POSITION, NO_BLOCK), codec_options=OPTIONS)
    else:
        with pytest.raises(Exception):  # noqa: B017, PT011  # any at all sends the line the slow way
            writer.document(entry, POSITION, NO_BLOCK)


BRACKETS = [b"[", b"{", b"]", b"}", b"[]", b"{}"]
PIECES = st.sampled_from([*BRACKETS, b'"', b'""', b'"]"', b"\\", b'\\"', b"a", b'["]",', b"[[],"])


@settings(deadline=None, max_examples=500)
@given(st.lists(st.tuples(PIECES, st.sampled_from([1, 2, 3, 20, 99, 101, 150])), max_size=8))
def test_a_line_called_shallow_is_shallow(pieces: list[tuple[bytes, int]]) -> None:
    """The quick answer may be no for a shallow line, and is never yes for a deep one."""
    line = b"".join(piece * count for piece, count in pieces)
    if is_shallow(line):
        assert depth_of(line) <= DEPTH_LIMIT


TOWERS = st.recursive(st.just('[{\\"'), lambda inner: st.lists(inner, min_size=1, max_size=1), max_leaves=40)


def nesting(value: Any) -> int:
    if isinstance(value, dict | list):
        return 1 + max(map(nesting, value.values() if isinstance(value, dict) else value), default=0)
    return 0


@settings(deadline=None, max_examples=300)
@given(st.one_of(VALUES, TOWERS))
def test_depth_is_that_of_the_value(value: Any) -> None:
    """Where no name is doubled, what is written nests as what is read."""
    assert depth_of(json.dumps(value).encode()) == nesting(value)


@pytest.mark.parametrize("depth", [1, 99, 100, 101, 199, 200, 201, 5000])
def test_depth_is_exact_up_to_its_limit(depth: int) -> None:
    """And above it says so, whatever Python's recursion limit is."""
    text = b'[{"a":' * (depth // 2) + b"[" * (depth % 2)
    assert min(depth_of(text), LINE_DEPTH_LIMIT + 1) == min(depth, LINE_DEPTH_LIMIT + 1)


@settings(deadline=None, max_examples=400)
@given(st.one_of(WRITTEN, torn(WRITTEN), torn(torn(torn(WRITTEN)))))
def test_the_two_parsers_agree_on_what_is_json(line: bytes) -> None:
    """The lenient one differs from the fast one in the size of numbers only."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return
    if depth_of(line) > LINE_DEPTH_LIMIT:
        return
    try:
        fast = msgspec.json.decode(line)
    except msgspec.ValidationError:
        return
    except msgspec.DecodeError:
        with pytest.raises(msgspec.DecodeError):
            parse(line)
    else:
        assert repr(parse(line)) == repr(fast)


@settings(deadline=None, max_examples=300)
@given(st.from_regex(r"-?[0-9]{1,25}(\.[0-9]{1,20})?", fullmatch=True))
def test_decimals_are_exact(text: str) -> None:
    """Sign, digits and scale as `decimal` reads them; over 34 digits nothing at all."""
    ascii_only = text.isascii()
    written = len(text.replace("-", "").replace(".", ""))
    assert digits_of(text) == (written if ascii_only else None)
    if ascii_only and written <= DIGIT_LIMIT:
        assert Decimal128.from_bid(decimal128(text)).to_decimal().as_tuple() == Decimal(text).as_tuple()
    else:
        with pytest.raises(ValueError, match="decimal"):
            decimal128(text)


@settings(deadline=None, max_examples=300)
@given(st.text("0123456789-+.eE_ \n١１NaInf", max_size=12))
def test_the_quick_check_of_decimals_is_the_form(text: str) -> None:
    """`decimal128` has no regular expression and takes just what `FORM` takes."""
    if digits_of(text) is None:
        with pytest.raises(ValueError, match="not a decimal"):
            decimal128(text)
    else:
        assert len(decimal128(text)) == 16


@settings(deadline=None, max_examples=300)
@given(
    st.integers(-(9 * 10**9), 9 * 10**9),
    st.integers(0, 10**9 - 1),
    st.integers(0, 9),
    st.sampled_from(["", "Z"]),
)
def test_times_are_exact(seconds: int, nanos: int, digits: int, zone: str) -> None:
    """Against `datetime`, whole numbers only, for any number of fraction digits."""
    fraction = f"{nanos:09d}"[:digits]
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S") + ("." + fraction if digits else "") + zone
    assert nanoseconds(text) == seconds * 10**9 + int(fraction.ljust(9, "0"))


FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(FLOATS, st.integers(-(2**63), 2**63 - 1)), max_size=5))
def test_numbers_come_back_as_they_were(numbers: list[int | float]) -> None:
    """Doubles bit by bit, integers as integers, in both ways through the codec."""
    line = json.dumps({"n": numbers}).encode()
    for kind in (PythonCodec, SlowCodec):
        codec = kind(schema_of("misc_events"), Framing.BARE, identity=Identity.POSITION, numbers=Numbers.DECIMAL)
        (document,) = codec.encode(line, PREFIX, 0).documents
        stored = bson.decode(document)["n"]
        assert [repr(number) for number in stored] == [repr(number) for number in numbers]
        assert [isinstance(number, float) for number in stored] == [isinstance(number, float) for number in numbers]
