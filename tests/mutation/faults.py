"""Faults planted by hand: each would lose, double or wrongly prove something, and says what.

`old` stands exactly once in the file (a test of CI checks that), `new` replaces it, `tests` is one run of pytest.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.mutation.subjects import ALONE

_CHOICE = ("tests/unit/test_choice.py",)
_IDENTITY = ("tests/unit/test_identity.py",)
_TRACKER = ("tests/unit/test_tracker.py",)
_SEAL = ("tests/unit/test_seal.py",)
_TAILER = ("tests/unit/test_tailer.py", "tests/property/test_tailer_machine.py")
_ROSTER = ("tests/unit/test_roster.py",)
_CHECKPOINTS = ("tests/unit/test_checkpoints.py",)
_LEDGER = ("tests/mongo/test_ledger.py", "tests/unit/test_ledger_documents.py", "-k", "not outage")
_WRITER = ("tests/mongo/test_writer.py", "tests/mongo/test_writer_failures.py", "-k", ALONE)
_REPLIES = ("tests/unit/test_replies.py",)
_PROOF = ("tests/unit/test_proof.py",)


@dataclass(frozen=True, slots=True)
class Fault:
    """`name` says what it breaks; `file` is below `src/tailrace`."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


FAULTS: tuple[Fault, ...] = (
    # tracker: what a checkpoint may name
    Fault("the checkpoint is the end of what was read", "ingest/state/tracker.py",
          "return Offset(next(iter(self._unsettled), self._read))", "return self._read", _TRACKER),
    Fault("a span that is not in flight settles all the same", "ingest/state/tracker.py",
          "if self._unsettled.get(start) != end:", "if start not in self._unsettled:", _TRACKER),
    Fault("a gap between spans is passed over", "ingest/state/tracker.py",
          "if start != self._read:", "if start < self._read:", _TRACKER),
    # identity: ids as a function of the data
    Fault("entries of one line share an id", "identity.py", "(offset + index)", "(offset)", _IDENTITY),
    Fault("places sort backwards", "identity.py", 'to_bytes(5, "big")', 'to_bytes(5, "little")', _IDENTITY),
    Fault("two key fields may run together", "identity.py",
          'b"%d:%b," % (len(part), part)', 'b"%b," % part', _IDENTITY),
    Fault("the life's number is not in its fingerprint", "identity.py", 'b"%d" % life, ', "", _IDENTITY),
    Fault("the salt is not in the fingerprint", "identity.py", 'b"%d" % salt, ', "", _IDENTITY),
    Fault("a torn first line is the whole head", "identity.py",
          "return data if final or len(data) == HEAD_LIMIT else None", "return data", _IDENTITY),
    Fault("a reject's id does not depend on its bytes", "identity.py",
          "blake2b(data, digest_size=8)", "blake2b(digest_size=8)", _IDENTITY),
    # seal rules
    Fault("the newest hour is sealed", "ingest/files/seal.py", "return later_hour_exists and ", "return ", _SEAL),
    Fault("a file with unread lines is sealed", "ingest/files/seal.py", "and read_to_end and", "and", _SEAL),
    Fault("a torn line is not waited for", "ingest/files/seal.py",
          "seal_after * TORN_PATIENCE if torn else seal_after", "seal_after", _SEAL),
    # which life
    Fault("a rewritten file goes on as the life before", "ingest/lives/choice.py",
          "if matches(latest.offset, latest.guard):", "if latest.offset:", _CHOICE),
    Fault("the next life has the number of the one before", "ingest/lives/choice.py",
          "NextLife(latest.life.number + 1, latest)", "NextLife(latest.life.number, latest)", _CHOICE),
    Fault("the older life of two is resumed", "ingest/lives/choice.py",
          "life.number > latest.life.number", "life.number < latest.life.number", _CHOICE),
    Fault("a local offset counts for another life of the same prefix", "ingest/lives/choice.py",
          "and other.life.fingerprint == entry.life.fingerprint ", "", _CHOICE),
    # duplicate proof
    Fault("a duplicate is assumed without a look at its content", "ingest/mongo/proof.py",
          "None if mine == document else differing_field(mine, document, ignore)", "None", _WRITER),
    Fault("what is in the range counts as ours", "ingest/mongo/proof.py",
          "        return  # somebody else's", "        mine = document", _PROOF),
    Fault("ranges are not closed before a silence", "ingest/mongo/proof.py",
          "            ranges.append((begin, last))\n            begin", "            begin", _PROOF),
    Fault("the highest id is the lowest", "ingest/mongo/proof.py", 'sort=[("_id", -1)]', 'sort=[("_id", 1)]', _WRITER),
    # the server's replies and what settles
    Fault("a reply with a write-concern error is believed", "ingest/mongo/replies.py",
          "    if concerns:\n", "    if concerns and not details:\n", _REPLIES),
    Fault("a reply that does not add up is believed", "ingest/mongo/replies.py",
          "inserted + len(errors) != documents", "inserted + len(errors) > documents", _REPLIES),
    Fault("a duplicate of another unique index is one of _id", "ingest/mongo/replies.py",
          'on_id = list(pattern) == ["_id"]', "on_id = True", _REPLIES),
    Fault("a write-concern error settles the batch", "ingest/mongo/settling.py",
          "if reply.concern is not None:", "if False:", _WRITER),
    Fault("after a lost answer nothing is compared", "ingest/mongo/settling.py",
          "return [(part, DuplicateCause.LOST_REPLY) for part in reversed(parts)]",
          "return [(part, None) for part in reversed(parts)]",
          _WRITER),
    Fault("a replay needs no fence", "ingest/mongo/settling.py",
          "self.rests_on_read or bool(proof.equal)", "False", _WRITER),
    Fault("documents over 16 MiB vanish", "ingest/mongo/settling.py",
          "self.refused[key] = Refusal(Reason.TOO_LARGE, detail)",
          "documents = {k: d for k, d in documents.items() if k != key}",
          _WRITER),
    Fault("a command refused as a whole loses its second half", "ingest/mongo/settling.py",
          "return [(half, None) for half in reversed(_halves(documents))]", "return [(_halves(documents)[0], None)]",
          _WRITER),
    Fault("a conflict is a duplicate", "ingest/mongo/settling.py",
          "self.refused[key] = Refusal(Reason.ID_CONFLICT, detail)", "self.duplicates += bool(detail)", _WRITER),
    Fault("the writer settles on a read without a fence", "ingest/mongo/writer.py",
          "if settlement.rests_on_read:", "if False:", _WRITER),
    Fault("equal ids in one span: the second is dropped unseen", "ingest/mongo/writer.py",
          "repeated += 1", "pass", _WRITER),
    Fault("a replay is called our own", "ingest/mongo/settling.py",
          "cause = compare or DuplicateCause.REPLAY", "cause = DuplicateCause.LOST_REPLY", _WRITER),
    Fault("what the server refused is not kept", "ingest/mongo/writer.py",
          "rejects += [self._reject(", "[self._reject(", _WRITER),
    Fault("a server that refuses everything is believed", "ingest/mongo/writer.py",
          "if settlement.unlisted >= 2 and", "if False and", _WRITER),
    # tailer: the guard
    Fault("the guard is not looked at before a read", "ingest/files/tailer.py",
          "if not data.startswith(self._guard):", "if len(data) < len(self._guard):", _TAILER),
    Fault("the guard stays where the last chunk began", "ingest/files/tailer.py",
          "(self._guard + data[-GUARD:])[-GUARD:]", "self._guard", _TAILER),
    Fault("a torn line is delivered", "ingest/files/tailer.py",
          'cut = data.rfind(b"\\n") + 1', "cut = len(data)", _TAILER),
    Fault("the digest of a checkpoint is not looked at", "ingest/files/tailer.py",
          "if guard is None or (digest and guard_digest(guard) != digest):", "if guard is None:", _TAILER),
    Fault("the head is not compared again", "ingest/files/tailer.py",
          "if self.offset == 0 and not data.startswith(self._head[:size]):", "if False:", _TAILER),
    Fault("a long line that changed is delivered", "ingest/files/tailer.py",
          'if len(block) != size or b"\\n" in block:', "if False:", _TAILER),
    # entrance and follower
    Fault("a life gets a second tracker while spans are in flight", "ingest/lives/entrance.py",
          "elif choice.life.prefix in busy:", "elif False:", _ROSTER),
    Fault("an archive in the making is a rewritten file", "ingest/lives/entrance.py",
          "return not reader.complete and offset > 0 and not reader.read_at(offset - 1, 1)", "return False", _ROSTER),
    Fault("a life is resumed at its beginning", "ingest/lives/entrance.py",
          "tracker=SettledPrefix(choice.offset)", "tracker=SettledPrefix(0)", _ROSTER),
    Fault("what was stored of a life is not asked for", "ingest/lives/entrance.py",
          "known_up_to = await self._books.highest_id(choice.life)", "known_up_to = None",
          ("tests/unit/test_entrance.py",)),
    Fault("totals count what is not settled yet", "ingest/lives/follower.py",
          "for end in [end for end in self.outcomes if end <= settled]:", "for end in list(self.outcomes):",
          ("tests/unit/test_follower.py",)),
    Fault("the guard of a checkpoint is that of the span that settled last", "ingest/lives/follower.py",
          "self.guard = self.guards[settled]", "self.guard = self.guards[span.end]", ("tests/unit/test_follower.py",)),
    Fault("a checkpoint names what was read", "ingest/lives/follower.py",
          "offset=self.settled,\n            guard", "offset=self.tracker.read,\n            guard",
          ("tests/unit/test_follower.py",)),
    Fault("a life that is not sealed counts as finished", "ingest/lives/follower.py",
          "finished=last and self.sealed", "finished=last", ("tests/unit/test_follower.py",)),
    # checkpoints
    Fault("half of a save may be there after a crash", "ingest/state/checkpoints.py",
          'self._database.execute("ROLLBACK")', 'self._database.execute("COMMIT")', _CHECKPOINTS),
    Fault("a newer state is read as if it were ours", "ingest/state/checkpoints.py",
          "version > STATE_VERSION:", "version > STATE_VERSION + 100:", _CHECKPOINTS),
    Fault("a root that is not there takes the place of the one that was read", "ingest/state/checkpoints.py",
          "AND NOT :there)", "AND NOT 1)", _CHECKPOINTS),
    Fault("damage to the file is not looked for", "ingest/state/checkpoints.py",
          '(verdict := _one(database, "PRAGMA quick_check")) != "ok"', '(verdict := "ok") != "ok"', _CHECKPOINTS),
    Fault("a changed row is believed", "ingest/state/rows.py",
          "    if digest != _digest(written):\n        raise ValueError(f\"the row of {named['path']!r} differs",
          "    if False:\n        raise ValueError(f\"the row of {named['path']!r} differs", _CHECKPOINTS),
    # ledger
    Fault("another life's prefix is taken", "ingest/mongo/ledger.py",
          'if bytes(document["fingerprint"]) != life.fingerprint:', "if False:", _LEDGER),
    Fault("a salt is never tried", "ingest/mongo/ledger.py", "except PrefixTaken:\n                continue",
          "except PrefixTaken:\n                raise", _LEDGER),
    Fault("recorded progress goes back", "ingest/mongo/ledger_documents.py",
          '{"progress.offset": {"$lte": Int64(row.offset)}}', '{"progress.offset": {"$gte": Int64(0)}}', _LEDGER),
    Fault("progress in a dropped collection counts", "ingest/mongo/ledger.py",
          "if progress is not None and progress.collection_uuid != self._uuid:", "if False:", _LEDGER),
    Fault("a damaged ledger document is believed", "ingest/mongo/ledger_documents.py",
          'if document.get("_id") != life.prefix:', "if False:", _LEDGER),
)  # fmt: skip
