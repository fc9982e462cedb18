"""The files of one source: held, followed, sealed, gone. Real files, and books that answer from memory."""

from __future__ import annotations

import gzip
import os
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tailrace import identity
from tailrace.errors import FileRewritten
from tailrace.ingest.files.discovery import Discovery
from tailrace.ingest.files.names import HourlyTree
from tailrace.ingest.files.tailer import guard_digest
from tailrace.ingest.lives.choice import Known
from tailrace.ingest.lives.descriptors import Descriptors
from tailrace.ingest.lives.entrance import Entrance, Name
from tailrace.ingest.lives.follower import Follower
from tailrace.ingest.lives.roster import Roster, RosterOptions
from tailrace.ingest.lives.slots import Held
from tailrace.ingest.mongo.ledger import life_of
from tailrace.ingest.stats import SourceStats
from tailrace.model import Chunk, Compression, Life, Offset, Outcome, SourceFile, Span, Totals

LIMIT = 1 << 20


class Books:
    """Lives in memory: what the ledger answers when all is well."""

    def __init__(self) -> None:
        self.lives: list[Life] = []

    async def allocate(self, *, hour: int, head: bytes, number: int, path: str, start: int) -> Life:
        life = life_of(
            hour=hour,
            head=head,
            number=number,
            source="a",
            family="node_trades",
            path=path,
            start=Offset(start),
            salt=0,
        )
        assert life.prefix not in [entered.prefix for entered in self.lives], "a prefix was given to two lives"
        self.lives.append(life)
        return life

    async def highest_id(self, life: Life) -> bytes | None:
        return None


