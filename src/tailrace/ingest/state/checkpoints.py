"""Stage 5: settled spans -> the offset at which each life may be resumed; kept durable in `state_dir`.

    <state_dir>/                  0700
        lock                      held by the running `tailrace run` (directory.py)
        checkpoints.sqlite3       plus `-wal` and `-shm` while open
            meta        key, value: `instance`, `written_by` (this table keeps its shape in every version)
            binding     source, namespace -> the collection's UUID and the root it is fed from
            checkpoint  one row per life of a source file, with a digest of the row (rows.py)

Local state only saves time: replay is idempotent and the collection's ledger names every life. A row may
therefore be old or missing, and costs reading again; it must never be ahead of what MongoDB acknowledged,
which would lose data. Everything here follows from that:

* `journal_mode=WAL, synchronous=NORMAL`: a save is no fsync, only writes (and one fsync per 4 MB of log, before
  it is copied into the database). A commit survives the end of this process, kill -9 included. A power cut may
  take back the last commits, in order and whole, and leaves an older, consistent state: we resume earlier.
* One transaction per save, and a digest in each row: a torn save is undone as a whole, and a row that reads
  differently from how it was written is damage, not an offset.

Used from one thread, the one that opened it (sqlite3 raises ProgrammingError in another). Owner of sqlite3.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tailrace import __version__
from tailrace.errors import ConfigurationError, SettingsChanged, StateCorrupt, TailraceError
from tailrace.ingest.state.directory import StateDirectory
from tailrace.ingest.state.rows import FIELDS, Checkpoint, checkpoint_of, row_of, with_checksum

__all__ = ["DATABASE", "STATE_VERSION", "Checkpoint", "CheckpointStore", "StateWriteFailed"]

DATABASE = "checkpoints.sqlite3"
STATE_VERSION = 2
"""Version of the tables, kept in `user_version`. Raise it with a migration in `_migrate`.

1: the first. 2: `checkpoint` has the column `checksum`."""

_APPLICATION_ID = 0x7461696C  # "tail", kept in `application_id`: tells our file from any other SQLite database
_BUSY_SECONDS = 0.5  # waits this long for someone who writes to the file with another tool; our caller waits too
# HAZARD: the sqlite3 module cannot make an error whose sentence quotes damaged bytes: it raises UnicodeDecodeError.
_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}  # the last: a table is missing

_COLUMNS = ", ".join(("namespace", *FIELDS, "digest"))
_TABLE = f"CREATE TABLE checkpoint ({_COLUMNS}, PRIMARY KEY (source, namespace, prefix)) WITHOUT ROWID"
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE binding (
    source TEXT, namespace TEXT, collection_uuid BLOB NOT NULL, root TEXT NOT NULL, PRIMARY KEY (source, namespace)
) WITHOUT ROWID;
{_TABLE};
INSERT INTO meta VALUES ('instance', '{{instance}}'), ('written_by', '{__version__}');
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {STATE_VERSION};
COMMIT;
"""  # noqa: S608 - our own constants only
_PLACES = ", ".join("?" * (len(FIELDS) + 2))
_SAVE = f"INSERT OR REPLACE INTO checkpoint ({_COLUMNS}) VALUES ({_PLACES})"  # noqa: S608 - our own column names only
_LOAD = "SELECT * FROM checkpoint WHERE source = ? AND namespace = ? ORDER BY hour, number, prefix"
_BOUND = "SELECT source FROM binding WHERE namespace = ? AND root = ? AND collection_uuid = ? AND source <> ?"
_FORGET = """
DELETE FROM checkpoint WHERE source = :source AND namespace = :namespace AND NOT EXISTS (
    SELECT 1 FROM binding WHERE source = :source AND namespace = :namespace AND collection_uuid = :uuid)
"""
# HAZARD: not an upsert. SQLite writes no page for an update that changes nothing, and a start on a full disk would then
# go on without being able to save; a replaced row is always written.
_BIND = """
INSERT OR REPLACE INTO binding SELECT :source, :namespace, :uuid, coalesce(
    (SELECT root FROM binding WHERE source = :source AND namespace = :namespace AND collection_uuid = :uuid
        AND NOT :there), :root)
"""
_FORGET_REJECTED = "DELETE FROM checkpoint WHERE source = ? AND namespace = ? AND rejected > 0"


class StateWriteFailed(TailraceError):
    """Checkpoints could not be saved: disk full, I/O error, the file held by another tool.

    Nothing is lost and nothing is half saved: what was there before still stands, and the store stays usable.
    The caller keeps the rows and saves them again later; a restart meanwhile reads a little again.
    """


