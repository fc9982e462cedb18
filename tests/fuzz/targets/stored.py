"""Rows of the state database and documents of the ledger with any values in them: read back as they were written, or
refused as damaged. Nothing is converted, nothing else is raised.

Input: one byte that chooses row or document (and whether the row's digest is made to fit), then a JSON object of
changes.
"""

from __future__ import annotations

from typing import Any

from bson.datetime_ms import DatetimeMS
from tests.fuzz.target import Target
from tests.fuzz.targets.lenient_json import SCRAPS, value_of

from tailrace.errors import LedgerDamaged
from tailrace.ingest.mongo.ledger_documents import document_of, life_of_document, progress_of
from tailrace.ingest.state.rows import FIELDS, Checkpoint, _digest, checkpoint_of, row_of
from tailrace.model import Life, Offset

LIFE = Life(
    source="s",
    family="f",
    path="/d/9",
    hour=1741597200,
    number=1,
    salt=2,
    fingerprint=bytes(range(32)),
    start=Offset(5),
)
CHECKPOINT = Checkpoint(
    prefix=LIFE.prefix, fingerprint=LIFE.fingerprint, source="s", path=LIFE.path, hour=LIFE.hour, number=1, salt=2,
    start=Offset(5),
    offset=Offset(900), guard=bytes(16), device=1 << 63, inode=7, size=901, mtime_ns=1, finished=True, compression="gz",
    lines=9, inserted=8, duplicates=1, rejected=0, checksum=-5,
)  # fmt: skip
PROGRESS = {"offset": 900, "guard": bytes(16), "collection_uuid": bytes(16), "path": "p", "finished": True, "lines": 9}
PROGRESS |= {"inserted": 8, "duplicates": 1, "rejected": 0, "checksum": -5}
NAMES = ("_id", "source", "family", "path", "hour", "life", "salt", "fingerprint", "start", "progress", *PROGRESS)


def check(data: bytes) -> None:
    kind, changes = data[:1], value_of(data[1:])
    changes = changes if isinstance(changes, dict) else {"path": changes}
    if kind and kind[0] % 2:
        _check_row(changes, fitting=kind[0] % 4 == 1)
    else:
        _check_document(changes)


def _check_row(changes: dict[str, Any], *, fitting: bool) -> None:
    written = list(row_of("db.c", CHECKPOINT))
    row = list(written)
    for name, value in changes.items():
        if name in FIELDS:
            row[1 + FIELDS.index(name)] = int(value) if isinstance(value, bool) else value  # SQLite has none
        elif name == "digest":
            row[-1] = value
        elif name == "length":
            del row[-1:]
    if fitting:
        try:
            row[-1] = _digest(row[:-1])
        except ValueError:
            return
    try:
        found = checkpoint_of(row)
    except ValueError:
        assert row != written
        return
    if fitting:
        assert {name: type(getattr(found, name)) for name in FIELDS if name != "checksum"} == {
            name: type(getattr(CHECKPOINT, name)) for name in FIELDS if name != "checksum"
        }
        assert 0 <= found.start <= found.offset
    else:
        assert found == CHECKPOINT, "a row that is not as it was written"


def _check_document(changes: dict[str, Any]) -> None:
    document = {"_id": LIFE.prefix, **document_of(LIFE), "progress": dict(PROGRESS)}
    for name, value in changes.items():
        place = document["progress"] if name in PROGRESS and isinstance(document["progress"], dict) else document
        if value == "absent":
            place.pop(name, None)
        else:
            place[name] = value
    try:
        life = life_of_document(document)
    except LedgerDamaged as error:
        _check_sentence(error)
    else:
        assert life.prefix == document["_id"], "a life whose ids are not those of its document"
        assert (life.fingerprint, life.hour) == (document["fingerprint"], int(document["hour"]) // 1000)
        assert isinstance(document["hour"], DatetimeMS)
        assert not any(isinstance(document[name], bool) for name in ("life", "salt", "start"))
        assert document_of(life) == {name: document[name] for name in document_of(life)}
    try:
        progress = progress_of(document)
    except LedgerDamaged as error:
        _check_sentence(error)
        return
    if progress is not None:
        assert progress.offset >= document["start"] >= 0
        fields = {name: getattr(progress, name) for name in PROGRESS}
        assert fields == {name: document["progress"].get(name) for name in PROGRESS}
        assert all(type(value) is not float for value in fields.values())
        assert [name for name in fields if isinstance(document["progress"].get(name), bool)] == ["finished"]


def _check_sentence(error: Exception) -> None:
    assert "\n" not in str(error)


def _seeds() -> list[bytes]:
    changes = [
        b"{}", b'{"salt":true}',
        b'{"offset":5,"start":6}', b'{"fingerprint":{"$b":"short"}}', b'{"fingerprint":5}', b'{"path":null}',
        b'{"offset":"900"}',
        b'{"hour":{"$d":1741597200001},"life":1.0,"salt":true}', b'{"progress":[1],"lines":"absent"}',
        b'{"device":"5","digest":{"$b":"x"}}',
        b'{"length":1}', b'{"prefix":"1234567","checksum":null}', b'{"_id":"1234567","start":-1,"guard":""}',
        b'{"inode":-1,"size":1e3}',
    ]  # fmt: skip
    return [bytes((kind,)) + change for kind in (0, 1, 3) for change in changes]


_MEMBERS = tuple(b'"' + name.encode() + b'":1,' for name in (*NAMES, *FIELDS, "digest"))

TARGET = Target(name="stored", check=check, seeds=_seeds(), scraps=(*SCRAPS, b'"absent"', *_MEMBERS))
