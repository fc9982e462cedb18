"""One trouble, one warning, a summary now and then, one line when it is over."""

from __future__ import annotations

import structlog

from tailrace.errors import Verdict
from tailrace.ingest.mongo.health import SUMMARY_INTERVAL, ServerHealth
from tailrace.ingest.mongo.retry_classes import RetryClass

WRITING = "storing documents"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_outage_is_three_kinds_of_lines_never_one_per_retry() -> None:
    """1,000 retries over 100 seconds: one start, three summaries, one end."""
    clock = Clock()
    with structlog.testing.capture_logs() as logs:
        health = ServerHealth(in_flight_limit=1024, clock=clock)
        for _ in range(1000):
            health.failed("a", Verdict.RETRY, "refused")
            clock.now += 0.1
        assert not health.state.ok
        assert health.state.since == 100.0
        health.over("a", succeeded=True)
    assert [entry["event"] for entry in logs] == [
        "mongodb_trouble",
        *["mongodb_still_in_trouble"] * int(100 / SUMMARY_INTERVAL),
        "mongodb_back",
    ]
    assert logs[0]["log_level"] == "warning"
    assert "nothing is lost; reading stops when 1.0 kB are in flight" in logs[0]["meaning"]
    assert logs[-1] == {"event": "mongodb_back", "log_level": "info", "after_s": 100.0, "retries": 1000}
    assert health.state.ok


def test_trouble_lasts_as_long_as_anybody_has_it() -> None:
    """One operation's success does not hide that another still fails."""
    with structlog.testing.capture_logs() as logs:
        health = ServerHealth(clock=Clock())
        health.failed("a", Verdict.RETRY, "refused")
        health.failed("b", Verdict.RETRY, "refused")
        health.over("a", succeeded=True)
        health.over("c", succeeded=True)
        between = health.state
        health.over("b", succeeded=True)
        assert (between.ok, health.state.ok) == (False, True)
    assert [entry["event"] for entry in logs] == ["mongodb_trouble", "mongodb_back"]


def test_what_only_an_operator_can_mend_is_an_error() -> None:
    """Also when it turns up in the middle of an outage."""
    with structlog.testing.capture_logs() as logs:
        health = ServerHealth(clock=Clock())
        health.failed("a", Verdict.RETRY, "refused")
        health.failed("a", Verdict.OPERATOR, "no role")
        health.failed("a", Verdict.OPERATOR, "no role")
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("mongodb_trouble", "warning"),
        ("mongodb_refuses", "error"),
    ]
    assert health.state.verdict is Verdict.OPERATOR


def test_giving_up_is_not_recovery() -> None:
    """A cancelled operation ends its trouble without claiming that MongoDB is back."""
    with structlog.testing.capture_logs() as logs:
        health = ServerHealth(clock=Clock())
        health.failed("a", Verdict.RETRY, "refused")
        health.over("a", succeeded=False)
    assert health.state.ok
    assert [entry["event"] for entry in logs] == ["mongodb_trouble", "mongodb_not_asked"]


def test_failures_of_two_kinds_are_one_trouble() -> None:
    """One operation is refused and another finds no primary, or one meets both by turns: each kind is said once, the
    summaries come as ever, and it is called refused while one operation is."""
    clock = Clock()
    with structlog.testing.capture_logs() as logs:
        health = ServerHealth(clock=clock)
        for _ in range(100):
            health.failed("a", Verdict.RETRY, "no primary")
            health.failed("b", Verdict.OPERATOR, "no role")
            health.failed("a", Verdict.RETRY, "no primary")
            assert (health.state.verdict, health.state.sentence) == (Verdict.OPERATOR, "no role")
            clock.now += 1
        health.over("b", succeeded=True)
        health.failed("a", Verdict.RETRY, "no primary")
        assert health.state.verdict is Verdict.RETRY
        health.failed("a", Verdict.OPERATOR, "no role")
        health.over("a", succeeded=True)
    still = ["mongodb_still_refuses"] * 3
    assert [entry["event"] for entry in logs] == ["mongodb_trouble", "mongodb_refuses", *still, "mongodb_back"]


def test_a_server_that_answers_nobody_is_in_trouble_and_nothing_is_counted() -> None:
    """The sentence says for how long, the trouble began with the silence, and no attempt is said to have failed. The
    first answer to anybody who does the same ends it."""
    clock = Clock()
    with structlog.testing.capture_logs() as logs:
        health = ServerHealth(clock=clock)
        clock.now += 3
        assert health.quiet(100.0, WRITING) == 3
        health.silent("a", WRITING, health.quiet(100.0, WRITING))
        clock.now += 2
        health.silent("a", WRITING, health.quiet(100.0, WRITING))
        health.silent("b", WRITING, health.quiet(100.0, WRITING))
        assert (health.state.ok, health.state.since, health.state.retries) == (False, 100.0, 0)
        assert health.state.sentence == "it has not answered for 5 s while storing documents"
        assert set(health.retries.values()) == {0}
        clock.now += 1
        health.over("c", succeeded=True, doing="renewing the lease")
        between = health.state
        health.over("b", succeeded=True, doing=WRITING)
        assert (between.ok, health.state.ok) == (False, True), "reads are answered while writes wait for a majority"
        assert health.quiet(100.0, WRITING) == 0, "the one that still waits is not alone"
    said = [(entry["event"], entry.get("retries")) for entry in logs]
    assert said == [("mongodb_trouble", None), ("mongodb_back", 0)]


def test_slow_writes_that_overlap_and_all_succeed_are_no_trouble() -> None:
    """Ten at a time, each for ten seconds, one answered every second: a page would wake somebody for nothing."""
    clock = Clock()
    health = ServerHealth(clock=clock)
    health.over("the one before", succeeded=True, doing=WRITING)
    for _ in range(60):
        asked = clock.now - 9
        clock.now += 0.9
        assert health.quiet(asked, WRITING) < 1
        clock.now += 0.1
        health.over("the oldest", succeeded=True, doing=WRITING)
    assert health.state.ok


def test_what_fails_says_more_than_silence() -> None:
    """While an operation fails, one that waits changes neither the verdict nor the sentence; and no answer to others
    ends what fails."""
    clock = Clock()
    health = ServerHealth(clock=clock)
    health.silent("b", WRITING, 3.0)
    health.failed("a", Verdict.OPERATOR, "no role", RetryClass.OPERATOR)
    health.silent("b", WRITING, 4.0)
    assert (health.state.verdict, health.state.sentence, health.state.retries) == (Verdict.OPERATOR, "no role", 1)
    assert health.retries["operator"] == 1
    health.over("b", succeeded=True)
    assert not health.state.ok
    health.over("a", succeeded=True)
    assert health.state.ok


def test_giving_up_waiting_is_not_recovery() -> None:
    """Cancelled while nobody was answered: no trouble any more, and MongoDB is not said to be back."""
    with structlog.testing.capture_logs() as logs:
        health = ServerHealth(clock=Clock())
        health.silent("a", WRITING, 3.0)
        health.over("a", succeeded=False)
    assert health.state.ok
    assert [entry["event"] for entry in logs] == ["mongodb_trouble", "mongodb_not_asked"]
