"""What the server's reply to an unordered insert says about each document. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pymongo.errors import BulkWriteError

from tailrace.errors import Verdict
from tailrace.ingest.mongo.verdicts import BSON_TOO_LARGE, DUPLICATE_KEY, code_of, document_verdict, is_listed, parts_of
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


NOT_UNDERSTOOD = "a reply that is not one to an insert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """`inserted`: as the server counts. `errors`: by index in the command. `concern`: (code, message) of a
    write-concern error, or of a reply that is not understood; with it nothing is proven about any document.

    Law: without a concern every document is either inserted or in `errors`.
    """

    inserted: int
    errors: dict[int, DocumentError]
    concern: tuple[int, str] | None


def read_reply(error: BulkWriteError, documents: int) -> Reply:
    """The reply inside the driver's exception, to an insert of so many documents. Never raises: what is missing, of a
    wrong type or does not add up makes a reply that proves nothing, and the documents are compared."""
    details: object = error.details
    concerns = parts_of(details, "writeConcernErrors")
    if concerns:
        return _nothing_proven(code_of(concerns[-1]), str(concerns[-1].get("errmsg", "")))
    if not isinstance(details, Mapping) or details.get("writeConcernErrors"):
        return _nothing_proven(0, NOT_UNDERSTOOD)
    entries, inserted = parts_of(details, "writeErrors"), details.get("nInserted", 0)
    errors = {index: document_error(entry) for entry in entries if type(index := entry.get("index")) is int}
    if type(inserted) is not int or inserted + len(errors) != documents or not errors.keys() <= set(range(documents)):
        return _nothing_proven(0, NOT_UNDERSTOOD)
    return Reply(inserted=inserted, errors=errors, concern=None)


def _nothing_proven(code: int, message: str) -> Reply:
    return Reply(inserted=0, errors={}, concern=(code, message))


def document_error(entry: Mapping[str, Any]) -> DocumentError:
    """`entry`: one of `writeErrors`. Past 1 MiB of messages the server leaves them empty, but not the key pattern."""
    message = " ".join(str(entry.get("errmsg", "")).split())
    info = entry.get("errInfo")
    if isinstance(info, Mapping) and info:
        rules = {name: value for name, value in info.items() if name != "failingDocumentId"}
        message = f"{message}: {rules.get('details', rules)}"
    pattern = entry.get("keyPattern")
    if isinstance(pattern, Mapping) and pattern:
        on_id = list(pattern) == ["_id"]
    else:
        on_id = " index: " not in message or " index: _id_" in message
    return DocumentError(code=code_of(entry), message=message, on_id=on_id)
