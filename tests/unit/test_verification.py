"""The pure parts of `verify` and `rejects`: the merge, the selection, the report, ids and framings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.commands.rejects_view import printable
from tailrace.commands.verify_words import total_line
from tailrace.errors import UsageError
from tailrace.ingest.codec.codec import PythonCodec
from tailrace.ingest.files.reading import open_reader
from tailrace.ingest.files.tailer import Tailer
from tailrace.ingest.mongo.reject_queries import RejectHead
from tailrace.model import Chunk, Compression, Framing, Identity, Life, Numbers, Offset, Reason, SourceFile, Span
from tailrace.streams import schema_of
from tailrace.verify.collation import Merge
from tailrace.verify.patience import Patience
from tailrace.verify.pieces import Piece, Pieces, cut
from tailrace.verify.reject_lookup import bounds, framing_of
from tailrace.verify.report import FileReport, FileState, Finding, FindingKind, VerifyReport
from tailrace.verify.selection import hours_of, in_order, select

DAY = 1741564800  # 2025-03-10


def document(key: int, **fields: object) -> bytes:
    return bson.encode({"_id": bson.ObjectId(key.to_bytes(12, "big")), **fields})


def merged(ours: Sequence[bytes], stored: Sequence[bytes], batches: Sequence[int] = ()) -> Merge:
    """`batches`: how many stored documents each batch holds; the last one has the rest."""
    merge = Merge(ours, frozenset())
    rest = list(stored)
    for size in batches:
        merge.feed(b"".join(rest[:size]))
        rest = rest[size:]
    merge.feed(b"".join(rest))
    return merge


@settings(deadline=None, max_examples=150)
@given(
    ours=st.dictionaries(st.integers(0, 40), st.integers(0, 1)),
    stored=st.dictionaries(st.integers(0, 40), st.integers(0, 1)),
    batches=st.lists(st.integers(0, 5), max_size=12),
)
def test_the_merge_agrees_with_two_dictionaries(
    ours: dict[int, int], stored: dict[int, int], batches: list[int]
) -> None:
    """Whatever is where, in batches of any size: missing, different and extra are those that dictionaries give."""
    keys = sorted(ours)
    found = merged(
        [document(key, value=ours[key]) for key in keys],
        [document(key, value=stored[key]) for key in sorted(stored)],
        batches,
    ).finish()
    assert [keys[at] for at in found.missing] == [key for key in keys if key not in stored]
    assert [keys[at] for at in found.different] == [key for key in keys if stored.get(key, ours[key]) != ours[key]]
    assert set(found.different.values()) <= {"value"}
    assert found.extra == len(stored.keys() - ours.keys())
    assert [int.from_bytes(key, "big") for key in found.extra_ids] == sorted(stored.keys() - ours.keys())[:8]


def test_copies_of_one_id_are_each_compared_with_the_one_that_is_stored() -> None:
    """Content identity: two equal copies and a different one; then none of them there."""
    ours = [document(1, v=1), document(2, v=1), document(2, v=2), document(2, v=1), document(3, v=1)]
    for batches in ([1], [1, 1], [2], []):
        found = merged(ours, [document(1, v=1), document(2, v=1), document(3, v=1)], batches).finish()
        assert (found.missing, found.different, found.extra) == ([], {2: "v"}, 0)
    assert merged(ours, [document(1, v=1), document(3, v=1)], [1]).finish().missing == [1, 2, 3]


def life() -> Life:
    return Life(source="s", family="f", path="p", hour=DAY, number=0, salt=0, fingerprint=bytes(32), start=Offset(0))


def test_a_chunk_is_cut_at_the_size_that_the_file_had() -> None:
    """Whole lines only; what came later is left out."""
    chunk = Chunk(Span(life(), Offset(10), Offset(20)), b"aaa\nbb\ncc\n")
    assert cut(chunk, 20) is chunk
    for end in (17, 18, 19):
        part = cut(chunk, end)
        assert part is not None
        assert (part.data, part.span.start, part.span.end) == (b"aaa\nbb\n", 10, 17)
    assert cut(chunk, 13) is None


@pytest.mark.parametrize("shift", [0, -1, 5])
def test_a_growing_file_is_read_up_to_the_size_that_it_had(tmp_path: Path, shift: int) -> None:
    """However the size at the beginning cuts a line, and with more lines there by the time they are read."""
    lines = [b'{"n":%d}\n' % number for number in range(100)]
    end = sum(map(len, lines[:60])) + shift
    path = tmp_path / "9"
    path.write_bytes(b"".join(lines))
    reader = open_reader(str(path), Compression.NONE)
    tailer = Tailer(reader)
    tailer.life = life()
    codec = PythonCodec(schema_of("other"), Framing.BARE, identity=Identity.POSITION, numbers=Numbers.DECIMAL)
    pieces = Pieces(tailer, codec, end=end, max_line_bytes=1000)
    numbers: list[int] = []

    async def add(piece: Piece) -> None:
        numbers.extend(bson.decode(each)["n"] for each in piece.documents)

    asyncio.run(pieces.each(add))
    reader.close()
    whole = 59 if shift < 0 else 60
    assert numbers == list(range(whole))
    assert pieces.offset == sum(map(len, lines[:whole]))
    assert pieces.torn == end - pieces.offset


def source_file(path: str, hour: int) -> SourceFile:
    return SourceFile(path=path, hour=hour, compression=Compression.NONE, device=0, inode=0, size=0, mtime_ns=0)


def test_the_newest_hours_are_counted_from_the_newest_file() -> None:
    """`--last 2h` is two hour files, whatever today is; with a day it is what both say."""
    files = [source_file(f"/x/hourly/20250310/{hour}", DAY + 3600 * hour) for hour in (7, 8, 9, 10)]
    files.append(source_file("/x/hourly/20250311/0", DAY + 86400))
    assert select(files, [], 3600.0) == (files[-1:], [])
    assert select(files, [], 15 * 3600.0)[0] == files[-2:]
    assert select(files, ["20250310", "20250312"], 15 * 3600.0) == (files[3:4], ["20250312"])
    assert in_order(reversed(files)) == files
    assert select([], [], 60.0) == ([], [])


def test_words_for_hours(tmp_path: Path) -> None:
    """Days and hours with or without zero; anything else is a path that exists, or a usage error."""
    assert hours_of("20250310") == (DAY, DAY + 86400)
    assert hours_of("20250310/9") == hours_of("20250310/09") == hours_of("20250310/9.gz") == (DAY + 32400, DAY + 36000)
    for word in ("20250230", "20250310/24", "9", "2025-03-10", ""):
        assert hours_of(word) is None
    with pytest.raises(UsageError, match="nonsense"):
        select([source_file("/x/hourly/20250310/7", DAY)], ["nonsense"], None)
    assert select([source_file("/x/hourly/20250310/7", DAY)], [str(tmp_path)], None) == ([], [str(tmp_path)])


def report(**counts: int) -> VerifyReport:
    file = FileReport(path="/d/20250310/9", hour=DAY, **counts)  # type: ignore[arg-type]  # counts only
    file.conclude()
    return VerifyReport(source="s", namespace="d.c", identity=Identity.POSITION, deep=True, files=[file])


def test_one_line_says_it_all() -> None:
    """The sentence of the documentation; one file that is not proven makes the whole not proven."""
    whole = report(lines=168_009, entries=168_009, equal=168_000, kept=9)
    assert total_line([whole]) == (
        "168,009 entries in 1 file: 168,000 stored and equal, 9 kept aside; missing 0, different 0, extra 0: proven"
    )
    for name in ("missing", "different", "extra"):
        bad = report(**{name: 1})
        assert not bad.proven
        assert bad.files[0].state is FileState.DIFFERS
        assert total_line([whole, bad]).endswith(": NOT proven (1 file)")
    gone = report()
    gone.files[0].state = FileState.GONE
    assert not gone.proven
    assert total_line([gone]).endswith(
        "0 entries in 0 files: 0 stored and equal, 0 kept aside; missing 0, different 0, "
        "extra 0: nothing was verified; 1 file vanished meanwhile"
    )


def test_examples_are_few_and_counts_are_all() -> None:
    """A file that is missing whole does not fill the memory with findings."""
    file = FileReport(path="p", hour=DAY)
    for offset in range(100):
        file.note(Finding(kind=FindingKind.MISSING, key=b"", offset=offset))
    assert [finding.offset for finding in file.findings] == [0, 1, 2, 3, 4]


def test_patience_ends_and_comes_back_when_it_helped() -> None:
    """A few looks in a row, anew after one that helped, and never more than in all."""

    async def looks() -> None:
        patience = Patience(looks=2, pause=0.0, total=5)
        assert [await patience.again() for _ in range(3)] == [True, True, False]
        patience.helped()
        assert [await patience.again() for _ in range(3)] == [True, True, False]
        patience.next_file()
        assert [await patience.again() for _ in range(3)] == [True, False, False]

    asyncio.run(looks())


def head(path: str, family: str = "node_trades", source: str = "node_trades") -> RejectHead:
    return RejectHead(
        key=bytes(20),
        source=source,
        family=family,
        path=path,
        hour=DAY,
        prefix=bytes(7),
        start=0,
        end=1,
        index=0,
        reason=Reason.JSON,
        detail="",
        size=0,
        parts=1,
    )


def test_the_framing_of_a_reject_is_what_is_configured_or_what_its_path_says() -> None:
    """The configuration of its source, else the stream's directory, else what else is configured."""
    path = "/data/node_trades_by_block/hourly/20250310/9"
    assert framing_of(head(path), {}, Framing.BARE) is Framing.BY_BLOCK
    assert framing_of(head(path.replace("_by_block", "")), {}, Framing.STREAMING) is Framing.BARE
    assert framing_of(head(path), {"node_trades": Framing.STREAMING}, Framing.BARE) is Framing.STREAMING
    assert framing_of(head(path), {"another": Framing.STREAMING}, Framing.BARE) is Framing.BY_BLOCK
    assert framing_of(head("/mnt/disk/hourly/20250310/9"), {}, Framing.STREAMING) is Framing.STREAMING
    assert framing_of(head("9"), {}, Framing.STREAMING) is Framing.STREAMING


def test_the_beginning_of_an_id_has_bounds() -> None:
    """Any number of hex digits from the hour on; odd ones too."""
    assert bounds("ABCDEF012") == (bytes.fromhex("abcdef0120" + 30 * "0"), bytes.fromhex("abcdef012f" + 30 * "f"))
    assert bounds("1" * 40) == (b"\x11" * 20, b"\x11" * 20)
    for word in ("abc", "1" * 41, "xyzxyzxyz", "1234567 8"):
        with pytest.raises(UsageError):
            bounds(word)


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_printed(text: str) -> None:
    """What is shown is one printable line, whatever was kept aside."""
    shown = printable(text)
    assert shown.isprintable() or not shown
    assert json.loads(json.dumps(shown)) == shown
