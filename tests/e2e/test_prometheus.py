"""A real Prometheus scrapes a real `run`, and the rules of deploy/, with shorter durations, fire and clear."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.support.prometheus import RULES, Prometheus, alerts, prometheus, shortened
from tests.support.scrape import Scrape, ask
from tests.support.servers import Server
from tests.support.tailrace_process import Run, hour_file, until

SHORT = {"1m": "2s", "2m": "2s", "5m": "5s", "10m": "4s", "15m": "6s", "30m": "20s", "1h": "8s", "6h": "10s"}
"""Instead of what stands in the rules; a scrape comes every second."""

SOURCE = {"source": "node_fills", "job": "tailrace"}


def fill(number: int) -> bytes:
    fields = {"coin": "BTC", "px": "1.5", "sz": "2", "side": "B", "time": 1_741_605_882_000 + number, "oid": number}
    more = {"startPosition": "0.0", "dir": "Open Long", "closedPnl": "0.0", "hash": "0x" + "ab" * 32, "crossed": True}
    return json.dumps(["0x" + "1" * 40, {**fields, **more, "fee": "0.1", "tid": number}]).encode() + b"\n"


def firing(server: Prometheus) -> set[str]:
    found = server.query('ALERTS{alertstate="firing"}')
    return {labels["alertname"] for labels, _value in found}


def append(root: Path, data: bytes) -> None:
    """To the file of the present hour: a node that writes now."""
    now = time.gmtime()
    with hour_file(root, f"{time.strftime('%Y%m%d', now)}/{now.tm_hour}", "node_fills").open("ab") as file:
        file.write(data)


@pytest.mark.timeout(120)
def test_alerts_fire_and_clear(tmp_path: Path, own_server: Server, database_name: str) -> None:
    """Every scrape is taken whole and without a complaint. While all is well nothing fires. Bad lines raise
    TailraceRejects with their reason, a frozen mongod raises TailraceServerGone; both clear."""
    root = tmp_path / "data"
    append(root, b"".join(fill(number) for number in range(100)))
    flags = (
        *("--root", str(root), "--stream", "node_fills", "--mongodb-uri", own_server.uri),
        *("--database", database_name, "--state-dir", str(tmp_path / "state"), "--poll-interval", "50ms"),
        *("--write-timeout", "1s", "--retry-max-delay", "200ms", "--shutdown-grace", "1s", "--http", "127.0.0.1:0"),
    )
    text = RULES.read_text()
    with Run(*flags) as run:
        url = str(run.wait_for("serving")["url"])
        run.wait_for("live")
        target = url.removeprefix("http://")
        with prometheus(tmp_path, shortened(text, SHORT), [target]) as server:
            until(lambda: server.query("up") == [({"__name__": "up", "instance": target, "job": "tailrace"}, 1)], 15)
            until(lambda: server.query("tailrace_uptime_seconds > 9") != [], 25, "no process that has just begun")
            until(lambda: len(server.query("tailrace_live == 1")) == 1, what="live")
            loaded = [rule for group in server.api("rules")["groups"] for rule in group["rules"]]
            assert sorted(rule["name"] for rule in loaded) == sorted(alert.name for alert in alerts(text))
            assert firing(server) == set()

            append(root, b"not json\n" * 3)
            until(lambda: len(server.alert("TailraceRejects")) == 1, 15, "an alert of rejects")
            (alert,) = server.alert("TailraceRejects")
            expected = {**SOURCE, "collection": f"{database_name}.node_fills", "instance": target, "reason": "json"}
            assert expected.items() <= alert["labels"].items()
            assert alert["annotations"]["summary"].endswith("keeps lines aside: json")
            assert f"{database_name}.node_fills.rejects" in alert["annotations"]["description"]
            until(lambda: firing(server) == set(), 20, "it clears, though the counter stays")
            assert server.query("sum(tailrace_rejected_entries_total)")[0][1] == 3

            with own_server.frozen():
                append(root, fill(200))
                until(lambda: len(server.alert("TailraceServerGone")) == 1, 20, "an alert of the server")
            until(lambda: firing(server) == set(), 20, "it clears")

            scraped_whole(server, url)
            assert [each["health"] for each in server.targets()] == ["up"]
            assert [each["lastError"] for each in server.targets()] == [""]
            again = [rule for group in server.api("rules")["groups"] for rule in group["rules"]]
            assert {(rule["health"], rule.get("lastError", "")) for rule in again} == {("ok", "")}
            assert server.complaints() == []
        run.stop()


def scraped_whole(server: Prometheus, url: str) -> None:
    """What Prometheus kept of a scrape is as many series as the endpoint shows; each scrape was answered."""
    shown = len(Scrape(ask(url, "/metrics").body).series)
    (_, scraped), (_, kept) = (
        *server.query("scrape_samples_scraped"),
        *server.query("scrape_samples_post_metric_relabeling"),
    )
    ((_, worst),) = server.query("min_over_time(up[1m])")
    assert (scraped, kept, worst) == (shown, shown, 1)
