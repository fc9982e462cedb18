"""Ledger documents and the values they stand for. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bson import Int64
from pymongo import UpdateOne

from tailrace import identity
from tailrace.errors import LedgerDamaged
from tailrace.ingest.mongo.connection import Document, hour_date
from tailrace.ingest.mongo.stored_fields import Damaged, binary, flag, hour, text, whole
from tailrace.model import SCHEMA_VERSION, Identity, Life, Numbers, Offset, StartAt
from tailrace.streams.times import INT64_MIN


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSettings:
    """What decides what is stored, per collection. `family` because indexes, keys and `verify` follow from it."""

    identity: Identity
    numbers: Numbers
    family: str
    clustered: bool = False
    schema: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a life is settled, as last recorded. `guard`: opaque digest of the bytes before `offset`;
    `path`: where the file was last seen; counts are totals of this life, `checksum` that of its documents
    (`model.Totals`)."""

    prefix: bytes
    offset: int
    guard: bytes
    collection_uuid: bytes
    path: str
    finished: bool
    lines: int
    inserted: int
    duplicates: int
    rejected: int
    checksum: int | None


@dataclass(frozen=True, slots=True)
class LedgerLife:
    """`progress` is None when none was recorded, or only for a collection that was dropped since."""

    life: Life
    progress: Progress | None

    @property
    def path(self) -> str:
        """Where its file was last seen."""
        return self.life.path if self.progress is None else self.progress.path


def settings_document(settings: StoredSettings) -> Document:
    """The fields of the ledger's "settings" document."""
    return {
        "identity": settings.identity.value,
        "numbers": settings.numbers.value,
        "schema": settings.schema,
        "family": settings.family,
        "clustered": settings.clustered,
    }


def first_difference(stored: Document, ours: Document) -> str | None:
    """The first setting that decides what is stored and differs. `clustered` decides only how: never compared."""
    for name in ("family", "identity", "numbers", "schema"):
        if stored.get(name) != ours[name]:
            return name
    return None


def life_of(
    *,
    hour: int,
    head: bytes,
    number: int,
    source: str,
    family: str,
    path: str,
    start: Offset,
    salt: int,
) -> Life:
    """The life with its fingerprint. Pure."""
    fingerprint = identity.fingerprint(source=source, family=family, life=number, salt=salt, head=head)
    return Life(
        source=source,
        family=family,
        path=path,
        hour=hour,
        number=number,
        salt=salt,
        fingerprint=fingerprint,
        start=start,
    )


def settings_sentence(namespace: str, name: str, stored: Document, ours: Document) -> str:
    """What SettingsChanged says; `name` is the first setting that differs."""
    if name == "schema":
        return (
            f"{namespace} was filled with schema version {stored.get(name)}, and this tailrace writes version "
            f"{ours[name]}: use another collection name, or the tailrace that filled it"
        )
    label = {"family": "stream"}.get(name, name)
    return (
        f"{namespace} was filled with {label} = {stored.get(name)}, and {label} = {ours[name]} is set now: "
        f"use another collection name, or set {label} = {stored.get(name)} again"
    )


def unfinished_sentence(source: str, registered: Document, start_at: StartAt) -> str | None:
    """What SettingsChanged says of a first start that began with another `start_at` and was not completed; None where
    that is not so. `registered`: the source's document in the ledger."""
    begun = registered.get("start_at", start_at.value)
    if registered.get("state") == "started" or begun == start_at.value:
        return None
    return (
        f"the first start of source {source} began with start_at = {begun} and was not completed, and start_at = "
        f"{start_at.value} is set now: set the former until it has started once, or choose another collection"
    )


def document_of(life: Life) -> Document:
    """A life's document as it is entered, without its `_id` (the prefix)."""
    return {
        "source": life.source,
        "family": life.family,
        "path": life.path,
        "hour": hour_date(life.hour),
        "life": life.number,
        "salt": life.salt,
        "fingerprint": life.fingerprint,
        "start": Int64(life.start),
        "schema": SCHEMA_VERSION,
    }


def life_of_document(document: Document) -> Life:
    """Raises LedgerDamaged unless every field is as it was written and the `_id` is the prefix that they give."""
    with _undamaged(document):
        life = Life(
            source=text(document, "source"),
            family=text(document, "family"),
            path=text(document, "path"),
            hour=hour(document, "hour"),
            number=whole(document, "life"),
            salt=whole(document, "salt"),
            fingerprint=binary(document, "fingerprint", 32),
            start=Offset(whole(document, "start")),
        )
        if document.get("_id") != life.prefix:
            raise Damaged("_id is not that of its hour and fingerprint")
        return life


def progress_of(document: Document) -> Progress | None:
    """Raises LedgerDamaged as `life_of_document`."""
    fields = document.get("progress")
    if fields is None:
        return None
    with _undamaged(document):
        if not isinstance(fields, dict):
            raise Damaged("progress is not an object")
        return Progress(
            prefix=binary(document, "_id", identity.PREFIX_SIZE),
            offset=whole(fields, "offset", low=whole(document, "start")),
            guard=binary(fields, "guard"),
            collection_uuid=binary(fields, "collection_uuid"),
            path=text(fields, "path"),
            finished=flag(fields, "finished"),
            lines=whole(fields, "lines"),
            inserted=whole(fields, "inserted"),
            duplicates=whole(fields, "duplicates"),
            rejected=whole(fields, "rejected"),
            checksum=None if fields.get("checksum") is None else whole(fields, "checksum", INT64_MIN),
        )


@contextmanager
def _undamaged(document: Document) -> Iterator[None]:
    try:
        yield
    except Damaged as error:
        key = document.get("_id")
        name = key.hex() if isinstance(key, bytes) else repr(key)
        raise LedgerDamaged(
            f"the document {name} of the ledger (<collection>.files) is not as tailrace wrote it: {error}; restore it "
            "from a backup, because the ids of what is stored follow from it"
        ) from None


def progress_update(row: Progress) -> UpdateOne:
    """An update that never takes an offset back, unless it was recorded for another collection."""
    older = [
        {"progress.collection_uuid": {"$ne": row.collection_uuid}},  # absent, or of a dropped collection
        {"progress.offset": {"$lte": Int64(row.offset)}},
    ]
    fields: Document = {
        "offset": Int64(row.offset),
        "guard": row.guard,
        "collection_uuid": row.collection_uuid,
        "path": row.path,
        "finished": row.finished,
        "lines": Int64(row.lines),
        "inserted": Int64(row.inserted),
        "duplicates": Int64(row.duplicates),
        "rejected": Int64(row.rejected),
        "checksum": None if row.checksum is None else Int64(row.checksum),
    }
    return UpdateOne({"_id": row.prefix, "$or": older}, {"$set": {"progress": fields}})
