"""One live writer per source name: a lease in the source's ledger document.

Two writers under one name would not damage anything (identity is a function of the data), but each would count
the other's documents as duplicates and both would record progress. So the second is told to choose a name.

Times are the server's ($$NOW in update pipelines), never ours: clocks of two hosts do not agree. A writer that died
leaves its lease to expire; the same state directory takes it over at once.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from dataclasses import dataclass
from typing import Any

import structlog

from tailrace.errors import SourceTaken
from tailrace.ingest.mongo.connection import Collection, Document, upsert
from tailrace.ingest.mongo.retrying import Retrier

log = structlog.get_logger("tailrace.mongodb")

LEASE = 20.0
"""Seconds that a lease lives after it was taken or renewed. Long enough for a failover, short enough to wait for."""

RENEW_INTERVAL = 5.0
"""Seconds between renewals: three may fail."""

_LOOK_INTERVAL = 1.0  # seconds between looks at another's lease while it may still expire


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who we are. `instance`: of the state directory, survives a restart. `session`: of this process only, so
    that of two processes on a copied state directory the earlier one notices."""

    instance: str
    session: str
    host: str
    pid: int

    @classmethod
    def this_process(cls, instance: str) -> Owner:
        return cls(
            instance=instance,
            session=secrets.token_hex(8),
            host=socket.gethostname(),
            pid=os.getpid(),
        )


class Lease:
    """The lease of `source`. Call `claim`, then `renew` every RENEW_INTERVAL, `release` at shutdown."""

    def __init__(
        self,
        files: Collection,
        retrier: Retrier,
        *,
        source: str,
        owner: Owner,
        lifetime: float = LEASE,
    ) -> None:
        self._files = files
        self._retrier = retrier
        self._source = source
        self._owner = owner
        self._lifetime_ms = round(lifetime * 1000)
        self._key = {"_id": f"source/{source}"}

    async def claim(self) -> None:
        """Ours when it is free, expired or of our state directory. Otherwise waits until the other's lease
        expires (at most its lifetime); SourceTaken as soon as the other renews it."""
        seen: Any = None
        while True:
            lease = await self._take(instance_suffices=True)
            if lease["session"] == self._owner.session:
                return
            mark = (lease["session"], lease["expires"])
            if seen is not None and mark != seen:
                raise self._taken(lease)
            if seen is None:
                log.info(
                    "waiting_for_lease",
                    source=self._source,
                    host=lease["host"],
                    pid=lease["pid"],
                    at_most_s=self._lifetime_ms / 1000,
                    meaning="nothing is read yet: a process that runs, or was killed just now, holds this source",
                )
            seen = mark
            await asyncio.sleep(min(_LOOK_INTERVAL, self._lifetime_ms / 4000))

    async def renew(self) -> None:
        """Raises SourceTaken when another process has it: stop, what is in flight may still settle."""
        lease = await self._take(instance_suffices=False)
        if lease["session"] != self._owner.session:
            raise self._taken(lease)

    async def release(self) -> None:
        """Let the next one start at once. Nothing happens when it is not ours any more."""

        async def attempt() -> None:
            await self._files.update_one(
                {**self._key, "lease.session": self._owner.session},
                {"$unset": {"lease": ""}},
            )

        await self._retrier.call(attempt, f"releasing the lease of source {self._source}")

    async def _take(self, *, instance_suffices: bool) -> Document:
        """Take or prolong the lease if it is free or ours; the lease as it is afterwards, whoever holds it."""
        owner = self._owner
        ours: list[Document] = [
            {"$eq": ["$lease.session", {"$literal": owner.session}]},
            {"$lte": ["$lease.expires", "$$NOW"]},  # absent sorts below every date
        ]
        if instance_suffices:
            ours.append({"$eq": ["$lease.instance", {"$literal": owner.instance}]})
        mine = {
            "instance": {"$literal": owner.instance},
            "session": {"$literal": owner.session},
            "host": {"$literal": owner.host},
            "pid": {"$literal": owner.pid},
            "expires": {"$add": ["$$NOW", self._lifetime_ms]},
        }
        pipeline: list[Document] = [{"$set": {"lease": {"$cond": [{"$or": ours}, mine, "$lease"]}}}]

        async def attempt() -> Document:
            lease: Document = (await upsert(self._files, self._key, pipeline))["lease"]
            return lease

        return await self._retrier.call(attempt, f"claiming the source {self._source}")

    def _taken(self, lease: Document) -> SourceTaken:
        return SourceTaken(
            f"source {self._source!r} of {self._files.full_name} is being written by process {lease['pid']} on "
            f"{lease['host']}: stop that one, or give this one another name (setting source)"
        )
