"""The state directory: could `run` make and write it, who holds it, what does its database say. Read, never opened.

HAZARD: taking the lock for a moment, even a shared one, could end a `run` that is just starting; and opening the
database would make files beside it. So the kernel's own list of locks is read, and a copy of the database, which lies
among the temporary files for a moment.
"""

from __future__ import annotations

import os
import pwd
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tailrace.commands.doctor.finding import Finding, Subject, fine, note, problem, skipped
from tailrace.ingest.state.checkpoints import DATABASE, STATE_VERSION
from tailrace.ingest.state.directory import LOCK
from tailrace.ingest.state.holder import holder
from tailrace.ingest.state.rows import checkpoint_of, with_checksum

APPLICATION_ID = 0x7461696C
"""As in `ingest.state.checkpoints` (a test holds them together)."""

_OTHERS = 0o077
_CHUNK = 1 << 20  # bytes
_REBUILT = "nothing in MongoDB is affected, the file is rebuilt from the collection's ledger"
_NONE_YET = "no state yet: it is made at the first start, or rebuilt from the ledger"
_AGAIN, _PAUSE = 10, 0.1  # copies, and seconds between them, until one tells whose leases are a living run's
_OF_THE_COPY = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}


class Binding(NamedTuple):
    """Which tree a source was last fed from, into which collection."""

    source: str
    namespace: str
    collection_uuid: bytes
    root: str


@dataclass(slots=True)
class StateSeen:
    """`holder`: "pid 12 on host" of the `run` that holds the directory; None when nobody does. `instance`: whose leases
    are our own, None where there is none; `known`: that is certain, the database was read or there is none."""

    findings: list[Finding] = field(default_factory=list)
    holder: str | None = None
    instance: str | None = None
    known: bool = False
    bindings: tuple[Binding, ...] = ()

    @property
    def pid(self) -> int | None:
        word = (self.holder or "").removeprefix("pid ").partition(" ")[0]
        return int(word) if word.isdecimal() else None


def look(state_dir: Path) -> StateSeen:
    seen = StateSeen()
    usable = [*_directory(state_dir)]
    seen.findings += usable
    if any(finding.level == "PROBLEM" for finding in usable):
        seen.findings.append(skipped(Subject.STATE, "state_dir cannot be used"))
        return seen
    with suppress(OSError):
        pid = holder(state_dir)
        seen.holder = None if pid is None else f"pid {pid} on {socket.gethostname()}"
    seen.findings += _database(state_dir / DATABASE, seen)
    return seen


def existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there. PermissionError counts as there."""
    for each in (path, *path.parents):
        with suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(each)
            return each
    return Path("/")


def _directory(path: Path) -> Iterator[Finding]:
    remedy = "make it a directory that the user that runs tailrace may write to, or set another state_dir"
    there = existing(path)
    if not there.is_dir():
        yield problem(Subject.STATE_DIR, f"{path} cannot be used: {there} is not a directory", remedy)
        return
    if not os.access(there, os.W_OK | os.X_OK):
        why = "is on a file system that is read-only" if _read_only(there) else "may not be written to by this user"
        yield problem(Subject.STATE_DIR, f"{path} cannot be used: {there} {why}", remedy)
        return
    if there != path:
        yield fine(Subject.STATE_DIR, f"{path} (will be made)")
        return
    stat = path.stat()
    if stat.st_mode & _OTHERS:
        sentence = f"{path} is open to other users (mode {stat.st_mode & 0o777:04o}); expected is 0700"
        yield note(Subject.STATE_DIR, sentence, f"chmod 700 {path}")
    elif stat.st_uid != os.geteuid():
        sentence = f"{path} belongs to {_user(stat.st_uid)}, and this check runs as {_user(os.geteuid())}"
        yield note(
            Subject.STATE_DIR,
            sentence,
            f"check and run as {_user(stat.st_uid)}: what holds for one user may not for another",
        )
    else:
        yield fine(Subject.STATE_DIR, f"{path} (there)")


def _read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _database(path: Path, seen: StateSeen) -> Iterator[Finding]:
    if seen.holder is not None:
        yield note(
            Subject.STATE,
            f"a tailrace run is at work on this directory ({seen.holder}); a second one would end with exit 78",
            "nothing if that is the one you mean; for another one set a state_dir of its own",
        )
    closed = [*_closed(path)]
    yield from closed
    finding = _look_at_copy(path, seen)
    if closed:
        return
    if seen.holder is None:
        yield finding  # else it was copied while it was written to, and whoever has it open knows better
        return
    # HAZARD: a copy that is taken while the log is folded into the database may lack any table. Without `instance` the
    # lease of the run that is at work here would be reported as another writer's.
    for _ in range(_AGAIN):
        if seen.instance is not None:
            return
        time.sleep(_PAUSE)
        _look_at_copy(path, seen)


def _closed(path: Path) -> Iterator[Finding]:
    """What `run` could not open, because a run of another user made it (sudo), or somebody took the right away."""
    closed: list[str] = []
    owners: set[str] = set()
    for each in (path.with_name(LOCK), path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with suppress(FileNotFoundError):
            if not os.access(each, os.R_OK | os.W_OK):
                owners.add(_user(each.stat().st_uid))
                closed.append(str(each))
    if closed:
        us = _user(os.geteuid())
        yield problem(
            Subject.STATE,
            f"{', '.join(closed)} (of {', '.join(sorted(owners))}) may not be both read and written by {us}",
            f"as root: chown {us} {' '.join(closed)} && chmod 600 {' '.join(closed)}",
        )


class _NoCopy(Exception):
    """There is no room for a copy, or no right to make one. Says nothing of the database."""


@contextmanager
def _copying() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise _NoCopy(f"{where}{error.strerror}") from error


def _look_at_copy(path: Path, seen: StateSeen) -> Finding:
    """What a copy of the database says; fills `instance` and `bindings` where it can be read."""
    if not path.exists():
        seen.known = True
        return fine(Subject.STATE, _NONE_YET)
    try:
        with _copying():
            temporary = TemporaryDirectory(prefix="tailrace-check-", ignore_cleanup_errors=True)
        with temporary as folder:
            return _read(_copy(path, Path(folder)), path, seen)
    except _NoCopy as error:
        return _no_copy(error)
    except OSError as error:
        return problem(Subject.STATE, f"{path} cannot be read: {error.strerror}", "give its user the right to read it")
    except (sqlite3.DatabaseError, ValueError) as error:
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _OF_THE_COPY:
            return _no_copy(error)
        return problem(Subject.STATE, f"{path} is damaged ({error})", f"delete it and start again; {_REBUILT}")


def _no_copy(why: Exception) -> Finding:
    return skipped(Subject.STATE, f"no copy of it can be made among the temporary files ({why}): set TMPDIR")


def _copy(path: Path, folder: Path) -> Path:
    """The database and its log. Not the index of the log (`-shm`): SQLite makes it anew, here. OSError is of reading
    them, _NoCopy of writing."""
    for each in (path, path.with_name(f"{path.name}-wal")):
        with suppress(FileNotFoundError), each.open("rb") as file:
            while chunk := file.read(_CHUNK):
                with _copying(), (folder / each.name).open("ab") as copy:
                    copy.write(chunk)
    return folder / path.name


def _read(copy: Path, path: Path, seen: StateSeen) -> Finding:
    """DatabaseError: damaged, or the copy cannot be used. ValueError: a row is damaged."""
    with closing(sqlite3.connect(copy)) as database:

        def one(query: str) -> object:
            row = database.execute(query).fetchone()
            return None if row is None else row[0]

        version, application = one("PRAGMA user_version"), one("PRAGMA application_id")
        if one("SELECT count(*) FROM sqlite_master") == version == application == 0:
            seen.known = True
            return fine(Subject.STATE, _NONE_YET)  # run counts it as missing, too
        if application != APPLICATION_ID:
            remedy = f"delete it and start again, or set another state_dir; {_REBUILT}"
            return problem(Subject.STATE, f"{path} is a database of another program", remedy)
        seen.instance, seen.known = str(one("SELECT value FROM meta WHERE key = 'instance'")), True
        if isinstance(version, int) and version > STATE_VERSION:
            newer = one("SELECT value FROM meta WHERE key = 'written_by'")
            sentence = f"{path} was written by tailrace {newer}, which is newer than this one"
            return problem(Subject.STATE, sentence, f"run that version, or delete the file; {_REBUILT}")
        verdict = one("PRAGMA quick_check")
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        seen.bindings = tuple(
            Binding(*row) for row in database.execute("SELECT source, namespace, collection_uuid, root FROM binding")
        )
        rows = database.execute("SELECT * FROM checkpoint").fetchall()
        for row in rows:
            checkpoint_of(row if version == STATE_VERSION else with_checksum(row))
    older = "" if version == STATE_VERSION else f", of version {version}: run brings it to {STATE_VERSION}"
    bound = ", ".join(f"{each.source} into {each.namespace}" for each in seen.bindings) or "no source yet"
    return fine(Subject.STATE, f"{len(rows)} checkpoints ({bound}){older}")
