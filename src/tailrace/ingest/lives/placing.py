"""Moving a reader to the place in an archive where its life goes on: everything before has to be decompressed.

Seconds per GB, so it is done in a thread, in steps, while other files are read. HAZARD: one thread at a time uses a
reader. Until `place` returns nobody else touches or closes it; after `stop` the thread lets go within one step.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from tailrace.errors import FileRewritten
from tailrace.ingest.files.reading import Reader, UnreadableFile
from tailrace.ingest.files.tailer import GUARD
from tailrace.ingest.lives.slots import Held, Placed

FAR = 1 << 20  # uncompressed bytes that are decompressed in the event loop: some 3 ms
_STEP = 8 << 20  # bytes between two looks whether to stop: some 25 ms


class Placing:
    """The moves of one source that are under way. `moved` is called when one has ended."""

    def __init__(self, moved: Callable[[], None]) -> None:
        self._moved = moved
        self.tasks: set[asyncio.Task[None]] = set()
        self._stop = threading.Event()

    def begin(self, held: Held, reader: Reader, head: bytes, offset: int) -> None:
        """Move the reader to `offset` in a thread; the file is entered when that is done, others meanwhile."""
        seen = (held.file.size, held.file.mtime_ns)
        held.placing = True

        async def place() -> None:
            held.placed = Placed(seen, head, await self.place(reader, offset))
            held.placing, held.tried = False, None

        def placed(task: asyncio.Task[None]) -> None:
            self.tasks.discard(task)
            self._moved()

        task = asyncio.create_task(place())
        self.tasks.add(task)
        task.add_done_callback(placed)

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
