"""One trouble, one warning, a summary now and then, one line when it is over."""

from __future__ import annotations

import structlog

from tailrace.errors import Verdict
from tailrace.ingest.mongo.health import SUMMARY_INTERVAL, ServerHealth


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
    assert [entry["event"] for entry in logs] == ["mongodb_trouble"]
