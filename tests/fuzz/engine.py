"""Runs a target over mutated seeds, by a seed of its own; and hypothesis strategies of the same inputs.

No feedback from coverage: `run.py` has an engine with it (atheris) for those who have it installed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from hypothesis import strategies as st
from tests.fuzz.mutate import KINDS, Change, apply, drawn
from tests.fuzz.target import Target

_SPLICES = 40  # pieces of seeds that become scraps, so that inputs mix


@dataclass(slots=True)
class Failure:
    data: bytes
    error: Exception


def inputs_of(target: Target) -> list[bytes]:
    return [*target.seeds, *(path.read_bytes() for path in target.kept)]


def generated(target: Target, seed: int) -> Iterator[bytes]:
    """Inputs without end, a function of the seed and the corpus."""
    rng = Random(seed)
    inputs = inputs_of(target)
    while True:
        scraps = list(target.scraps)
        for _ in range(_SPLICES):
            other = rng.choice(inputs)
            at = rng.randrange(len(other) + 1)
            scraps.append(other[at : at + rng.choice((1, 4, 30, 200))])
        for _ in range(200):
            changes = [drawn(rng, scraps) for _ in range(rng.choice((0, 1, 1, 2, 3, 5, 9)))]
            yield apply(rng.choice(inputs), changes)


def fuzz(target: Target, seed: int, *, seconds: float = 1e9, executions: int = 1 << 62) -> tuple[int, Failure | None]:
    """(executions made, the first failure) within either bound."""
    ends = time.monotonic() + seconds
    done = 0
    for data in generated(target, seed):
        if done >= executions or time.monotonic() > ends:
            break
        done += 1
        try:
            target.check(data)
        except Exception as error:  # noqa: BLE001  whatever it was, it is the finding
            return done, Failure(data, error)
    return done, None


def shrunk(target: Target, failure: Failure, seconds: float = 20.0) -> Failure:
    """A smaller input that fails with the same kind of error: pieces are left out while it still does."""
    ends = time.monotonic() + seconds
    size = len(failure.data) // 2
    while size:
        at = 0
        while at < len(failure.data) and time.monotonic() < ends:
            data = failure.data[:at] + failure.data[at + size :]
            try:
                target.check(data)
            except Exception as error:  # noqa: BLE001  as above
                if type(error) is type(failure.error):
                    failure = Failure(data, error)
                    continue
            at += size
        size //= 2
    return failure


def mutated(target: Target) -> st.SearchStrategy[bytes]:
    """The same inputs as hypothesis draws (and shrinks) them."""
    places, scraps = st.integers(0, (1 << 16) - 1), st.sampled_from(list(target.scraps))
    sizes = st.sampled_from((0, 1, 2, 3, 8, 40, 120, 250))
    changes = st.builds(Change, st.sampled_from(KINDS), places, places, sizes, scraps)
    return st.builds(apply, st.sampled_from(inputs_of(target)), st.lists(changes, max_size=6))
