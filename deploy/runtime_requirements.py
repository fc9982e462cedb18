"""The part of requirements.lock that a server needs, with its hashes: no tests, no mongod.

    python3 deploy/runtime_requirements.py [PACKAGE...] > runtime.lock

Kept are the dependencies of pyproject.toml, each PACKAGE (`hatchling` builds tailrace, `maturin` its native codec), and
what the comments `# via` of the lock say that these need. Needs Python 3.11 and nothing else.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def locked(text: str) -> dict[str, tuple[str, set[str]]]:
    """name -> (its lines, who needs it)."""
    found: dict[str, tuple[str, set[str]]] = {}
    for block in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]:
        name = _NAME.match(block)
        assert name is not None
        comments = [line.strip("# \n") for line in block.splitlines() if line.lstrip().startswith("#")]
        found[name[0].lower()] = (block, {line.removeprefix("via").strip() for line in comments})
    return found


def needed(packages: dict[str, tuple[str, set[str]]], roots: list[str]) -> list[str]:
    """The names of `roots` and of all that they need. Raises KeyError for one that is not locked."""
    kept = set(roots)
    if unknown := kept - packages.keys():
        raise KeyError(min(unknown))
    while True:
        more = {name for name, (_, users) in packages.items() if users & kept} - kept
        if not more:
            return sorted(kept)
        kept |= more


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    roots = [found[0].lower() for each in project["dependencies"] if (found := _NAME.match(each))]
    packages = locked((ROOT / "requirements.lock").read_text())
    try:
        names = needed(packages, [*roots, *(name.lower() for name in sys.argv[1:])])
    except KeyError as error:
        sys.exit(
            f"runtime_requirements: {error.args[0]} is not in requirements.lock: add it to pyproject.toml, make lock"
        )
    sys.stdout.write("".join(packages[name][0] for name in names))


if __name__ == "__main__":
    main()
