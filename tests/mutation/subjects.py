"""The modules that generic faults are planted in, and the tests that must notice: quick ones first.

A stage is one run of pytest; the next runs only when the one before it passed.
"""

from __future__ import annotations

_WRITER = "tests/mongo/test_writer.py"
_FAILURES = "tests/mongo/test_writer_failures.py"

ALONE = "not killed and not hangs and not majority and not failover and not cancelling"
"""What needs nothing but the standalone server."""

SUBJECTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "ingest/state/tracker.py": (("tests/unit/test_tracker.py",), ("tests/property/test_tracker_laws.py",)),
    "identity.py": (("tests/unit/test_identity.py",), ("tests/unit/test_choice.py", "tests/unit/test_tailer.py")),
    "ingest/files/seal.py": (("tests/unit/test_seal.py",),),
    "ingest/lives/choice.py": (("tests/unit/test_choice.py",),),
    "ingest/mongo/replies.py": (("tests/unit/test_replies.py", "tests/unit/test_verdicts.py"),),
    "ingest/mongo/proof.py": (
        ("tests/unit/test_proof.py",),
        (_WRITER, "-k", ALONE),
        (_WRITER, "-k", "majority"),
    ),
    "ingest/mongo/settling.py": (
        ("tests/unit/test_settling.py",),
        ("tests/mongo/test_settling.py",),
        (_WRITER, _FAILURES, "-k", ALONE),
        (_WRITER, _FAILURES, "-k", "majority"),
    ),
}
