"""The latest problems, in words."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from tailrace.ops import logs
from tailrace.ops.recent import Recent, sentence


def test_problems_and_their_ends_are_kept() -> None:
    """Warnings, errors, and what says that one is over; nothing else. Newest first."""
    recent = Recent()
    recent.note({"event": "catching_up"}, "info")
    recent.note({"event": "mongodb_trouble", "error": "gone"}, "warning")
    recent.note({"event": "mongodb_back", "after_s": 3}, "info")
    recent.note({"event": "file_readable_again"}, "info")
    assert [problem.event for problem in recent.newest()] == ["file_readable_again", "mongodb_back", "mongodb_trouble"]


def test_what_is_said_again_is_counted() -> None:
    """A flood of one problem does not push the others out; another source's is another problem."""
    recent = Recent()
    recent.note({"event": "bytes_lost", "source": "a"}, "error")
    for _ in range(1000):
        recent.note({"event": "kept_aside", "source": "a"}, "warning")
    recent.note({"event": "kept_aside", "source": "b"}, "warning")
    assert [(each.event, each.source, each.count) for each in recent.newest()] == [
        ("kept_aside", "b", 1),
        ("kept_aside", "a", 1000),
        ("bytes_lost", "a", 1),
    ]


def test_problems_that_take_turns_push_no_other_out() -> None:
    """A server that comes and goes is two lines, each with its count and its latest words, however often."""
    recent = Recent()
    recent.note({"event": "bytes_lost", "source": "a"}, "error")
    for number in range(1000):
        recent.note({"event": "mongodb_trouble", "error": f"gone {number}"}, "warning")
        recent.note({"event": "mongodb_back"}, "info")
    assert [(each.sentence, each.count) for each in recent.newest()] == [
        ("mongodb back", 1000),
        ("mongodb trouble: gone 999", 1000),
        ("bytes lost", 1),
    ]


def test_an_error_is_not_hidden_by_a_warning_of_its_name() -> None:
    """`kept_aside` is an error when an entry has another content than what is stored: both are listed."""
    recent = Recent()
    recent.note({"event": "kept_aside", "reasons": {"id_conflict": 1}}, "error")
    recent.note({"event": "kept_aside", "reasons": {"json": 1}}, "warning")
    assert [(each.level, each.count) for each in recent.newest()] == [("warning", 1), ("error", 1)]


def test_only_the_newest_are_kept() -> None:
    """Fifty."""
    recent = Recent()
    for number in range(200):
        recent.note({"event": f"e{number}"}, "error")
    assert len(recent.newest()) == 50
    assert recent.newest()[0].event == "e199"


def test_a_sentence_says_what_happened_what_it_means_and_what_to_do() -> None:
    """In this order, of whatever fields there are."""
    event = {"event": "bytes_lost", "path": "/d/9", "bytes": 12000, "meaning": "they are gone", "todo": "look", "x": 1}
    assert sentence(event) == "bytes lost: /d/9, 12,000 bytes; they are gone; look"
    assert sentence({"event": "kept_aside", "reasons": {"json": 2}}) == "kept aside: json 2"
    assert sentence({"event": "odd"}) == "odd"


@pytest.fixture
def restored() -> Iterator[None]:
    """Whatever a test configures."""
    yield
    structlog.reset_defaults()


def test_another_level_and_format_hold_for_bound_loggers(restored: None) -> None:
    """A reload changes both; a logger that was bound before it would otherwise keep what it had."""
    out = io.StringIO()
    logs.configure("json", "warning", out)
    bound = structlog.get_logger("tailrace").bind(source="a")
    bound.info("unheard")
    bound.warning("heard", password="mongodb://me:pw@host/")
    logs.configure("text", "info", out)
    bound.info("heard_now")
    first, second = out.getvalue().splitlines()
    assert json.loads(first)["event"] == "heard"
    assert "pw" not in first
    assert "heard_now" in second
    assert not second.startswith("{")
