"""The table of planted faults does not rot, and a handful is planted in every run of CI (all: `make mutants`)."""

from __future__ import annotations

import os
from random import Random, SystemRandom

import pytest
from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.faults import FAULTS, Fault
from tests.mutation.operators import mutants_of
from tests.mutation.run import ROOT, SOURCE, generic, planted, run
from tests.mutation.subjects import SUBJECTS

SAMPLE = 6
SEED = int(os.environ.get("TAILRACE_TEST_SEED") or SystemRandom().randrange(1 << 32))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_still_be_planted(fault: Fault) -> None:
    """Its text is there exactly once, what replaces it is still Python, and its tests exist."""
    source = (SOURCE / fault.file).read_text()
    assert source.count(fault.old) == 1
    compile(source.replace(fault.old, fault.new), fault.file, "exec")
    assert [word for word in fault.tests if word.startswith("tests/") and not (ROOT / word).is_file()] == []


def test_names_are_unique_and_every_core_module_has_faults() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert set(SUBJECTS) <= {fault.file for fault in FAULTS}


def test_every_reason_of_an_equivalent_mutant_has_its_mutant() -> None:
    """A reason whose source has changed would excuse nothing, or something else."""
    keys = {mutant.key for file in SUBJECTS for mutant in mutants_of(file, (SOURCE / file).read_bytes())}
    assert set(EQUIVALENT) - keys == set()


def test_every_branch_of_the_core_has_a_mutant() -> None:
    """Each `if` of those modules is at least once always true and once never."""
    for file in SUBJECTS:
        source = (SOURCE / file).read_bytes()
        forced = {(mutant.line, mutant.new) for mutant in mutants_of(file, source) if mutant.new in ("True", "False")}
        tests = [number for number, line in enumerate(source.split(b"\n"), 1) if line.lstrip().startswith(b"if ")]
        assert [number for number in tests if not {(number, "True"), (number, "False")} <= forced] == [], file


def test_a_sample_of_faults_is_noticed() -> None:
    """A few of those that need no server, chosen by the seed; and the same tests pass where nothing was planted."""
    print(f"TAILRACE_TEST_SEED={SEED}")
    quick = {f"tests/unit/test_{name}.py" for name in ("tracker", "identity", "seal", "choice", "replies")}
    candidates = [*planted(), *generic(["identity", "seal", "choice"])]
    candidates = [task for task in candidates if set(task.stages[0]) <= quick and task.name not in EQUIVALENT]
    sample = Random(SEED).sample(candidates, SAMPLE)
    results, _ = run(sample, 1)
    assert {name: result for name, result in results.items() if result == "survived"} == {}
