"""The start of a source: its tree is found and listed, and at its very first start perhaps skipped.

    find_tree -> list_tree -> (skip_what_there_is) -> say_what_waits

What cannot be looked at yet is waited for: an operator may mend it meanwhile. With `once` it is an error instead.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from structlog.typing import FilteringBoundLogger

from tailrace.errors import ConfigurationError
from tailrace.ingest.books import BookKeeper
from tailrace.ingest.ending import first_of
from tailrace.ingest.files.discovery import Discovery, Scan
from tailrace.ingest.files.hints import Watcher
from tailrace.ingest.files.names import HourlyTree, candidates, locate
from tailrace.ingest.lasting import Lasting
from tailrace.ingest.lives.choice import Known
from tailrace.ingest.lives.first_start import lives_at_end, skip_what_is_there
from tailrace.ingest.stats import SourceStats
from tailrace.model import SourceFile
from tailrace.words import duration_words, size_words

_CATCH_UP_RATE = 20e6  # bytes a second, for a first guess of how long catching up takes


async def find_tree(
    root: str,
    stream: str,
    watcher: Watcher,
    stop: asyncio.Event,
    log: FilteringBoundLogger,
    *,
    poll_interval: Callable[[], float],
    once: bool,
) -> HourlyTree | None:
    """The stream's tree; waits until it exists. None when told to stop meanwhile. `poll_interval` is asked each time:
    it may change, and then the watcher is woken."""
    waits, blocked = Lasting(), Lasting()
    while not stop.is_set():
        now = time.monotonic()
        try:
            tree = locate(root, stream)
        except OSError as error:  # no right to look, a loop of links: an operator may mend it while we wait
            if once:
                raise ConfigurationError(f"root: {root} cannot be looked at: {error.strerror}") from None
            if blocked.met(now):
                log.error(
                    "root_unreadable",
                    root=root,
                    why=error.strerror,
                    for_s=blocked.for_s(now),
                    meaning="nothing is read yet, and nothing is lost; it is tried again",
                    todo="give this user the right to read it, or mend the path",
                )
            tree = None
        else:
            blocked.over(now)
        if tree is not None:
            if (after := waits.over(now)) is not None:
                log.info("root_found", root=root, after_s=after, meaning="what is there is read from here on")
            return tree
        if once:
            raise ConfigurationError(f"root: there is no {stream} stream below {root} to read once")
        if waits.met(now) and not blocked.times:
            log.warning(
                "waiting_for_root",
                root=root,
                stream=stream,
                for_s=waits.for_s(now),
                meaning="nothing to read yet, and nothing is lost: there is no such stream below the root",
                todo="mend root and stream if the node writes elsewhere; else it is read as soon as it is there",
            )
        watcher.follow([candidate.hourly for candidate in candidates(root, stream)])
        await first_of(stop.wait(), watcher.wait(poll_interval()))
    return None


async def list_tree(
    discovery: Discovery,
    watcher: Watcher,
    clock: Callable[[], float],
    stats: SourceStats,
    *,
    poll_interval: Callable[[], float],
    once: bool,
) -> Scan:
    """The first scan; waits until the tree can be listed, as `find_tree` does."""
    scan = discovery.scan(clock(), full=True)
    while not scan.present:  # HAZARD: taken for an empty tree, everything known would count as deleted
        hourly = discovery.tree.hourly
        if once:
            raise ConfigurationError(f"root: {hourly} cannot be listed: give this user the right to read it")
        stats.locked = scan.locked
        await watcher.wait(poll_interval())  # what is hinted at meanwhile is in the scan
        scan = discovery.scan(clock(), full=True)
    return scan


async def skip_what_there_is(books: BookKeeper, files: Iterable[SourceFile], log: FilteringBoundLogger) -> list[Known]:
    """For `start_at = "end"`: what these files hold now is not read. The lives that the ledger knows then."""
    options = books.options
    lives = await asyncio.to_thread(lambda: list(lives_at_end(files, options.source, options.settings.family)))
    skipped = await skip_what_is_there(books.ledger, lives)
    log.info("skipped_by_choice", files=len(lives), bytes=skipped, why="start_at = end, first start of this source")
    return await books.known([])


def say_what_waits(files: int, size: int, log: FilteringBoundLogger) -> None:
    """`files`, `size` (bytes): the backlog after the first scan."""
    if size:
        seconds = max(1, round(size / _CATCH_UP_RATE))
        what = f"{files} file{'s' * (files != 1)}, {size_words(size)}, about {duration_words(seconds)}"
        log.info("catching_up", what=what, files=files, bytes=size, about_s=seconds)
