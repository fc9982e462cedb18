"""The error tree. Every class says what the caller may conclude.

    TailraceError
    ├── UsageError            the command line is off                          exit 2
    ├── Interrupted           Ctrl-C in a command that runs to its end         exit 130
    ├── ConfigurationError    what only an operator can mend, before we start  exit 78
    │   ├── SettingsError       a setting is wrong: key, where it was set, what is allowed
    │   ├── SettingsChanged     other settings than those the collection was filled with
    │   ├── CollectionUnfit     time-series, capped, view, foreign shard key, TTL: would break a promise
    │   ├── StateLocked         another `run` holds this state directory
    │   ├── StateCorrupt        the state database cannot be read; says what to do
    │   ├── LedgerDamaged       a document of the ledger is not as it was written: ids follow from it
    │   ├── SourceTaken         another live writer has this source name
    │   └── ServerRefusesUs     authentication, role, options, unreachable at start-up
    ├── FileRewritten         bytes read before are not there any more: the next life begins (never leaves the pipeline)
    ├── UnreadableFile        (reading) not a regular file, or a damaged archive: the others go on
    ├── PrefixTaken           (ledger) another life has these seven bytes: take the next salt
    ├── CollectionsDropped    dropped or made anew under us: the source starts anew, in this process
    ├── StateWriteFailed      (checkpoints) the disk is full: nothing is lost, saved again later
    └── RuntimeFailure        we cannot go on; nothing is lost, a restart continues        exit 70
        └── EveryDocumentRefused  the server refused all documents of a span for an unlisted reason

Messages are one sentence for an operator: what is wrong, where it was set or seen, what to do. No secrets.
What the driver raises is mapped to a `Verdict` in `ingest/mongo/verdicts.py` and does not leave the writer.
"""

from __future__ import annotations

from enum import StrEnum


class Exit:
    """Exit codes: a contract (design: Command line)."""

    DONE = 0
    DIFFERENCE = 1
    USAGE = 2
    FAILURE = 70
    CONFIGURATION = 78
    INTERRUPTED = 130


class Verdict(StrEnum):
    """What the caller does about a driver's error."""

    RETRY = "retry"  # transient: try the same again, without limit, with backoff
    OPERATOR = "operator"  # only an operator can mend it: exit 78 at start-up, slow retry at run time
    REJECT = "reject"  # this document will never be accepted: keep it aside
    STOP = "stop"  # a defect or a broken promise: stop, lose nothing


def one_line(text: str) -> str:
    """What does not print (control characters, line ends, undecodable bytes of a path) as its escape: a sentence stays
    a sentence, and nothing that a configuration holds reaches a terminal as a command."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class TailraceError(Exception):
    """Base of all; `exit_code` is what the process ends with when nobody handles it."""

    exit_code = Exit.FAILURE


class Interrupted(TailraceError):
    """Ctrl-C in a command that runs to its end (`run` drains instead)."""

    exit_code = Exit.INTERRUPTED

    def __init__(self) -> None:
        super().__init__("interrupted")


class UsageError(TailraceError):
    exit_code = Exit.USAGE


class ConfigurationError(TailraceError):
    exit_code = Exit.CONFIGURATION


class SettingsError(ConfigurationError):
    """All problems of one configuration, reported at once, each on one line whatever a name or a path in it holds."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = [one_line(problem) for problem in problems]
        super().__init__("\n".join(self.problems))


class SettingsChanged(ConfigurationError):
    pass


class CollectionUnfit(ConfigurationError):
    pass


class StateLocked(ConfigurationError):
    pass


class StateCorrupt(ConfigurationError):
    pass


class LedgerDamaged(ConfigurationError):
    pass


class SourceTaken(ConfigurationError):
    pass


class ServerRefusesUs(ConfigurationError):
    """`verdict`: OPERATOR, or RETRY for what may mend itself, as a server that is away. `kind`: its class where it is
    tried again (`ingest.mongo.retry_classes`)."""

    def __init__(self, sentence: str, verdict: Verdict = Verdict.OPERATOR, kind: str = "operator") -> None:
        super().__init__(sentence)
        self.verdict = verdict
        self.kind = kind


class FileRewritten(TailraceError):
    """The file was truncated or rewritten under the offset we had reached."""


class CollectionsDropped(TailraceError):
    """Collections that a source was bound to are gone, or others have their names. Never leaves the instance."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"dropped or made anew while in use: {', '.join(names)}")
        self.names = names


class RuntimeFailure(TailraceError):
    pass


class EveryDocumentRefused(RuntimeFailure):
    pass
