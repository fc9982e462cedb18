"""One line of the report, and the list of what there is to be said anything about. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much it matters; the value is what is printed."""

    OK = "ok"
    NOTE = "note"  # worth knowing: `run` would start, and keep what it promises
    PROBLEM = "PROBLEM"  # `run` would end with exit 78, or could not keep what it promises
    SKIPPED = "skipped"  # not looked at, because of something else that is said


class Subject(StrEnum):
    """What a finding is about, in the order of the report and of docs/check.md."""

    CONFIGURATION = "configuration"
    CODEC = "codec"
    ROOT = "root"
    HOURS = "hours"
    NAMES = "names"
    SAMPLE = "sample"
    CLOCK = "clock"
    NOTIFICATIONS = "notifications"
    OPEN_FILES = "open_files"
    STATE_DIR = "state_dir"
    STATE = "state"
    DISK = "disk"
    HTTP = "http"
    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    MEMBERS = "members"
    MONGODB = "mongodb"
    AUTHENTICATION = "authentication"
    ROLES = "roles"
    VERSION = "version"
    CLUSTERED = "clustered"
    WRITE_CONCERN = "write_concern"
    COLLECTION = "collection"
    LEDGER = "ledger"
    SERVER_CLOCK = "server_clock"
    SERVER_DISK = "server_disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`remedy`: what to do, never empty for NOTE and PROBLEM. `source`: of which source; empty: of all of them."""

    subject: Subject
    level: Level
    sentence: str
    remedy: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if self.level in (Level.NOTE, Level.PROBLEM) and not self.remedy:
            raise ValueError(f"a finding about {self.subject} without a remedy: {self.sentence}")


def fine(subject: Subject, sentence: str) -> Finding:
    return Finding(subject=subject, level=Level.OK, sentence=sentence)


def note(subject: Subject, sentence: str, remedy: str) -> Finding:
    return Finding(subject=subject, level=Level.NOTE, sentence=sentence, remedy=remedy)


def problem(subject: Subject, sentence: str, remedy: str) -> Finding:
    return Finding(subject=subject, level=Level.PROBLEM, sentence=sentence, remedy=remedy)


def skipped(subject: Subject, because: str) -> Finding:
    return Finding(subject=subject, level=Level.SKIPPED, sentence=f"not looked at, because {because}")


def parted(sentence: str, otherwise: str) -> tuple[str, str]:
    """(what is wrong, what to do) of a sentence of the form `what: what to do`, as refusals of `run` have it.
    `otherwise`: what to do where it does not say."""
    what, colon, remedy = sentence.rpartition(": ")
    return (what, remedy.removesuffix(".")) if colon else (sentence, otherwise)


def listed(items: list[str], most: int = 3) -> str:
    """`a, b, c and 4 more`"""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")
