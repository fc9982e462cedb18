"""How deep a line nests, without parsing it and without recursion.

Depth counts what is written: arrays and objects open at once, outside strings, also within a value that a later
duplicate of its name discards. The root value is 1. In text that is not JSON a string runs from a quote to the
next quote without a backslash before it (or to the end), and a stray closing bracket counts down.
"""

from __future__ import annotations

import re

DEPTH_LIMIT = 100
"""How deep a stored entry's line may nest. MongoDB itself allows 200 (mongod: BSONDepth), drivers recurse."""

LINE_DEPTH_LIMIT = 200
"""How deep a line may nest to be parsed at all: far below where recursion would end (1000 by default)."""

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_BRACKET = bytes(sorted(set(range(256)) - set(b"[]{}")))
_NOT_STRUCTURE = bytes(sorted(set(range(256)) - set(b'[]{}"\\')))
_ROUNDS = 4
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def is_shallow(line: bytes) -> bool:
    """True only if the line nests at most DEPTH_LIMIT; False: ask `depth_of`.

    Sound: a quote pair is dropped only where nothing structural lies between; when no quote and no
    backslash is left, every bracket that is left lies outside strings. Then each round that drops empty pairs
    lowers the depth by one at most.
    """
    rest = line.translate(None, _NOT_STRUCTURE).replace(b'""', b"")
    if b'"' in rest or b"\\" in rest:
        return False
    for _ in range(_ROUNDS):
        rest = rest.replace(b"{}", b"").replace(b"[]", b"")
    return 2 * _ROUNDS + len(rest) <= DEPTH_LIMIT


def depth_of(line: bytes) -> int:
    """The depth, exactly up to LINE_DEPTH_LIMIT; anything above it when the line nests deeper."""
    deepest = depth = 0
    for bracket in _STRING.sub(b"", line).translate(None, _NOT_BRACKET):
        depth += _STEP[bracket]
        if depth > deepest:
            deepest = depth
            if deepest > LINE_DEPTH_LIMIT:
                break
    return deepest
