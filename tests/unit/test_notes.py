"""The small files in the state directory by which a running instance is found and asked."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest
import structlog

from tailrace.ops import notes


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Whole, and by our own user alone, whatever the umask; nothing else is left in the directory."""
    path = tmp_path / notes.INSTANCE
    before = os.umask(0)
    try:
        notes.write(path, {"pid": 7, "http": None, "started": 1.5})
        notes.write(path, {"pid": 8, "http": "127.0.0.1:1", "changed": ("ein grüner Baum", "\ud800")})
    finally:
        os.umask(before)
    assert notes.read(path) == {"pid": 8, "http": "127.0.0.1:1", "changed": ["ein grüner Baum", "\ud800"]}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [notes.INSTANCE]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"7",
        b"null",
        b"\xff\xfe",
        b"\0" * 100,
        b"[" * 100_000,
        b'{"a": ' + b" " * (1 << 20),
    ],
    ids=["empty", "begun", "list", "text", "number", "null", "bytes", "zeros", "nested", "large"],
)
def test_damaged(tmp_path: Path, content: bytes) -> None:
    """What is no note counts as none: whoever asks goes on without it."""
    path = tmp_path / notes.RELOAD
    path.write_bytes(content)
    assert notes.read(path) == {}


def test_absent(tmp_path: Path) -> None:
    """None there, a directory in its place, or no way to it: none. Removing what is not there is no error."""
    assert notes.read(tmp_path / "none") == {}
    assert notes.read(tmp_path) == {}
    assert notes.read(tmp_path / "none" / "none") == {}
    notes.remove(tmp_path / "none")
    path = tmp_path / notes.INSTANCE
    notes.write(path, {"pid": 7})
    notes.remove(path)
    assert not path.exists()


def test_a_note_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """It is a warning that says what it means, never an error; the former note stays."""
    path = tmp_path / notes.RELOAD
    notes.write(path, {"number": 1})
    path.with_name(f"{path.name}.new").mkdir()
    with structlog.testing.capture_logs() as said:
        notes.write(path, {"number": 2})
        notes.write(tmp_path / "none" / notes.RELOAD, {"number": 2})
    assert [each["event"] for each in said] == ["note_not_written", "note_not_written"]
    assert {each["log_level"] for each in said} == {"warning"}
    assert all("the ingestion goes on" in each["meaning"] for each in said)
    assert notes.read(path) == {"number": 1}


def test_nobody_reads_half_a_note(tmp_path: Path) -> None:
    """While it is replaced again and again a reader finds the one or the other, never a part, never none."""
    path = tmp_path / notes.RELOAD
    stop = threading.Event()
    notes.write(path, {"number": -1})

    def keep_writing() -> None:
        number = 0
        while not stop.is_set():
            notes.write(path, {"number": number, "long": "x" * 50_000})
            number += 1

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        seen = [notes.read(path).get("number") for _ in range(2000)]
    finally:
        stop.set()
        writer.join()
    assert None not in seen
    assert len(set(seen)) > 1, "it was never replaced meanwhile"
    assert json.loads(path.read_text())["number"] >= 0
