"""One unordered insert of documents that lie end to end in one buffer: the only command on the hot path.

`insert_many` makes objects of each document and looks at them one by one: 1.7 us of client time for each (PyMongo 4.20,
2 cores), where sending the buffer costs 0.35. The driver's own `command` sends it here, with everything that belongs
to it: pool, session, compression, authentication, deadline, errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError

from tailrace.ingest.mongo.connection import Collection
from tailrace.packed import Packed


class _EndToEnd(RawBSONDocument):
    """Many documents in the place of one. The driver writes a raw document's bytes as they are into a command's
    sequence of documents, which has no separators: `OP_MSG`, section of kind 1.

    HAZARD: the driver does not look into it (as of 4.20), but nothing says that it never will. What goes wrong then
    does not go wrong unseen: the server counts the documents, and `insert` compares.
    """

    __slots__ = ("_documents",)

    def __init__(self, documents: bytes) -> None:  # not the parent's, which wants one document
        self._documents = documents

    @property
    def raw(self) -> bytes:
        return self._documents


async def insert(collection: Collection, documents: Packed) -> None:
    """Returns when all are acknowledged under the collection's write concern. `documents`: at least one, at most
    16 MiB in all unless it is one.

    Raises BulkWriteError, with the reply as `insert_many(ordered=False)` would hand it on, unless every document was
    inserted and the write concern met; else what the driver raises.
    """
    command: dict[str, Any] = {"insert": collection.name, "ordered": False}
    concern = collection.write_concern.document
    if concern:
        command["writeConcern"] = concern
    command["documents"] = [_EndToEnd(documents.data)]
    reply = await collection.database.command(command)
    if reply.get("n") == len(documents) and reply.keys().isdisjoint(("writeErrors", "writeConcernError")):
        return
    raise BulkWriteError(as_bulk_result(reply))


def as_bulk_result(reply: Mapping[str, Any]) -> dict[str, Any]:
    """A server's reply to one insert, in the form of the driver's result of a bulk write. Pure.

    HAZARD: numbers that came as 64 bits are a class of their own (`Int64`), which a bulk write's result never holds and
    whoever reads it does not take for a number: documents that are refused would be sent again for ever.
    """
    concern, errors = reply.get("writeConcernError"), reply.get("writeErrors", [])
    if isinstance(errors, list):
        errors = [
            {**each, "index": _plain(each.get("index"))} if isinstance(each, Mapping) else each for each in errors
        ]
    return {
        "writeErrors": errors,
        "writeConcernErrors": [] if concern is None else [concern],
        "nInserted": _plain(reply.get("n", 0)),
    }


def _plain(number: object) -> object:
    return int(number) if isinstance(number, Int64) else number
