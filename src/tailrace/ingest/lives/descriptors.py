"""How many hour files of a source are open, and opening one more."""

from __future__ import annotations

import structlog

from tailrace.ingest.files.reading import Reader, UnreadableFile, open_reader
from tailrace.ingest.lives.slots import Held

_HEAD_ROOM = 2  # descriptors beyond the limit, for the newest hour: a backlog must not shut it out
_RETRY_FIRST, _RETRY_MOST = 1.0, 60.0  # seconds between two openings of a file that could not be opened; they double

log = structlog.get_logger("tailrace.files")


class Descriptors:
    """Counts what it opens; whoever closes a reader that came from here says so with `close`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.open = 0

    def left(self, *, newest: bool) -> bool:
        """Whether one more may be opened; `newest`: for the newest hour."""
        return self.open < self._most + (_HEAD_ROOM if newest else 0)

    def hold(self, held: Held, now: float) -> bool:
        """Open the file that waits. False when it cannot be opened: said once, and tried again after a while."""
        file = held.file
        if now < held.retry_at:
            return False
        said = held.retry_in > 0
        try:
            reader = open_reader(file.path, file.compression, file.within)
        except FileNotFoundError:
            return False  # the next scan says so, or finds it again
        except UnreadableFile as error:
            held.put_off(now, _RETRY_FIRST, _RETRY_MOST)
            if not said:
                log.warning("file_skipped", path=file.path, why=str(error))
            return False
        except OSError as error:
            held.put_off(now, _RETRY_FIRST, _RETRY_MOST)
            if not said:
                log.error("file_unreadable", path=file.path, why=error.strerror, meaning="its lines are not stored yet")
            return False
        there = reader.stat()
        if (there.st_dev, there.st_ino) != (file.device, file.inode):
            reader.close()  # another file has taken the name since the scan: the next one says so
            return False
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
