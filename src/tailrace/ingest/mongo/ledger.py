"""`<collection>.files`: which lives of which files the collection holds (invariant 8).

    _id: <7 bytes>         one life: identity of its documents, where reading began, how far it was settled
    _id: "settings"        what decides what is stored; compared at every start
    _id: "source/<name>"   first start of a source, and the lease of its live writer (see `lease`)
    _id: "indexes"         whether those of a collection that we made are built (see `made`)

A life's document is written with majority *before* the first document of that life. If we die between the two, the
ledger knows a life without documents: it is entered again with an equal fingerprint, which changes nothing. The
other order could give one prefix to two lives. Nothing is ever removed. Progress is a convenience for a lost state
directory: it lags behind the checkpoints, never runs ahead of what is settled, and counts only for the collection
(UUID) it was recorded with.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from bson import Int64
from pymongo import UpdateOne

from tailrace import identity
from tailrace.errors import RuntimeFailure, SettingsChanged, TailraceError
from tailrace.ingest.mongo.connection import Document, Handles, upsert
from tailrace.ingest.mongo.lease import LEASE, RENEW_INTERVAL, Lease, Owner
from tailrace.ingest.mongo.ledger_documents import (
    LedgerLife,
    Progress,
    StoredSettings,
    document_of,
    first_difference,
    life_of,
    life_of_document,
    progress_of,
    progress_update,
    settings_document,
    settings_sentence,
    unfinished_sentence,
)
from tailrace.ingest.mongo.ledger_reading import LedgerReader, nothing_stored
from tailrace.ingest.mongo.made import StillThere
from tailrace.ingest.mongo.retrying import Retrier
from tailrace.model import Life, Offset, StartAt

__all__ = [
    "LEASE",
    "RENEW_INTERVAL",
    "Ledger",
    "LedgerLife",
    "PrefixTaken",
    "Progress",
    "StoredSettings",
    "life_of",
]

_SALTS = 1000  # attempts to find a free prefix; a thousand collisions of 24 bits within one hour do not happen
_BULK = 1000  # documents per command
_NAMESAKES = 16  # lives under one head that are looked for in all hours


class PrefixTaken(TailraceError):
    """Another life has this prefix: take the next salt. Never leaves the pipeline."""

    def __init__(self, life: Life) -> None:
        super().__init__(f"prefix {life.prefix.hex()} belongs to another file: take the next salt")
        self.life = life


class Ledger:
    """The ledger of one source. Every method retries what is transient without limit."""

    def __init__(
        self,
        handles: Handles,
        retrier: Retrier,
        *,
        source: str,
        instance: str,
        collection_uuid: bytes,
        bound: Mapping[str, bytes] | None = None,
        lease: float = LEASE,
    ) -> None:
        """`instance`: of the state directory; `collection_uuid`, `bound` (`uuids`): from `server.prepare`; `lease`: its
        life, seconds."""
        self._there = StillThere(handles, retrier, bound or {})
        self._files = handles.files
        self._data = handles.data
        self._retrier = retrier
        self._reader = LedgerReader(handles.files, retrier)
        self._source = source
        self._source_key = {"_id": f"source/{source}"}
        self._uuid = collection_uuid
        self._lease = Lease(
            handles.files,
            retrier,
            source=source,
            owner=Owner.this_process(instance),
            lifetime=lease,
        )

    async def settings_agree(self, settings: StoredSettings) -> None:
        """Record the settings at the first start, compare them later. Raises SettingsChanged naming both values.

        Other settings replace the recorded ones only while the ledger knows no life and the collection is empty.
        """
        ours = settings_document(settings)
        stored = await self._upsert("settings", ours, "comparing the settings")
        changed = first_difference(stored, ours)
        if changed is None:
            return
        empty = lambda: nothing_stored(self._data, self._files)  # noqa: E731  retried, and so called again
        if await self._retrier.call(empty, "looking whether anything is stored"):
            await self._retrier.call(
                lambda: self._files.replace_one({"_id": "settings"}, {"_id": "settings", **ours}),
                "storing the settings",
            )
            return
        raise SettingsChanged(settings_sentence(self._data.full_name, changed, stored, ours))

    async def claim(self) -> None:
        """Become the one live writer of this source, or raise SourceTaken (see `lease.Lease.claim`)."""
        await self._lease.claim()

    async def renew(self) -> None:
        """Every `lease.RENEW_INTERVAL`. Raises SourceTaken when another process has taken the source over."""
        await self._lease.renew()

    async def release(self) -> None:
        await self._lease.release()

    async def first_start(self, start_at: StartAt) -> bool:
        """True until `started` was recorded: a first start that died half-way is still the first start.

        Raises SettingsChanged when it began with another `start_at`: what it recorded as skipped would stay skipped.
        """
        registration: Document = {
            "state": {"$ifNull": ["$state", "starting"]},
            "start_at": {"$ifNull": ["$start_at", start_at.value]},
            "first_start": {"$ifNull": ["$first_start", "$$NOW"]},
        }
        document = await self._retrier.call(
            lambda: upsert(self._files, self._source_key, [{"$set": registration}]),
            "registering the source",
        )
        unfinished = unfinished_sentence(self._source, document, start_at)
        if unfinished is not None:
            raise SettingsChanged(unfinished)
        return bool(document["state"] != "started")

    async def started(self) -> None:
        """From now on every file without a checkpoint is read from its ledger offset or its beginning."""
        await self._retrier.call(
            lambda: self._files.update_one(self._source_key, {"$set": {"state": "started"}}, upsert=True),
            "recording the first start",
        )

    async def still_there(self) -> None:
        """Raises CollectionsDropped when the collection, its rejects or this ledger is not the one that we were bound
        to. HAZARD: ask before `renew`, whose upsert makes a dropped ledger anew."""
        await self._there.check()

    async def restore(self, lives: Sequence[Life]) -> None:
        """Enter lives again that the ledger has lost, before any further document. Their prefixes must be free."""
        taken = await self.enter_many(lives)
        if taken:
            raise RuntimeFailure(
                f"{self._files.full_name} was dropped, and meanwhile the id prefix of {taken[0].path} was given to "
                "another file: restore the ledger from a backup, or ingest into another collection"
            )

    async def rejects_dropped(self, uuid: bytes) -> bool:
        """Whether the rejects lie in another collection than those of this source so far. False where none is known."""
        document = await self._retrier.call(lambda: self._files.find_one(self._source_key), "reading the ledger")
        known = (document or {}).get("rejects_uuid")
        return known is not None and bytes(known) != uuid

    async def bind_rejects(self, uuid: bytes, *, again: bool) -> None:
        """Record where the rejects lie. `again`: first forget how far lives with rejects were settled, so that they are
        read again; if we die between the two, the next start does so again."""

        async def forget() -> None:
            query = {"source": self._source, "progress.rejected": {"$gt": 0}}
            await self._files.update_many(query, {"$unset": {"progress": ""}})

        if again:
            await self._retrier.call(forget, "forgetting progress")
        update = {"$set": {"rejects_uuid": uuid}}
        await self._retrier.call(lambda: upsert(self._files, self._source_key, update), "recording the rejects")

    async def fence(self) -> None:
        """A small journaled write, acknowledged by a majority. When it returns, everything that a read showed before
        is durable as well.

        HAZARD: on a standalone a majority read shows documents that are not in the journal yet. A span settled on
        such a proof alone would be lost by a kill -9 of mongod: never settle on a read without a write after it.
        """
        await self._retrier.call(
            lambda: self._files.update_one(self._source_key, {"$inc": {"fences": Int64(1)}}, upsert=True),
            "making a proof durable",
        )

    async def allocate(
        self,
        *,
        hour: int,
        head: bytes,
        number: int,
        source: str,
        family: str,
        path: str,
        start: Offset,
    ) -> Life:
        """Enter the life under the first salt whose prefix is free or already its own."""
        for salt in range(_SALTS):
            life = life_of(
                hour=hour,
                head=head,
                number=number,
                source=source,
                family=family,
                path=path,
                start=start,
                salt=salt,
            )
            try:
                return await self.enter(life)
            except PrefixTaken:
                continue
        raise RuntimeFailure(f"no free id prefix for {path} in {_SALTS} attempts: the ledger must be damaged")

    async def enter(self, life: Life) -> Life:
        """Durable in the ledger when it returns; call it before the first document. Returns the life as the ledger
        has it: one that was entered before keeps its `path` and `start`. Raises PrefixTaken."""
        document = await self._upsert(life.prefix, document_of(life), "entering a file in the ledger")
        if bytes(document["fingerprint"]) != life.fingerprint:
            raise PrefixTaken(life)
        return life_of_document(document)

    async def enter_many(self, lives: Sequence[Life]) -> list[Life]:
        """`enter` for a whole tree at once (`start_at = "end"`). Returns those whose prefix is another's: enter them
        again with the next salt."""
        taken: list[Life] = []
        for first in range(0, len(lives), _BULK):
            part = lives[first : first + _BULK]
            requests = [UpdateOne({"_id": x.prefix}, {"$setOnInsert": document_of(x)}, upsert=True) for x in part]
            await self._bulk(requests, "entering files in the ledger")
            documents = await self._reader.read({"_id": {"$in": [life.prefix for life in part]}})
            stored = {bytes(document["_id"]): bytes(document["fingerprint"]) for document in documents}
            taken += [life for life in part if stored[life.prefix] != life.fingerprint]
        return taken

    async def lives(self, hour: int) -> list[LedgerLife]:
        """This source's lives of one hour (epoch seconds), in order of their numbers."""
        begin = hour.to_bytes(4, "big")
        query = {
            "_id": {"$gte": begin + bytes(3), "$lte": begin + b"\xff\xff\xff"},
            "source": self._source,
        }
        documents = await self._reader.read(query)
        found = [self._ledger_life(document) for document in documents]
        return sorted(found, key=lambda entry: entry.life.number)

    async def namesakes(self, family: str, head: bytes) -> list[LedgerLife]:
        """This source's lives of any hour that begin with `head`, in order of their hours; of a file that was rewritten
        under it, the first lives only. Looks through the whole ledger."""
        name, numbers = self._source, range(_NAMESAKES)
        prints = [identity.fingerprint(source=name, family=family, life=n, salt=0, head=head) for n in numbers]
        documents = await self._reader.read({"source": name, "fingerprint": {"$in": prints}})
        return [self._ledger_life(document) for document in documents]

    async def all_lives(self) -> AsyncIterator[LedgerLife]:
        """All lives of this source, in order of their hours."""
        async for document in self._reader.lives({"source": self._source}):
            yield self._ledger_life(document)

    async def record(self, rows: Iterable[Progress]) -> None:
        """Store progress, with majority. An offset never goes back, unless it was recorded for another collection."""
        requests = [progress_update(row) for row in rows]
        for first in range(0, len(requests), _BULK):
            await self._bulk(requests[first : first + _BULK], "recording progress")

    async def _bulk(self, requests: list[UpdateOne], doing: str) -> None:
        await self._retrier.call(lambda: self._files.bulk_write(requests, ordered=False), doing)

    async def _upsert(self, key: str | bytes, fields: Document, doing: str) -> Document:
        """Insert unless there; what is there afterwards. One atomic command, journaled even when it changes nothing."""
        return await self._retrier.call(lambda: upsert(self._files, {"_id": key}, {"$setOnInsert": fields}), doing)

    def _ledger_life(self, document: Document) -> LedgerLife:
        progress = progress_of(document)
        if progress is not None and progress.collection_uuid != self._uuid:
            progress = None
        return LedgerLife(life_of_document(document), progress)
