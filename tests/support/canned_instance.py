"""What a running tailrace answers, made up: a `/status` with every field, its `/history`, a server that tells them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NOW = 1_741_642_200.0  # 2025-03-10T21:30:00Z
HOUR = 3600
NAME = "node_trades -> hyperliquid.node_trades"


def hours(number: int = 72, **states: str) -> list[dict[str, Any]]:
    """The last `number` hours, sealed but for the newest; `states`: of the hour so many before the newest (`h3`)."""
    newest = int(NOW // HOUR)
    result = []
    for back in range(number - 1, -1, -1):
        state = states.get(f"h{back}", "live" if back == 0 else "sealed")
        at = (newest - back) * HOUR
        size = None if state == "missing" else 9_000_000
        result.append({"hour": at, "path": f"/data/{back}", "state": state, "size": size, "settled": size, "lines": 9})
    return result


def source() -> dict[str, Any]:
    return {
        "source": "node_trades",
        "collection": "hyperliquid.node_trades",
        "stream": "node_trades_by_block",
        "root": "/data",
        "live": True,
        "file": "/data/node_trades/hourly/20250310/21",
        "lines": {"read": 1_234_567, "settled": 1_234_553, "in_flight": 14},
        "bytes": {"read": 900_000_000, "settled": 899_992_700, "in_flight": 7_300, "lost": 0},
        "entries": {
            "settled": 1_234_553,
            "inserted": 1_234_530,
            "duplicates": 17,
            "rejected": 6,
            "rejects": {"json": 4, "utf8": 2, "missing": 0},
            "duplicate_causes": {"replay": 12, "lost_reply": 5, "repeated": 0},
        },
        "lag": {"bytes": 0, "seconds": 0.0},
        "checkpoint": {"age_s": 0.4, "lag_bytes": 7_300},
        "newest_entry": {"time": NOW - 1, "lag_s": 0.31},
        "writes": {"count": 44_000, "documents": 1_234_547, "seconds": 88.0, "p50_ms": 1.9, "p99_ms": 9.7},
        "files": {
            "open": 2,
            "backlog": 0,
            "rewritten": 0,
            "locked": 0,
            "waiting": 0,
            "following": 2,
            "sealed": 70,
            "unreadable": 0,
        },
        "missing_hours": [],
        "missing_blocks": 0,
        "hours": hours(),
        "newest_hour": int(NOW // HOUR * HOUR),
        "idle_s": 0,
        "quiet": "",
        "spans_settled": 44_000,
        "rollovers": 69,
        "unaccounted": 0,
    }


def status() -> dict[str, Any]:
    return {
        "format": 1,
        "ready": True,
        "why": [],
        "version": "0.1.0",
        "pid": 4711,
        "host": "node-1",
        "now": NOW,
        "uptime_s": 9_000.0,
        "figures_age_s": 0.2,
        "codec": "native",
        "server": {
            "ok": True,
            "trouble_s": 0.0,
            "verdict": None,
            "sentence": "",
            "retries": 0,
            "version": "6.0.5",
            "topology": "replica set rs0",
            "retries_by_class": {"network": 2, "no_primary": 1, "timeout": 0},
            "members": [
                {"address": "h1:27017", "kind": "primary", "rtt_ms": 0.4, "error": ""},
                {"address": "h2:27017", "kind": "secondary", "rtt_ms": 0.6, "error": ""},
                {"address": "h3:27017", "kind": "unknown", "rtt_ms": None, "error": "connection refused"},
            ],
        },
        "workers": {
            "busy": 1,
            "allowed": 4,
            "limit": 16,
            "in_flight_bytes": 7_300,
            "in_flight_limit_bytes": 67_108_864,
        },
        "reload": {
            "count": 1,
            "last": {
                "at": NOW - 600,
                "outcome": "changed",
                "changed": ["poll_interval: 1s -> 2s"],
                "left": ["http: 127.0.0.1:9464 -> 0.0.0.0:9464 needs a restart"],
                "problems": [],
            },
        },
        "problems": [
            {
                "at": NOW - 300,
                "level": "warning",
                "event": "mongodb_trouble",
                "source": "",
                "count": 3,
                "sentence": "the primary went away; reading stopped until another was there, nothing is lost",
            },
            {
                "at": NOW - 4_000,
                "level": "warning",
                "event": "rejected",
                "source": "node_trades",
                "count": 1,
                "sentence": "a line is no JSON; it is kept aside with its bytes",
            },
        ],
        "sources": [source()],
    }


def history(steps: int = 720) -> dict[str, Any]:
    times = [NOW - 5 * (steps - 1 - step) for step in range(steps)]
    entries = [1_234_553 - 14_000 * (steps - 1 - step) - (step % 40) * 300 for step in range(steps)]
    return {
        "format": 1,
        "step_s": 5,
        "now": NOW,
        "sources": {NAME: {"t": times, "entries": entries, "rejected": [6] * steps, "lag_bytes": [0] * steps}},
    }


class Canned:
    """What is answered: `answers` by path is (HTTP status, body), to be replaced while it serves."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.tell(status(), history())

    def tell(self, told: Any, past: Any = None) -> None:
        self.answers["/status"] = (200, json.dumps(told).encode())
        self.answers["/history"] = (404, b"Nothing is here.\n") if past is None else (200, json.dumps(past).encode())


@contextmanager
def serving(port: int = 0) -> Iterator[Canned]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            canned.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            code, body = canned.answers.get(self.path, (404, b"Nothing is here.\n"))
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    canned = Canned(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield canned
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
