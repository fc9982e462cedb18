"""What the server's reply to an unordered insert says about each document. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pymongo.errors import BulkWriteError

from tailrace.errors import Verdict
from tailrace.ingest.mongo.verdicts import BSON_TOO_LARGE, DUPLICATE_KEY, document_verdict, is_listed
from tailrace.model import Reason

DETAIL_LIMIT = 500
"""Characters of a reject's detail."""

_TOO_LARGE = "too large"  # code 2 has many meanings; "object to insert too large" is one of them


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentError:
    """One document's write error. `on_id`: a duplicate of `_id` (or of an index the server did not name)."""

    code: int
    message: str
    on_id: bool

    @property
    def duplicate_id(self) -> bool:
        return self.code == DUPLICATE_KEY and self.on_id

    @property
    def verdict(self) -> Verdict:
        return document_verdict(self.code)

    @property
    def listed(self) -> bool:
        return is_listed(self.code)

    @property
    def reason(self) -> Reason:
        if self.code == BSON_TOO_LARGE or _TOO_LARGE in self.message:
            return Reason.TOO_LARGE
        return Reason.SERVER_REFUSED

    @property
    def detail(self) -> str:
        return f"{self.message} (code {self.code})"[:DETAIL_LIMIT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """`inserted`: as the server counts. `errors`: by index in the command. `concern`: (code, message) of a
    write-concern error; with it the reply proves nothing about any document."""

    inserted: int
    errors: dict[int, DocumentError]
    concern: tuple[int, str] | None


def read_reply(error: BulkWriteError) -> Reply:
    """The reply inside the driver's exception."""
    details: Mapping[str, Any] = error.details
    concerns = details.get("writeConcernErrors") or []
    concern = None
    if concerns:
        last = concerns[-1]
        concern = (int(last.get("code", 0)), str(last.get("errmsg", "")))
    errors = {entry["index"]: document_error(entry) for entry in details.get("writeErrors") or []}
    return Reply(inserted=int(details.get("nInserted", 0)), errors=errors, concern=concern)


def document_error(entry: Mapping[str, Any]) -> DocumentError:
    """`entry`: one of `writeErrors`. Past 1 MiB of messages the server leaves them empty, but not the key pattern."""
    message = " ".join(str(entry.get("errmsg", "")).split())
    info = entry.get("errInfo")
    if info:
        rules = {name: value for name, value in info.items() if name != "failingDocumentId"}
        message = f"{message}: {rules.get('details', rules)}"
    pattern = entry.get("keyPattern")
    on_id = list(pattern) == ["_id"] if pattern else " index: " not in message or " index: _id_" in message
    return DocumentError(code=int(entry.get("code", 0)), message=message, on_id=on_id)
