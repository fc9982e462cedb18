"""Any bytes through the codec: nothing raised, every byte accounted for, every value as `json` reads it.

Input: three bytes that choose the subject (stream, framing, identity, numbers), the base and a cut; then the chunk.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, product
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from tests.fuzz.target import Target
from tests.fuzz.targets import expected
from tests.fuzz.targets.bson_reader import elements_of

from tailrace.ingest.codec.codec import PythonCodec
from tailrace.model import Encoded, Framing, Identity, Numbers, Reason, Reject, blocks_joined
from tailrace.simulator import fill_lines, trade_lines
from tailrace.streams import schema_of

PREFIX = bytes.fromhex("67cec630a1b2c3")
BASES = (0, 1000, 1 << 32)
OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
Subject = tuple[str, Framing, Identity, Numbers]
SUBJECTS: list[Subject] = [
    subject
    for subject in product(("node_trades", "node_fills", "misc_events"), Framing, Identity, Numbers)
    if subject[0] != "misc_events" or subject[2] is Identity.POSITION
]
BEFORE_THE_ENTRY = frozenset((Reason.UTF8, Reason.JSON, Reason.DEPTH, Reason.EMPTY))


def check(data: bytes) -> None:
    head, chunk = data[:3].ljust(3, b"\0"), data[3:]
    subject = SUBJECTS[head[0] % len(SUBJECTS)]
    base = BASES[head[1] % len(BASES)]
    made = _codec(subject).encode(chunk, PREFIX, base)
    assert _new_codec(subject).encode(chunk, PREFIX, base) == made, "a codec that has seen other lines differs"

    lines = chunk.split(b"\n")
    if not lines[-1]:
        lines.pop()
    assert made.lines == len(lines) == chunk.count(b"\n") + (bool(chunk) and not chunk.endswith(b"\n"))
    assert made.entries == len(made.documents) + len(made.rejects)
    starts = [base]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    account = _Account(subject, [{} for _ in lines], [{} for _ in lines])
    _place_documents(account, made, starts)
    for reject in made.rejects:
        number = starts.index(reject.start)
        assert reject.end == min(starts[number + 1], base + len(chunk))
        assert reject.index not in account.rejects[number], "two rejects of one entry"
        account.rejects[number][reject.index] = reject
    order = [(reject.start, reject.index) for reject in made.rejects]
    assert order == sorted(order), "rejects out of order"
    for number, line in enumerate(lines):
        _check_line(account, number, line)

    cut = starts[head[2] % len(starts)] - base
    one, two = (
        _codec(subject).encode(part, PREFIX, at) for part, at in ((chunk[:cut], base), (chunk[cut:], base + cut))
    )
    places = None if made.document_lines is None else [*(one.document_lines or []), *(two.document_lines or [])]
    blocks = blocks_joined((one.blocks, two.blocks))
    whole = [*one.documents, *two.documents], one.rejects + two.rejects, one.lines + two.lines, places, None, blocks
    assert made == Encoded(*whole)


@dataclass(slots=True)
class _Account:
    """By line, then by the entry's index: what became of it."""

    subject: Subject
    documents: list[dict[int, bytes]]
    rejects: list[dict[int, Reject]]


@cache
def _codec(subject: Subject) -> PythonCodec:
    return _new_codec(subject)


def _new_codec(subject: Subject) -> PythonCodec:
    family, framing, identity, numbers = subject
    return PythonCodec(schema_of(family), framing, identity=identity, numbers=numbers)


def _place_documents(account: _Account, made: Encoded, starts: list[int]) -> None:
    """Each document at its line and index; places strictly increase."""
    if account.subject[2] is Identity.POSITION:
        assert made.document_lines is None
        assert all(document[9:16] == PREFIX for document in made.documents)
        at = [int.from_bytes(document[16:21], "big") for document in made.documents]
        places = [(starts[bisect_right(starts, place) - 1], place) for place in at]
        places = [(start, place - start) for start, place in places]
    else:
        assert made.document_lines is not None
        places = made.document_lines
    assert len(places) == len(made.documents)
    assert all(earlier < later for earlier, later in pairwise(places)), "documents out of order"
    for (start, index), document in zip(places, made.documents, strict=True):
        account.documents[starts.index(start)][index] = document


