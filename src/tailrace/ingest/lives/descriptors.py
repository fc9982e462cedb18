"""How many hour files of a source are open, and opening one more."""

from __future__ import annotations

import structlog

from tailrace.ingest.files.reading import Reader, UnreadableFile, open_reader
from tailrace.ingest.lives.slots import Held

_HEAD_ROOM = 2  # descriptors beyond the limit, for the newest hour: a backlog must not shut it out
_RETRY = 60.0  # seconds between two openings of a file that could not be opened

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
        """Open the file that waits. False, and not tried again for a minute, when it cannot be opened; said once."""
        file = held.file
        if now < held.retry_at:
            return False
        said, held.retry_at = held.retry_at > 0, now + _RETRY
        try:
            held.reader = open_reader(file.path, file.compression)
        except FileNotFoundError:
            held.retry_at = 0.0  # the next scan says so, or finds it again
        except UnreadableFile as error:
            if not said:
                log.warning("file_skipped", path=file.path, why=str(error))
        except OSError as error:
            if not said:
                log.error("file_unreadable", path=file.path, why=error.strerror, meaning="its lines are not stored yet")
        if held.reader is None:
            return False
        held.retry_at = 0.0
        self.open += 1
        return True

    def close(self, reader: Reader) -> None:
        reader.close()
        self.open -= 1
