"""Which life of its hour is this file? Pure, once the bytes are read.

A file is known by its bytes, not by its name or inode: the same head and the same bytes before the offset that
we had reached make it the same life, whether it was renamed, copied, compressed or reopened. An equal head with
other bytes, or with fewer, is the next life. Another head is another file.

The one case that bytes cannot tell apart is a file that is being copied back in place with the same content and
is still shorter than our offset: it counts as cut, as the design says, and is read again as the next life.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from tailrace import identity
from tailrace.model import Life, Offset, Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A life that was seen before and how far it was settled.

    `guard` is the digest of the bytes before `offset` (`tailer.guard_digest`), empty when none was recorded.
    `counts` are totals of this life.
    """

    life: Life
    offset: Offset
    guard: bytes
    counts: Totals


@dataclass(frozen=True, slots=True)
class NextLife:
    """No known life fits: `number` is the one to enter in the ledger. `replaced` is the life it follows."""

    number: int
    replaced: Known | None


def choose_life(
    known: Iterable[Known],
    *,
    source: str,
    family: str,
    head: bytes,
    matches: Callable[[int, bytes], bool],
) -> Known | NextLife:
    """The latest known life of this hour with an equal head if the bytes before its offset are still there.

    `matches(offset, guard)` reads the file: True when it is at least `offset` long and the bytes before it have
    that digest. A life without a recorded guard is one that was never settled beyond its start: only the length counts.
    """
    latest: Known | None = None
    for candidate in known:
        life = candidate.life
        same_head = life.fingerprint == identity.fingerprint(
            source=source, family=family, life=life.number, salt=life.salt, head=head
        )
        if same_head and (latest is None or life.number > latest.life.number):
            latest = candidate
    if latest is None:
        return NextLife(0, None)
    if matches(latest.offset, latest.guard):
        return latest
    return NextLife(latest.life.number + 1, latest)


def merge(local: Iterable[Known], ledger: Iterable[Known]) -> list[Known]:
    """Local state saves time, the ledger is the truth about which lives exist.

    A life that only the local state knows was never entered (or belongs to another collection): forgotten.
    Of two offsets of one life the greater is taken: each was written after everything below it had settled.
    """
    known = {entry.life.prefix: entry for entry in ledger}
    for entry in local:
        other = known.get(entry.life.prefix)
        if other is not None and other.life.fingerprint == entry.life.fingerprint and entry.offset >= other.offset:
            known[entry.life.prefix] = replace(entry, life=replace(entry.life, start=other.life.start))
    return list(known.values())
