"""Both codecs of one subject, and how they are held equal."""

from __future__ import annotations

from functools import cache

import pytest
from tests.fuzz.targets.codec import PREFIX, Subject

from tailrace.checksum import checksum
from tailrace.config.native import why_no_native_codec
from tailrace.ingest.codec.codec import PythonCodec
from tailrace.ingest.codec.native import NativeCodec
from tailrace.model import Encoded
from tailrace.streams import schema_of

WHY_NOT = why_no_native_codec()
needs_native = pytest.mark.skipif(WHY_NOT is not None, reason=f"no native codec: {WHY_NOT}")


@cache
def both(subject: Subject) -> tuple[PythonCodec, NativeCodec]:
    family, framing, identity, numbers = subject
    schema = schema_of(family)
    one = PythonCodec(schema, framing, identity=identity, numbers=numbers)
    return one, NativeCodec(schema, framing, identity=identity, numbers=numbers)


def equal(subject: Subject, data: bytes, base: int = 1000) -> Encoded:
    """Assert that both make the same of `data`, byte for byte, and give it."""
    reference, native = both(subject)
    made, found = reference.encode(data, PREFIX, base), native.encode(data, PREFIX, base)
    assert list(found.documents) == list(made.documents)
    assert found.rejects == made.rejects
    assert (found.lines, found.document_lines) == (made.lines, made.document_lines)
    assert found.blocks == made.blocks
    assert found.checksum == (checksum(made.documents) if made.document_lines is None else None)
    assert native.panics == 0
    return found


def left(subject: Subject, data: bytes) -> int:
    """Bytes of the lines that the crate leaves to the reference."""
    encoder = both(subject)[1]._encoder
    return sum(end - start for _, start, end in encoder.encode(data, PREFIX, 0)[3])
