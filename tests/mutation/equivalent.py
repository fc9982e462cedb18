"""Mutants that no test can tell from the original, by their key, each with the reason why."""

from __future__ import annotations

_NEWLINE = "the newline is looked for behind a byte that is not blank, so it is never found at 0"
_TUNING = "how much is read at once, never what is concluded"
_TOGETHER = "both are set at the first id, never one without the other"

EQUIVALENT: dict[str, str] = {
    "ingest/state/tracker.py SettledPrefix.add: start > self._read -> (start >= self._read)": (
        "asked only where start differs from self._read"
    ),
    "identity.py head_of: end >= 0 -> (end > 0)": _NEWLINE,
    "identity.py head_of: 0 -> (1)": _NEWLINE,
    "ingest/lives/choice.py choose_life: life.number > latest.life.number -> (life.number >= latest.life.number)": (
        "no two lives of an hour with an equal head have one number: it is part of the ledger's key"
    ),
    (
        "ingest/mongo/settling.py Settlement._fitting: {key: documents[key] for key in documents if key not in "
        "self.refused} if large else documents -> ({key: documents[key] for key in documents if key not in "
        "self.refused})"
    ): "a short way: without a large one all documents are fit",
    "ingest/mongo/proof.py : 60 -> (59)": _TUNING,
    "ingest/mongo/proof.py : 60 -> (61)": _TUNING,
    "ingest/mongo/proof.py ranges_of: begin is None or last is None -> (begin is None and last is None)": _TOGETHER,
    (
        "ingest/mongo/proof.py ranges_of: begin is not None and last is not None -> "
        "(begin is not None or last is not None)"
    ): _TOGETHER,
    (
        "ingest/mongo/proof.py _classify: None if mine == document else differing_field(mine, document, ignore) -> "
        "(differing_field(mine, document, ignore))"
    ): "a short way: no field of equal bytes differs",
    "ingest/mongo/proof.py split: 0 -> (-1) #2": "the only element of a tuple of one",
    "ingest/mongo/proof.py highest_id: 1 -> (2)": "any number but 0 includes a field",
}
