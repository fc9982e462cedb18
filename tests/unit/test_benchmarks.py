"""The benchmarks start, and what they compute from their measurements is right."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path

import bson
import pytest
from benchmarks.support.delays import by_count, by_place
from benchmarks.support.load import Appended
from benchmarks.support.numbers import distribution, middle, percentile, pieces, ratio, seconds_of, spread
from benchmarks.support.proxy import Ack, ack_of
from bson import ObjectId

from tailrace.identity import position_id

SCRIPTS = sorted((Path(__file__).resolve().parents[2] / "benchmarks").glob("*.py"))


def test_there_are_benchmarks() -> None:
    """What the issue asks for is there, and nothing else lies in the folder that `make bench` runs."""
    assert [script.stem for script in SCRIPTS] == ["codec", "footprint", "latency", "observing", "scale", "throughput"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_help(script: Path) -> None:
    """Every benchmark says what it measures and how it is called, from any directory."""
    title = re.match(r'"""([^"\n]+)\n', script.read_text())
    assert title is not None  # what `make bench` prints
    done = subprocess.run([sys.executable, script, "--help"], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert title[1] in done.stdout
    for flag in ("--rounds", "--quick", "--json", "--directory"):
        assert flag in done.stdout


def test_percentiles_are_values_that_were_measured() -> None:
    """By nearest rank: of a hundred values the 99th is p99, the last is p99.9."""
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 0.999, 1.0)] == [50, 99, 100, 100]
    assert percentile([7.0], 0.5) == 7
    assert distribution([3, 1, 2]) == {"p50": 2, "p99": 3, "p99.9": 3, "max": 3, "count": 3}
    assert distribution([]) == {"count": 0}


def test_ratios() -> None:
    """What is unknown, or compared with nothing, has no ratio."""
    assert ratio(3.0, 4.0) == 0.75
    assert ratio(None, 4.0) is None
    assert ratio(3.0, 0.0) is None
    assert middle([5, None, 1, 3]) == 3
    assert middle([None]) is None
    assert spread([9, 10, 12]) == 0.3
    assert spread([]) == 0


@pytest.mark.parametrize(("text", "seconds"), [("100ms", 0.1), ("2s", 2.0), ("0", 0.0)])
def test_durations(text: str, seconds: float) -> None:
    """A delay is given with its unit."""
    assert seconds_of(text) == seconds
    with pytest.raises(ValueError, match="no duration"):
        seconds_of("100")


def test_a_large_file_in_pieces() -> None:
    """A piece ends with the first look past its border, and has the memory of its own looks only."""
    looks = [(1.0, 60, 5), (2.0, 110, 9), (3.0, 190, 7), (4.0, 210, 6)]
    assert pieces(looks, 100) == [(110, 55.0, 9), (210, 50.0, 7)]
    assert pieces([(1.0, 350, 5), (2.0, 360, 5), (4.0, 400, 5)], 100) == [(350, 350.0, 5), (400, 50 / 3, 5)]


APPENDED = [Appended(10.0, 100, 2), Appended(11.0, 200, 3)]  # two lines in 100 bytes, then one


def test_delays_by_place() -> None:
    """A line belongs to the write that brought its first byte; a repeated acknowledgement changes nothing."""
    acks = [Ack(11.5, 2, [100, 0]), Ack(10.25, 2, [0, 50])]
    assert sorted(by_place(APPENDED, acks, 0)) == [0.25, 0.25, 0.5]
    assert by_place(APPENDED, acks, 100) == [0.5]


def test_delays_by_count() -> None:
    """Without places the n-th document is the n-th line; those that came before the writer are none of its lines."""
    acks = [Ack(9.0, 1, []), Ack(10.5, 1, []), Ack(12.0, 2, [])]
    assert by_count(APPENDED, acks, before=1) == [0.5, 2.0, 1.0]


def test_what_a_request_inserts() -> None:
    """The proxy reads the places of all documents of an insert, and counts those that name none."""
    body = bson.encode({"insert": "node_trades", "$db": "bench"})
    documents = [bson.encode({"_id": ObjectId(position_id(b"1234567", place)), "n": place}) for place in (0, 489)]
    sequence = b"documents\0" + b"".join([*documents, bson.encode({"msg": "a line"})])
    rest = bytes(4) + b"\0" + body + b"\1" + struct.pack("<i", len(sequence) + 4) + sequence
    assert ack_of(1.5, struct.pack("<iiii", 16 + len(rest), 7, 0, 2013) + rest) == Ack(1.5, 3, [0, 489])