def _check_line(account: _Account, number: int, line: bytes) -> None:
    documents, rejects = account.documents[number], account.rejects[number]
    whole = rejects.get(0)
    if not line.strip(b" \t\r"):
        assert whole is not None
        assert (whole.reason, whole.data, len(rejects), len(documents)) == (Reason.EMPTY, line, 1, 0)
        return
    unreadable, value = _unreadable(line)
    if unreadable is not None:
        assert whole is not None, f"stored though {unreadable}"
        assert (whole.reason, whole.data, len(rejects), len(documents)) == (unreadable, line, 1, 0)
        return
    family, framing, identity, numbers = account.subject
    deep = expected.depth_of(line) > expected.DEPTH
    for reject in rejects.values():
        assert reject.reason not in BEFORE_THE_ENTRY or (deep and reject.reason is Reason.DEPTH)
    events: list[Any] = [value]
    wrapper = None
    if framing.wrapped:
        if whole is not None and whole.data == line and not _is_alone(value, rejects, documents):
            assert len(rejects) == 1
            assert not documents
            return
        wrapper, events = value, value["events"]
    assert sorted([*documents, *rejects]) == list(range(len(events))), "entries lost or doubled"
    for index, document in documents.items():
        place = account_place(document) if identity is Identity.POSITION else None
        key = expected.content_id(family, events[index]) if place is None else expected.position_id(PREFIX, place)
        found = expected.comparable(elements_of(document))
        assert found == expected.comparable(expected.elements(family, numbers, events[index], wrapper, key))
        decoded = bson.decode(document, codec_options=OPTIONS)
        if "$ref" not in str(decoded) and "DBRef" not in str(decoded):  # the driver orders the members of a DBRef
            assert bson.encode(decoded) == document
    for index, reject in rejects.items():
        if wrapper is None:
            assert reject.data == line
        else:
            _check_entry_alone(reject, line, wrapper, events[index])
        if family == "misc_events" and wrapper is None and not deep:
            assert reject.reason == expected.untyped_reason(value)
    if family == "misc_events" and wrapper is None and documents:
        assert expected.untyped_reason(value) is None


def account_place(document: bytes) -> int:
    return int.from_bytes(document[16:21], "big")


def _unreadable(line: bytes) -> tuple[Reason | None, Any]:
    try:
        line.decode()
    except UnicodeDecodeError:
        return Reason.UTF8, None
    if expected.depth_of(line) > 2 * expected.DEPTH:
        return Reason.DEPTH, None
    try:
        return None, expected.parsed(line)
    except expected.NotJson:
        return Reason.JSON, None


def _is_alone(value: Any, rejects: dict[int, Reject], documents: dict[int, bytes]) -> bool:
    """Whether a reject that holds the whole line is that of its only entry: then its wrapper is one that is sound."""
    if not isinstance(value, dict) or not isinstance(value.get("events"), list) or len(value["events"]) != 1:
        return False
    return len(rejects) == 1 and not documents


def _check_entry_alone(reject: Reject, line: bytes, wrapper: dict[str, Any], entry: Any) -> None:
    """The wrapper's fields and this entry, in the very bytes that were written."""
    if reject.data == line:
        assert len(wrapper["events"]) == 1
        return
    kept = expected.parsed(reject.data)
    assert repr(kept["events"]) == repr([entry])
    del kept["events"]
    assert repr(kept) == repr({name: field for name, field in wrapper.items() if name != "events"})
    raw = reject.data[reject.data.rindex(b'"events":[') + 10 : -2] if entry != [] else b"[]"
    assert raw in line or b'"events":[' in raw


