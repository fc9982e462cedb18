"""Any text as the name of a file or folder, and any word of the command line that names hours, sizes or durations.

Input: UTF-8 text, undecodable bytes as the file system gives them (surrogateescape). Only 0 to 23 are hours, only real
dates are days; what prints is read back as the same; nothing raises but what it says.
"""

from __future__ import annotations

import contextlib
import os
import re
from datetime import UTC, datetime

from tests.fuzz.target import Target

from tailrace.config.units import format_duration, format_size, parse_duration, parse_size
from tailrace.errors import UsageError
from tailrace.ingest.files.names import candidates, day_of, hour_of, locate, pattern_of, plain_path
from tailrace.model import Compression, SourceFile
from tailrace.streams import schema_of, stream_of
from tailrace.verify.selection import hours_of, label, select

_HOUR = 1741597200  # 2025-03-10T09:00Z
FILES = [
    SourceFile(path=f"/no/such/20250310/{name}", hour=_HOUR, compression=c, device=1, inode=1, size=1, mtime_ns=1)
    for name, c in (("9", Compression.NONE), ("9.gz", Compression.GZIP))
]


def check(data: bytes) -> None:
    text = os.fsdecode(data)
    _check_hour(text)
    _check_day(text)
    for name in text.split("/"):
        _check_hour(name)
        _check_day(name)
    assert text.startswith(plain_path(text))
    assert not re.search("[0-9]", pattern_of(text))
    family, framing = stream_of(text)
    assert family + framing.value == text
    assert schema_of(family).family == family
    _check_units(text)
    if "\0" in text:
        return  # no argument, variable or directory entry can hold one, and settings refuse it
    for tree in candidates("/no/such/root/" + text, text or None):
        assert tree.hourly.startswith("/")
    with contextlib.suppress(OSError):
        assert locate("/no/such/root/" + text) is None
    _check_word(text)


def _check_hour(name: str) -> None:
    found = hour_of(name)
    digits = name.split(".", maxsplit=1)[0]
    mine = digits.isascii() and digits.isdecimal() and len(digits) <= 2 and int(digits) <= 23
    mine = mine and name[len(digits) :] in ("", ".gz", ".zst", ".lz4")
    assert (found is not None) == mine
    if found is not None:
        assert (found[0], found[1].value) == (int(digits), name[len(digits) + 1 :])
        assert 0 <= found[0] <= 23


def _check_day(name: str) -> None:
    seconds = day_of(name)
    if seconds is not None:
        assert datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d") == name
        assert seconds % 86400 == 0
    elif re.fullmatch("(19[7-9][0-9]|20[0-9]{2})(0[1-9]|1[0-2])(0[1-9]|1[0-9]|2[0-8])", name, re.ASCII):
        raise AssertionError(f"{name!r} is a day")


def _check_word(word: str) -> None:
    hours = hours_of(word)
    if hours is not None:
        assert hours[1] - hours[0] in (3600, 86400)
        assert hours[0] % 3600 == 0
    try:
        chosen, unmatched = select(FILES, [word], None)
    except UsageError as error:
        said = str(error)
    else:
        said = ""
        assert bool(chosen) != bool(unmatched)
        assert all(file.hour // 86400 == hours[0] // 86400 for file in chosen if hours is not None)
    assert "\n" not in said
    assert not said or hours is None
    label(word)


def _check_units(text: str) -> None:
    with contextlib.suppress(ValueError):
        seconds = parse_duration(text)
        assert seconds >= 0
        shown = format_duration(seconds)
        if seconds < 1e9:  # beyond, a double has no milliseconds; settings end at seven days
            assert abs(parse_duration(shown) - seconds) < 0.001
    with contextlib.suppress(ValueError):
        size = parse_size(text)
        assert size >= 0
        assert parse_size(format_size(size)) == size


SEEDS = (
    b"9", b"09", b"23", b"24", b"007", b"9.gz", b"10.zst", b"9.lz4", b"9.tmp", b"9.gz.tmp", b"20250310", b"20250229",
    b"20250310/9", b"20250310/09.gz", b"19700101", b"21060207", b"21060208", b"00000101", b"node_trades_by_block",
    b"_streaming",
    b"1h30m", b"500ms", b"5m", b"24h", b"0", b"0.0", b"64MiB", b"1.5GiB", b"512 b", b"10MB", b"1s1s", b"5s1h",
    b"1e5s", b"\xff\xfe",
    b"999999999999999999d", b"0.000000001ms", b"999999999999999999.999999999TiB", "９".encode(), "١٢".encode(),
    b"~root/x", b"../../x",
)  # fmt: skip
SCRAPS = (
    *SEEDS,
    b"",
    b"/",
    b".",
    b"..",
    b"\0",
    b"\n",
    b" ",
    b"-",
    b"+",
    b"x" * 300,
    b"hourly",
    b"m",
    b"h",
    b"d",
    b"KiB",
    b"9" * 30,
)

TARGET = Target(name="names", check=check, seeds=SEEDS, scraps=SCRAPS)
