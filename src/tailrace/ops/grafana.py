"""The Grafana dashboard, made from the declared metrics.

`python -m tailrace.ops.grafana > deploy/grafana/tailrace.json` writes it; a test compares, and finds each declared
metric in some panel. Here stands only what belongs together and in which unit; kinds, labels and descriptions are those
of `ops/metrics.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tailrace.ops.metrics import METRICS

Json = dict[str, Any]

SCHEMA = 38
"""Of Grafana 10.0; later versions migrate it by themselves."""

COLUMNS = 24
_WIDTH, _HEIGHT = 8, 7
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_QUANTILES = (0.5, 0.99)
_JOB = "tailrace"  # of the scrape configuration; the rules for alerts need it as well


class View(StrEnum):
    """How the values of a panel are shown."""

    FITTING = "fitting"  # a gauge as it is, a counter as its rate, a histogram as quantiles and mean
    RECENT = "recent"  # a counter that hardly ever moves: what came in the last hour
    AGE = "age"  # a time, epoch seconds: how long ago


@dataclass(frozen=True, slots=True)
class Panel:
    """`names`: of metrics, without `tailrace_` in front; `unit`: Grafana's name of it."""

    title: str
    names: tuple[str, ...]
    unit: str = "short"
    view: View = View.FITTING


