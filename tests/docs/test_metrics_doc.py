"""docs/metrics.md is what the declarations of the metrics say."""

from pathlib import Path

from tailrace.model import Reason
from tailrace.ops.metrics import METRICS, page

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


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
