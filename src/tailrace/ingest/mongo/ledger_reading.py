"""Reads of a collection's ledger, for whoever writes it and for whoever only looks: by query, or page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tailrace.identity import PREFIX_SIZE
from tailrace.ingest.mongo.connection import Collection, Document
from tailrace.ingest.mongo.retrying import Retrier

_PAGE = 1000  # documents in one query
_LAST = b"\xff" * PREFIX_SIZE


async def nothing_stored(data: Collection, files: Collection) -> bool:
    """Whether the collection is empty and its ledger knows no life, whichever source's: its settings may be changed."""
    if await data.find_one({}, {"_id": 1}) is not None:
        return False
    return await files.find_one({"fingerprint": {"$exists": True}}, {"_id": 1}) is None


def newest_lives(files: Collection, source: str, most: int) -> AsyncIterator[Document]:
    """The documents of the newest lives of a source, as many as `most`. Not retried."""
    return files.find({"source": source, "_id": {"$gt": b"", "$lte": _LAST}}).sort("_id", -1).limit(most)


class LedgerReader:
    """Each read is retried without limit."""

    def __init__(self, files: Collection, retrier: Retrier) -> None:
        self._files = files
        self._retrier = retrier

    async def read(self, query: Document, *, limit: int = 0, fields: Document | None = None) -> list[Document]:
        """In order of `_id`; `limit` 0: all. `fields`: a projection."""
        return await self._retrier.call(
            lambda: self._files.find(query, fields).sort("_id", 1).limit(limit).to_list(), "reading the ledger"
        )

    async def lives(self, query: Document, *, fields: Document | None = None) -> AsyncIterator[Document]:
        """The documents of lives, in order of their hours; read in pages, so any number of them will do."""
        after = b""
        while True:
            page = await self.read({**query, "_id": {"$gt": after, "$lte": _LAST}}, limit=_PAGE, fields=fields)
            for document in page:
                yield document
            if len(page) < _PAGE:
                return
            after = bytes(page[-1]["_id"])
