"""The report itself: order, exit code, JSON, secrets; a probe that hangs; and its page of documentation."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path

import pytest

from tailrace.commands.doctor.bounded import bounded
from tailrace.commands.doctor.examine import of_configuration
from tailrace.commands.doctor.finding import Finding, Level, Subject, fine, listed, note, parted, problem, skipped
from tailrace.commands.doctor.output import document, exit_code, in_order, text
from tailrace.config import load

PAGE = Path(__file__).parents[2] / "docs" / "check.md"
SOME = [fine(Subject.CODEC, "native"), note(Subject.ROOT, "no tree", "wait"), problem(Subject.TCP, "refused", "start")]


@pytest.mark.parametrize("level", [Level.NOTE, Level.PROBLEM])
def test_nothing_is_found_without_a_remedy(level: Level) -> None:
    """A note or a problem that does not say what to do cannot be made."""
    with pytest.raises(ValueError, match="without a remedy"):
        Finding(subject=Subject.ROOT, level=level, sentence="bad")


def test_the_remedy_of_a_weak_write_concern() -> None:
    """What stands after the colon of a warning is what to do, and no reason."""
    loaded = load({"write_concern": "2+j", "state_dir": "/nowhere"}, {}, None, require=frozenset())
    [_, weak] = of_configuration(loaded)
    assert (weak.level, weak.remedy) == (Level.NOTE, "set it to majority, or accept that")


def test_a_line_a_finding_with_its_remedy() -> None:
    """In a pipe: level, subject, sentence and remedy on one line; what was not looked at together, with why; then the
    verdict."""
    lines = text([*SOME, skipped(Subject.TLS, "of that"), skipped(Subject.ROLES, "of that")], None, several=False)
    assert lines.splitlines() == [
        "ok      codec  native",
        "note    root   no tree; do: wait",
        "PROBLEM tcp    refused; do: start",
        "skipped tls, roles: not looked at, because of that",
        "1 problem(s): run would end with exit 78, or not keep its promises; 1 note(s)",
    ]


def test_only_a_problem_is_exit_78() -> None:
    """Notes and what was skipped do not stop anybody."""
    assert exit_code(SOME) == 78
    assert exit_code([*SOME[:2], skipped(Subject.TLS, "of that")]) == 0
    assert "run would start; 1 note(s)" in text(SOME[:2], None, several=False)
    assert "a run is at work here already (pid 7 on h)" in text(SOME[:1], "pid 7 on h", several=False)


def test_the_order_is_that_of_the_subjects() -> None:
    """Whatever ends first; and of one subject what is worse comes first."""
    found = [problem(Subject.TCP, "x", "y"), fine(Subject.ROOT, "a"), note(Subject.ROOT, "b", "c")]
    assert [each.sentence for each in in_order(found)] == ["b", "a", "x"]


def test_the_json_document() -> None:
    """Every field of it is described on the page."""
    made = json.loads(json.dumps(document(SOME, None)))
    assert made["exit_code"] == 78
    assert (made["problems"], made["notes"]) == (1, 1)
    assert made["findings"][1] == {
        "subject": "root", "level": "note", "source": None, "sentence": "no tree", "remedy": "wait"
    }  # fmt: skip
    page = PAGE.read_text()
    for name in (*made, *made["findings"][0]):
        assert f"`{name}`" in page


def test_no_secret_and_nothing_that_a_terminal_obeys() -> None:
    """Whatever a probe put into its sentence or remedy."""
    bad = [problem(Subject.TCP, "at mongodb://u:hush@h/ \x1b[31m", "try mongodb://u:hush@h/")]
    for shown in (text(bad, None, several=True), json.dumps(document(bad, None))):
        assert "hush" not in shown
        assert "\x1b" not in shown


def test_a_sentence_is_parted_at_its_last_colon() -> None:
    """Refusals of `run` end with what to do; one that does not gets the remedy that is given."""
    assert parted("hl.x is a view: name another", "-") == ("hl.x is a view", "name another")
    assert parted("no colon", "do that") == ("no colon", "do that")
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


async def test_work_that_hangs_is_left_behind() -> None:
    """TimeoutError after its limit, while the work itself still hangs; what it raises or gives is passed on."""
    release = threading.Event()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await bounded(release.wait, 0.2)
    assert time.monotonic() - began < 5
    release.set()
    assert await bounded(lambda: 7, 5) == 7
    with pytest.raises(FileNotFoundError):
        await bounded(lambda: Path("/no/such/file").read_text(), 5)


def test_the_page_has_every_subject_in_its_order() -> None:
    """One row of docs/check.md for each subject, with what it proves and what to do; and no other row."""
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert [subject for subject, _, _ in rows] == [subject.value for subject in Subject]
