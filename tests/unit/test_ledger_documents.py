"""Ledger documents, read back: as they were written, or refused."""

from __future__ import annotations

from typing import Any

import pytest
from bson import Int64
from bson.datetime_ms import DatetimeMS

from tailrace.errors import Exit, LedgerDamaged
from tailrace.ingest.mongo.ledger_documents import document_of, life_of_document, progress_of
from tailrace.model import Life, Offset

LIFE = Life(
    source="s", family="f", path="p/9", hour=1741597200, number=1, salt=2, fingerprint=bytes(range(32)), start=Offset(5)
)
PROGRESS: dict[str, Any] = {
    "offset": Int64(900),
    "guard": bytes(16),
    "collection_uuid": bytes(16),
    "path": "p/9",
    "finished": True,
    "lines": Int64(9),
    "inserted": Int64(8),
    "duplicates": Int64(1),
    "rejected": Int64(0),
}


def test_a_life_is_read_back_as_it_was_written() -> None:
    assert life_of_document({"_id": LIFE.prefix, **document_of(LIFE)}) == LIFE
    progress = progress_of({"_id": LIFE.prefix, **document_of(LIFE), "progress": PROGRESS})
    assert progress is not None
    assert {name: getattr(progress, name) for name in PROGRESS} == PROGRESS
    assert progress_of({"_id": LIFE.prefix, **document_of(LIFE)}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"_id": b"1234567"},
        {"fingerprint": 32},
        {"fingerprint": bytes(31)},
        {"hour": DatetimeMS(1741597200001)},
        {"hour": DatetimeMS(-3_600_000)},
        {"hour": 1741597200},
        {"start": -1},
        {"start": 5.0},
        {"life": "1"},
        {"salt": True},
        {"path": None},
    ],
    ids=str,
)
def test_a_life_that_is_not_as_it_was_written_is_refused(change: dict[str, Any]) -> None:
    """Another `_id` than its own would put its lines under ids that belong to nobody: exit 78, naming the document."""
    document = {"_id": LIFE.prefix, **document_of(LIFE), **change}
    with pytest.raises(LedgerDamaged, match=f"{document['_id'].hex()}.*{next(iter(change))} is not") as caught:
        life_of_document(document)
    assert caught.value.exit_code == Exit.CONFIGURATION


@pytest.mark.parametrize(
    "change",
    [{"offset": 4}, {"offset": "900"}, {"guard": 16}, {"finished": 1}, {"lines": -1}, {"collection_uuid": None}],
    ids=str,
)
def test_progress_that_is_not_as_it_was_written_is_refused(change: dict[str, Any]) -> None:
    """An offset before the start, a count that is none: never a place to resume at."""
    document = {"_id": LIFE.prefix, **document_of(LIFE), "progress": {**PROGRESS, **change}}
    with pytest.raises(LedgerDamaged, match=next(iter(change))):
        progress_of(document)
    with pytest.raises(LedgerDamaged, match="progress"):
        progress_of({**document, "progress": [PROGRESS]})
