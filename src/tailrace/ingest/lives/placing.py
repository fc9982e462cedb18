"""Moving a reader to the place in an archive where its life goes on: everything before has to be decompressed.

Seconds per GB, so it is done in a thread, in steps, while other files are read. HAZARD: one thread at a time uses a
reader. Until `place` returns nobody else touches or closes it; after `stop` the thread lets go within one step.
"""

from __future__ import annotations

import asyncio
import threading

from tailrace.errors import FileRewritten
from tailrace.ingest.files.reading import Reader, UnreadableFile
from tailrace.ingest.files.tailer import GUARD

FAR = 1 << 20  # uncompressed bytes that are decompressed in the event loop: some 3 ms
_STEP = 8 << 20  # bytes between two looks whether to stop: some 25 ms


class Placing:
    """The moves of one source that are under way."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._stop = threading.Event()

    async def place(self, reader: Reader, offset: int) -> Exception | None:
        """The reader stands before the guard of `offset` afterwards; or what is wrong with its file."""
        try:
            await asyncio.to_thread(self._move, reader, offset)
        except (OSError, FileRewritten, UnreadableFile) as error:
            return error
        return None

    def _move(self, reader: Reader, offset: int) -> None:
        begin = max(0, offset - GUARD)
        for passed in range(_STEP, begin, _STEP):
            if self._stop.is_set():
                return
            reader.read_at(passed, 1)
        reader.read_at(begin, offset - begin)

    def stop(self) -> None:
        self._stop.set()
        for task in self.tasks:
            task.cancel()
