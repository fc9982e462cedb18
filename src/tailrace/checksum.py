"""The checksum of documents: what a life's ledger entry says of its stored documents beside their number. Pure.

A sum, because a sum does not ask for an order: spans settle in any order, `verify` reads by `_id`, and what became a
reject after all is taken out again. crc32, because a second look at a hundred million documents must cost next to
nothing. It finds what was changed, lost or added by mistake; it is no protection against somebody who wants to deceive.
"""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

MODULUS = 1 << 63
"""So that a sum always fits a signed 64 bit integer, in BSON and in SQLite."""


def checksum(documents: Iterable[bytes]) -> int:
    """The sum of the crc32 of each document's BSON bytes, modulo 2**63."""
    return sum(map(crc32, documents)) % MODULUS


def plus(one: int | None, other: int | None) -> int | None:
    """The checksum of both together; None, unknown, when either is: a partial sum must never look like a whole one."""
    return None if one is None or other is None else (one + other) % MODULUS


def minus(one: int | None, other: int) -> int | None:
    """The checksum of `one` without the documents of `other`."""
    return None if one is None else (one - other) % MODULUS
