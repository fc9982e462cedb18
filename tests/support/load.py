"""A simulated node under a real tailrace: what it writes, and a count of what arrived, made with plain PyMongo."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient

from tailrace.model import Framing
from tailrace.simulator import Manifest, Node, Plan

START = int(datetime(2025, 3, 10, 21, 30, tzinfo=UTC).timestamp())


class Load:
    """A node that writes 2,800 trades a second for `seconds`, hours rolling every few seconds (`speed`: of its clock).
    As a context it stops at its end."""

    def __init__(
        self,
        root: Path,
        seconds: float,
        framing: Framing = Framing.BARE,
        *,
        rate: float = 2800.0,
        speed: float = 1200.0,
    ) -> None:
        self.plan = Plan(
            root=root,
            stream="node_trades",
            framing=framing,
            rate=rate,
            speed=speed,
            start=START,
            entries=None,
            hours=None,
            duration=seconds,
            bad=0.0005,
            seed=5,
            buffer=0.05,
        )
        self.stopped = threading.Event()
        self.manifest: list[Manifest] = []
        self._thread = threading.Thread(target=lambda: self.manifest.append(Node(self.plan).run(self.stopped)))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def writing(self) -> bool:
        return self._thread.is_alive()

    def written(self) -> Manifest:
        """All of it, once the node has ended by itself."""
        self._thread.join(60)
        return self.manifest[0]

    def enough(self) -> Manifest:
        """Stop the node now; what it wrote."""
        self.close()
        return self.manifest[0]

    def close(self) -> None:
        self.stopped.set()
        self._thread.join(20)


def counts(uri: str, database: str, *, collection: str = "node_trades", limit_ms: int = 5000) -> tuple[int, int]:
    """(documents, rejects), read from the primary."""
    with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=limit_ms, socketTimeoutMS=limit_ms) as client:
        rejects = client[database][f"{collection}.rejects"].count_documents({"reason": {"$exists": True}})
        return client[database][collection].count_documents({}), rejects


def exact(uri: str, database: str, written: Manifest) -> bool:
    """As many documents and rejects as the node wrote good and bad entries."""
    return counts(uri, database) == (written.good, sum(written.bad.values()))
