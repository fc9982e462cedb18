"""Prometheus and promtool from Debian, and the alerting rules of deploy/, read as text without a YAML library."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.support.scrape import ask
from tests.support.tools import program

from tailrace.embedded import free_port
from tailrace.ops.metric import Metric
from tailrace.ops.metrics import METRICS

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "tailrace.rules.yml"
CASES = DEPLOY / "prometheus" / "tailrace.rules.test.yml"
EXAMPLE = DEPLOY / "prometheus" / "prometheus.example.yml"

_SUFFIXES = ("_bucket", "_sum", "_count")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule. `text`: all of it, as it stands in the file."""

    name: str
    text: str

    @property
    def expr(self) -> str:
        (found,) = re.findall(r"^ +expr: (.*?)^ +(?:for|labels):", self.text, re.DOTALL | re.MULTILINE)
        return " ".join(str(found).removeprefix(">-").split())

    def field(self, name: str) -> str:
        """A value that stands on one line, or nothing."""
        found = re.search(rf"^ +{name}: (.*)$", self.text, re.MULTILINE)
        return found[1].strip().strip('"') if found else ""


def alerts(text: str) -> list[Alert]:
    """In the order of the file."""
    parts = re.split(r"^ +- alert: (\w+)$", text, flags=re.MULTILINE)
    return [Alert(name, body) for name, body in zip(parts[1::2], parts[2::2], strict=True)]


def names_in(text: str) -> set[str]:
    """What reads like a metric of ours; `tailrace_*` and the like are not names."""
    return set(re.findall(r"\btailrace_[a-z_]*[a-z]\b(?![a-z_]*\*)", text))


def declared() -> dict[str, Metric]:
    """By every name that a query may use; of a histogram the three series that Prometheus keeps, not its own name."""
    by_name: dict[str, Metric] = {}
    for metric in METRICS:
        histogram = str(metric.kind.value) == "histogram"
        by_name.update({f"{metric.name}{suffix}": metric for suffix in (_SUFFIXES if histogram else ("",))})
    return by_name


def promtool(*arguments: str | Path, timeout: float = 50) -> subprocess.CompletedProcess[str]:
    words = [program("promtool", package="prometheus"), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False)


def accepted(exprs: Iterable[str], directory: Path) -> subprocess.CompletedProcess[str]:
    """`promtool check rules` of recording rules with these expressions. (JSON is YAML.)"""
    rules = [{"record": f"expr:{number}", "expr": expr} for number, expr in enumerate(exprs)]
    file = directory / "exprs.rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "exprs", "rules": rules}]}))
    return promtool("check", "rules", file)


def shortened(text: str, durations: dict[str, str]) -> str:
    """The rules with other durations: in `for:`, in windows, and in "uptime below N seconds". Each key must occur."""

    def other(match: re.Match[str]) -> str:
        return match[1] + durations.get(match[2], match[2])

    found = {match[2] for match in _DURATION.finditer(text)}
    assert durations.keys() <= found, durations.keys() - found
    young = {str(_seconds(before)): str(_seconds(after)) for before, after in durations.items()}
    text = re.sub(r"(uptime_seconds < )(\d+)", lambda match: match[1] + young.get(match[2], match[2]), text)
    return _DURATION.sub(other, text)


_DURATION = re.compile(r"(for: |\[|offset )(\d+[smhd])\b")


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[duration[-1]]


class Prometheus:
    """A running one. `logs`: where it writes."""

    def __init__(self, url: str, logs: Path) -> None:
        self.url, self.logs = url, logs

    def api(self, path: str) -> Any:
        reply = ask(self.url, f"/api/v1/{path}")
        answer = json.loads(reply.body)
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """(labels, value) of an instant vector."""
        result = self.api(f"query?query={quote(expr)}")["result"]
        return [(each["metric"], float(each["value"][1])) for each in result]

    def targets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api("targets")["activeTargets"]
        return found

    def alert(self, name: str) -> list[dict[str, Any]]:
        """Those of that name that fire now, with their labels and annotations."""
        found = self.api("alerts")["alerts"]
        return [each for each in found if each["labels"]["alertname"] == name and each["state"] == "firing"]

    def complaints(self) -> list[str]:
        """Everything that it logged above info."""
        return [line for line in self.logs.read_text().splitlines() if re.search(r"level=(warn|error)", line)]


@contextmanager
def prometheus(directory: Path, rules: str, targets: Sequence[str]) -> Iterator[Prometheus]:
    """It scrapes and evaluates every second; stopped at the end, whatever happens."""
    port, logs = free_port(), directory / "prometheus.log"
    (directory / "rules.yml").write_text(rules)
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "tailrace", "static_configs": [{"targets": list(targets)}]}],
    }
    (directory / "prometheus.yml").write_text(json.dumps(config))
    words = [
        program("prometheus", package="prometheus"),
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with logs.open("w") as log:
        process = subprocess.Popen(words, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            running = Prometheus(f"http://127.0.0.1:{port}", logs)
            _wait(lambda: ask(running.url, "/-/ready").status == 200, process, logs)
            yield running
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def _wait(ready: Callable[[], bool], process: subprocess.Popen[bytes], logs: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            if ready():
                return
        except (OSError, HTTPException):
            pass
        assert process.poll() is None, logs.read_text()
        assert time.monotonic() < deadline, logs.read_text()
        time.sleep(0.05)
