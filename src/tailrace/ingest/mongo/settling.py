"""Documents -> each one inserted, proven to be there, or refused. The part of the writer that talks about documents.

A batch goes round until nothing is left of it:

    compare first?  equal: a duplicate; different: id_conflict; absent: insert those
    insert          acknowledged: inserted
                    no answer, or an answer with a write-concern error: nothing is known -> wait, compare, again;
                    no answer in time: the same in halves, which a slow line may carry in time
                    refused as a whole: cut in two, down to the document
                    refused per document: read its `_id` first, then judge by its code

If we die anywhere here nothing is settled and the span is read again: what was inserted is then found equal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Protocol

from pymongo.errors import BulkWriteError, ExecutionTimeout, NetworkTimeout

from tailrace.errors import RuntimeFailure, Verdict
from tailrace.ingest.mongo.connection import Collection
from tailrace.ingest.mongo.describing import describe
from tailrace.ingest.mongo.inserting import insert
from tailrace.ingest.mongo.proof import ID, Proof, prove
from tailrace.ingest.mongo.replies import DETAIL_LIMIT, DocumentError, read_reply
from tailrace.ingest.mongo.retrying import Attempts, Retrier
from tailrace.ingest.mongo.verdicts import (
    DRIVER_ERRORS,
    code_of,
    document_verdict,
    is_listed,
    is_overload,
    verdict,
)
from tailrace.model import DuplicateCause, Reason
from tailrace.packed import Packed

BATCH_DOCUMENTS = 5_000
"""Per command. One command is atomic for a retry: the larger, the more is compared after a lost answer."""

BATCH_BYTES = 16 * 1024 * 1024
"""Per command, one document always admitted; the server takes messages of 48,000,000 bytes."""

DOCUMENT_LIMIT = 16 * 1024 * 1024
"""Bytes of the largest document that a server stores (maxBsonObjectSize, the same in all versions)."""

_LEAST_DOCUMENTS = 100
"""A batch that had no answer in time is cut in two, down to this many: a line too slow for a full batch within
`write_timeout` would have it tried for ever. Not further, or a server that hung for long would get single documents."""

_INVISIBLE_PATIENCE = 5  # quick looks at a duplicate that no majority shows yet, before it counts as trouble

Documents = dict[bytes, bytes]  # by id, in file order

Todo = tuple[Documents, DuplicateCause | None]
"""Documents to settle, compared first for this cause: they are likely to be there, or nobody knows their fate."""

Wrote = Callable[[float, int], None]
"""(seconds, documents) of an insert command that was acknowledged."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a document was not stored."""

    reason: Reason
    detail: str


class Pace(Protocol):
    """Who decides how much is sent at the same time, and wants to hear when that does not go well."""

    def overloaded(self) -> None:
        """The server said that it has too much to do."""
        ...

    def failed(self) -> None:
        """A command failed that will be repeated: what others take meanwhile says nothing."""
        ...


