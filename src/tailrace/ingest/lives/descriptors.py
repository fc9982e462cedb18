"""How many hour files of a source are open, and opening one more."""

from __future__ import annotations

import structlog

from tailrace.ingest.files.names import plain_path
from tailrace.ingest.files.reading import Reader, UnreadableFile, open_reader
from tailrace.ingest.lasting import Several
from tailrace.ingest.lives.slots import Held

_HEAD_ROOM = 2  # descriptors beyond the limit, for the newest hour: a backlog must not shut it out
_RETRY_FIRST, _RETRY_MOST = 1.0, 60.0  # seconds between two openings of a file that could not be opened; they double

log = structlog.get_logger("tailrace.files")


class Descriptors:
    """Counts what it opens; whoever closes a reader that came from here says so with `close`. Tells the log, once each,
    which files cannot be opened or read, and which can again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.open = 0
        self._unopened = Several()
        self._damaged = Several()
        self._now = 0.0  # monotonic seconds, as of the last scan

    def left(self, *, newest: bool) -> bool:
        """Whether one more may be opened; `newest`: for the newest hour."""
        return self.open < self._most + (_HEAD_ROOM if newest else 0)

    def hold(self, held: Held, now: float) -> bool:
        """Open the file that waits. False when it cannot be opened: said once, and tried again after a while."""
        file = held.file
        if now < held.retry_at:
            return False
        try:
            reader = open_reader(file.path, file.compression, file.within)
        except FileNotFoundError:
            return False  # the next scan says so, or finds it again
        except UnreadableFile as error:
            held.put_off(now, _RETRY_FIRST, _RETRY_MOST)
            if self._unopened.met(plain_path(file.path), now):
                log.warning(
                    "file_skipped",
                    path=file.path,
                    why=str(error),
                    meaning="nothing behind this name is read or stored; the hour is, once a plain file stands there",
                )
            return False
        except OSError as error:
            held.put_off(now, _RETRY_FIRST, _RETRY_MOST)
            if self._unopened.met(plain_path(file.path), now):
                _say_unreadable(file.path, error.strerror)
            return False
        there = reader.stat()
        if (there.st_dev, there.st_ino) != (file.device, file.inode):
            reader.close()  # another file has taken the name since the scan: the next one says so
            return False
        self._over(self._unopened, file.path, now)
        held.reader, held.retry_in, held.retry_at = reader, 0.0, 0.0
        self.open += 1
        return True

    def again(self, reader: Reader) -> Reader | None:
        """The file that `reader` has open, opened once more, whatever became of its name. None when that fails."""
        try:
            opened = reader.reopen()
        except OSError:
            return None
        self.open += 1
        return opened

    def close(self, reader: Reader) -> None:
        reader.close()
        self.open -= 1

    # -- what is said --------------------------------------------------------------------------------------------

    def unreadable(self, path: str, why: str) -> None:
        """It was opened, and reading it failed: a damaged archive, or an error of the disk."""
        if self._damaged.met(plain_path(path), self._now):
            _say_unreadable(path, why)

    def entered(self, path: str, now: float) -> None:
        """Its first line was read, and it is followed."""
        self._over(self._damaged, path, now)

    def gone(self, path: str) -> None:
        for troubles in (self._unopened, self._damaged):
            troubles.forget(plain_path(path))

    def say_still(self, now: float) -> None:
        """After each scan."""
        self._now = now
        for troubles in (self._unopened, self._damaged):
            if standing := troubles.still(now):
                log.error(
                    "files_still_unreadable",
                    files=standing.count,
                    path=standing.longest,
                    for_s=standing.for_s,
                    meaning="the unread lines of these files are not stored yet; the other files go on",
                    todo="see the lines file_unreadable and file_skipped of each; path is the one that waits longest",
                )

    def _over(self, troubles: Several, path: str, now: float) -> None:
        if (after := troubles.over(plain_path(path), now)) is not None:
            log.info("file_readable_again", path=path, after_s=after, left=len(troubles))


def _say_unreadable(path: str, why: str | None) -> None:
    log.error(
        "file_unreadable",
        path=path,
        why=why,
        meaning="its unread lines are not stored yet; the other files go on, and this one is tried again",
        todo="give this user the right to read it, or mend the file or its disk",
    )