@dataclass(frozen=True, slots=True)
class Shown:
    """What is said of a metric here. The names of the process collector are not ours to declare.

    `job`: whose alone is shown, where others have a metric of that name.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    job: str = ""


# HAZARD: every program that Prometheus watches has these names, too, and the variable `instance` may be all of them.
_PROCESS = (
    Shown("process_resident_memory_bytes", "gauge", (), "Resident memory of the process.", _JOB),
    Shown("process_cpu_seconds_total", "counter", (), "CPU time of the process; 1 is one core.", _JOB),
    Shown("process_open_fds", "gauge", (), "Descriptors held open.", _JOB),
    Shown("process_max_fds", "gauge", (), "Descriptors that the process may hold open.", _JOB),
)

ROWS: dict[str, tuple[Panel, ...]] = {
    "Flow": (
        Panel("Lines", ("read_lines_total", "settled_lines_total"), "cps"),
        Panel("Entries", ("settled_entries_total", "inserted_entries_total", "duplicate_entries_total"), "cps"),
        Panel("Bytes", ("read_bytes_total", "settled_bytes_total"), "Bps"),
        Panel("Lines in flight", ("in_flight_lines",)),
        Panel("Bytes in flight", ("in_flight_bytes", "in_flight_limit_bytes"), "bytes"),
        Panel("Spans settled", ("settled_spans_total",), "cps"),
    ),
    "Lag": (
        Panel("Behind, in time", ("lag_seconds",), "s"),
        Panel("Behind, in bytes", ("lag_bytes", "checkpoint_lag_bytes"), "bytes"),
        Panel("From entry to acknowledged", ("entry_lag_seconds",), "s"),
        Panel("Age of the newest entry", ("newest_entry_timestamp_seconds",), "s", View.AGE),
        Panel("Progress waits to be saved", ("checkpoint_age_seconds",), "s"),
        Panel("Live", ("live",)),
    ),
    "Problems": (
        Panel("Not accounted for", ("unaccounted",)),
        Panel("Kept aside in the last hour", ("rejected_entries_total",), "short", View.RECENT),
        Panel("Bytes lost in the last hour", ("lost_bytes_total",), "bytes", View.RECENT),
        Panel("Files rewritten in the last hour", ("rewritten_files_total",), "short", View.RECENT),
        Panel("Missing hours and blocks", ("missing_hours", "missing_blocks")),
        Panel("Files and folders that cannot be read", ("locked_files",)),
    ),
    "Server": (
        Panel("MongoDB is well, a primary is known", ("server_ok", "server_primary")),
        Panel("Trouble lasts", ("server_trouble_seconds",), "s"),
        Panel("Retries", ("retries_total",), "cps"),
        Panel("Time of a write", ("write_seconds",), "s"),
        Panel("Documents in a write", ("write_documents",)),
        Panel("Members", ("server_members",)),
        Panel("Retries of the present trouble", ("server_retries",)),
    ),
    "Files": (
        Panel("Hour files by state", ("files",)),
        Panel("Open, and with something to read", ("open_files", "backlog_files")),
        Panel("The newest hour began", ("newest_hour_timestamp_seconds",), "s", View.AGE),
        Panel("New hours in the last hour", ("rollovers_total",), "short", View.RECENT),
    ),
    "Process": (
        Panel("Ready", ("ready",)),
        Panel("Event loop", ("loop_age_seconds",), "s"),
        Panel("Workers", ("workers_busy", "workers_allowed", "workers_limit")),
        Panel("Uptime", ("uptime_seconds",), "s"),
        Panel("Reloads in the last hour", ("reloads_total",), "short", View.RECENT),
        Panel("Last reload accepted", ("last_reload_ok",)),
        Panel("Memory", ("process_resident_memory_bytes",), "bytes"),
        Panel("Cores used", ("process_cpu_seconds_total",), "percentunit"),
        Panel("Descriptors", ("process_open_fds", "process_max_fds")),
        Panel("What is running", ("build_info",)),
    ),
}


def known() -> dict[str, Shown]:
    """Everything that can be shown, by the name that panels use."""
    ours = [Shown(each.name, each.kind.value, each.labels, each.help) for each in METRICS]
    return {each.name.removeprefix("tailrace_"): each for each in [*ours, *_PROCESS]}


def dashboard() -> Json:
    """The whole of deploy/grafana/tailrace.json. Raises KeyError for a panel of a metric that is not declared."""
    return {
        "title": "tailrace",
        "uid": "tailrace",
        "description": "Made by `python -m tailrace.ops.grafana`. Meanings and alerts: docs/operations.md.",
        "tags": ["tailrace", "mongodb", "hyperliquid"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "utc",
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": _variables()},
        "panels": list(_laid_out(known())),
    }


def _variables() -> list[Json]:
    datasource = {"name": "datasource", "type": "datasource", "label": "Prometheus", "query": "prometheus"}
    return [
        {**datasource, "current": {}, "hide": 0, "includeAll": False, "multi": False, "options": [], "refresh": 1},
        _variable("instance", "label_values(tailrace_uptime_seconds, instance)"),
        _variable("source", 'label_values(tailrace_live{instance=~"$instance"}, source)'),
        _variable("collection", 'label_values(tailrace_live{instance=~"$instance", source=~"$source"}, collection)'),
    ]


def _variable(name: str, query: str) -> Json:
    return {
        "name": name,
        "type": "query",
        "label": name.capitalize(),
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "allValue": ".*",
        "includeAll": True,
        "multi": True,
        "hide": 0,
        "refresh": 2,
        "sort": 1,
    }


def _laid_out(metrics: dict[str, Shown]) -> Iterator[Json]:
    """Rows and panels from top to bottom. An edit in one place moves only what lies below it."""
    number, top = 0, 0
    for title, panels in ROWS.items():
        number += 1
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
        top += 1
        for index, panel in enumerate(panels):
            number += 1
            line, column = divmod(index, COLUMNS // _WIDTH)
            place = {"h": _HEIGHT, "w": _WIDTH, "x": column * _WIDTH, "y": top + line * _HEIGHT}
            yield {"id": number, "gridPos": place, **_panel(panel, [metrics[name] for name in panel.names])}
        top += -(-len(panels) // (COLUMNS // _WIDTH)) * _HEIGHT


def _panel(panel: Panel, metrics: Sequence[Shown]) -> Json:
    queries = [query for metric in metrics for query in _queries(metric, panel.view, named=len(metrics) > 1)]
    said = [f"`{metric.name}`: {metric.help}" for metric in metrics]
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": "\n\n".join(said),
        "datasource": _DATASOURCE,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 8, "showPoints": "never"}},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": _DATASOURCE, "expr": expr, "legendFormat": legend}
            for index, (expr, legend) in enumerate(queries)
        ],
    }


def _queries(metric: Shown, view: View, *, named: bool) -> Iterator[tuple[str, str]]:
    """(expression, legend). `named`: the panel shows several metrics, so the legend says which."""
    by = ("instance", *metric.labels)
    chosen = ("instance", *(label for label in metric.labels if label in {"source", "collection"}))
    matchers = [*([f'job="{metric.job}"'] if metric.job else []), *(f'{label}=~"${label}"' for label in chosen)]
    where = "{" + ", ".join(matchers) + "}"
    word = metric.name.removeprefix("tailrace_").removesuffix("_total").replace("_", " ")
    legend = " ".join([*([word] if named else []), *(f"{{{{{label}}}}}" for label in by if label != "collection")])
    grouped = ", ".join(by)
    if metric.kind == "histogram":
        for quantile in _QUANTILES:
            rates = f"sum by (le, {grouped}) (rate({metric.name}_bucket{where}[$__rate_interval]))"
            yield f"histogram_quantile({quantile}, {rates})", f"p{quantile * 100:.0f} {legend}"
        means = (
            f"sum by ({grouped}) (rate({metric.name}_{part}{where}[$__rate_interval]))" for part in ("sum", "count")
        )
        yield " / ".join(means), f"mean {legend}"
    elif metric.kind == "counter":
        taken = "increase({}[1h])" if view is View.RECENT else "rate({}[$__rate_interval])"
        yield f"sum by ({grouped}) ({taken.format(metric.name + where)})", legend
    elif view is View.AGE:
        yield f"time() - {metric.name}{where}", legend
    else:
        yield f"{metric.name}{where}", legend


if __name__ == "__main__":
    sys.stdout.write(json.dumps(dashboard(), indent=2) + "\n")