class Settlement:
    """The documents of one span. `inserted`, `duplicates` and `refused` grow until every document is in one of them.

    `unlisted`: refusals for a code that nobody knows. `rests_on_read`: a duplicate was proven by reading, and no
    journaled write was acknowledged since; the caller must fence before it settles the span. `lost_reply`: those of the
    duplicates that we had inserted ourselves, with an answer that did not come or said nothing.
    """

    def __init__(
        self,
        collection: Collection,
        retrier: Retrier,
        ignore: frozenset[str],
        *,
        pace: Pace | None = None,
        wrote: Wrote | None = None,
    ) -> None:
        self.inserted = 0
        self.duplicates = 0
        self.lost_reply = 0
        self.refused: dict[bytes, Refusal] = {}
        self.unlisted = 0
        self.rests_on_read = False
        self._collection = collection
        self._retrier = retrier
        self._ignore = ignore
        self._pace = pace
        self._wrote = wrote

    async def insert(self, documents: Packed) -> None:
        """As `settle`, of documents that are most likely not there and have an `_id` each. While all goes well they are
        sent as they lie, and nobody looks at one of them."""
        if len(documents.data) > DOCUMENT_LIMIT:
            await self.settle(_by_id(documents), compare_first=False)  # one of them may be too large
            return
        for batch in documents.cut(BATCH_DOCUMENTS, BATCH_BYTES):
            with self._retrier.attempts("storing documents") as attempts:
                work = await self._insert(attempts, batch, partial(_by_id, batch), DuplicateCause.REPLAY)
                while work:
                    work += await self._attempt(attempts, *work.pop())

    async def settle(self, documents: Documents, *, compare_first: bool) -> None:
        """Returns when every document is accounted for. Raises RuntimeFailure (STOP); CancelledError passes."""
        for batch in _batches(self._fitting(documents)):
            with self._retrier.attempts("storing documents") as attempts:
                work: list[Todo] = [(batch, DuplicateCause.REPLAY if compare_first else None)]
                while work:
                    work += await self._attempt(attempts, *work.pop())

    def _fitting(self, documents: Documents) -> Documents:
        large = [key for key, document in documents.items() if len(document) > DOCUMENT_LIMIT]
        for key in large:
            detail = f"{len(documents[key])} bytes of BSON, at most {DOCUMENT_LIMIT} can be stored"
            self.refused[key] = Refusal(Reason.TOO_LARGE, detail)
        return {key: documents[key] for key in documents if key not in self.refused} if large else documents

    async def _attempt(self, attempts: Attempts, documents: Documents, compare: DuplicateCause | None) -> list[Todo]:
        """One round of one batch; what is still to do of it."""
        if compare is not None:
            documents = await self._compare(documents, compare)
            if not documents:
                return []
        cause = compare or DuplicateCause.REPLAY
        return await self._insert(attempts, Packed.of(documents.values()), lambda: documents, cause)

    async def _insert(
        self, attempts: Attempts, batch: Packed, documents: Callable[[], Documents], cause: DuplicateCause
    ) -> list[Todo]:
        """Send one batch; what is still to do of it. `documents`: the batch by id, for when something is. `cause`: why
        one of them may be there already."""
        begun = time.perf_counter()
        try:
            with attempts.limited():
                await insert(self._collection, batch)
        except BulkWriteError as error:
            return await self._partly(attempts, documents(), error, cause)
        except DRIVER_ERRORS as error:
            return await self._failed(attempts, documents(), error, cause)
        if self._wrote is not None:
            self._wrote(time.perf_counter() - begun, len(batch))
        self._acknowledged(len(batch))
        attempts.succeeded()
        return []

    def _slow_down(self, said: BaseException | int) -> None:
        if self._pace is not None:
            (self._pace.overloaded if is_overload(said) else self._pace.failed)()

    def _acknowledged(self, inserted: int) -> None:
        self.inserted += inserted
        if inserted:
            self.rests_on_read = False  # the journal that holds this write holds all that was read before it

    async def _compare(self, documents: Documents, cause: DuplicateCause) -> Documents:
        """Settle what is stored already; the rest, in order."""
        absent: Documents = {}
        with self._retrier.attempts("comparing with what is stored") as attempts:
            work = [documents]
            while work:
                part = work.pop()
                try:
                    with attempts.limited():
                        proof = await prove(self._collection, part, self._ignore)
                except DRIVER_ERRORS as error:
                    await attempts.failed(error)
                    work += reversed(_halves(part)) if _too_slow(part, error) else [part]
                    continue
                absent.update(proof.absent)
                self._proven(proof, cause)
        return absent

    def _proven(self, proof: Proof, cause: DuplicateCause) -> None:
        self.duplicates += len(proof.equal)
        self.lost_reply += len(proof.equal) if cause is DuplicateCause.LOST_REPLY else 0
        self.rests_on_read = self.rests_on_read or bool(proof.equal)
        for key, name in proof.different.items():
            detail = f"the stored document with this _id has another {name}"
            self.refused[key] = Refusal(Reason.ID_CONFLICT, detail)

    async def _partly(
        self, attempts: Attempts, documents: Documents, error: BulkWriteError, cause: DuplicateCause
    ) -> list[Todo]:
        """A reply that names documents, or says that the write concern was not met."""
        reply = read_reply(error, len(documents))
        if reply.concern is not None:
            self._slow_down(reply.concern[0])
            what = Verdict.OPERATOR if document_verdict(reply.concern[0]) is Verdict.OPERATOR else Verdict.RETRY
            await attempts.wait(what, describe(error), error)
            return [(documents, DuplicateCause.LOST_REPLY)]
        self._acknowledged(reply.inserted)
        keys = list(documents)
        refused = {keys[index]: problem for index, problem in reply.errors.items()}
        absent = await self._compare({key: documents[key] for key in refused}, cause)
        again: dict[bytes, DocumentError] = {}
        for key in absent:
            problem = refused[key]
            if problem.duplicate_id or problem.verdict in (Verdict.RETRY, Verdict.OPERATOR):
                again[key] = problem
            elif problem.verdict is Verdict.STOP:
                raise RuntimeFailure(f"MongoDB failed while storing documents: {problem.detail}")
            else:
                self._refuse(key, Refusal(problem.reason, problem.detail), listed=problem.listed)
        if not again:
            attempts.succeeded()
            return []
        await self._wait_for(attempts, list(again.values()))
        return [({key: documents[key] for key in again}, cause)]

    async def _wait_for(self, attempts: Attempts, problems: list[DocumentError]) -> None:
        troubles = [problem for problem in problems if not problem.duplicate_id]
        if troubles:
            self._slow_down(troubles[0].code)
            worst = next((p for p in troubles if p.verdict is Verdict.OPERATOR), troubles[0])
            await attempts.wait(worst.verdict, worst.detail, worst.code)
        elif attempts.failures < _INVISIBLE_PATIENCE:
            # Another writer inserted it a moment ago and the majority does not have it yet.
            await attempts.pause()
        else:
            await attempts.wait(Verdict.RETRY, "a document that is there already is not visible to the majority yet")

    async def _failed(
        self, attempts: Attempts, documents: Documents, error: BaseException, cause: DuplicateCause
    ) -> list[Todo]:
        """The command failed as a whole, or nobody knows what became of it."""
        what = verdict(error)
        if what is Verdict.STOP:
            raise RuntimeFailure(f"MongoDB failed while storing documents: {describe(error)}") from error
        if what is not Verdict.REJECT:
            self._slow_down(error)
            await attempts.wait(what, describe(error), error)
            parts = _halves(documents) if _too_slow(documents, error) else [documents]
            return [(part, DuplicateCause.LOST_REPLY) for part in reversed(parts)]
        if len(documents) > 1:
            return [(half, None) for half in reversed(_halves(documents))]
        problem = DocumentError(code=code_of(error), message=describe(error), on_id=False)
        for key in await self._compare(documents, cause):
            self._refuse(key, Refusal(problem.reason, problem.message[:DETAIL_LIMIT]), listed=is_listed(error))
        attempts.succeeded()
        return []

    def _refuse(self, key: bytes, refusal: Refusal, *, listed: bool) -> None:
        self.refused[key] = refusal
        self.unlisted += not listed


def _by_id(documents: Packed) -> Documents:
    return {document[ID]: document for document in documents}


def _too_slow(documents: Documents, error: BaseException) -> bool:
    """Whether fewer documents at a time may get through: there was a connection, and the time was not enough."""
    return len(documents) > _LEAST_DOCUMENTS and isinstance(error, NetworkTimeout | ExecutionTimeout)


def _halves(documents: Documents) -> list[Documents]:
    keys = iter(documents)
    first = {key: documents[key] for key in islice(keys, len(documents) // 2)}
    return [first, {key: documents[key] for key in keys}]


def _batches(documents: Documents) -> list[Documents]:
    """Cut at BATCH_DOCUMENTS and BATCH_BYTES, in order."""
    batches: list[Documents] = []
    batch: Documents = {}
    size = 0
    for key, document in documents.items():
        if batch and (len(batch) == BATCH_DOCUMENTS or size + len(document) > BATCH_BYTES):
            batches.append(batch)
            batch, size = {}, 0
        batch[key] = document
        size += len(document)
    if batch:
        batches.append(batch)
    return batches
