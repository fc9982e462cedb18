"""Byte mutations of a corpus: the same few changes whether hypothesis draws them (CI) or a seeded generator does
(long runs).

A change is a small value, so that a failing input can be shrunk; `apply` is pure and takes any change on any bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

KINDS = (
    "insert", "overwrite", "flip", "delete", "double", "move", "cut", "token", "drop token", "swap tokens", "member",
    "repeat", "swap lines", "splice",
)  # fmt: skip

_FULL = 1 << 16  # `at` and `to` are places in 65,536ths of the input
_LIMIT = 256 * 1024  # bytes; what repeats of repeats would make larger is cut
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[-+.\w]+|[\[\]{},:=]', re.DOTALL)
_MEMBER = re.compile(rb'"[^"\\]*":(?:"[^"\\]*"|[-+.\w]+),?')


class Change(NamedTuple):
    """One mutation. `size` is in bytes, or a count; `scrap` is put in, where something is."""

    kind: str
    at: int
    to: int
    size: int
    scrap: bytes


def drawn(rng: Random, scraps: Sequence[bytes]) -> Change:
    size = rng.choice((0, 1, 1, 2, 3, 8, 40, 120, 250))
    return Change(rng.choice(KINDS), rng.randrange(_FULL), rng.randrange(_FULL), size, rng.choice(scraps))


def apply(data: bytes, changes: Sequence[Change]) -> bytes:
    for change in changes:
        data = _changed(data, change)[:_LIMIT]
    return data


def _changed(data: bytes, change: Change) -> bytes:
    kind, size, scrap = change.kind, change.size, change.scrap
    at, to = change.at * len(data) // _FULL, change.to * len(data) // _FULL
    piece = data[at : at + size]
    if kind == "insert":
        return data[:at] + scrap + data[at:]
    if kind == "overwrite":
        return data[:at] + scrap + data[at + size :]
    if kind == "flip" and data:
        return data[:at] + bytes((data[at] ^ 1 << size % 8,)) + data[at + 1 :]
    if kind == "delete":
        return data[:at] + data[at + size :]
    if kind == "double":
        return data[:at] + piece + data[at:]
    if kind == "move":
        rest = data[:at] + data[at + size :]
        return rest[:to] + piece + rest[to:]
    if kind == "cut":
        return data[:at]
    if kind == "repeat":
        return data[:at] + scrap * size + data[at:]
    if kind == "splice":
        return data[: min(at, to)] + scrap + data[max(at, to) :]
    if kind == "swap lines":
        return _swapped(data, change, b"\n")
    return _of_tokens(data, change)


def _swapped(data: bytes, change: Change, separator: bytes) -> bytes:
    parts = data.split(separator)
    one, two = change.at * len(parts) // _FULL, change.to * len(parts) // _FULL
    parts[one], parts[two] = parts[two], parts[one]
    return separator.join(parts)


def _of_tokens(data: bytes, change: Change) -> bytes:
    """Changes that keep the text looking like JSON (or TOML): of a word, a number, a bracket, a member."""
    found = list((_MEMBER if change.kind == "member" else _TOKEN).finditer(data))
    if not found:
        return data + change.scrap
    one, two = found[change.at * len(found) // _FULL], found[change.to * len(found) // _FULL]
    if change.kind == "token":
        return data[: one.start()] + change.scrap + data[one.end() :]
    if change.kind == "drop token":
        return data[: one.start()] + data[one.end() :]
    if change.kind == "member":  # a member is doubled somewhere else, or only moved there
        copied = data[: two.start()] + one[0].rstrip(b",") + b"," + data[two.start() :]
        return copied if change.size % 2 else copied.replace(one[0], b"", 1)
    first, second = sorted((one, two), key=lambda token: token.start())
    if first.start() == second.start():
        return data
    between = data[first.end() : second.start()]
    return data[: first.start()] + second[0] + between + first[0] + data[second.end() :]