class Scene:
    """A tree, its roster, and the bytes that were read and settled of each life."""

    def __init__(self, root: Path, *, max_open: int = 16, seal_after: float = 300.0) -> None:
        self.root = root / "node_trades" / "hourly"
        self.root.mkdir(parents=True)
        self.books = Books()
        self.stats = SourceStats()
        self.discovery = Discovery(HourlyTree(str(root), "node_trades", str(self.root)))
        self.roster = Roster(
            RosterOptions(max_open=max_open, seal_after=seal_after),
            Entrance(Name("a", "node_trades"), self.books),
            self.stats,
        )
        self.read: dict[bytes, bytes] = {}
        self.now = 0.0

    def file(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        return path

    def write(self, name: str, data: bytes) -> Path:
        path = self.file(name)
        with path.open("ab") as out:
            out.write(data)
        return path

    def look(self) -> None:
        self.now += 1.0
        scan = self.discovery.scan(self.now, full=True)
        for file in scan.vanished:
            self.roster.gone(file)
        for file in (*scan.appeared, *scan.changed):
            self.roster.seen(file, self.now)
        self.roster.hold(self.now)
        if self.now == 1.0:
            self.roster.first_scan_done()

    async def turn(self, *, settle: bool = True) -> None:
        """One scan, and everything that can be read is read (and settled)."""
        self.look()
        for _ in range(100):
            entered = self.roster.waiting and await self.roster.enter_next(self.now)
            working = [follower for follower in self.roster.followers() if follower.dirty]
            for follower in working:
                self.step(follower, settle=settle)
            if not working and not entered:
                return
        raise AssertionError("the roster never comes to rest")

    def step(self, follower: Follower, *, settle: bool) -> None:
        follower.dirty = False
        try:
            piece = follower.tailer.next_chunk(LIMIT, LIMIT)
        except FileRewritten:
            self.roster.rewritten(follower)
            return
        if piece is None:
            self.roster.at_end(follower)
            return
        assert isinstance(piece, Chunk)
        follower.dirty = True
        follower.begin(piece)
        prefix = piece.span.life.prefix
        self.read[prefix] = self.read.get(prefix, b"") + piece.data
        if settle:
            follower.settle(piece.span, Outcome(lines=piece.data.count(b"\n")))

    def by_life(self) -> list[bytes]:
        """What was read, one entry a life, in the order of the lives."""
        return [self.read.get(life.prefix, b"") for life in self.books.lives]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def lines(*numbers: int) -> bytes:
    return b"".join(b'{"n":%d}\n' % number for number in numbers)


async def test_a_new_hour_is_followed_beside_the_old_one(scene: Scene) -> None:
    """Both hours are read, late lines of the old one too, and the rollover is counted once."""
    scene.write("20250310/9", lines(1))
    await scene.turn()
    scene.write("20250310/10", lines(2))
    scene.write("20250310/9", lines(3))
    await scene.turn()
    assert scene.by_life() == [lines(1, 3), lines(2)]
    assert scene.stats.rollovers == 1


async def test_a_deleted_file_is_read_to_its_end(scene: Scene) -> None:
    """The descriptor is held from the moment the file is seen: nothing of a file deleted while lagging is lost."""
    path = scene.write("20250310/9", lines(1))
    scene.look()
    scene.write("20250310/9", lines(2))
    path.unlink()
    await scene.turn()
    assert scene.by_life() == [lines(1, 2)]
    assert scene.stats.lost_bytes == 0
    assert not scene.roster.slots, "a file that is gone and read leaves nothing behind"
    assert scene.roster.open_files == 0


async def test_a_torn_line_in_a_deleted_file_is_said_to_be_lost(scene: Scene) -> None:
    """A last line that never got its newline is gone with its file: counted, and an error; but not at once, the archive
    that is made of it may come a moment later."""
    path = scene.write("20250310/9", lines(1) + b'{"n":')
    await scene.turn()
    path.unlink()
    with capture_logs() as logs:
        await scene.turn()
        await scene.turn()
        assert logs == []
        await scene.turn()
    assert scene.stats.lost_bytes == 5
    assert [(each["event"], each["log_level"], each["bytes"]) for each in logs] == [("bytes_lost", "error", 5)]


async def test_gzip_in_place_goes_on_in_the_archive(scene: Scene) -> None:
    """`9` becomes `9.gz` while lagging: one life, no line lost or read twice, also lines only the archive has."""
    path = scene.write("20250310/9", lines(1, 2))
    await scene.turn()
    scene.file("20250310/9.gz").write_bytes(gzip.compress(lines(1, 2, 3)))
    path.unlink()
    await scene.turn()
    assert scene.by_life() == [lines(1, 2, 3)]
    assert scene.stats.rewritten == 0
    assert scene.roster.open_files == 1, "the plain file's descriptor is given back"


async def test_an_archive_that_appears_a_scan_after_its_file_vanished(scene: Scene) -> None:
    """A torn `9` is unlinked, a scan later `9.gz` is there with the end of the line: nothing is said to be lost."""
    path = scene.write("20250310/9", lines(1) + b'{"n":')
    await scene.turn()
    path.unlink()
    await scene.turn()
    scene.file("20250310/9.gz").write_bytes(gzip.compress(lines(1) + b'{"n":2}\n'))
    for _ in range(4):
        await scene.turn()
    assert scene.by_life() == [lines(1) + b'{"n":2}\n']
    assert scene.stats.lost_bytes == 0


async def test_a_file_replaced_before_a_descriptor_was_free(tmp_path: Path) -> None:
    """It was never opened and another file has its name now: its bytes are said to be lost, and the other is read. An
    archive under the name is that file compressed: nothing is lost."""
    scene = Scene(tmp_path, max_open=1)
    for hour in (3, 4, 5, 6, 7):
        scene.write(f"20250310/{hour}", lines(hour, 10 + hour))
    scene.look()
    unopened = [slot.hour // 3600 % 24 for slot in scene.roster.active.values() if slot.queue[0].reader is None]
    assert {4, 5} < set(unopened), "the fault is planted in files that no descriptor was free for"
    scene.file("20250310/new").write_bytes(lines(40))
    scene.file("20250310/new").rename(scene.file("20250310/4"))
    scene.file("20250310/5.gz").write_bytes(gzip.compress(lines(5, 15)))
    scene.file("20250310/5").unlink()
    with capture_logs() as logs:
        for _ in range(8):
            await scene.turn()
            scene.roster.seal_idle(scene.now + 1000)
    assert sorted(scene.by_life()) == sorted([lines(40), *(lines(hour, 10 + hour) for hour in (3, 5, 6, 7))])
    assert [(each["event"], each["bytes"]) for each in logs if each["log_level"] == "error"] == [
        ("bytes_lost", len(lines(4, 14)))
    ]


async def test_bytes_are_not_lost_that_were_never_there(scene: Scene) -> None:
    """A file that was read to its end is rewritten and longer than before: an alarm, and no byte is lost."""
    path = scene.write("20250310/9", lines(1, 2))
    await scene.turn()
    with path.open("r+b") as out:
        out.write(lines(1, 7, 8, 9))
    await scene.turn()
    assert scene.by_life() == [lines(1, 2), lines(1, 7, 8, 9)]
    assert (scene.stats.rewritten, scene.stats.lost_bytes) == (1, 0)


async def test_an_archive_in_the_making_waits(scene: Scene) -> None:
    """Half of an archive is not a cut file: no next life begins, and the rest is read when it is there."""
    path = scene.write("20250310/9", lines(*range(2000)))
    await scene.turn()
    packed = gzip.compress(lines(*range(2001)))
    archive = scene.file("20250310/9.gz")
    archive.write_bytes(packed[: len(packed) // 2])
    path.unlink()
    await scene.turn()
    archive.write_bytes(packed)
    await scene.turn()
    assert scene.by_life() == [lines(*range(2001))]


@pytest.mark.parametrize("data", [lines(1), lines(1, 7, 8, 9), lines(1, 3)], ids=["shorter", "longer", "as long"])
async def test_a_rewrite_under_an_equal_head_is_the_next_life(scene: Scene, data: bytes) -> None:
    """Cut, or rewritten to any length: the whole new content is read as the next life, the old one is left as it is."""
    path = scene.write("20250310/9", lines(1, 2))
    await scene.turn()
    with path.open("r+b") as out:
        out.truncate(0)
        out.write(data)
    await scene.turn()
    assert scene.by_life() == [lines(1, 2), data]
    assert [life.number for life in scene.books.lives] == [0, 1]
    assert scene.stats.rewritten == 1


async def test_a_copy_with_the_same_bytes_goes_on(scene: Scene) -> None:
    """Another inode with the same content (copied and renamed over) is the same life."""
    scene.write("20250310/9", lines(1, 2))
    await scene.turn()
    scene.file("20250310/9.tmp").write_bytes(lines(1, 2, 3))
    scene.file("20250310/9.tmp").rename(scene.file("20250310/9"))
    await scene.turn()
    assert scene.by_life() == [lines(1, 2, 3)]


async def test_another_file_under_the_name_is_read_from_its_beginning(scene: Scene) -> None:
    """Deleted and made again with another head: both are read whole, as two files."""
    path = scene.write("20250310/9", lines(1, 2))
    await scene.turn()
    path.unlink()
    scene.write("20250310/9", lines(5, 6))
    await scene.turn()
    assert scene.by_life() == [lines(1, 2), lines(5, 6)]


async def test_a_life_has_one_tracker_at_a_time(scene: Scene) -> None:
    """A file that is moved away and back while spans are in flight is entered again only when those have settled:
    else a checkpoint could pass them."""
    path = scene.write("20250310/9", lines(1))
    await scene.turn(settle=False)
    away = path.rename(scene.root / "away")
    await scene.turn()
    away.rename(path)
    scene.look()
    for _ in range(3):
        assert not await scene.roster.enter_next(scene.now)
    (retired,) = scene.roster.retiring
    retired.settle(Span(retired.life, Offset(0), retired.tracker.read), Outcome(lines=1))
    scene.roster.take_rows()
    scene.write("20250310/9", lines(2))
    await scene.turn()
    assert scene.by_life() == [lines(1, 2)]


async def test_two_names_of_one_hour_keep_their_lives(scene: Scene) -> None:
    """`9` and `09` under an equal first line: each goes on with the life that it was, whichever was read last."""
    scene.write("20250310/9", lines(1, 2))
    scene.write("20250310/10", lines(9))
    await scene.turn()
    scene.write("20250310/09", lines(1, 3))
    for name, number in [("10", 8), ("9", 4), ("09", 5), ("9", 6)]:
        await scene.turn()
        scene.roster.seal_idle(scene.now + 301)
        await scene.turn()
        scene.roster.seal_idle(scene.now + 301)
        scene.write(f"20250310/{name}", lines(number))
    await scene.turn()
    assert sorted(scene.by_life()) == [lines(1, 2, 4, 6), lines(1, 3, 5), lines(9, 8)]


async def test_a_file_of_the_other_name_goes_on_as_what_it_was(scene: Scene) -> None:
    """A shorter file under an equal first line was read before it in its new place: the longer one is not its rest."""
    path = scene.write("20250310/9", lines(1))
    scene.look()  # held, and removed before its turn
    path.unlink()
    other = scene.write("20250310/09", lines(1, 2))
    scene.look()
    assert await scene.roster.enter_next(scene.now)
    (follower,) = scene.roster.followers()
    assert follower.file.path == str(other), "the one that was read first, or nothing is tried here"
    while follower.dirty:
        scene.step(follower, settle=True)
    other.rename(path)
    await scene.turn()
    assert scene.by_life() == [lines(1, 2), lines(1)]


async def test_an_empty_file_does_not_keep_the_other_name_from_being_read(scene: Scene) -> None:
    """`9` is made anew and has no line yet; what it held goes on as `09`: that is read on."""
    path = scene.write("20250310/9", lines(1))
    await scene.turn()
    scene.write("20250310/09", lines(1, 2))
    path.unlink()
    scene.write("20250310/9", b"")
    await scene.turn()
    await scene.turn()
    assert scene.by_life() == [lines(1, 2)]


async def test_an_archive_waits_for_its_life_and_is_tried_again(scene: Scene) -> None:
    """While that is read under another name, an archive that was not read to its end is not taken for unfinished."""
    data = lines(*range(10_000))  # more than a head
    scene.write("20250310/9", data)
    scene.write("20250310/10", lines(9))
    await scene.turn()
    scene.write("20250310/09.gz", gzip.compress(data))
    await scene.turn()
    scene.roster.seal_idle(scene.now + 301)
    await scene.turn()
    assert "09.gz" in [Path(follower.file.path).name for follower in scene.roster.followers()]
    assert sorted(scene.by_life()) == [data, lines(9)]


@pytest.mark.parametrize("saved", [False, True])
async def test_which_of_two_lives_a_file_was_before_the_start(scene: Scene, tmp_path: Path, saved: bool) -> None:
    """The one of its inode; unless another was entered under its name since, and killed before a row of it was saved:
    then its content may be that one's, and what is stored of the former must not be met by other lines."""
    scene.write("20250310/9", lines(1, 2))
    await scene.turn()
    ((follower, row),) = scene.roster.take_rows()
    first = follower.known()
    head = lines(1).strip()
    life = life_of(
        hour=row.hour, head=head, number=1, source="a", family="node_trades", path=row.path, start=Offset(0), salt=0
    )
    second = Known(life=life, offset=Offset(len(lines(1))), guard=guard_digest(lines(1)), counts=Totals())
    other = replace(row, prefix=life.prefix, fingerprint=life.fingerprint, number=1, inode=0, offset=second.offset)
    again = Scene(tmp_path / "unused")
    again.discovery = Discovery(scene.discovery.tree)
    again.roster.remember([first, second], [row, other] if saved else [row])
    await again.turn()
    (entered,) = again.roster.followers()
    assert entered.life.number == (0 if saved else 1)


async def test_sealing_closes_the_file_and_late_lines_reopen_it(scene: Scene) -> None:
    """Idle with a later hour there: closed. A late line is found by the scan, and the offset goes on where it stood."""
    scene.write("20250310/9", lines(1))
    scene.write("20250310/10", lines(2))
    await scene.turn()
    scene.roster.seal_idle(scene.now + 299)
    assert scene.roster.open_files == 2, "not idle long enough"
    scene.roster.seal_idle(scene.now + 301)
    assert scene.roster.open_files == 1, "the newest hour stays open, the older one is closed"
    finished = [row for _follower, row in scene.roster.take_rows() if row.finished]
    assert [Path(row.path).name for row in finished] == ["9"]
    scene.write("20250310/9", lines(3))
    await scene.turn()
    assert lines(1, 3) in scene.by_life()


async def test_a_file_of_the_far_future_is_not_the_newest_for_good(scene: Scene) -> None:
    """Once its name is gone the newest of those that are left is, and the next hour is a rollover again."""
    scene.write("20250310/9", lines(1))
    await scene.turn()
    newest = scene.roster.newest_hour
    path = scene.write("20990101/0", lines(2))
    await scene.turn()
    assert scene.roster.newest_hour > newest
    path.unlink()
    await scene.turn()
    scene.now += 10
    await scene.turn()
    assert scene.roster.newest_hour == newest
    rollovers = scene.stats.rollovers
    scene.write("20250310/10", lines(3))
    await scene.turn()
    assert (scene.roster.newest_hour, scene.stats.rollovers) == (newest + 3600, rollovers + 1)
    for name in ("9", "10"):
        scene.file(f"20250310/{name}").unlink()
    await scene.turn()
    scene.now += 10
    await scene.turn()
    assert not scene.roster.slots
    assert scene.roster.newest_hour == newest + 3600, "none is left: the last that there was"


async def test_finished_files_are_not_opened_at_the_next_start(scene: Scene, tmp_path: Path) -> None:
    """What was sealed and has not changed since is passed over; what has changed is opened."""
    scene.write("20250310/8", lines(1))
    scene.write("20250310/9", lines(2))
    scene.write("20250310/10", lines(3))
    await scene.turn()
    known = [follower.known() for follower in scene.roster.followers()]
    scene.roster.seal_idle(scene.now + 301)
    rows = [row for _follower, row in scene.roster.take_rows()]
    scene.write("20250310/9", lines(4))
    again = Scene(tmp_path / "unused")
    again.discovery = Discovery(scene.discovery.tree)
    again.roster.remember(known, rows)
    again.look()
    assert sorted(slot.hour // 3600 % 24 for slot in again.roster.active.values()) == [9, 10]
    unread = again.roster.backlog(again.now)
    assert (unread.files, unread.size, unread.waiting) == (1, len(lines(4)), len(lines(4)))


async def test_descriptors_are_bounded_and_the_newest_hour_is_not_shut_out(tmp_path: Path) -> None:
    """Twenty files with room for four: never more than the limit and the head's reserve open, and all is read."""
    scene = Scene(tmp_path, max_open=4)
    most = 0
    for hour in range(20):
        scene.write(f"20250310/{hour}", lines(hour))
    scene.look()
    assert scene.roster.open_files <= 6
    first = await scene.roster.enter_next(scene.now)
    assert first
    assert [follower.hour // 3600 % 24 for follower in scene.roster.followers()] == [19]
    for _ in range(100):
        if not scene.roster.waiting and not any(follower.dirty for follower in scene.roster.followers()):
            break
        await scene.roster.enter_next(scene.now)
        for follower in scene.roster.followers():
            scene.step(follower, settle=True)
        most = max(most, scene.roster.open_files)
    assert most <= 6
    assert sorted(scene.by_life()) == sorted(lines(hour) for hour in range(20))


async def test_gone_while_down_is_counted_once(scene: Scene, tmp_path: Path) -> None:
    """An hour that was not read to its end and has no file any more: an error that counts the bytes, at one start
    only."""
    path = scene.write("20250310/9", lines(1, 2))
    await scene.turn(settle=False)
    (follower,) = scene.roster.followers()
    known, row = follower.known(), follower.checkpoint()
    path.unlink()
    scene.write("20250310/10", lines(3))

    def start(row: object) -> Scene:
        again = Scene(tmp_path / f"unused{id(row)}")
        again.discovery = Discovery(scene.discovery.tree)
        again.roster.remember([known], [row])  # type: ignore[list-item]  # it is a checkpoint
        again.look()
        return again

    second = start(row)
    assert second.stats.lost_bytes == len(lines(1, 2))
    (changed,) = second.roster.take_other_rows()
    assert start(changed).stats.lost_bytes == 0


async def test_an_unborn_file_waits_for_its_first_line(scene: Scene) -> None:
    """An empty or torn first line gives no life; the complete line does, with the whole content."""
    scene.write("20250310/9", b"")
    await scene.turn()
    scene.write("20250310/9", b'\n\n{"n":')
    await scene.turn()
    assert scene.books.lives == []
    scene.write("20250310/9", b"1}\n")
    await scene.turn()
    assert scene.by_life() == [b'\n\n{"n":1}\n']
    expected = identity.fingerprint(source="a", family="node_trades", life=0, salt=0, head=b'\n\n{"n":1}')
    assert scene.books.lives[0].fingerprint == expected


async def test_an_unreadable_archive_does_not_stop_the_others(scene: Scene) -> None:
    """A damaged archive is an error that names it; other files are read, and the archive again when it changes."""
    scene.file("20250310/8.gz").write_bytes(b"not an archive at all")
    scene.write("20250310/9", lines(1))
    with capture_logs() as logs:
        await scene.turn()
    assert scene.by_life() == [lines(1)]
    assert [each["event"] for each in logs if each["log_level"] == "error"] == ["file_unreadable"]
    scene.file("20250310/8.gz").write_bytes(gzip.compress(lines(7)))
    await scene.turn()
    assert lines(7) in scene.by_life()


async def test_the_oldest_byte_dates_the_lag(scene: Scene) -> None:
    """Lag in seconds is the age of the oldest byte that is not settled, however often the file grew since; a torn
    rest is not lag."""
    scene.write("20250310/9", lines(1))
    await scene.turn(settle=False)
    (follower,) = scene.roster.followers()
    assert follower.lag(11.0) == (len(lines(1)), 10.0)
    for number in range(200):
        follower.note_size(100 + number, 20.0 + number)
    assert follower.lag(300.0)[1] == 299.0
    follower.settle(Span(follower.life, Offset(0), follower.tracker.read), Outcome(lines=1))
    follower.read_to_end()
    assert follower.lag(400.0) == (0, 0.0)


async def test_a_hint_about_a_sealed_file_asks_for_a_scan(scene: Scene) -> None:
    """A notification about a file that is not active cannot be acted on without looking: the caller scans at once."""
    path = scene.write("20250310/9", lines(1))
    scene.write("20250310/10", lines(2))
    await scene.turn()
    assert scene.roster.hint([str(path)], scene.now)
    await scene.turn()
    scene.roster.seal_idle(scene.now + 301)
    assert not scene.roster.hint([str(path)], scene.now)


async def test_a_file_is_not_sealed_under_its_reader(scene: Scene) -> None:
    """While a thread reads a file it is not idle, however long ago it changed: sealing would close it meanwhile."""
    scene.write("20250310/9", lines(1))
    scene.write("20250310/10", lines(2))
    await scene.turn()
    older = min(scene.roster.followers(), key=lambda follower: follower.hour)
    older.reading = True
    scene.roster.seal_idle(scene.now + 301)
    assert older in scene.roster.followers()
    older.reading = False
    scene.roster.seal_idle(scene.now + 301)
    assert older not in scene.roster.followers()


async def test_what_is_noticed_during_a_read_is_not_forgotten(scene: Scene) -> None:
    """The read found no newline, and the rest came before its result did: the file still has work."""
    scene.write("20250310/9", lines(1))
    await scene.turn()
    (follower,) = scene.roster.followers()
    assert not follower.dirty
    path = scene.write("20250310/9", lines(2))
    scene.roster.hint([str(path)], scene.now)  # noticed while a thread was reading
    scene.roster.at_end(follower)  # the thread's result: nothing there yet
    assert follower.dirty


async def test_a_complete_archive_with_other_bytes_is_the_next_life(scene: Scene) -> None:
    """Longer than what was read and different below it: not an archive in the making, but another content."""
    path = scene.write("20250310/9", lines(1, 2, 3))
    await scene.turn()
    path.unlink()
    data = lines(1, *range(50, 50000))
    scene.file("20250310/9.gz").write_bytes(gzip.compress(data))
    await scene.turn()
    assert scene.by_life() == [lines(1, 2, 3), data]


async def test_files_without_a_line_do_not_hold_the_descriptors(tmp_path: Path) -> None:
    """Empty hours, more than descriptors: the hours after them are read, and an empty one when it gets its line."""
    scene = Scene(tmp_path, max_open=4)
    for hour in range(8):
        scene.write(f"20250310/{hour}", b"")
    for hour in range(8, 14):
        scene.write(f"20250310/{hour}", lines(hour))
    for _ in range(3):
        await scene.turn()
    assert sorted(scene.by_life()) == sorted(lines(hour) for hour in range(8, 14))
    scene.write("20250310/3", lines(3))
    await scene.turn()
    assert lines(3) in scene.by_life()


def test_a_file_that_could_not_be_opened_is_tried_again(tmp_path: Path) -> None:
    """A failed opening is repeated after 1, 2, 4 .. 60 seconds, without the file having changed, and said once."""
    descriptors = Descriptors(4)
    path = tmp_path / "9"
    os.mkfifo(path)
    held = Held(_source_file(path), None)
    with capture_logs() as logs:
        waits = []
        for _ in range(8):
            assert not descriptors.hold(held, held.retry_at)
            waits.append(held.retry_in)
        assert not descriptors.hold(held, held.retry_at - 0.1), "not before its time"
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert [each["event"] for each in logs] == ["file_skipped"]
    path.unlink()
    path.write_bytes(b"")
    held.file = _source_file(path)
    assert descriptors.hold(held, held.retry_at)
    assert held.reader is not None
    descriptors.close(held.reader)
    assert descriptors.open == 0


def test_a_file_that_took_the_name_since_the_scan_is_not_taken_for_it(tmp_path: Path) -> None:
    """The file that was seen is gone and another has its name: nothing is opened until a scan says so."""
    path = tmp_path / "9"
    path.write_bytes(lines(1))
    held = Held(_source_file(path), None)
    (tmp_path / "other").write_bytes(lines(2))
    (tmp_path / "other").rename(path)
    descriptors = Descriptors(4)
    assert not descriptors.hold(held, 1.0)
    assert (held.reader, descriptors.open) == (None, 0)


def _source_file(path: Path) -> SourceFile:
    now = path.stat()
    return SourceFile(
        path=str(path),
        hour=0,
        compression=Compression.NONE,
        device=now.st_dev,
        inode=now.st_ino,
        size=now.st_size,
        mtime_ns=now.st_mtime_ns,
    )
