"""deploy/grafana/tailrace.json is what the declarations of the metrics say, and a dashboard that Grafana can show."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

from tests.support.prometheus import DEPLOY, accepted, declared

from tailrace.ops.grafana import COLUMNS, ROWS, dashboard
from tailrace.ops.metrics import METRICS

FILE = DEPLOY / "grafana" / "tailrace.json"


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(FILE.read_text())["panels"]
    return found


def targets() -> list[dict[str, Any]]:
    return [target for panel in panels() for target in panel.get("targets", [])]


def test_the_file_is_up_to_date() -> None:
    """`python -m tailrace.ops.grafana > deploy/grafana/tailrace.json` would change nothing."""
    assert FILE.read_text() == json.dumps(dashboard(), indent=2) + "\n"


def test_every_metric_is_in_some_panel() -> None:
    """With its help in the panel's description; and no panel asks for what is not there."""
    asked = {name for target in targets() for name in re.findall(r"\b(?:tailrace|process)_[a-z_]+", target["expr"])}
    shown = {declared()[name].name for name in asked if name.startswith("tailrace_")}
    assert sorted({metric.name for metric in METRICS} - shown) == []
    descriptions = "\n".join(panel.get("description", "") for panel in panels())
    assert [metric.name for metric in METRICS if f"`{metric.name}`: {metric.help}" not in descriptions] == []


def test_panels_lie_in_rows_without_overlap() -> None:
    """Unique ids; within 24 columns; no two panels on one place; each below the row that it belongs to."""
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    assert [panel["title"] for panel in panels() if panel["type"] == "row"] == list(ROWS)
    assert panels()[0]["type"] == "row"
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["w"] > 0
        assert place["x"] + place["w"] <= COLUMNS
        columns, lines = (range(place[at], place[at] + place[size]) for at, size in (("x", "w"), ("y", "h")))
        cells = set(itertools.product(columns, lines))
        assert not cells & taken, panel["title"]
        taken |= cells
    tops = [panel["gridPos"]["y"] for panel in panels()]
    assert tops == sorted(tops)


def test_every_panel_can_be_read() -> None:
    """A unit, a description, targets with a legend; all from the datasource that the viewer chooses."""
    for panel in panels():
        if panel["type"] == "row":
            continue
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"
        refs = [target["refId"] for target in panel["targets"]]
        assert refs
        assert len(set(refs)) == len(refs)
        assert all(target["legendFormat"] for target in panel["targets"])


def test_the_variables() -> None:
    """Datasource, instance, source and collection can be chosen, and every query obeys those that its metric has."""
    content = json.loads(FILE.read_text())
    assert content["schemaVersion"] >= 38
    variables = {each["name"]: each for each in content["templating"]["list"]}
    assert list(variables) == ["datasource", "instance", "source", "collection"]
    assert variables["datasource"]["type"] == "datasource"
    for target in targets():
        assert 'instance=~"$instance"' in target["expr"]
        (name, *_) = re.findall(r"tailrace_[a-z_]+", target["expr"]) or [""]
        if name and "source" in declared()[name].labels:
            assert 'source=~"$source", collection=~"$collection"' in target["expr"]


def test_no_other_program_is_shown() -> None:
    """What every program exports (`process_*`) is asked of the job `tailrace` only, also where all instances are."""
    (instance,) = (each for each in json.loads(FILE.read_text())["templating"]["list"] if each["name"] == "instance")
    assert instance["allValue"] == ".*", "all instances of whatever Prometheus knows"
    common = [target["expr"] for target in targets() if not re.search(r"\btailrace_", target["expr"])]
    assert len(common) == 4
    assert [expr for expr in common if '{job="tailrace", ' not in expr] == []


def test_promtool_accepts_every_query(tmp_path: Path) -> None:
    """With the variable of the interval filled in, as Grafana does."""
    exprs = [target["expr"].replace("$__rate_interval", "5m") for target in targets()]
    assert len(exprs) >= len(METRICS)
    done = accepted(exprs, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    counters = [metric.name for metric in METRICS if metric.kind.value == "counter"]
    bare = [
        expr for expr in exprs if any(name in expr for name in counters) and not re.search(r"\b(rate|increase)\(", expr)
    ]
    assert bare == [], "a counter is shown as its rate or its increase"
