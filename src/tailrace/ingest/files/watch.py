"""Hints: what the kernel says has changed, so that a scan comes in under a millisecond instead of at the next poll.

Nothing may depend on them (see `hints`), so every failure in here is answered with a wider hint ("look at everything")
or with none at all, never with an error.

The only module that knows asyncinotify.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Self

import structlog

from tailrace.errors import ConfigurationError
from tailrace.ingest.files.hints import Hint, PollingWatcher, Watcher, WatchMode
from tailrace.ingest.files.names import day_of
from tailrace.ingest.lasting import Few

if TYPE_CHECKING:
    from asyncinotify import Event, Inotify, Mask, Watch

WATCHED_DAYS = 8
"""Newest day folders with a watch. Late writes were seen to the previous hour; a week of days serves restored ones."""

_ABOVE = 2  # folders above `hourly` that are watched, for its being moved away or replaced
_EVENTS_LIMIT = 20_000  # per drain, more than the kernel queues by default (16,384): a drain ends whatever is written
_CACHE_EVENTS = 64  # full-length events per read(2)

_log = structlog.get_logger(__name__)


def watcher(mode: WatchMode) -> Watcher:
    return PollingWatcher() if mode is WatchMode.POLL else NativeWatcher(required=mode is WatchMode.NATIVE)


class _Kind(StrEnum):
    ABOVE = "above"  # a folder on the way to an hourly one
    HOURLY = "hourly"
    DAY = "day"


@dataclass(slots=True)
class _Watched:
    """What a watch descriptor stands for. `awaited`: the names below that lead to an hourly folder; what else happens
    in a folder above it is somebody else's."""

    path: str
    kind: _Kind
    awaited: set[str] = field(default_factory=set)


