"""`tailrace simulate` as a process: files, manifest, what it prints, signals, refusals."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tailrace.simulator import Manifest

COMMAND = [sys.executable, "-m", "tailrace", "simulate"]


def simulate(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=60, check=False)


def assert_agrees(manifest: Manifest) -> None:
    """The manifest against the files on disk, counted anew."""
    assert manifest.files
    for record in manifest.files:
        content = Path(record.path).read_bytes()
        assert (len(content), content.count(b"\n")) == (record.bytes, record.lines)
        assert content.endswith(b"\n")


@pytest.mark.parametrize(
    ("options", "directory"),
    [
        ([], "node_trades"),
        (["--stream", "node_fills", "--framing", "streaming"], "node_fills_streaming"),
        (["--stream", "node_trades_by_block"], "node_trades_by_block"),
    ],
)
def test_hours_are_written_and_accounted_for(tmp_path: Path, options: list[str], directory: str) -> None:
    """Six files over midnight, a manifest that agrees, exit 0 and one last line with the totals; twice the same."""
    contents = []
    for root in (tmp_path / "a", tmp_path / "b"):
        manifest_file = tmp_path / f"{root.name}.json"
        limits = ["--rate", "max", "--speed", "14000", "--hours", "5", "--bad", "0.01", "--seed", "5"]
        done = simulate("--root", str(root), "--manifest", str(manifest_file), *limits, *options)
        assert done.returncode == 0, done.stderr
        manifest = Manifest.from_json(manifest_file.read_text())
        assert manifest.complete
        assert_agrees(manifest)
        hourly = root / directory / "hourly"
        names = [str(Path(record.path).relative_to(hourly)) for record in manifest.files]
        assert names == ["20250310/21", "20250310/22", "20250310/23", "20250311/0", "20250311/1", "20250311/2"]
        bad = sum(manifest.bad.values())
        assert bad > 0
        last = done.stdout.splitlines()[-1]
        assert last.startswith(f"wrote {manifest.entries:,} entries ({manifest.good:,} good, {bad:,} bad)")
        contents.append([Path(record.path).read_bytes() for record in manifest.files])
    assert contents[0] == contents[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_completes_the_torn_line_and_writes_the_manifest(tmp_path: Path, number: signal.Signals) -> None:
    """Without a limit it goes on until a signal; then exit 0, whole lines, and a manifest of what is there."""
    manifest_file = tmp_path / "manifest.json"
    process = subprocess.Popen(
        [*COMMAND, "--root", str(tmp_path), "--manifest", str(manifest_file)], stdout=subprocess.PIPE, text=True
    )
    hour_file = tmp_path / "node_trades" / "hourly" / "20250310" / "21"
    deadline = time.monotonic() + 30
    while not (hour_file.exists() and hour_file.stat().st_size > 100_000):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "until stopped" in printed
    manifest = Manifest.from_json(manifest_file.read_text())
    assert not manifest.complete
    assert_agrees(manifest)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--stream", "node_books"], "node_books"),
        (["--framing", "weekly"], "weekly"),
        (["--stream", "node_fills_by_block", "--framing", "bare"], "contradicts"),
        (["--start", "yesterday"], "yesterday"),
        (["--rate", "fast"], "fast"),
        (["--rate", "nan"], "rate"),
        (["--duration", "60"], "duration"),
        (["--entries", "0"], "entries"),
        (["--bad", "1"], "bad"),
        (["--manifest", "no/such/place/manifest.json"], "manifest"),
        (["--root", "/dev/null/data"], "root"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_exit_2(tmp_path: Path, options: list[str], says: str) -> None:
    """One line on standard error that names the trouble; nothing is written."""
    done = simulate("--root", str(tmp_path), "--hours", "1", *options)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.rglob("*"))