class CheckpointStore:
    """The open state database and the lock on its directory; made by `open`, ended by `close`.

    `instance`: 32 hex digits, made once for this state directory. `warnings`: sentences for the log.
    """

    def __init__(self, directory: StateDirectory, database: sqlite3.Connection, instance: str) -> None:
        self._directory = directory
        self._database = database
        self._path = directory.path / DATABASE
        self.instance = instance
        self.warnings = directory.warnings

    @classmethod
    def open(cls, state_dir: Path) -> Self:
        """Takes the lock and opens the database, both made where missing (an empty file counts as missing).

        StateLocked: another process holds the directory. StateCorrupt: the file is damaged, not ours, or written
        by a newer tailrace. ConfigurationError: the directory cannot be made or written. Nothing stays locked then.
        """
        directory = StateDirectory.take(state_dir)
        try:
            return cls(directory, *_connect(directory.path / DATABASE))
        except BaseException:
            directory.release()
            raise

    def bind(self, source: str, namespace: str, collection_uuid: bytes, root: str, *, there: bool = True) -> None:
        """Ties `source` to one collection. Call before `load`; `root` is the stream's directory, links resolved.

        `there`: whether it exists. A source keeps the root that it was fed from while the new one does not: a mistyped
        root must not hide what is stored. Call again as soon as it does.

        When the collection has another UUID than the rows were saved for (it was dropped), they are forgotten: what
        they call stored is gone. SettingsChanged: this very collection is already fed from `root` under another
        source name, so that its entries would be stored a second time. A source may move to another root.
        ConfigurationError: it cannot be written down (a full disk), and nothing could be saved later.
        """
        # If we die here, either nothing changed or the rows are gone and the new UUID stands: one transaction.
        with self._transaction(_unusable):
            self.must_be_free(source, namespace, collection_uuid, root)
            row = {"source": source, "namespace": namespace, "uuid": collection_uuid, "root": root, "there": there}
            self._database.execute(_FORGET, row)
            self._database.execute(_BIND, row)

    def must_be_free(self, source: str, namespace: str, collection_uuid: bytes, root: str) -> None:
        """Raises SettingsChanged as `bind` does, and what `load` raises; changes nothing."""
        try:
            others = self._database.execute(_BOUND, (namespace, root, collection_uuid, source)).fetchall()
        except sqlite3.DatabaseError as error:
            raise _mapped(error, self._path, _unusable) from error
        for (other,) in others:
            raise SettingsChanged(
                f"source = {source!r}, but {root} was ingested into {namespace} as source = {other!r} before, and "
                f"under a new name every entry would be stored a second time: set source = {other!r} again, or "
                "choose another collection."
            )

    def load(self, source: str, namespace: str) -> list[Checkpoint]:
        """The rows of a source in one collection (`database.collection`), by hour and life.

        StateCorrupt: damaged. ConfigurationError: cannot be read.
        """
        try:
            return [checkpoint_of(row) for row in self._database.execute(_LOAD, (source, namespace))]
        except _ERRORS as error:
            raise _mapped(error, self._path, _unusable) from error
        except ValueError as error:
            raise _corrupt(self._path, error) from error

    def forget_rejected(self, source: str, namespace: str) -> None:
        """Forget the rows of lives with rejects: these were dropped, and their files are to be read again."""
        with self._transaction(_unusable):
            self._database.execute(_FORGET_REJECTED, (source, namespace))

    def save(self, source: str, namespace: str, rows: Sequence[Checkpoint]) -> None:
        """All of `rows` or none; each replaces the row of its life. Only settled offsets may enter.

        StateWriteFailed: nothing was saved, try again later. StateCorrupt: the file was damaged under us.
        """
        if any(row.source != source for row in rows):
            raise ValueError(f"a checkpoint of another source than {source!r}")
        # If we die before COMMIT, the rows are as they were: what settled since is read again and proven to be
        # stored. If we die after it, they are as written and their bytes are never read again. Hence settle first:
        # MongoDB has acknowledged everything below these offsets, by majority, before we get here.
        with self._transaction(_write_failed):
            self._database.executemany(_SAVE, [row_of(namespace, row) for row in rows])

    def close(self) -> None:
        """Folds the log into the database and gives the lock back; again is a no-op.

        Raises nothing about the disk: what cannot be folded now is folded at the next `open`.
        """
        with suppress(sqlite3.OperationalError):
            self._database.close()
        self._directory.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _transaction(self, otherwise: Callable[[Path, Exception], TailraceError]) -> Iterator[None]:
        """`otherwise`: what an error that is no damage becomes."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                # After some errors (a full disk) SQLite has rolled back by itself, after others it has not. A
                # transaction left open here would fail every later save.
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.ProgrammingError:
            raise  # closed, or another thread: a defect of the caller, not of the disk
        except _ERRORS as error:
            raise _mapped(error, self._path, otherwise) from error


def _connect(path: Path) -> tuple[sqlite3.Connection, str]:
    """Opens, checks and, where it is new, fills the database; its instance id."""
    try:
        # SQLite falls back to read-only where it may not write, and we would learn of it at the first save.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    except (OSError, sqlite3.OperationalError) as error:
        raise _unusable(path, error) from error
    try:
        return database, _prepare(database, path)
    except _ERRORS as error:
        database.close()
        raise _mapped(error, path, _unusable) from error
    except BaseException:
        database.close()
        raise


def _prepare(database: sqlite3.Connection, path: Path) -> str:
    version, application = _one(database, "PRAGMA user_version"), _one(database, "PRAGMA application_id")
    new = _one(database, "SELECT count(*) FROM sqlite_master") == version == application == 0
    if not new and application != _APPLICATION_ID:
        raise _corrupt(path, "it is a database of another program")
    if isinstance(version, int) and version > STATE_VERSION:
        written_by = _one(database, "SELECT value FROM meta WHERE key = 'written_by'")
        raise StateCorrupt(
            f"{path} was written by tailrace {written_by}, which is newer than this one ({__version__}): run that "
            "version, or delete the file; nothing in MongoDB is affected, it is rebuilt from the collection's ledger."
        )
    # To be asked for, not assumed: without shared memory (some network mounts) SQLite silently stays with a
    # rollback journal, which synchronous=NORMAL does not protect from damage.
    if _one(database, "PRAGMA journal_mode = WAL") != "wal":
        raise ConfigurationError(
            f"state_dir: the file system of {path} has no shared memory for SQLite: use a local disk."
        )
    database.execute("PRAGMA synchronous = NORMAL")
    if new:
        # If we die here, the file holds no table and no version, or all of them: one transaction.
        database.executescript(_SCHEMA.format(instance=secrets.token_hex(16)))
    elif (verdict := _one(database, "PRAGMA quick_check")) != "ok":
        raise _corrupt(path, verdict)
    elif version != STATE_VERSION:
        _migrate(database, path)
    return str(_one(database, "SELECT value FROM meta WHERE key = 'instance'"))


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    """Version 1 -> 2: every row is kept, its checksum unknown."""
    # If we die before COMMIT, the file is of version 1 as it was: one transaction, the version included.
    database.execute("BEGIN IMMEDIATE")
    try:
        rows = [with_checksum(row) for row in database.execute("SELECT * FROM checkpoint")]
        database.execute("DROP TABLE checkpoint")
        database.execute(_TABLE)
        database.executemany(_SAVE, rows)
        database.execute("UPDATE meta SET value = ? WHERE key = 'written_by'", (__version__,))
        database.execute(f"PRAGMA user_version = {STATE_VERSION}")
        database.execute("COMMIT")
    except ValueError as error:
        raise _corrupt(path, error) from error  # `_connect` closes the database, which undoes the transaction


def _one(database: sqlite3.Connection, query: str) -> object:
    """The only value of a query that has one in every sound state database; DatabaseError where it has none."""
    row = database.execute(query).fetchone()
    if row is None:
        raise sqlite3.DatabaseError(f"no answer to {query}")
    return row[0]


def _mapped(
    error: sqlite3.DatabaseError | UnicodeDecodeError, path: Path, otherwise: Callable[[Path, Exception], TailraceError]
) -> TailraceError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)  # absent where not SQLite itself raised it
    return _corrupt(path, error) if code & 0xFF in _DAMAGE else otherwise(path, error)


def _corrupt(path: Path, why: object) -> StateCorrupt:
    return StateCorrupt(
        f"{path} is damaged ({why}): delete it and start again; nothing in MongoDB is affected, the file is rebuilt "
        "from the collection's ledger."
    )


def _unusable(path: Path, why: Exception) -> ConfigurationError:
    return ConfigurationError(f"state_dir: {path} cannot be used ({why}): mend that, or set another state_dir.")


def _write_failed(path: Path, why: Exception) -> StateWriteFailed:
    return StateWriteFailed(
        f"checkpoints could not be saved in {path} ({why}): nothing is lost; free or mend the disk."
    )