_SIDE = b'{"user":"u","start_pos":"-0.%b","oid":-1,"twap_id":-2147483649,"cloid":null}' % (b"3" * 33)
_TRADE = (
    b'{"coin":"","side":"B","time":"1969-12-31T23:59:59.9Z","px":"%b","sz":"-%b.5","hash":"","trade_dir_override":{},'
    b'"side_info":[%b,%b]}' % (b"9" * 34, b"8" * 19, _SIDE, _SIDE)
)
_FILL = (
    b'["u",{"coin":"B","px":"0.%b","sz":"00","side":"A","time":-1,"hash":"","oid":-2147483648,"tid":-9223372036854775808,'
    b'"crossed":false,"liquidation":{"markPx":"%b","x":-1}}]' % (b"0" * 33, b"7" * 20)
)
"""Values at the borders of what is stored: negative, of 34 digits, before 1970."""


def _seeds() -> list[bytes]:
    times = b'"local_time":"2026-05-05T17:39:13","block_time":"1677-09-21T00:12:44"'
    block = b"{" + times + b',"block_number":-5,"x":-7,"events":[%b]}'
    seeds = []
    for number, (family, framing, _, _) in enumerate(SUBJECTS):
        make = fill_lines if family == "node_fills" else trade_lines
        chunk = b"".join(make(number, 5, framing=framing, bad=0.3 if number % 3 == 1 else 0.0))
        seeds.append(bytes((number, number, number)) + chunk)
        entry = _FILL if family == "node_fills" else _TRADE
        seeds.append(bytes((number, 0, 1)) + (block % entry if framing.wrapped else entry) + b"\n" + entry)
    untyped = json.dumps({"a": [1, -0.0, 1e308, None, True, {"": "é", "a.b": {"$ref": 5}}], "events": []}).encode()
    seeds += [bytes((len(SUBJECTS) - back, 1, 1)) + untyped + b"\n" + untyped for back in (9, 8, 1)]
    return seeds


SCRAPS = (
    b"", b"\n", b"\r\n", b"\0", b"\xef\xbb\xbf", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\\ud800", b"\\udc00",
    b"\\u0000",
    b"\\ud83d\\ude00", b"1e400", b"-0", b"-0.0", b"0", b"01", b"1e5", b".5", b"NaN", b"Infinity", b"-Infinity", b"null",
    b"true", b'""', b"{}", b"[]", b"[", b"{", b"]", b"}", b'{"a":', b'"', b"\\", b",", b":", b" ", b"\t", b"\xc2\x85",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"-9223372036854775809",
    b"18446744073709551616", b"2147483648", b"-2147483649", b"9" * 400, b"1" * 5000, b"0." + b"3" * 40,
    b'"_id":1,', b'"a_ns":1,', b'"block_time":1,', b'"user":"x",', b'"$set":{"a.b":1},', b'"a.b":1,', b'"":1,',
    b'"a\\u0000b":1,', b'"px":"1.50",', b'"px":1.5,', b'"px":null,', b'"oid":1,', b'"events":[],', b'"events":{},',
    b'"9999-12-31T23:59:59.999999999"', b'"1969-12-31T23:59:59.999999999Z"', b'"2262-04-11T23:47:16.854775807"',
    b'"2025-02-29T00:00:00"', b'"1677-09-21T00:12:43.145224192"', b'"NaN"', b'"-0"', b'"-0.00"', b'"1e5"', b'"+1"',
    '"１２"'.encode(), b'"' + b"9" * 34 + b'"', b'"' + b"9" * 35 + b'"', b'"0.' + b"0" * 33 + b'"', b"9223372036855",
    b"-1", b"253402300800000", b'{"Liquidated":{"a":[1]}}', b'["0x1",{}]', b'{"markPx":"1.5"}',
)  # fmt: skip

TARGET = Target(name="codec", check=check, seeds=_seeds(), scraps=SCRAPS)
