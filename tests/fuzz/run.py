"""Long fuzzing: `make fuzz SECONDS=600 [TARGET=codec] [SEED=7] [ENGINE=atheris]`.

Prints seed and executions. A failing input is made smaller and kept in `corpus/<target>/`, where CI replays it, with
the command that repeats it: `... --input FILE`. The own engine needs nothing and repeats by its seed; atheris
(libFuzzer's feedback from coverage: `pip install atheris`) finds its own way into the codec, a target at a time.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from random import SystemRandom

from tests.fuzz.engine import Failure, fuzz, inputs_of, shrunk
from tests.fuzz.target import CORPUS, Target

from tailrace.config.native import why_no_native_codec

NAMES = ("codec", "native", "reading", "configuration", "names", "stored", "replies")


def target_of(name: str) -> Target:
    module = importlib.import_module(f"tests.fuzz.targets.{name}")
    target = module.TARGET
    assert isinstance(target, Target)
    return target


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description="Fuzz the targets, one after the other.")
    parser.add_argument("--seconds", type=float, default=60.0, help="in all, shared by the targets")
    parser.add_argument("--target", choices=NAMES, help="only this one")
    parser.add_argument("--seed", type=int, help="repeats a run of the own engine")
    parser.add_argument("--engine", choices=("own", "atheris"), default="own")
    parser.add_argument("--input", type=Path, help="replay one file (needs --target)")
    given = parser.parse_args(words)
    if given.input is not None:
        if given.target is None:
            parser.error("--input needs --target")
        target_of(given.target).check(given.input.read_bytes())
        print(f"{given.input}: no promise is broken")
        return 0
    why_not = why_no_native_codec()
    if given.target == "native" and why_not is not None:
        parser.error(f"no native codec: {why_not}")
    names = [given.target] if given.target else [name for name in NAMES if name != "native" or why_not is None]
    targets = [target_of(name) for name in names]
    seed = SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    if given.engine == "atheris":
        return _with_coverage(targets[0], given.seconds, seed)
    failed = 0
    for target in targets:
        begun = time.monotonic()
        done, failure = fuzz(target, seed, seconds=given.seconds / len(targets))
        rate = done / max(time.monotonic() - begun, 0.001)
        print(f"{target.name}: seed {seed}, {done} executions, {rate:.0f}/s{', FAILED' if failure else ''}", flush=True)
        if failure:
            failed += 1
            _keep(target, shrunk(target, failure))
    return 1 if failed else 0


def _keep(target: Target, failure: Failure) -> None:
    folder = CORPUS / target.name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / blake2b(failure.data, digest_size=6).hexdigest()
    path.write_bytes(failure.data)
    traceback.print_exception(failure.error)
    print(f"kept as {path}; repeat: python -m tests.fuzz.run --target {target.name} --input {path}", flush=True)


def _with_coverage(target: Target, seconds: float, seed: int) -> int:
    """libFuzzer over the bytecode of tailrace. It ends the process itself, also when it finds something."""
    if importlib.util.find_spec("atheris") is None:
        print(
            "make fuzz: atheris is not installed: .venv/bin/pip install atheris (Linux x86_64, CPython)",
            file=sys.stderr,
        )
        return 2
    atheris = importlib.import_module("atheris")
    modules = [name for name in sys.modules if name.startswith("tailrace.")]
    print(f"{target.name}: seed {seed}, atheris, {len(modules)} modules of tailrace are loaded", flush=True)
    folder = CORPUS / target.name
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tailrace-corpus-") as grown:
        for number, data in enumerate(inputs_of(target)):
            (Path(grown) / str(number)).write_bytes(data)
        options = [f"-max_total_time={int(seconds)}", f"-seed={seed}", f"-artifact_prefix={folder}/", "-max_len=65536"]
        atheris.instrument_all()
        atheris.Setup([sys.argv[0], *options, grown], target.check)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
