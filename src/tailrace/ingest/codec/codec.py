r"""Stage 3: Chunk -> documents and rejects. Pure; the reference that the Rust twin is held to, byte by byte.

The rules, in the order in which they are asked. The first that a line or entry breaks is its reason.

    line        Lines end at b"\n" alone; the last may lack it. Offsets advance by the length of line and newline.
    empty       only space, tab and CR (asked first: such a line is nothing else).
    utf8        the whole line is UTF-8, strictly (no surrogates, no overlong forms, at most U+10FFFF).
    depth       a line that nests over 200 is not parsed (`nesting` says how depth is counted).
    json        RFC 8259; escapes of lone surrogates are not JSON. Numbers of any size are. A text without `.`, `e`
                and `E` is an integer (`-0` is 0), others are the nearest double. Duplicate names: last value,
                first position; what is discarded is not asked about further.
    depth       a bare line that nests over 100, a wrapper's field that reaches over 100, an entry of a wrapped line
                that does (counted from the root of the line, so two levels are the wrapper's).
    missing     a required member is absent, of the entry or of any known object within it (none is asked of `null`).
    type        a value is not of its field's kind (`streams.schema.Kind`), or a text not of its form: decimals
                -?[0-9]+(\.[0-9]+)?, times as in `streams.times`. Optional members may be null. An entry is an object,
                a fill a pair `[user, object]`, `events` an array.
    range       decimals over 34 digits, leading zeros counted; dates and clock times that do not exist; nanoseconds
                outside int64; integers outside int64 and numbers beyond a double, however deep; with content
                identity, an event before 1970 or after 2106.
    key         U+0000 in any field name, however deep.
    reserved_field  a member at the top of an entry that tailrace writes itself: `_id`, any name that ends in `_ns`,
                block_number, block_time, local_time (in every framing), `user` in a fill, the name of an unknown
                field of the wrapper.
    too_large   a document over 16 MiB.

The wrapper of a line {local_time, block_time, block_number, events, ...} is asked first, from `depth` to
`reserved_field`: its fault rejects the line as one entry. Then each entry by itself, siblings are stored. `events: []`
gives nothing. A reject of a whole line keeps the line; of one entry, that entry alone in a wrapper with the same
fields, all as raw slices: encoded again at offset + index it has the same verdict and the same `_id`.

The block number of a wrapped line counts (`model.Blocks`) when the line is a JSON object and the number an integer that
fits int64: also where there are no entries, or where the line is kept aside for another fault of its wrapper.

A document: `_id`, `user` of a fill, the members in order (a time followed by `<name>_ns`), and for a wrapped line
block_number, block_time, block_time_ns, local_time, local_time_ns, then the wrapper's unknown fields in order. Types:
integers int32 when they fit, else int64; `_ns` int64 always; dates in ms, floored; decimals by `numbers`. A JSON number
never becomes a decimal, nor does a text of an unknown field.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from tailrace.errors import SettingsError
from tailrace.identity import position_id
from tailrace.ingest.codec.document import NO_BLOCK, Block, DocumentWriter
from tailrace.ingest.codec.faults import BLANK, Fault, entry_fault, parse, wrapper_fault
from tailrace.ingest.codec.nesting import DEPTH_LIMIT, LINE_DEPTH_LIMIT, depth_of, is_shallow
from tailrace.ingest.codec.slices import Slices
from tailrace.model import Blocks, Encoded, Framing, Identity, Numbers, Offset, Reason, Reject
from tailrace.streams.schema import EVENTS, Schema
from tailrace.streams.times import INT64_MAX, INT64_MIN

MAX_DOCUMENT = 16 * 1024 * 1024
"""Bytes of BSON that a server takes as one document (MongoDB limits and thresholds)."""


_BLOCK_NUMBER = "block_number"


class Codec(Protocol):
    """One per source. Pure and thread-safe."""

    def encode(self, data: bytes, prefix: bytes, base: int) -> Encoded:
        """`data`: whole lines; `prefix`: of their life; `base`: offset of `data[0]` in that life.

        Any bytes at all: what is not an entry comes back as a reject. OverflowError past `identity.PLACE_LIMIT`.
        """
        ...

    def newlines(self, data: bytes) -> int:
        """How many there are: counted apart from `encode`, so that what it says of `data` can be held against it."""
        ...

    @property
    def panics(self) -> int:
        """Calls in which the native codec failed; the Python one made all of their lines. 0 in a sound program."""
        ...


class PythonCodec:
    """On msgspec and the driver's BSON. A line is first written as if all were well; when anything fails, whatever
    it is, the reason is asked for slowly. Raises SettingsError when the identity is not to be had for the stream."""

    def __init__(self, schema: Schema, framing: Framing, *, identity: Identity, numbers: Numbers) -> None:
        if identity is Identity.CONTENT and (schema.event_time is None or not schema.key):
            raise SettingsError(
                [f"identity = content is not possible for the stream {schema.family}: no schema tells its event time"]
            )
        self._schema = schema
        self._wrapped = framing.wrapped
        self._identity = identity
        self._writer = DocumentWriter(schema, identity, numbers)
        self._decode = msgspec.json.Decoder().decode

    panics = 0

    def newlines(self, data: bytes) -> int:
        return data.count(b"\n")

    def encode(self, data: bytes, prefix: bytes, base: int) -> Encoded:
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        documents: list[bytes] = []
        numbers: list[int] = []
        encoded = Encoded(documents, [], len(lines), [] if self._identity is Identity.CONTENT else None)
        places = encoded.document_lines
        start, end = base, base + len(data)
        for line in lines:
            try:
                made = self._entries(line, prefix, start, numbers)
            except Exception:  # noqa: BLE001  whatever it was: the reason is asked for, and a defect comes up again there
                documents += self._ask(line, prefix, start, min(start + len(line) + 1, end), encoded, numbers)
            else:
                documents += made
                if places is not None:
                    places += [(start, index) for index in range(len(made))]
            start += len(line) + 1
        encoded.blocks = _blocks_of(numbers)
        return encoded

    def _entries(self, line: bytes, prefix: bytes, start: int, numbers: list[int]) -> list[bytes]:
        """The documents of a line in which all is well; its block number is added. Any exception: it is not."""
        if line.count(b"{") + line.count(b"[") > DEPTH_LIMIT and not is_shallow(line):
            raise ValueError("deep")
        value = self._decode(line)
        write = self._writer.document
        if self._wrapped:
            block = self._writer.block_of(value)
            made = [write(entry, position_id(prefix, start, index), block) for index, entry in enumerate(value[EVENTS])]
        else:
            made = [write(value, position_id(prefix, start), NO_BLOCK)]
        if max(map(len, made), default=0) > MAX_DOCUMENT:
            raise ValueError("large")
        if self._wrapped:
            numbers.append(value[_BLOCK_NUMBER])
        return made

    def _ask(
        self, line: bytes, prefix: bytes, start: int, end: int, encoded: Encoded, numbers: list[int]
    ) -> list[bytes]:
        """A line's documents. Its block number is added to `numbers`; to `encoded` their places, and its rejects, each
        with its reason."""
        documents: list[bytes] = []
        places = encoded.document_lines
        for index, (made, kept) in enumerate(self._slowly(line, prefix, start, numbers)):
            if isinstance(made, Fault):
                encoded.rejects.append(
                    Reject(
                        start=Offset(start),
                        end=Offset(end),
                        index=index,
                        reason=made.reason,
                        detail=made.detail,
                        data=kept,
                    )
                )
                continue
            documents.append(made)
            if places is not None:
                places.append((start, index))
        return documents

    def _slowly(
        self, line: bytes, prefix: bytes, start: int, numbers: list[int]
    ) -> Iterator[tuple[bytes | Fault, bytes]]:
        """For each entry (of a line that cannot be read, once) its document, or its fault and the bytes to keep."""
        value, depth, fault = _read(line)
        if fault is None and not self._wrapped:
            fault = Fault(Reason.DEPTH, f"nests {depth} deep") if depth > DEPTH_LIMIT else None
            yield fault or self._one(value, position_id(prefix, start), NO_BLOCK), line
            return
        number = value.get(_BLOCK_NUMBER) if type(value) is dict else None
        if type(number) is int and INT64_MIN <= number <= INT64_MAX:
            numbers.append(number)
        slices = Slices(line) if type(value) is dict else None
        if fault is None and depth > DEPTH_LIMIT and (slices is None or slices.wrapper_is_deep()):
            fault = Fault(Reason.DEPTH, "a field of the wrapper nests too deep")
        fault = fault or wrapper_fault(value)
        if fault is not None or slices is None:
            yield fault or Fault(Reason.TYPE, "the line is not an object"), line
            return
        block = self._writer.block_of(value)
        for index, entry in enumerate(value[EVENTS]):
            made: bytes | Fault
            if depth > DEPTH_LIMIT and slices.is_deep(index):
                made = Fault(Reason.DEPTH, f"nests over {DEPTH_LIMIT} deep")
            else:
                made = self._one(entry, position_id(prefix, start, index), block)
            yield made, slices.alone(index) if isinstance(made, Fault) else b""

    def _one(self, entry: Any, position: bytes, block: Block) -> bytes | Fault:
        fault = entry_fault(entry, self._schema, self._identity, block.carried)
        if fault is not None:
            return fault
        document = self._writer.document(entry, position, block)
        if len(document) > MAX_DOCUMENT:
            return Fault(Reason.TOO_LARGE, f"{len(document)} bytes as a document")
        return document


def _blocks_of(numbers: list[int]) -> Blocks | None:
    """Of the numbers of lines in their order. None without any."""
    if not numbers:
        return None
    last, gaps = numbers[0], list[tuple[int, int]]()
    for number in numbers:
        if number > last:
            if number > last + 1:
                gaps.append((last + 1, number - 1))
            last = number
    return Blocks(numbers[0], last, tuple(gaps))


def _read(line: bytes) -> tuple[Any, int, Fault | None]:
    """A line's value and depth, or why it cannot be read."""
    if not line.strip(BLANK):
        return None, 0, Fault(Reason.EMPTY, "a blank line")
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return None, 0, Fault(Reason.UTF8, f"byte {error.start}: {error.reason}")
    depth = depth_of(line)
    if depth > LINE_DEPTH_LIMIT:
        return None, depth, Fault(Reason.DEPTH, f"nests over {LINE_DEPTH_LIMIT} deep")
    try:
        return parse(line), depth, None
    except msgspec.DecodeError as error:
        return None, depth, Fault(Reason.JSON, str(error))
