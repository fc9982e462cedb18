"""The alerting rules: accepted by promtool, each with cases that hold, and each explained in docs/operations.md."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.support.prometheus import CASES, DEPLOY, EXAMPLE, RULES, Alert, alerts, declared, names_in, promtool

from tailrace.model import Reason
from tailrace.ops.metrics import METRICS

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
ALERTS = alerts(RULES.read_text())


def firings(case: str) -> list[set[str]]:
    """What each look of one case expects to fire."""
    return [set(re.findall(r'alertname="(\w+)"', line)) for line in case.splitlines() if "eval_time:" in line]


def test_promtool_accepts_rules_and_example() -> None:
    """Prometheus 2.42 loads both files as they are."""
    for arguments in (("check", "rules", RULES), ("check", "config", EXAMPLE)):
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(ALERTS) >= 17
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)


@pytest.mark.timeout(180)
def test_the_cases_hold() -> None:
    """Each alert fires when it should, not in the normal case beside it (rollover, failover, restart), and clears."""
    done = promtool("test", "rules", CASES, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scrape", [15, 60])
def test_a_crash_loop_pages(tmp_path: Path, scrape: int) -> None:
    """A start without MongoDB answers for eleven seconds and is tried again half a minute later. However that falls
    between the scrapes, somebody is told within 15 minutes, and it does not look mended while it goes on."""
    loops = [(period, phase) for period in range(40, 47) for phase in (0, 7, 14, 30)]
    series = [crash_loop(*loop, scrape) for loop in loops]
    file = tmp_path / "loops.test.yml"
    looks = [{"eval_time": f"{minute}m", **PAGED} for minute in (15, 20, 30, 40)]
    cases = [
        {
            "name": f"every {period} s, first look after {phase} s",
            "interval": f"{scrape}s",
            "input_series": [
                {"series": 'up{job="tailrace",instance="a:1"}', "values": ups},
                {"series": 'process_start_time_seconds{job="tailrace",instance="a:1"}', "values": starts},
            ],
            "promql_expr_test": looks,
        }
        for (period, phase), (ups, starts) in zip(loops, series, strict=True)
    ]
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "30s", "tests": cases}))
    done = promtool("test", "rules", file, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr


def crash_loop(period: int, phase: int, scrape: int) -> tuple[str, str]:
    """(`up`, start of the process) at each scrape of 40 minutes."""
    seen = [divmod(phase + at, period) for at in range(0, 2401, scrape)]
    up = [age < 11 for _number, age in seen]
    starts = [str(1000 + number * period) if alive else "stale" for (number, _age), alive in zip(seen, up, strict=True)]
    return " ".join(str(int(alive)) for alive in up), " ".join(starts)


PAGED = {"expr": 'count(ALERTS{alertstate="firing"}) > bool 0', "exp_samples": [{"labels": "{}", "value": 1}]}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_has_its_cases(alert: Alert) -> None:
    """Some case named for it sees it fire alone, and sees nothing fire before or after."""
    cases = re.split(r"^  - name: ", CASES.read_text(), flags=re.MULTILINE)[1:]
    looks = [look for case in cases if case.startswith(f'"{alert.name}:') for look in firings(case)]
    assert {alert.name} in looks
    assert set() in looks
    series = next(case for case in cases if case.startswith('"all:'))
    quiet = [name for name in names_in(alert.expr) if f"'{name}{{" not in series]
    assert quiet == [], "it is part of the quiet hour in which nothing fires"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_says_what_it_must(alert: Alert) -> None:
    """A severity, two sentences, the place in the page; only of metrics and labels that there are."""
    assert alert.field("severity") in {"page", "ticket"}
    assert alert.field("summary")
    assert "description: >-" in alert.text
    assert alert.field("runbook") == f"docs/operations.md#{alert.name.lower()}"
    metrics = [declared()[name] for name in names_in(alert.expr)]
    labels = {"instance", "job", *(label for metric in metrics for label in metric.labels)}
    used = set(re.findall(r"\$labels\.(\w+)", alert.text)) | set(re.findall(r'(\w+)!?=~?"', alert.expr))
    assert used <= labels, used - labels
    reasons = set(re.findall(r'reason!?="(\w+)"', alert.expr))
    assert reasons <= set(Reason), reasons


def test_each_alert_has_a_section_and_each_section_an_alert() -> None:
    """In the page's chapter of alerts, with what it means, three things to look at, when to worry, and why so."""
    chapter = PAGE.read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    parts = re.split(r"^### (\w+)$", chapter, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert sorted(sections) == sorted(alert.name for alert in ALERTS)
    for name, section in sections.items():
        found = re.findall(r"^\d\. .*`", section, re.MULTILINE)
        assert len(found) == 3, f"{name}: three things to look at, each with a command"
        for word in ("**Data**", "**Worry**", "**Threshold**"):
            assert word in section, (name, word)


def test_every_name_is_declared() -> None:
    """Rules, cases, dashboard and page speak of metrics that /metrics has."""
    for file in (RULES, CASES, DEPLOY / "grafana" / "tailrace.json", PAGE):
        found = names_in(file.read_text())
        assert found
        words = {metric.name for metric in METRICS} if file.suffix != ".yml" else set()  # a histogram's, in a text
        assert sorted(found - declared().keys() - words) == [], file.name


def test_the_page_says_each_severity() -> None:
    """The table of alerts in the page has every alert with the severity of the rules."""
    rows = re.findall(r"^\| \[(\w+)\]\(#(\w+)\) \| (page|ticket) \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted((alert.name, alert.name.lower(), alert.field("severity")) for alert in ALERTS)
