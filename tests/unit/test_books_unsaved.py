"""How long what is settled has waited to be saved, and how much of it: with a disk that is full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.unit.test_checkpoints import make

from tailrace.ingest.books import BookKeeper, BookOptions
from tailrace.ingest.mongo.ledger import StoredSettings
from tailrace.ingest.state.checkpoints import Checkpoint, StateWriteFailed
from tailrace.model import Identity, Numbers, StartAt


class Store:
    """Takes rows while there is room."""

    def __init__(self) -> None:
        self.full = False

    def save(self, source: str, namespace: str, rows: Sequence[Checkpoint]) -> None:
        if self.full:
            raise StateWriteFailed("the disk is full")


def test_what_cannot_be_saved_grows_old() -> None:
    """Since it was first noted, and by the bytes between the saved offset and the settled one; then 0 again."""
    nobody: Any = None
    stored = StoredSettings(identity=Identity.POSITION, numbers=Numbers.DECIMAL, family="node_trades", clustered=False)
    options = BookOptions(
        source="a", namespace="db.c", collection_uuid=b"", root="/d", start_at=StartAt.BEGINNING, settings=stored
    )
    store: Any = Store()
    books = BookKeeper(options, nobody, store, nobody)
    assert books.unsaved(100.0) == (0.0, 0)
    books.note([], [make(offset=100)], 100.0)
    books.save()
    assert books.unsaved(101.0) == (0.0, 0)
    store.full = True
    books.note([], [make(offset=150)], 102.0)
    books.save()
    books.note([], [make(offset=190), make(1, offset=50)], 110.0)
    books.save()
    assert books.unsaved(112.0) == (10.0, 90 + 50 - 7), "the other has nothing saved: from its start"
    store.full = False
    books.save()
    assert books.unsaved(113.0) == (0.0, 0)
