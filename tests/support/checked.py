"""What `tailrace check` says, as tests look at it."""

from __future__ import annotations

import json
import subprocess

from tests.support.tailrace_process import tailrace

PASSWORD = "s3cret-pass"

Report = dict[str, list[tuple[str, str]]]
"""(level, sentence) of every finding, by subject."""


def words(flags: dict[str, str]) -> list[str]:
    return [word for pair in flags.items() for word in pair]


def command(name: str, flags: dict[str, str], **env: str) -> subprocess.CompletedProcess[str]:
    return tailrace(name, *words(flags), "--http", "off", "--log-format", "text", timeout=40, **env)


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> str:
    """Exit 78, no traceback, no secret, and exactly one sentence about a problem, with these words in it."""
    said = done.stdout + done.stderr
    assert done.returncode == 78, said
    assert "Traceback" not in said
    assert PASSWORD not in said
    problems = [line for line in said.splitlines() if line.startswith(("PROBLEM", "tailrace: "))]
    assert len(problems) == 1, said
    for part in parts:
        assert part in problems[0], problems[0]
    return problems[0]


def report(flags: dict[str, str], code: int, *more: str) -> Report:
    """What `check --json` says, with this exit code, a remedy with each note and problem, and no secret."""
    done = tailrace("check", "--json", "--http", "off", *words(flags), *more)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return findings(done.stdout, code)


def findings(shown: str, code: int) -> Report:
    """Of the document that `check --json` has shown."""
    document = json.loads(shown)
    assert document["exit_code"] == code
    found: Report = {}
    for each in document["findings"]:
        assert (each["level"] in ("note", "problem")) == bool(each["remedy"]), each
        found.setdefault(each["subject"], []).append((each["level"], each["sentence"]))
    return found


def levels(found: Report, level: str) -> set[str]:
    """Subjects of which something of this level is said."""
    return {subject for subject, said in found.items() if level in dict(said)}


def sentence(found: Report, subject: str, level: str) -> str:
    """The one of this level about the subject."""
    [only] = [said for of, said in found[subject] if of == level]
    return only
