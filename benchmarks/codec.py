"""Codec: what a line costs, part by part, beside msgspec decoding it and doing nothing else.

CPU time of the process, all its threads, on chunks of 1 MiB as `run` reads them; rounds alternate, medians count. The
parts do not add up: msgspec and bson stand for the two ends, which the codecs do in their own way.

  msgspec     msgspec.json.Decoder().decode of every line; the other figures are compared with this one
  bson        bson.encode of the finished documents, as dicts with the driver's types: the usual way to write BSON
  decimals    px, sz and start_pos, startPosition and so on: text to the 16 bytes of a decimal128
  Decimal128  the same with the driver's own class
  times       a time's text (or milliseconds) to nanoseconds
  python      PythonCodec.encode: lines to documents, checked, with their _id
  native      NativeCodec.encode, where it can be imported
  checksum    crc32 of every document, added up (native includes it, python does not)
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bson
import msgspec
from benchmarks.support import load, machine, report
from benchmarks.support.numbers import middle, ratio, spread
from benchmarks.support.report import number, say
from bson import Decimal128

from tailrace.checksum import checksum
from tailrace.config import CodecChoice
from tailrace.errors import SettingsError
from tailrace.ingest.codec.choosing import choose_codec
from tailrace.ingest.codec.codec import Codec, PythonCodec
from tailrace.model import Framing, Identity, Numbers
from tailrace.streams import schema_of
from tailrace.streams.decimals import FORM, decimal128
from tailrace.streams.times import FORM as TIME_FORM
from tailrace.streams.times import nanoseconds

CHUNK = 1 << 20
PREFIX = b"bench!!"
CASES = (
    ("node_trades", Framing.BARE),
    ("node_fills", Framing.BY_BLOCK),
    ("node_trades", Framing.STREAMING),
)
DECIMALS = {"px", "sz", "start_pos", "startPosition", "closedPnl", "fee", "builderFee", "deployerFee", "markPx"}
TIMES = {"time", "block_time", "local_time"}

Part = Callable[[], object]


def main() -> None:
    given = report.parser_of(__doc__, lines=100_000, rounds=7).parse_args()
    if given.quick:
        given.lines, given.rounds = min(given.lines, 10_000), 3
    facts = machine.facts()
    report.heading(__doc__, facts)
    machine.codecs("both", say)  # says why there is no native one
    found: dict[str, Any] = {"load": load.settings(entries=given.lines), "cases": {}}
    for family, framing in CASES:
        name = f"{family}{framing}"
        found["cases"][name] = measured(name, family, framing, given.lines, given.rounds)
    report.keep("codec", facts, given, found)


def measured(name: str, family: str, framing: Framing, entries: int, rounds: int) -> dict[str, Any]:
    """Nanoseconds of CPU for each part and round; the table is shown on the way."""
    lines = list(load.lines(family, entries, framing))
    parts = parts_of(family, framing, lines)
    taken: dict[str, list[float]] = {part: [] for part in parts}
    for _ in range(rounds):
        for part, work in parts.items():
            taken[part].append(cpu_of(work))
    medians = {part: middle(values) or 0.0 for part, values in taken.items()}
    size = sum(map(len, lines))
    rows = [
        [
            part,
            number(medians[part] / len(lines), ",.0f"),
            number(medians[part] / entries, ",.0f"),
            number(size / medians[part] * 1e3, ",.0f"),
            number(spread(taken[part]), ".0%"),
            number(ratio(medians[part], medians["msgspec"]), ".2f"),
        ]
        for part in parts
    ]
    title = f"{name}: {entries:,} entries in {len(lines):,} lines, {size / len(lines):,.0f} bytes a line"
    report.table(title, ("", "ns/line", "ns/entry", "MB/s", "spread", "of msgspec"), rows)
    return {"entries": entries, "lines": len(lines), "bytes": size, "cpu_ns": taken}


def parts_of(family: str, framing: Framing, lines: list[bytes]) -> dict[str, Part]:
    decode = msgspec.json.Decoder().decode
    chunks = list(chunked(lines))
    codec = PythonCodec(schema_of(family), framing, identity=Identity.POSITION, numbers=Numbers.DECIMAL)
    documents = [document for data, base in chunks for document in codec.encode(data, PREFIX, base).documents]
    typed = [bson.decode(document) for document in documents]
    bare = [line.rstrip(b"\n") for line in lines]
    pairs = [pair for line in bare for pair in members(decode(line))]
    decimals = [value for key, value in pairs if key in DECIMALS and type(value) is str and FORM.fullmatch(value)]
    times = [value for key, value in pairs if key in TIMES and type(value) is str and TIME_FORM.fullmatch(value)]
    parts: dict[str, Part] = {
        "msgspec": lambda: each(decode, bare),
        "bson": lambda: each(bson.encode, typed),
        "decimals": lambda: each(decimal128, decimals),
        "Decimal128": lambda: each(Decimal128, decimals),
        "times": lambda: each(nanoseconds, times),
        "python": lambda: encode(codec, chunks),
        "checksum": lambda: checksum(documents),
    }
    native = native_codec(family, framing)
    if native is not None:
        made = [document for data, base in chunks for document in native.encode(data, PREFIX, base).documents]
        if made != documents:
            raise SystemExit("The two codecs differ: nothing can be said of their speed.")
        parts["native"] = lambda: encode(native, chunks)
    return parts


def each(work: Callable[[Any], object], values: Iterable[Any]) -> None:
    for value in values:
        work(value)


def encode(codec: Codec, chunks: list[tuple[bytes, int]]) -> None:
    for data, base in chunks:
        codec.encode(data, PREFIX, base)


def chunked(lines: list[bytes]) -> Iterator[tuple[bytes, int]]:
    """Whole lines of up to 1 MiB, and the offset of each such chunk."""
    part: list[bytes] = []
    base = size = 0
    for line in lines:
        if part and size + len(line) > CHUNK:
            yield b"".join(part), base
            base, size, part = base + size, 0, []
        part.append(line)
        size += len(line)
    yield b"".join(part), base


def members(value: Any) -> Iterator[tuple[str, Any]]:
    """All names and values of objects in it, however deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from members(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from members(inner)


def native_codec(family: str, framing: Framing) -> Codec | None:
    schema = schema_of(family)
    try:
        return choose_codec(CodecChoice.NATIVE, schema, framing, identity=Identity.POSITION, numbers=Numbers.DECIMAL)
    except SettingsError:
        return None


def cpu_of(work: Part) -> float:
    """Nanoseconds, all threads. The collector of cycles is off meanwhile: its turn comes with what else lives."""
    gc.collect()
    gc.disable()
    begun = time.process_time_ns()
    work()
    taken = time.process_time_ns() - begun
    gc.enable()
    return float(taken)


if __name__ == "__main__":
    main()
