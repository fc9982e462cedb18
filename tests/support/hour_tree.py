"""A node's tree of numbered trades, one `tailrace run` on it, and a count of what MongoDB holds of each hour.

The count is made with plain pymongo against the numbers that a test wrote: nothing of tailrace's is asked.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient
from tests.support.ingested import trades
from tests.support.scrape import ask
from tests.support.servers import Server
from tests.support.tailrace_process import Event, Run, hour_file, tailrace

MIDNIGHT = 1_741_564_800  # 2025-03-10T00:00:00Z
DAY = "20250310"


class HourTree:
    """One tree, one database, one state directory. `with HourTree(...)` closes its client."""

    def __init__(self, directory: Path, server: Server, database: str, *more: str, stream: str = "node_trades") -> None:
        self.directory = directory
        self.root = directory / "data"
        self.stream = stream
        self.hourly = self.root / stream / "hourly"
        self.state = directory / "state"
        self.database = database
        self.flags = (
            *("--root", str(self.root), "--stream", stream, "--mongodb-uri", server.uri),
            *("--database", database, "--state-dir", str(self.state), "--poll-interval", "50ms"),
            *more,
        )
        self._client = MongoClient[dict[str, Any]](server.uri)
        self.trades = self._client[database].node_trades
        self.rejects = self._client[database]["node_trades.rejects"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.close()

    def path(self, name: str) -> Path:
        """`20250310/9`, its folder made."""
        return hour_file(self.root, name, self.stream)

    def append(self, name: str, data: bytes) -> Path:
        path = self.path(name)
        with path.open("ab") as out:
            out.write(data)
        return path

    def run(self, *more: str) -> Run:
        return Run(*self.flags, *more)

    def served(self, *more: str) -> Run:
        """A run whose figures can be asked for (`figures`)."""
        return Run(*self.flags, "--http", "127.0.0.1:0", *more)

    def once(self, *more: str, code: int = 0) -> list[Event]:
        done = tailrace("run", "--once", "--http", "off", "--log-format", "json", *self.flags, *more)
        assert done.returncode == code, done.stderr
        return [json.loads(line) for line in done.stderr.splitlines()]

    def verified(self, *hours: str) -> tuple[int, dict[str, dict[str, Any]]]:
        """(exit code, what `tailrace verify --json` says of each file, by `20250310/9`)."""
        done = tailrace("verify", "--json", *hours, *self.flags, timeout=120)
        assert done.returncode in {0, 1}, done.stderr
        found = json.loads(done.stdout)
        files = [file for source in found["sources"] for file in source["files"]]
        return done.returncode, {"/".join(Path(file["path"]).parts[-2:]): file for file in files}

    def stored(self, hour: int) -> Counter[int]:
        """Trade number -> how many documents, of one hour counted from the midnight of 2025-03-10."""
        return self.by_hour().get(hour, Counter())

    def by_hour(self) -> dict[int, Counter[int]]:
        """The same of all hours that have documents; the hour is read from the `_id`, the number from the hash."""
        found: dict[int, Counter[int]] = {}
        for document in self.trades.find({}, {"hash": 1}):
            hour = (int.from_bytes(document["_id"].binary[:4], "big") - MIDNIGHT) // 3600
            found.setdefault(hour, Counter())[int(document["hash"], 16)] += 1
        return found

    def kept_aside(self, hour: int) -> Counter[str]:
        """Reason -> how many lines or entries of that hour are kept in rejects."""
        found: Counter[str] = Counter()
        for document in self.rejects.find({"reject": {"$exists": False}}, {"reason": 1}):
            if (int.from_bytes(bytes(document["_id"])[:4], "big") - MIDNIGHT) // 3600 == hour:
                found[document["reason"]] += 1
        return found

    def lives(self) -> list[dict[str, Any]]:
        """The ledger's entries that are lives of files."""
        return [each for each in self._client[self.database]["node_trades.files"].find() if "path" in each]


def figures(run: Run) -> dict[str, Any]:
    """The figures of the one source, as `/status` has them now."""
    reply = ask(str(run.wait_for("serving")["url"]), "/status")
    [source] = json.loads(reply.body)["sources"]
    assert isinstance(source, dict)
    return source


def readiness(run: Run) -> list[str]:
    """The sentences of `/readyz`."""
    reply = ask(str(run.wait_for("serving")["url"]), "/readyz")
    return [each["sentence"] for each in json.loads(reply.body)["why"]]


def lost(events: Iterable[Event]) -> dict[str, int]:
    """Bytes said to be lost, by the file's name (`20250310/9`)."""
    found: Counter[str] = Counter()
    for event in events:
        if event.get("event") == "bytes_lost":
            assert event["level"] == "error"
            found["/".join(Path(event["path"]).parts[-2:])] += event["bytes"]
    return dict(found)


def numbers(first: int, count: int) -> Counter[int]:
    """Trades `first` to `first + count - 1`, once each."""
    return Counter(range(first, first + count))


__all__ = ["DAY", "HourTree", "figures", "lost", "numbers", "readiness", "trades"]
