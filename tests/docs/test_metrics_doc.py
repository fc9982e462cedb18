"""docs/metrics.md is what the declarations of the metrics say."""

import re
from pathlib import Path

from tests.support.prometheus import declared, names_in

from tailrace.ingest import measuring, pipeline
from tailrace.model import Reason
from tailrace.ops.logs_catalogue import calls
from tailrace.ops.metrics import METRICS, page
from tailrace.ops.status import BEAT

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "metrics.md"
OTHERS = {"already_there"}
"""What docs/faults.md says that a command prints, not a log event, a metric or a reason."""


def test_the_page_is_up_to_date() -> None:
    """`python -m tailrace.ops.metrics > docs/metrics.md` would change nothing."""
    assert PAGE.read_text() == page()


def test_the_page_names_every_metric() -> None:
    """Name, kind and help of each in one row, and every reason of a reject."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `tailrace_")]
    assert len(rows) == len(METRICS) > 0
    for row, metric in zip(rows, METRICS, strict=True):
        assert row.startswith(f"| `{metric.name}` | {metric.kind.value} | ")
        assert metric.help in row
        assert "|" not in metric.help
    for reason in Reason:
        assert f"`{reason.value}`" in PAGE.read_text()


def test_every_page_speaks_of_metrics_that_there_are() -> None:
    """Whatever reads like a metric of ours in any page is declared."""
    known = declared().keys() | {metric.name for metric in METRICS}  # a histogram's own name, in a text
    found = {path.name: names_in(path.read_text()) for path in DOCS.rglob("*.md")}
    assert len(found["faults.md"]) > 2
    assert {name: sorted(said - known) for name, said in found.items() if said - known} == {}


def test_what_the_operator_sees_of_a_fault_is_there_to_be_seen() -> None:
    """Each name in that column of docs/faults.md is a log event, a metric or the reason of a reject."""
    rows = [line.split(" | ") for line in (DOCS / "faults.md").read_text().splitlines() if line.startswith("| ")]
    said = {name for row in rows if len(row) == 5 for name in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", row[3])}
    assert len(said) > 20
    known = {call.event for call in calls()} | declared().keys() | {reason.value for reason in Reason} | OTHERS
    assert sorted(said - known) == []


def test_the_page_says_how_old_figures_are() -> None:
    """Counts are copied, gauges measured and files counted as often as it says: the numbers are those of the code."""
    text = " ".join(PAGE.read_text().split())
    busy, rest = pipeline._SAVE_INTERVAL, pipeline._SAVE_INTERVAL + pipeline._IDLE_INTERVAL
    assert f"of one moment, at most {BEAT:g} s before the scrape" in text
    assert f"measured every {busy:g} s while lines come, at rest at least every {rest:g} s" in text
    assert f"files and hours up to {measuring._COUNT_INTERVAL:g} s later" in text