class NativeWatcher:
    """Kernel notifications through inotify. Where they cannot be had, in part or at all, it says so once and leaves
    the rest to the periodic scan, as a `PollingWatcher` does."""

    def __init__(self, *, required: bool = False) -> None:
        """`required`: where there are no notifications at all, refuse to start instead."""
        self._required = required
        self._inotify: Inotify | None = None
        self._masks: dict[_Kind, Mask] = {}
        self._watched: dict[int, _Watched] = {}
        self._hourly: tuple[str, ...] = ()
        self._marked: tuple[str, ...] = ()
        self._paths: set[str] = set()
        self._folders: set[str] = set()
        self._everything = False
        self._seen: list[tuple[int, int] | None] = []
        self._stale = False  # the folders are not those that have watches any more
        self._warned = False
        self._short = False  # the last attempt met a limit of the kernel
        self._overflows = Few(1)
        self._polling = PollingWatcher()  # where there are no notifications at all
        self._waiting: asyncio.Future[bool] | None = None

    async def __aenter__(self) -> Self:
        try:
            from asyncinotify import Inotify, Mask  # noqa: PLC0415  # only Linux has it; polling does without

            names = Mask.CREATE | Mask.DELETE | Mask.MOVE | Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.ONLYDIR
            self._masks = {_Kind.ABOVE: names, _Kind.HOURLY: names, _Kind.DAY: names | Mask.MODIFY}
            self._inotify = Inotify(cache_size=_CACHE_EVENTS, sync_timeout=0)
        except (ImportError, OSError, RuntimeError, AttributeError) as error:  # the last two come from its loader
            if self._required:
                raise ConfigurationError(
                    f"watch = native is set, and the kernel gives no notifications ({_why(error)}): mend that, or set "
                    "watch = auto, which polls then"
                ) from None
            self._warn(error)
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        self._watched = {}

    def follow(self, hourly: Collection[str], folders: Collection[str] = ()) -> None:
        wanted = tuple(hourly), tuple(folders)
        if wanted != (self._hourly, self._marked) or self._seen != self._present():
            self._hourly, self._marked = wanted
            self._renew()

    async def wait(self, timeout: float) -> Hint:
        if self._inotify is None:
            return await self._polling.wait(timeout)
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            self._drain(self._inotify)
            if hint := self._take():
                return hint
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0 or not await self._readable(self._inotify.fd, left):
                if self._seen != self._present():  # replaced or moved out of our sight
                    self._renew()
                return self._take()

    def wake(self) -> None:
        self._polling.wake()
        if self._waiting is not None:
            _finish(self._waiting, readable=False)

    async def _readable(self, fd: int, timeout: float) -> bool:
        """Wait until `fd` can be read, for at most `timeout` seconds, or until woken. The loop looks at it only
        meanwhile: between two waits a busy writer must not keep the loop spinning."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[bool] = loop.create_future()
        self._waiting = done
        timer = loop.call_later(timeout, lambda: _finish(done, readable=False))
        loop.add_reader(fd, lambda: _finish(done, readable=True))
        try:
            return await done
        finally:
            loop.remove_reader(fd)
            timer.cancel()

    def _take(self) -> Hint:
        hint = Hint(frozenset(self._paths), frozenset(self._folders), self._everything)
        self._paths, self._folders, self._everything = set(), set(), False
        return hint

    # -- what is watched

    def _renew(self) -> None:
        """Put a watch on all that should have one; the kernel takes a second one on the same folder for the first.

        What gets its first watch is hinted at: things may have happened there before.
        """
        if self._inotify is None:
            return
        self._stale = self._short = False
        self._seen = self._present()
        before, self._watched = self._watched, {}
        for hourly in self._hourly:
            self._watch_way(hourly)
        for path in dict.fromkeys([*self._marked, *self._newest_days()]):
            self._watch(path, _Kind.DAY)
        for wd, watched in self._watched.items():
            if wd not in before and watched.kind is _Kind.DAY:
                self._folders.add(watched.path)
            elif wd not in before and watched.kind is _Kind.HOURLY:
                self._everything = True
        if gone := before.keys() - self._watched.keys():
            for watch in self._inotify.watches:
                if watch.wd in gone:
                    self._unwatch(watch)
        if self._warned and not self._short:
            self._warned = False
            _log.info("watch_available_again", meaning="new lines are noticed at once again")

    def _present(self) -> list[tuple[int, int] | None]:
        """Device and inode of each hourly folder, None where there is none."""
        seen: list[tuple[int, int] | None] = []
        for hourly in self._hourly:
            try:
                found = os.stat(hourly)
                seen.append((found.st_dev, found.st_ino))
            except OSError:
                seen.append(None)
        return seen

    def _watch_way(self, hourly: str) -> None:
        """Watch `hourly` and the folders just above it; while it is not there, the nearest above that is.

        Downwards, each folder before the next is tried: what `mkdir -p` makes meanwhile is either found or notified.
        """
        way = [hourly]
        while way[0] != os.path.dirname(way[0]):
            way.insert(0, os.path.dirname(way[0]))
        deepest = max(i for i, path in enumerate(way) if i == 0 or os.path.isdir(path))
        for i in range(max(0, deepest - _ABOVE), len(way)):
            watched = self._watch(way[i], _Kind.HOURLY if way[i] == hourly else _Kind.ABOVE)
            if watched is not None and way[i] != hourly:
                watched.awaited.add(os.path.basename(way[i + 1]))

    def _newest_days(self) -> list[str]:
        days: list[str] = []
        for hourly in self._hourly:
            try:
                names = sorted(name for name in os.listdir(hourly) if day_of(name) is not None)
            except OSError:
                continue
            days.extend(os.path.join(hourly, name) for name in reversed(names[-WATCHED_DAYS:]))
        return days

    def _watch(self, path: str, kind: _Kind) -> _Watched | None:
        """None when it cannot be watched: it is not there, or we may not, or there are no watches left."""
        if self._inotify is None:
            return None
        try:
            watch = self._inotify.add_watch(path, self._masks[kind])
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.ENOMEM):
                self._short = True
                self._warn(error)
            return None
        return self._watched.setdefault(watch.wd, _Watched(path, kind))

    def _unwatch(self, watch: Watch) -> None:
        try:
            if self._inotify is not None:
                self._inotify.rm_watch(watch)
        except OSError:
            pass  # EINVAL: the kernel removed it with its folder, and says so in an event still to be read

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(
                "watch_unavailable",
                why=_why(error),
                meaning="nothing is lost: polling is used, so that lines are noticed at the next look (poll_interval)",
                todo="raise that limit for lower latency; or set watch = poll, and this is not said",
            )

    # -- what is noticed

    def _drain(self, inotify: Inotify) -> None:
        # Not `await inotify.get()`: cancelled by a timeout at the wrong moment it loses the events that it has read.
        for _ in range(_EVENTS_LIMIT):
            event = inotify.sync_get()  # None when the queue is empty: sync_timeout is 0
            if event is None:
                break
            self._notice(event)
        if self._stale:
            self._renew()

    def _notice(self, event: Event) -> None:
        mask = int(event.mask)  # tests on an IntFlag cost a microsecond each
        if mask & _OVERFLOW:
            self._everything = self._stale = True
            if (unsaid := self._overflows.admit(time.monotonic())) is not None:
                _log.info(
                    "watch_overflow",
                    unsaid=unsaid,
                    meaning="nothing is lost: the kernel dropped notifications, and all files are looked at instead",
                )
            return
        watched = self._watched.get(event.watch.wd) if event.watch is not None else None
        if watched is None:
            return  # of a watch that we took away
        name = str(event.name) if event.name is not None else ""
        if mask & _OF_ITSELF:
            self._stale = True
            self._folders.add(watched.path)
            self._everything |= watched.kind is not _Kind.DAY
        elif watched.kind is _Kind.DAY:
            self._paths.add(f"{watched.path}/{name}")
            if mask & _OF_NAMES:
                self._folders.add(watched.path)
        elif name in watched.awaited:
            self._everything = self._stale = True
        elif watched.kind is _Kind.HOURLY:
            self._folders.update((watched.path, f"{watched.path}/{name}"))
            self._stale = True


def _why(error: Exception) -> str:
    """In words, with the setting of the kernel to raise where it is one."""
    if not isinstance(error, OSError):
        return str(error)
    if error.errno == errno.ENOSPC:
        return "the limit of inotify watches is reached (sysctl fs.inotify.max_user_watches)"
    if error.errno == errno.EMFILE:
        return "the limit of inotify instances is reached (sysctl fs.inotify.max_user_instances)"
    return error.strerror or str(error)


# From <sys/inotify.h>; asyncinotify's Mask has the same values, but can be imported on Linux only.
_OVERFLOW = 0x4000  # Q_OVERFLOW
_OF_NAMES = 0x40 | 0x80 | 0x100 | 0x200  # MOVED_FROM, MOVED_TO, CREATE, DELETE
_OF_ITSELF = 0x400 | 0x800 | 0x2000 | 0x8000  # DELETE_SELF, MOVE_SELF, UNMOUNT, IGNORED


def _finish(waiting: asyncio.Future[bool], *, readable: bool) -> None:
    if not waiting.done():
        waiting.set_result(readable)
