"""Known answers: every byte of an id is written out here, none is computed by the code under test."""

from __future__ import annotations

from hashlib import blake2b

import pytest

from tailrace.identity import (
    HEAD_LIMIT,
    PLACE_LIMIT,
    content_id,
    fingerprint,
    head_of,
    place_of,
    position_id,
    reject_id,
)
from tailrace.model import Life, Offset

# Made once with coreutils' b2sum (FINGERPRINT, which is personalised, with hashlib).
FINGERPRINT = "68f9f18996bfcad7515b8f662828f57c7f073d71e6cb6a7c33e868cb6b1a1fa5"
CONTENT = "67cecbfa97b2ee34731d2f16"
REJECT = "67cec630a1b2c30000000100103f1bf4489c2321"

# 2025-03-10T11:00:00Z = 1741604400 = 0x67CEC630
PREFIX = bytes.fromhex("67cec630" + "a1b2c3")


def test_a_position_id_is_prefix_and_five_bytes_of_place() -> None:
    """Hour, fingerprint and place stand where the design puts them, big endian."""
    assert position_id(PREFIX, 0).hex() == "67cec630a1b2c30000000000"
    assert position_id(PREFIX, 0x0102030405).hex() == "67cec630a1b2c30102030405"
    assert position_id(PREFIX, 255, 1).hex() == "67cec630a1b2c30000000100"
    assert place_of(bytes.fromhex("67cec630a1b2c30000000100")) == 256
    assert place_of(bytes.fromhex("67cec630a1b2c3ff02030405")) == 0xFF02030405
    assert place_of(bytes.fromhex("67cec630a1b2c30000000100" + "ff" * 8)) == 256, "of a reject, too"


def test_position_ids_sort_as_the_file_does() -> None:
    """Byte order of ids is line order, then entry order."""
    places = [(0, 0), (0, 1), (300, 0), (300, 299), (65536, 0), (PLACE_LIMIT - 1, 0)]
    ids = [position_id(PREFIX, offset, index) for offset, index in places]
    assert ids == sorted(ids)


def test_a_life_holds_one_tebibyte() -> None:
    """A place past five bytes is an error, never a wrapped-around id."""
    assert PLACE_LIMIT == 1024**4
    with pytest.raises(OverflowError):
        position_id(PREFIX, PLACE_LIMIT)
    with pytest.raises(OverflowError):
        position_id(PREFIX, PLACE_LIMIT - 1, 1)


def test_the_prefix_of_a_life_is_its_hour_and_three_bytes_of_its_fingerprint() -> None:
    """The 7 bytes that begin every `_id` of a life."""
    life = Life(
        source="node_trades",
        family="node_trades",
        path="20250310/11",
        hour=1741604400,
        number=0,
        salt=0,
        fingerprint=bytes.fromhex("a1b2c3") + bytes(29),
        start=Offset(0),
    )
    assert life.prefix == PREFIX


def test_a_fingerprint_is_blake2b_over_length_prefixed_parts() -> None:
    """The very bytes that are hashed, written out; and the digest as a constant."""
    framed = b'6:node-a,11:node_trades,1:2,1:0,7:{"a":1},'
    by_hand = blake2b(framed, digest_size=32, person=b"tailrace life").hexdigest()
    made = fingerprint(source="node-a", family="node_trades", life=2, salt=0, head=b'{"a":1}').hex()
    assert made == by_hand == FINGERPRINT


def test_every_part_enters_the_fingerprint_and_none_runs_into_the_next() -> None:
    """Another source, family, life, salt or head, or a border moved between two of them, is another fingerprint."""
    base = {"source": "ab", "family": "c", "life": 1, "salt": 23, "head": b"x"}
    others: list[dict[str, object]] = [
        {"source": "a", "family": "bc"},
        {"life": 12, "salt": 3},
        {"source": "abc", "family": ""},
        {"life": 2},
        {"salt": 24},
        {"head": b"y"},
    ]
    made = {fingerprint(**(base | other)) for other in [{}, *others]}  # type: ignore[arg-type]  # a plain dict of keywords
    assert len(made) == len(others) + 1


def test_a_content_id_is_seconds_and_eight_bytes_of_blake2b() -> None:
    """A trade's key as it is hashed: nanoseconds, coin, buyer's oid, seller's oid."""
    framed = b"19:1741605882070019819,3:ENA,11:78656316952,11:78656314500,"
    by_hand = bytes.fromhex("67cecbfa") + blake2b(framed, digest_size=8).digest()
    made = content_id(1741605882, [1741605882070019819, "ENA", 78656316952, 78656314500])
    assert made == by_hand
    assert made.hex() == CONTENT


def test_lengths_in_a_content_key_count_bytes() -> None:
    """A coin with other letters than ASCII has the length of its UTF-8."""
    assert content_id(0, ["é"]) == bytes(4) + blake2b(b"2:\xc3\xa9,", digest_size=8).digest()
    assert content_id(0, ["1", 2]) == content_id(0, [1, "2"])
    assert content_id(0, ["12"]) != content_id(0, ["1", "2"])


@pytest.mark.parametrize("seconds", [-1, 1 << 32])
def test_content_ids_end_in_2106(seconds: int) -> None:
    """Seconds that four bytes cannot hold are an error."""
    with pytest.raises(OverflowError):
        content_id(seconds, ["x"])
    assert content_id((1 << 32) - 1, ["x"])[:4] == b"\xff\xff\xff\xff"


def test_a_reject_id_is_the_place_and_what_is_kept() -> None:
    """20 bytes: the position id, then eight bytes of blake2b of the data."""
    position = bytes.fromhex("67cec630a1b2c30000000100")
    made = reject_id(position, b"not json")
    assert made == position + blake2b(b"not json", digest_size=8).digest()
    assert made.hex() == REJECT


def test_a_head_ends_with_the_first_line_that_is_not_blank() -> None:
    """Leading blank lines are part of it, its terminator and what follows are not."""
    assert head_of(b'{"a":1}\n{"b":2}\n') == b'{"a":1}'
    assert head_of(b'\n \t\r\n{"a":1}\r\nrest') == b'\n \t\r\n{"a":1}\r'


def test_a_head_is_not_there_before_its_newline_unless_the_file_is_done() -> None:
    """A torn first line has no head yet; at the end of `--once` it has, and the newline changes nothing."""
    assert head_of(b"") is None
    assert head_of(b"\n\n") is None
    assert head_of(b'{"a":') is None
    assert head_of(b"\n\n", final=True) is None
    assert head_of(b'{"a":1}', final=True) == head_of(b'{"a":1}\n') == b'{"a":1}'


def test_a_head_is_at_most_64_kib() -> None:
    """A long first line, or blank lines without end, give the first 64 KiB."""
    assert HEAD_LIMIT == 65536
    assert head_of(b"x" * 65535) is None
    assert head_of(b"x" * 65536) == b"x" * 65536
    assert head_of(b"x" * 70000 + b"\n") == b"x" * 65536
    assert head_of(b"\n" * 70000 + b"x\n") == b"\n" * 65536
