"""What `check` says of the first and last line of the newest file."""

from __future__ import annotations

import gzip
from pathlib import Path

from tests.support.tailrace_process import hour_file

from tailrace.commands.doctor.files import look
from tailrace.commands.doctor.finding import Level, Subject
from tailrace.commands.doctor.lines import Sampled, sample
from tailrace.config import CodecChoice, load
from tailrace.model import Framing
from tailrace.simulator import trade_lines

BARE = b"".join(trade_lines(1, 5, framing=Framing.BARE))
WRAPPED = b"".join(trade_lines(1, 5, framing=Framing.BY_BLOCK))


def sampled(root: Path, stream: str = "node_trades", max_line_bytes: int = 64 << 20) -> Sampled:
    flags = {"root": str(root), "stream": stream, "state_dir": "/nowhere", "mongodb_uri": "mongodb://h"}
    source = load(flags, {}, None).settings.sources[0]
    return sample(source, CodecChoice.PYTHON, look(source).files, max_line_bytes)


def said(found: Sampled) -> tuple[Level, str]:
    [finding] = found.findings
    return finding.level, finding.sentence


def test_lines_that_fit_are_fine(tmp_path: Path) -> None:
    """The first and the last complete line are read; the torn rest after it is not; the entry's time is known."""
    hour_file(tmp_path, "20250310/9").write_bytes(BARE + b'{"torn')
    found = sampled(tmp_path)
    level, sentence = said(found)
    assert level is Level.OK
    assert "the first and the last line are fine, entries: 2" in sentence
    assert found.entry_ns is not None
    assert found.entry_ns > 1_700_000_000 * 10**9


def test_wrapped_lines_in_a_stream_that_says_bare(tmp_path: Path) -> None:
    """Every line would be kept aside: a problem, with the endings that such a stream's name must have."""
    hour_file(tmp_path, "20250310/9").write_bytes(WRAPPED)
    [finding] = sampled(tmp_path).findings
    assert (finding.level, finding.subject) == (Level.PROBLEM, Subject.SAMPLE)
    assert "every line would be kept aside" in finding.sentence
    assert "_by_block or _streaming" in finding.remedy


def test_bare_lines_in_a_stream_that_says_wrapped(tmp_path: Path) -> None:
    """The other way round, with the name that it must have."""
    hour_file(tmp_path, "20250310/9", "node_trades_by_block").write_bytes(BARE)
    [finding] = sampled(tmp_path, "node_trades_by_block").findings
    assert finding.level is Level.PROBLEM
    assert "is called node_trades" in finding.remedy


def test_wrapped_lines_of_a_stream_without_a_schema(tmp_path: Path) -> None:
    """What it does not know it takes as it is; but the fields of a block are reserved: a problem as well."""
    hour_file(tmp_path, "20250310/9", "misc_events").write_bytes(WRAPPED)
    level, sentence = said(sampled(tmp_path, "misc_events"))
    assert level is Level.PROBLEM
    assert "the name misc_events lacks _by_block or _streaming" in sentence


def test_a_bad_last_line_is_a_note(tmp_path: Path) -> None:
    """One line that would be kept aside is named with its reason; `run` would start."""
    hour_file(tmp_path, "20250310/9").write_bytes(BARE + b"{\n")
    level, sentence = said(sampled(tmp_path))
    assert level is Level.NOTE
    assert "the last line" in sentence
    assert "json" in sentence


def test_the_newest_file_without_a_complete_line_is_passed_over(tmp_path: Path) -> None:
    """An hour that has just begun tells nothing yet: the one before it does."""
    hour_file(tmp_path, "20250310/9").write_bytes(BARE)
    hour_file(tmp_path, "20250310/10").write_bytes(b'{"torn')
    assert "20250310/9" in said(sampled(tmp_path))[1]


def test_an_archive_tells_by_its_first_line(tmp_path: Path) -> None:
    """It is not read to its end for one line."""
    hour_file(tmp_path, "20250310/9.gz").write_bytes(gzip.compress(BARE))
    assert "the first line is fine, entries: 1" in said(sampled(tmp_path))[1]


def test_a_damaged_archive_is_a_note(tmp_path: Path) -> None:
    """It hides nothing else, and `run` goes on with the others."""
    hour_file(tmp_path, "20250310/9.gz").write_bytes(b"no archive")
    assert said(sampled(tmp_path))[0] is Level.NOTE


def test_a_last_line_longer_than_one_look(tmp_path: Path) -> None:
    """It is read whole, however far back it begins."""
    long = BARE.splitlines(keepends=True)[0].replace(b'"hash":"', b'"hash":"' + b"x" * 200_000)
    assert len(long) > 200_000
    hour_file(tmp_path, "20250310/9").write_bytes(BARE + long)
    assert said(sampled(tmp_path))[0] is Level.OK


def test_lines_that_are_too_long(tmp_path: Path) -> None:
    """`run` keeps aside what is over max_line_bytes whatever it holds: a note for each, with both sizes, also where the
    codec would take it. A line of that very length is fine, and the newline does not count."""
    short, long = BARE.splitlines(keepends=True)[0], BARE.splitlines(keepends=True)[1].replace(b"0x", b"0x" + b"0" * 99)
    most = len(short) - 1
    assert len(long) > len(short)
    hour_file(tmp_path, "20250310/9").write_bytes(short + long)
    level, sentence = said(sampled(tmp_path, max_line_bytes=most))
    assert level is Level.NOTE
    assert sentence.startswith("the last line of ")
    assert f"has {len(long) - 1:,} bytes, and max_line_bytes is {most:,}: it would be kept aside" in sentence
    both = sampled(tmp_path, max_line_bytes=most - 1).findings
    assert [finding.level for finding in both] == [Level.NOTE, Level.NOTE]
    assert said(sampled(tmp_path, max_line_bytes=len(long) - 1))[0] is Level.OK
