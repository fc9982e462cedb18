"""The pages of promises and of faults name tests that exist, and the README speaks of things that exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tailrace.config import KEYS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


def named_tests() -> list[str]:
    pages = [(ROOT / "docs" / name).read_text() for name in ("guarantees.md", "faults.md")]
    return sorted({name for page in pages for name in re.findall(r"`(tests/[^`]+)`", page)})


def test_every_promise_names_a_test() -> None:
    """Each row of a table of promises names at least one test."""
    page = (ROOT / "docs" / "guarantees.md").read_text().partition("## Known limits")[0]
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert len(rows) > 30
    assert [row for row in rows if "`tests/" not in row] == []


def test_every_fault_names_a_test() -> None:
    """Each row of the table of faults has its five columns, and a test in the last."""
    page = (ROOT / "docs" / "faults.md").read_text()
    rows = [line.strip("|").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if row[0].strip() != "fault"]
    assert len(rows) > 60
    assert [row[0] for row in rows if len(row) != 5 or "`tests/" not in row[4]] == []


@pytest.mark.parametrize("name", named_tests())
def test_every_named_test_exists(name: str) -> None:
    """A test that a page names is in the file that it names."""
    file, _, function = name.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert functions
    assert not function or function in functions


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page leads to a file or folder of the project."""
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_readme_runs_commands_that_exist() -> None:
    """Each make target, command and variable that the README tells somebody to type is there."""
    text = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^ +make (\w+)", text, re.MULTILINE))
    assert {"demo", "test", "install"} <= targets
    assert [target for target in targets if f"\n{target}:" not in makefile] == []
    commands = set(re.findall(r"tailrace (check|run|verify|rejects|simulate|demo|status|backfill|reload)\b", text))
    assert {"check", "run", "verify", "rejects"} <= commands
    for command in commands:
        done = subprocess.run([sys.executable, "-m", "tailrace", command, "--help"], capture_output=True, check=False)
        assert done.returncode == 0, command
    variables = set(re.findall(r"TAILRACE_(\w+)", text))
    assert variables
    assert [name for name in variables if name.lower() not in KEYS] == []


def test_nothing_names_a_package_registry() -> None:
    """The project's text names no package index: whoever installs says where from."""
    words = ("py" + "pi.org", "pythonhosted", "crates" + ".io", "index" + "-url")
    files = [*PAGES, ROOT / "requirements.lock", ROOT / "pyproject.toml"]
    found = [(str(file), word) for file in files for word in words if word in file.read_text()]
    assert found == []
