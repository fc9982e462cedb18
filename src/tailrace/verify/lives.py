"""The ledger as `verify` reads it: lives of one source with what was recorded of them, prefixes of all sources.

Unlike `Ledger` it gives the record also when it was made for a collection that was dropped or restored since: what was
stored then is what must be there now.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from tailrace.ingest.mongo.connection import Document, Handles
from tailrace.ingest.mongo.ledger import LedgerLife
from tailrace.ingest.mongo.ledger_documents import life_of_document, progress_of
from tailrace.ingest.mongo.ledger_reading import LedgerReader
from tailrace.ingest.mongo.retrying import Retrier

_PAGE = 1000  # prefixes asked for in one query


class Lives:
    """Of one collection."""

    def __init__(self, handles: Handles, retrier: Retrier) -> None:
        self._reader = LedgerReader(handles.files, retrier)

    async def of(self, source: str) -> AsyncIterator[LedgerLife]:
        """All lives of a source, in order of their hours."""
        async for document in self._reader.lives({"source": source}):
            yield _life(document)

    async def get(self, prefix: bytes) -> LedgerLife | None:
        for document in await self._reader.read({"_id": prefix}, limit=1):
            return _life(document)
        return None

    async def prefixes(self) -> list[bytes]:
        """Of all sources, ascending."""
        return [bytes(document["_id"]) async for document in self._reader.lives({}, fields={"_id": 1})]

    async def known(self, prefixes: Sequence[bytes]) -> set[bytes]:
        """Which of these are lives of any source by now."""
        known: set[bytes] = set()
        for first in range(0, len(prefixes), _PAGE):
            some = list(prefixes[first : first + _PAGE])
            documents = await self._reader.read({"_id": {"$in": some}}, fields={"_id": 1})
            known.update(bytes(document["_id"]) for document in documents)
        return known

    async def written(self, source: str) -> bool:
        """Whether a `run` holds the source's lease now, by the server's clock."""
        query: Document = {"_id": f"source/{source}", "$expr": {"$gt": ["$lease.expires", "$$NOW"]}}
        return bool(await self._reader.read(query, limit=1, fields={"_id": 1}))

    async def started(self, source: str) -> bool:
        """Whether a first start of the source was completed: until then `start_at` decides what is skipped."""
        query: Document = {"_id": f"source/{source}", "state": "started"}
        return bool(await self._reader.read(query, limit=1, fields={"_id": 1}))


def _life(document: Document) -> LedgerLife:
    return LedgerLife(life_of_document(document), progress_of(document))
