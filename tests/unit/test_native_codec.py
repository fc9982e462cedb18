"""The native codec: documents by hand, what is left to the reference and comes back in its place, limits, a panic."""

from __future__ import annotations

import json
import threading
from typing import Any

import bson
import pytest
from bson import ObjectId
from tests.support.codecs import both, equal, left, needs_native
from tests.unit.test_codec import (
    BARE,
    BLOCK,
    ENA,
    FILL,
    FILLS,
    LINES,
    PREFIX,
    expected_trade,
    identified,
    shown,
    wrapped,
)

from tailrace.checksum import checksum
from tailrace.config.native import native_module
from tailrace.identity import PLACE_LIMIT
from tailrace.ingest.codec.codec import MAX_DOCUMENT
from tailrace.ingest.codec.native import NativeCodec
from tailrace.model import Blocks, Framing, Identity, Numbers
from tailrace.packed import Packed
from tailrace.streams import FAMILIES, schema_of
from tailrace.streams.schema import BLOCK_FIELDS, EVENTS, WRAPPER, Kind

pytestmark = needs_native

TRADES = ("node_trades", Framing.BARE, Identity.POSITION, Numbers.DECIMAL)
BLOCKS = ("node_trades", Framing.BY_BLOCK, Identity.POSITION, Numbers.DECIMAL)
UNTYPED = ("misc_events", Framing.BARE, Identity.POSITION, Numbers.DECIMAL)


def native(subject: Any = TRADES, **options: Any) -> NativeCodec:
    family, framing, identity, numbers = subject
    return NativeCodec(schema_of(family), framing, identity=identity, numbers=numbers, **options)


def test_a_trade_by_hand() -> None:
    """The bytes of the crate alone, against an independent reading; and the form of what it gives."""
    data = ENA + b"\n" + ENA
    documents, ends, places, unsure, lines, total, stretches = native()._encoder.encode(data, PREFIX, 5)
    packed = Packed(documents, memoryview(ends).cast("I"))
    for document, offset in zip(packed, (5, 6 + len(ENA)), strict=True):
        assert shown(document) == identified(offset, 0, expected_trade(json.loads(ENA)))
        assert document[:9] == len(document).to_bytes(4, "little") + b"\x07_id\0"
    assert (places, unsure, lines, total, stretches) == (None, [], 2, checksum(packed), [])


def test_a_content_id_by_hand() -> None:
    """The event's second and 64 bits of blake2b, as the reference's known answer has it."""
    subject = ("node_trades", Framing.BARE, Identity.CONTENT, Numbers.DECIMAL)
    made = equal(subject, ENA)
    assert left(subject, ENA) == 0
    assert made.document_lines == [(1000, 0)]
    assert made.checksum is None
    identifier = bson.decode(made.documents[0])["_id"]
    assert isinstance(identifier, ObjectId)
    assert identifier.binary[:4] == (1741605882).to_bytes(4, "big")


BAD = [("node_trades", Framing.BARE, *case) for case in BARE.values()]
BAD += [("node_fills", Framing.BARE, *case) for case in FILLS.values()]
BAD += [("node_trades", Framing.BY_BLOCK, *case) for case in LINES.values()]
BAD += [("node_trades", Framing.STREAMING, reason, wrapped(line)) for reason, line in BARE.values() if line.strip()]


@pytest.mark.parametrize(("family", "framing", "reason", "line"), BAD)
def test_every_fault_is_the_references_and_its_neighbours_are_not(
    family: str, framing: Framing, reason: str, line: bytes
) -> None:
    """The line alone is left, at any place of a chunk; reasons and details are the reference's own."""
    good = FILL if family == "node_fills" else ENA if framing is Framing.BARE else wrapped(ENA, ENA)
    line = line.replace(b"\n", b" ")
    for identity in Identity:
        subject = (family, framing, identity, Numbers.DECIMAL)
        for lines in ([line], [good, line], [line, good], [good, line, line, good, line, good, good]):
            data = b"\n".join(lines) + b"\n"
            made = equal(subject, data)
            assert len(made.rejects) >= lines.count(line)
            assert isinstance(made.documents, Packed)
            assert left(subject, data) == lines.count(line) * (len(line) + 1), reason


def test_what_is_common_is_not_left() -> None:
    """Escapes, other scripts, blanks, unknown fields, nulls, nesting, members in another order."""
    odd = b' {"z" : [1, -2.5e3, true, null, {"a":{}, "\\u0061\\n":[]}], "b":"\\u00e9\\ud83d\\ude00 \xc3\xa9" }\t\r'
    assert left(UNTYPED, odd) == 0
    assert equal(UNTYPED, odd).documents
    trade = json.loads(ENA)
    mixed = json.dumps({"new": {"x": [1]}, **dict(reversed(trade.items()))}, indent=None).encode()
    assert left(TRADES, mixed) == 0
    assert equal(TRADES, mixed).documents
    blocks: list[dict[str, Any]] = [{"z": 1, "events": [trade]}, {"events": [trade], "z": {"q": "é"}}, {"events": []}]
    for block in blocks:
        whole = json.loads(wrapped(ENA)) | block
        for line in (whole, dict(reversed(whole.items()))):
            data = json.dumps(line, ensure_ascii=False).encode()
            assert left(BLOCKS, data) == 0
            assert len(equal(BLOCKS, data).documents) == len(line["events"])


