"""The first and the last line of the newest file, as the codec reads them: do they fit the stream's name?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import bson

from tailrace.commands.doctor.finding import Finding, Subject, fine, note, problem, skipped
from tailrace.config import CodecChoice, SourceSettings
from tailrace.errors import SettingsError
from tailrace.ingest.files.reading import Reader, open_reader
from tailrace.ingest.wiring import make_codec
from tailrace.model import Encoded, Framing, SourceFile
from tailrace.streams import schema_of

_TRIES = 3  # newest files that are looked at: the newest may hold no complete line yet
_SIZES = (64 << 10, 1 << 20, 64 << 20)  # bytes read for one line: as many as it takes; a block of 20 MB was reported


@dataclass(slots=True)
class Sampled:
    """`entry_ns`: time of the newest entry that was looked at, nanoseconds since 1970; None where none tells. `file`:
    the one that it is from."""

    findings: list[Finding] = field(default_factory=list)
    entry_ns: int | None = None
    file: SourceFile | None = None


def sample(source: SourceSettings, choice: CodecChoice, files: Iterable[SourceFile], max_line_bytes: int) -> Sampled:
    """Of the newest of `files` (by hour) that has a complete line. Raises nothing that a file can do."""
    sampled = Sampled()
    for file in [*files][: -_TRIES - 1 : -1]:
        try:
            first, last = edges(file)
        except Exception as error:  # noqa: BLE001  whatever this one file is, run skips it and goes on
            sampled.findings.append(
                note(
                    Subject.SAMPLE,
                    f"{file.path} cannot be read ({error}): run would go on with the others",
                    "mend its rights, or put the whole file there again: run reads it as soon as it can",
                )
            )
            return sampled
        if first is None:
            continue
        sampled.file = file
        lines = {"first": first} | ({} if last is None or last == first else {"last": last})
        sampled.findings += _judged(source, choice, file, lines, max_line_bytes, sampled)
        return sampled
    sampled.findings.append(skipped(Subject.SAMPLE, "there is no complete line yet"))
    return sampled


def edges(file: SourceFile) -> tuple[bytes | None, bytes | None]:
    """The first and the last complete line that are not blank; of an archive the first alone. Raises what reading
    does."""
    reader = open_reader(file.path, file.compression, file.within)
    try:
        return _first(reader), None if file.compression else _last(reader)
    finally:
        reader.close()


def _first(reader: Reader) -> bytes | None:
    for size in _SIZES:
        data = reader.read_at(0, size)
        line, newline, _ = data.lstrip().partition(b"\n")
        if newline:
            return line
        if len(data) < size:
            break
    return None


def _last(reader: Reader) -> bytes | None:
    end = reader.size()
    for size in _SIZES:
        start = max(0, end - size)
        whole = reader.read_at(start, end - start).rpartition(b"\n")[0].rstrip()
        _, newline, line = whole.rpartition(b"\n")
        if newline or (start == 0 and whole):
            return line
        if start == 0:
            break
    return None


def _judged(
    source: SourceSettings,
    choice: CodecChoice,
    file: SourceFile,
    lines: dict[str, bytes],
    max_line_bytes: int,
    sampled: Sampled,
) -> Iterator[Finding]:
    try:
        codec = make_codec(source, choice)
    except SettingsError as error:
        yield problem(Subject.CONFIGURATION, str(error), "set identity = position, or another stream")
        return
    made = {which: codec.encode(line, bytes(7), 0) for which, line in lines.items()}
    entries = sum(len(encoded.documents) for encoded in made.values())
    other = _other_framing(source, choice, made, lines)
    if other is not None:
        yield other
        return
    too_long = {which: len(line) for which, line in lines.items() if len(line) > max_line_bytes}
    for which, size in too_long.items():
        yield note(
            Subject.SAMPLE,
            f"the {which} line of {file.path} has {size:,} bytes, and max_line_bytes is {max_line_bytes:,}: it would "
            "be kept aside (too_long)",
            "set max_line_bytes above the longest line that the node writes, or leave it at its default",
        )
    refused = {which: made[which].rejects[0] for which in made.keys() - too_long if made[which].rejects}
    for which, reject in sorted(refused.items()):
        yield note(
            Subject.SAMPLE,
            f"the {which} line of {file.path} would be kept aside ({reject.reason.value}: {reject.detail})",
            "nothing if it is one bad line; if all are, set stream to the name of what the node writes there",
        )
    if not refused and not too_long:
        which = "line is" if len(lines) == 1 else "and the last line are"
        yield fine(Subject.SAMPLE, f"the first {which} fine, entries: {entries} ({file.path})")
    newest = made.get("last", made["first"])
    sampled.entry_ns = _time(source, newest)


def _other_framing(
    source: SourceSettings, choice: CodecChoice, made: dict[str, Encoded], lines: dict[str, bytes]
) -> Finding | None:
    """What is wrong when the lines are framed otherwise than the stream's name says; else None."""
    wrapped = source.framing.wrapped
    suffix = Framing.BARE if wrapped else Framing.BY_BLOCK
    twin = source.model_copy(update={"stream": source.family + suffix.value})
    read = [make_codec(twin, choice).encode(line, bytes(7), 0) for line in lines.values()]
    if not all(len(encoded.documents) and not encoded.rejects for encoded in read):
        return None
    endings = " or ".join(framing.value for framing in Framing if framing.wrapped)
    how = "are wrapped (one block each, entries in events)" if not wrapped else "are bare (one entry each, no block)"
    named = f"the name {source.stream} {'says wrapped' if wrapped else f'lacks {endings}'}"
    remedy = (
        f"the folder's name must end in {endings} for such lines: rename it, or set root and stream to the right one"
        if not wrapped
        else f"the folder of such lines is called {source.family}: rename it, or set root and stream to the right one"
    )
    if all(encoded.rejects and not len(encoded.documents) for encoded in made.values()):
        return problem(Subject.SAMPLE, f"its lines {how}, and {named}: every line would be kept aside", remedy)
    return None


def _time(source: SourceSettings, encoded: Encoded) -> int | None:
    """When the last entry was written, by the node's clock (`local_time`), else when it happened."""
    if not len(encoded.documents):
        return None
    document = bson.decode(encoded.documents[-1])
    for name in ("local_time", "block_time", schema_of(source.family).event_time):
        value = document.get(f"{name}_ns")
        if isinstance(value, int):
            return int(value)
    return None
