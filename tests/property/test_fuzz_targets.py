"""Every fuzz target for a few seconds: by hypothesis, by the engine of the long runs (`make fuzz`), and on its corpus.

TAILRACE_TEST_SEED repeats a run.
"""

from __future__ import annotations

import os
from random import SystemRandom

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from tests.fuzz.engine import fuzz, mutated, shrunk
from tests.fuzz.run import NAMES, target_of
from tests.fuzz.target import CORPUS
from tests.support.codecs import needs_native

SEED = int(os.environ.get("TAILRACE_TEST_SEED") or SystemRandom().randrange(1 << 32))
EXECUTIONS = {
    "codec": 700,
    "native": 1500,
    "reading": 250,
    "configuration": 500,
    "names": 4000,
    "stored": 1500,
    "replies": 1500,
}
TARGETS = [pytest.param(name, marks=needs_native if name == "native" else ()) for name in NAMES]
CORPUS_LIMIT = 200 * 1024  # bytes, all targets


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_whatever_was_found_once(name: str) -> None:
    """The unmutated inputs, and every input that ever broke a promise, break none."""
    target = target_of(name)
    assert target.seeds
    for data in target.seeds:
        target.check(data)
    for path in target.kept:
        print(path)
        target.check(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_no_promise_is_broken_by_mutated_inputs(name: str) -> None:
    """Any bytes: only the rejections and errors that are documented, and every byte accounted for."""
    target = target_of(name)
    print(f"TAILRACE_TEST_SEED={SEED}")
    done, failure = fuzz(target, SEED, executions=EXECUTIONS[name])
    if failure is not None:
        smaller = shrunk(target, failure)
        pytest.fail(f"TAILRACE_TEST_SEED={SEED}, execution {done}, input {smaller.data!r}: {smaller.error!r}")
    assert done == EXECUTIONS[name]


@pytest.mark.parametrize("name", TARGETS)
def test_no_promise_is_broken_by_what_hypothesis_tries(name: str) -> None:
    """The same mutations and plain random bytes, drawn and shrunk by hypothesis."""
    target = target_of(name)
    print(f"TAILRACE_TEST_SEED={SEED}")

    @seed(SEED)
    @settings(deadline=None, max_examples=100, database=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(mutated(target), st.binary(max_size=200)))
    def no_promise_is_broken(data: bytes) -> None:
        target.check(data)

    no_promise_is_broken()


def test_the_corpus_is_small() -> None:
    """It is read by every run of CI and lies in every clone."""
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} <= set(NAMES)
    assert sum(path.stat().st_size for path in files) < CORPUS_LIMIT
