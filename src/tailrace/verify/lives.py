"""The ledger as `verify` reads it: lives of one source with what was recorded of them, prefixes of all sources.

Unlike `Ledger` it gives the record also when it was made for a collection that was dropped or restored since: what was
stored then is what must be there now.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from tailrace.identity import PREFIX_SIZE
from tailrace.ingest.mongo.connection import Document, Handles
from tailrace.ingest.mongo.ledger import LedgerLife
from tailrace.ingest.mongo.ledger_documents import life_of_document, progress_of
from tailrace.ingest.mongo.retrying import Retrier

_PAGE = 1000  # documents of the ledger in one query
_LAST = b"\xff" * PREFIX_SIZE


class Lives:
    """Reads of one collection's ledger; each is retried without limit."""

    def __init__(self, handles: Handles, retrier: Retrier) -> None:
        self._files = handles.files
        self._retrier = retrier

    async def of(self, source: str) -> AsyncIterator[LedgerLife]:
        """All lives of a source, in order of their hours."""
        async for document in self._pages({"source": source}):
            yield _life(document)

    async def get(self, prefix: bytes) -> LedgerLife | None:
        for document in await self._read({"_id": prefix}, 1):
            return _life(document)
        return None

    async def prefixes(self) -> list[bytes]:
        """Of all sources, ascending."""
        return [bytes(document["_id"]) async for document in self._pages({}, {"_id": 1})]

    async def known(self, prefixes: Sequence[bytes]) -> set[bytes]:
        """Which of these are lives of any source by now."""
        known: set[bytes] = set()
        for first in range(0, len(prefixes), _PAGE):
            some = list(prefixes[first : first + _PAGE])
            known.update(bytes(document["_id"]) for document in await self._read({"_id": {"$in": some}}, 0, {"_id": 1}))
        return known

    async def written(self, source: str) -> bool:
        """Whether a `run` holds the source's lease now, by the server's clock."""
        query: Document = {"_id": f"source/{source}", "$expr": {"$gt": ["$lease.expires", "$$NOW"]}}
        return bool(await self._read(query, 1, {"_id": 1}))

    async def started(self, source: str) -> bool:
        """Whether a first start of the source was completed: until then `start_at` decides what is skipped."""
        return bool(await self._read({"_id": f"source/{source}", "state": "started"}, 1, {"_id": 1}))

    async def _pages(self, query: Document, fields: Document | None = None) -> AsyncIterator[Document]:
        after = b""
        while True:
            page = await self._read({**query, "_id": {"$gt": after, "$lte": _LAST}}, _PAGE, fields)
            for document in page:
                yield document
            if len(page) < _PAGE:
                return
            after = bytes(page[-1]["_id"])

    async def _read(self, query: Document, limit: int, fields: Document | None = None) -> list[Document]:
        return await self._retrier.call(
            lambda: self._files.find(query, fields).sort("_id", 1).limit(limit).to_list(), "reading the ledger"
        )


def _life(document: Document) -> LedgerLife:
    return LedgerLife(life_of_document(document), progress_of(document))
