"""Stage 3 by the crate in `native/`: what it is sure of it makes, the other lines are the reference's.

So a reject, its reason and its detail have one source. A document has two, which a differential test holds equal, byte
for byte. `config.native` says whether the crate is there.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

from tailrace.checksum import checksum, plus
from tailrace.config.native import native_module
from tailrace.identity import PLACE_LIMIT
from tailrace.ingest.codec.codec import MAX_DOCUMENT, PythonCodec
from tailrace.ingest.codec.nesting import DEPTH_LIMIT
from tailrace.model import Blocks, Encoded, Framing, Identity, Numbers, blocks_joined
from tailrace.packed import Packed
from tailrace.streams.schema import EntryShape, Field, Schema

_OFFSET: Literal["I"] = "I"  # 32 bits, as an array and as a view


class _Answer(NamedTuple):
    data: bytes
    ends: bytes
    places: list[tuple[int, int]] | None
    unsure: list[tuple[int, int, int]]
    lines: int
    checksum: int | None
    stretches: list[tuple[int, int, int, list[tuple[int, int]]]]


class _Encoder(Protocol):
    @property
    def panics(self) -> int: ...

    def encode(self, data: bytes, prefix: bytes, base: int) -> tuple[Any, ...]: ...


class NativeCodec:
    """The same as PythonCodec, and raises the same; besides, NotAvailable where the crate is not to be had.

    `panic_on` is for tests: the crate panics on a line that begins with these bytes.
    """

    def __init__(
        self,
        schema: Schema,
        framing: Framing,
        *,
        identity: Identity,
        numbers: Numbers,
        panic_on: bytes | None = None,
    ) -> None:
        self._reference = PythonCodec(schema, framing, identity=identity, numbers=numbers)
        native = native_module()
        self._count_newlines: Callable[[bytes], int] = native.count_newlines
        self._encoder: _Encoder = native.Encoder(
            [_as_given(field) for field in schema.fields],
            fill=schema.shape is EntryShape.FILL,
            wrapped=framing.wrapped,
            numbers=numbers.value,
            event_time=schema.event_time,
            key=[list(path) for path in schema.key] if identity is Identity.CONTENT else None,
            depth_limit=DEPTH_LIMIT,
            size_limit=MAX_DOCUMENT,
            panic_on=panic_on,
        )

    @property
    def panics(self) -> int:
        return self._encoder.panics

    def newlines(self, data: bytes) -> int:
        return self._count_newlines(data)

    def encode(self, data: bytes, prefix: bytes, base: int) -> Encoded:
        if not 0 <= base < PLACE_LIMIT:
            return self._reference.encode(data, prefix, base)
        made = _Answer(*self._encoder.encode(data, prefix, base))
        documents = Packed(made.data, memoryview(made.ends).cast(_OFFSET))
        encoded = Encoded(documents, [], made.lines, made.places, made.checksum)
        # Of the lines after so many ranges that are left.
        blocks = {before: Blocks(first, last, tuple(gaps)) for before, first, last, gaps in made.stretches}
        if made.unsure:
            self._add_unsure(encoded, documents, made.unsure, blocks, (data, prefix, base))
        else:
            encoded.blocks = blocks.get(0)
        return encoded

    def _add_unsure(
        self,
        encoded: Encoded,
        sure: Packed,
        unsure: list[tuple[int, int, int]],
        blocks: dict[int, Blocks],
        given: tuple[bytes, bytes, int],
    ) -> None:
        """Put what the reference makes of the lines that are left in its place. `unsure`: see `Encoder.encode`."""
        data, prefix, base = given
        parts: list[bytes] = []
        ends, places = array(_OFFSET), list[tuple[int, int]]()
        taken = 0
        numbered = [blocks.get(0)]
        for count, (before, start, end) in enumerate(unsure, 1):
            _append(parts, ends, sure, taken, before)
            if encoded.document_lines is not None:
                places += encoded.document_lines[taken:before]
            taken = before
            theirs = self._reference.encode(data[start:end], prefix, base + start)
            for document in theirs.documents:
                parts.append(document)
                ends.append((ends[-1] if ends else 0) + len(document))
            places += theirs.document_lines or ()
            encoded.rejects += theirs.rejects
            numbered += (theirs.blocks, blocks.get(count))
            if encoded.checksum is not None:
                encoded.checksum = plus(encoded.checksum, checksum(theirs.documents))
        _append(parts, ends, sure, taken, len(sure))
        encoded.documents = Packed(b"".join(parts), ends)
        encoded.blocks = blocks_joined(numbered)
        if encoded.document_lines is not None:
            encoded.document_lines = places + encoded.document_lines[taken:]


def _append(parts: list[bytes], ends: array[int], sure: Packed, first: int, last: int) -> None:
    """Documents `first` to `last` of `sure`, as one part."""
    if first == last:
        return
    begin = sure.ends[first - 1] if first else 0
    parts.append(sure.data[begin : sure.ends[last - 1]])
    shift = (ends[-1] if ends else 0) - begin
    ends.extend(end + shift for end in sure.ends[first:last])


def _as_given(field: Field) -> tuple[str, str, bool, list[Any]]:
    return (field.name, field.kind.value, field.required, [_as_given(inner) for inner in field.fields])
