"""What the collection's ledger says: other settings, another writer, or what `run` would begin with. Reads only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from bson import DatetimeMS

from tailrace.commands.doctor.files import Seen
from tailrace.commands.doctor.finding import Finding, Subject, fine, note, parted, problem
from tailrace.commands.doctor.state import StateSeen
from tailrace.config import SourceSettings
from tailrace.errors import LedgerDamaged
from tailrace.ingest.mongo.connection import Handles
from tailrace.ingest.mongo.ledger_documents import (
    StoredSettings,
    first_difference,
    life_of_document,
    progress_of,
    settings_document,
    settings_sentence,
    unfinished_sentence,
)
from tailrace.ingest.mongo.ledger_reading import newest_lives, nothing_stored
from tailrace.ingest.mongo.made import uuids
from tailrace.ingest.mongo.server import ServerFacts
from tailrace.model import StartAt
from tailrace.words import duration_words, size_words

LIVES = 10_000
"""Lives of a source that are read, the newest: those of more than a year."""


async def look(
    source: SourceSettings, seen: Seen, state: StateSeen, facts: ServerFacts, ours: Handles, now: float | None
) -> AsyncIterator[Finding]:
    """`now`: the server's clock, epoch seconds. What `run` would refuse, in its order and words; else what it would
    begin with. Raises PyMongoError."""
    settings = settings_document(
        StoredSettings(
            identity=source.identity, numbers=source.numbers, family=source.family, clustered=facts.clustered
        )
    )
    stored = await ours.files.find_one({"_id": "settings"})
    registered = await ours.files.find_one({"_id": f"source/{source.source}"}) or {}
    lives = await ours.files.count_documents({"source": source.source, "fingerprint": {"$exists": True}})
    there = await uuids(ours)
    changed = first_difference(stored, settings) if stored is not None else None
    if changed is not None and stored is not None and not await nothing_stored(ours.data, ours.files):
        sentence = settings_sentence(source.namespace, changed, stored, settings)
        yield problem(Subject.LEDGER, *parted(sentence, "use another collection"))
        return
    for finding in of_bindings(source, seen.directory, state, there.get(source.collection)):
        yield finding
    for finding in of_lease(source, registered.get("lease"), state, now):
        yield finding
    unfinished = unfinished_sentence(source.source, registered, source.start_at)
    if unfinished is not None:
        yield problem(Subject.LEDGER, *parted(unfinished, "set the former start_at"))
        return
    try:
        async for document in newest_lives(ours.files, source.source, LIVES):
            life_of_document(document)
            progress_of(document)
    except LedgerDamaged as error:
        what, _, remedy = str(error).partition("; ")
        yield problem(Subject.LEDGER, f"{source.namespace}: {what}", remedy)
        return
    if not registered and not lives and _remembered(source, state, there.get(source.collection)):
        yield note(
            Subject.LEDGER,
            f"the ledger of {source.namespace} does not know source {source.source}, and the state directory does: run "
            "would enter the files again that it remembers, compare what they hold with what is stored, and go on; "
            f"start_at = {source.start_at.value} is not looked at",
            f"find out who deleted from {source.namespace}.files; tailrace verify proves what is stored",
        )
        return
    yield of_beginning(source, seen, facts, lives, started=registered.get("state") == "started")


def _remembered(source: SourceSettings, state: StateSeen, uuid: bytes | None) -> bool:
    """Whether the local state was kept for this very collection, which is not one made anew under its name."""
    mine = (source.source, source.namespace, uuid)
    return any((each.source, each.namespace, each.collection_uuid) == mine for each in state.bindings)


def of_beginning(source: SourceSettings, seen: Seen, facts: ServerFacts, lives: int, *, started: bool) -> Finding:
    """`lives`: of this source, in the ledger. Pure."""
    where = source.namespace
    if started:
        known = f"{facts.documents:,} documents there, {lives:,} files known from source {source.source}"
        return fine(Subject.LEDGER, f"{where}: {known}: run would continue")
    created = "" if facts.exists else "; the collection would be created"
    size, looked = size_words(seen.size), bool(seen.directory)
    if source.start_at is StartAt.END:
        what = f"the {size} that are there" if looked else "what is there"
        begin = f"first start: run would skip {what} (start_at = end){created}"
    else:
        what = f"{len(seen.files)} files, {size}" if looked else "what is there"
        begin = f"first start: run would catch up with {what}{created}"
    if facts.documents and not lives:
        return note(
            Subject.LEDGER,
            f"{where}: {begin}; {facts.documents:,} documents are there that no ledger of this source explains",
            "nothing if another source or program wrote them and they may be together; else set another collection",
        )
    return fine(Subject.LEDGER, f"{where}: {begin}")


def of_lease(
    source: SourceSettings, lease: Mapping[str, Any] | None, state: StateSeen, now: float | None
) -> Iterator[Finding]:
    """Whether somebody else writes under this source's name. `now`: epoch seconds by the server. Pure."""
    expires = None if lease is None else lease.get("expires")
    if lease is None or now is None or not isinstance(expires, DatetimeMS):
        return
    left = int(expires) / 1000 - now
    if left <= 0 or lease.get("instance") == state.instance:
        return
    who = f"process {lease.get('pid')} on {lease.get('host')}"
    if not state.known:
        yield note(
            Subject.LEDGER,
            f"source {source.source} of {source.namespace} is being written by {who}; whether with this state "
            "directory cannot be told",
            "mend what is said of the state, then check again",
        )
        return
    yield problem(
        Subject.LEDGER,
        f"source {source.source} of {source.namespace} is being written by {who}, with another state directory",
        f"stop that one, or set another source here; if it has just died: wait {duration_words(left)}",
    )


def of_bindings(source: SourceSettings, root: str, state: StateSeen, uuid: bytes | None) -> Iterator[Finding]:
    """`root`: the stream's directory, links resolved; empty where it is not known. `uuid`: of the collection. Pure."""
    for each in state.bindings if root else ():
        same = (each.namespace, each.root, each.collection_uuid) == (source.namespace, root, uuid)
        if same and each.source != source.source:
            yield problem(
                Subject.LEDGER,
                f"{root} was ingested into {source.namespace} as source {each.source} before: as {source.source} every "
                "entry would be stored a second time",
                f"set source = {each.source} again, or choose another collection",
            )
        elif (each.source, each.namespace) == (source.source, source.namespace) and each.root != root:
            yield note(
                Subject.LEDGER,
                f"source {source.source} was fed from {each.root} until now, and from {root} from now on",
                "nothing if the tree was moved; for another node set another source",
            )