@pytest.mark.parametrize("count", [2, 31, 32, 33, 34, 200])
def test_doubled_names_are_noticed(count: int) -> None:
    """However many members there are, wherever the two stand."""
    names = [f"n{number}" for number in range(count)]
    for first, second in ((0, 1), (0, count - 1), (count // 2, count - 1), (count - 2, count - 1)):
        doubled = [*names]
        doubled[second] = doubled[first]
        for line in (names, doubled) if first != second else ():
            data = b"{" + b",".join(b'"%b":1' % name.encode() for name in line) + b"}"
            for whole in (data, b'{"o":' + data + b"}"):
                assert (left(UNTYPED, whole) > 0) is (line is doubled)
                equal(UNTYPED, whole)


def test_limits() -> None:
    """Depth, size and place are the reference's to refuse; up to them all is native."""
    for depth, fine in ((100, True), (101, False), (100_000, False)):
        line = b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
        assert (left(UNTYPED, line) == 0) is fine
        assert bool(equal(UNTYPED, line).documents) is fine
    overhead = len(bson.encode({"_id": ObjectId(), "a": ""}))
    for size, fine in ((MAX_DOCUMENT, True), (MAX_DOCUMENT + 1, False)):
        line = b'{"a":"' + b"x" * (size - overhead) + b'"}'
        assert (left(UNTYPED, line) == 0) is fine
        assert bool(equal(UNTYPED, line).documents) is fine
    many = b'{"a":[' + b"0," * (2 << 20) + b"0]}"  # 4 MiB that would become 27
    assert left(UNTYPED, many) == len(many)
    equal(TRADES, ENA, base=PLACE_LIMIT - len(ENA) - 1)
    equal(TRADES, ENA, base=PLACE_LIMIT - 1)
    for base in (PLACE_LIMIT, 1 << 70):
        for codec in both(TRADES):
            with pytest.raises(OverflowError):
                codec.encode(ENA, PREFIX, base)


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\n\n", b" ", b"\\\n", b'"\\\n"', b"{", b"{\n}", b'{"a":1}\r\n', ENA[:-1]]
)
def test_lines_end_at_newlines_and_nowhere_else(data: bytes) -> None:
    """No token reaches over the end of its line, whatever is broken in it."""
    equal(TRADES, data)
    equal(UNTYPED, data + b'{"a":1}')
    equal(BLOCKS, data)


def test_block_numbers_by_hand() -> None:
    """What the crate alone says of the lines between those that it leaves, and where the reference's come in."""

    def line(number: int, *entries: bytes) -> bytes:
        return wrapped(*entries, block=BLOCK.replace(b"985148182", b"%d" % number))

    data = b"\n".join([line(5, ENA), line(9), line(12, b"5"), line(10, b"5"), line(3, ENA), b"{", line(14, ENA)])
    *_, stretches = native(BLOCKS)._encoder.encode(data, PREFIX, 0)
    assert stretches == [(0, 5, 9, [(6, 8)]), (1, 3, 3, []), (2, 14, 14, [])]
    made = equal(BLOCKS, data)
    assert made.blocks == Blocks(5, 14, ((6, 8), (10, 11), (13, 13)))
    assert made.blocks.missing == 6


def test_a_panic_does_not_leave_the_crate(capfd: pytest.CaptureFixture[str]) -> None:
    """The call in which it happens is made by the reference whole, and is counted; the next one is native again."""
    codec = native(panic_on=b'{"coin":"PANIC"')
    data = b"\n".join((ENA, b'{"coin":"PANIC"}', ENA, b""))
    assert (codec.encode(ENA, PREFIX, 0).lines, codec.panics) == (1, 0)
    made = codec.encode(data, PREFIX, 1000)
    reference = both(TRADES)[0].encode(data, PREFIX, 1000)
    assert codec.panics == 1
    assert (list(made.documents), made.rejects, made.lines) == (reference.documents, reference.rejects, 3)
    assert made.checksum == checksum(reference.documents)
    assert codec._encoder.encode(ENA, PREFIX, 0)[3] == []
    assert "asked for by a test" in capfd.readouterr().err, "precondition: it was that panic"


def test_several_threads_use_one_codec() -> None:
    """Each gets what it asked for."""
    codec = native()
    wanted = {base: codec.encode(ENA + b"\n" + ENA, PREFIX, base).documents for base in range(8)}
    right: list[bool] = []

    def use(base: int) -> None:
        right.extend(codec.encode(ENA + b"\n" + ENA, PREFIX, base).documents == wanted[base] for _ in range(200))

    threads = [threading.Thread(target=use, args=(base,)) for base in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 200 * len(wanted)


def test_the_crate_knows_what_python_says_of_schemas() -> None:
    """Every family can be had with every identity it has; what the crate has written down itself is as in Python."""
    for family in FAMILIES:
        for identity in Identity:
            native((family, Framing.BY_BLOCK, identity, Numbers.DECIMAL))
    assert [(known.name, known.kind, known.required) for known in WRAPPER] == [
        ("local_time", Kind.TIME, True),
        ("block_time", Kind.TIME, True),
        ("block_number", Kind.INTEGER, True),
    ]
    assert EVENTS == "events"
    assert sorted(BLOCK_FIELDS) == ["block_number", "block_time", "local_time"]
    encoder = native_module().Encoder
    given: dict[str, Any] = {"fill": False, "wrapped": False, "event_time": None, "key": None}
    given |= {"depth_limit": 100, "size_limit": 1 << 24}
    for kind in Kind:
        encoder([("a", kind.value, True, [])], numbers="string", **given)
    for numbers in Numbers:
        encoder([], numbers=numbers.value, **given)
    with pytest.raises(ValueError, match="no such kind"):
        encoder([("a", "date", True, [])], numbers="string", **given)
    with pytest.raises(ValueError, match="no such numbers"):
        encoder([], numbers="float", **given)
    with pytest.raises(ValueError, match="the key"):
        encoder([("t", "time", True, [])], numbers="string", **(given | {"event_time": "t", "key": [["x"]]}))
