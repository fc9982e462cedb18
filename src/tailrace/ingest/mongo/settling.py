"""Documents -> each one inserted, proven to be there, or refused. The part of the writer that talks about documents.

A batch goes round until nothing is left of it:

    compare first?  equal: a duplicate; different: id_conflict; absent: insert those
    insert          acknowledged: inserted
                    no answer, or an answer with a write-concern error: nothing is known -> wait, compare, again
                    refused as a whole: cut in two, down to the document
                    refused per document: read its `_id` first, then judge by its code

If we die anywhere here nothing is settled and the span is read again: what was inserted is then found equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError

from tailrace.errors import RuntimeFailure, Verdict
from tailrace.ingest.mongo.connection import Collection
from tailrace.ingest.mongo.proof import Proof, prove
from tailrace.ingest.mongo.replies import DETAIL_LIMIT, DocumentError, read_reply
from tailrace.ingest.mongo.retrying import Attempts, Retrier
from tailrace.ingest.mongo.verdicts import DRIVER_ERRORS, describe, document_verdict, is_listed, verdict
from tailrace.model import Reason

BATCH_DOCUMENTS = 5_000
"""Per command. One command is atomic for a retry: the larger, the more is compared after a lost answer."""

BATCH_BYTES = 16 * 1024 * 1024
"""Per command, one document always admitted; the server takes messages of 48,000,000 bytes."""

DOCUMENT_LIMIT = 16 * 1024 * 1024
"""Bytes of the largest document that a server stores (maxBsonObjectSize, the same in all versions)."""

_INVISIBLE_PATIENCE = 5  # quick looks at a duplicate that no majority shows yet, before it counts as trouble

Documents = dict[bytes, bytes]  # by id, in file order


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a document was not stored."""

    reason: Reason
    detail: str


class Settlement:
    """The documents of one span. `inserted`, `duplicates` and `refused` grow until every document is in one of them.

    `unlisted`: refusals for a code that nobody knows. `rests_on_read`: a duplicate was proven by reading, and no
    journaled write was acknowledged since; the caller must fence before it settles the span.
    """

    def __init__(self, collection: Collection, retrier: Retrier, ignore: frozenset[str]) -> None:
        self.inserted = 0
        self.duplicates = 0
        self.refused: dict[bytes, Refusal] = {}
        self.unlisted = 0
        self.rests_on_read = False
        self._collection = collection
        self._retrier = retrier
        self._ignore = ignore

    async def settle(self, documents: Documents, *, compare_first: bool) -> None:
        """Returns when every document is accounted for. Raises RuntimeFailure (STOP); CancelledError passes."""
        for batch in _batches(self._fitting(documents)):
            with self._retrier.attempts("storing documents") as attempts:
                work = [(batch, compare_first)]
                while work:
                    work += await self._attempt(attempts, *work.pop())

    def _fitting(self, documents: Documents) -> Documents:
        large = [key for key, document in documents.items() if len(document) > DOCUMENT_LIMIT]
        for key in large:
            detail = f"{len(documents[key])} bytes of BSON, at most {DOCUMENT_LIMIT} can be stored"
            self.refused[key] = Refusal(Reason.TOO_LARGE, detail)
        return {key: documents[key] for key in documents if key not in self.refused} if large else documents

    async def _attempt(self, attempts: Attempts, documents: Documents, compare: bool) -> list[tuple[Documents, bool]]:
        """One round of one batch; what is still to do of it."""
        if compare:
            documents = (await self._compare(documents)).absent
            if not documents:
                return []
        try:
            with attempts.limited():
                # RawBSONDocument: the driver sends the bytes as they are and adds no _id (4.20, bulk insert).
                await self._collection.insert_many([RawBSONDocument(d) for d in documents.values()], ordered=False)
        except BulkWriteError as error:
            return await self._partly(attempts, documents, error)
        except DRIVER_ERRORS as error:
            return await self._failed(attempts, documents, error)
        self._acknowledged(len(documents))
        attempts.succeeded()
        return []

    def _acknowledged(self, inserted: int) -> None:
        self.inserted += inserted
        if inserted:
            self.rests_on_read = False  # the journal that holds this write holds all that was read before it

    async def _compare(self, documents: Documents) -> Proof:
        """Settle what is stored already; the rest is in the proof's `absent`."""
        proof = await self._retrier.call(
            lambda: prove(self._collection, documents, self._ignore), "comparing with what is stored"
        )
        self.duplicates += len(proof.equal)
        self.rests_on_read = self.rests_on_read or bool(proof.equal)
        for key, name in proof.different.items():
            detail = f"the stored document with this _id has another {name}"
            self.refused[key] = Refusal(Reason.ID_CONFLICT, detail)
        return proof

    async def _partly(
        self, attempts: Attempts, documents: Documents, error: BulkWriteError
    ) -> list[tuple[Documents, bool]]:
        """A reply that names documents, or says that the write concern was not met."""
        reply = read_reply(error)
        if reply.concern is not None or reply.inserted + len(reply.errors) != len(documents):
            code = 0 if reply.concern is None else reply.concern[0]
            what = Verdict.OPERATOR if document_verdict(code) is Verdict.OPERATOR else Verdict.RETRY
            await attempts.wait(what, describe(error))
            return [(documents, True)]
        self._acknowledged(reply.inserted)
        keys = list(documents)
        refused = {keys[index]: problem for index, problem in reply.errors.items()}
        absent = (await self._compare({key: documents[key] for key in refused})).absent
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
        return [({key: documents[key] for key in again}, True)]

    async def _wait_for(self, attempts: Attempts, problems: list[DocumentError]) -> None:
        troubles = [problem for problem in problems if not problem.duplicate_id]
        if troubles:
            worst = next((p for p in troubles if p.verdict is Verdict.OPERATOR), troubles[0])
            await attempts.wait(worst.verdict, worst.detail)
        elif attempts.failures < _INVISIBLE_PATIENCE:
            # Another writer inserted it a moment ago and the majority does not have it yet.
            await attempts.pause()
        else:
            await attempts.wait(Verdict.RETRY, "a document that is there already is not visible to the majority yet")

    async def _failed(
        self, attempts: Attempts, documents: Documents, error: BaseException
    ) -> list[tuple[Documents, bool]]:
        """The command failed as a whole, or nobody knows what became of it."""
        what = verdict(error)
        if what is Verdict.STOP:
            raise RuntimeFailure(f"MongoDB failed while storing documents: {describe(error)}") from error
        if what is not Verdict.REJECT:
            await attempts.wait(what, describe(error))
            return [(documents, True)]
        if len(documents) > 1:
            keys = iter(documents)
            half = {key: documents[key] for key in islice(keys, len(documents) // 2)}
            return [({key: documents[key] for key in keys}, False), (half, False)]
        problem = DocumentError(code=getattr(error, "code", None) or 0, message=describe(error), on_id=False)
        for key in (await self._compare(documents)).absent:
            self._refuse(key, Refusal(problem.reason, problem.message[:DETAIL_LIMIT]), listed=is_listed(error))
        attempts.succeeded()
        return []

    def _refuse(self, key: bytes, refusal: Refusal, *, listed: bool) -> None:
        self.refused[key] = refusal
        self.unlisted += not listed


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
