"""Count and checksum of each life: as the ledger has them, and from the collection's own bytes. Only PyMongo."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

Sums = dict[bytes, tuple[int, int | None]]


def recorded(uri: str, database: str) -> Sums:
    """(documents, checksum) by prefix, as the ledger has them."""
    with MongoClient[dict[str, Any]](uri) as client:
        lives = client[database]["node_trades.files"].find({"progress": {"$exists": True}})
        fields = {bytes(life["_id"]): life["progress"] for life in lives}
    return {prefix: (each["inserted"] + each["duplicates"], each["checksum"]) for prefix, each in fields.items()}


def recomputed(uri: str, database: str) -> Sums:
    """The same from the documents, by the prefix of their `_id`."""
    sums: dict[bytes, tuple[int, int]] = {}
    with MongoClient(uri, document_class=RawBSONDocument) as client:
        for document in client[database]["node_trades"].find():
            key: ObjectId = document["_id"]
            count, total = sums.get(key.binary[:7], (0, 0))
            sums[key.binary[:7]] = (count + 1, (total + crc32(document.raw)) % 2**63)
    return dict(sums)


def free_lease(uri: str, database: str) -> None:
    """Stands for the 20 s after which the lease of a killed writer expires."""
    with MongoClient[dict[str, Any]](uri) as client:
        client[database]["node_trades.files"].update_many({}, {"$unset": {"lease": 1}})
