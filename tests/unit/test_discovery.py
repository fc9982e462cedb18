"""Discovery: trees on a real disk, time as an argument."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tailrace.ingest.files.discovery import ROUND_S, Discovery, Scan
from tailrace.ingest.files.names import HourlyTree, plain_path
from tailrace.model import Compression, SourceFile

DAY = 1741564800  # 20250310


class Tree:
    """A tree, its discovery, and a mirror that applies every scan's lists: it must always equal `files`."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path / "node_trades"
        self.hourly = self.root / "hourly"
        self.hourly.mkdir(parents=True)
        self.discovery = Discovery(HourlyTree(str(self.root), "node_trades", str(self.hourly)))
        self.now = 1000.0
        self.mirror: dict[str, SourceFile] = {}

    def write(self, name: str, data: bytes = b"x\n") -> Path:
        path = self.hourly / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def scan(self, after: float = 0.0, *, full: bool = False, hinted: Iterable[str | Path] = ()) -> Scan:
        self.now += after
        scan = self.discovery.scan(self.now, full=full, hinted={str(path) for path in hinted})
        for file in scan.vanished:
            del self.mirror[plain_path(file.path)]
        for file in (*scan.appeared, *scan.changed):
            self.mirror[plain_path(file.path)] = file
        assert self.mirror == dict(scan.files)
        return scan

    def names(self, files: Iterable[SourceFile]) -> list[str]:
        return [os.path.relpath(file.path, self.hourly) for file in files]

    def months(self, days: int = 20) -> None:
        """Finished days, long before the newest."""
        for day in range(1, days + 1):
            for hour in range(3):
                self.write(f"202401{day:02}/{hour}")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def quiet(scan: Scan) -> bool:
    return not (scan.appeared or scan.changed or scan.vanished)


def test_files_come_in_numeric_order_with_what_stat_says(tree: Tree) -> None:
    """9 before 10, a day before the next; hour from the path in UTC; size, inode, time from the disk."""
    for name in ("20250311/0", "20250310/10", "20250310/9", "20250310/08", "20250310/23.lz4"):
        tree.write(name, b"abc")
    scan = tree.scan()
    assert tree.names(scan.appeared) == ["20250310/08", "20250310/9", "20250310/10", "20250310/23.lz4", "20250311/0"]
    first, archive = scan.appeared[0], scan.appeared[3]
    on_disk = os.stat(first.path)
    assert first == SourceFile(
        path=first.path,
        hour=DAY + 8 * 3600,
        compression=Compression.NONE,
        device=on_disk.st_dev,
        inode=on_disk.st_ino,
        size=3,
        mtime_ns=on_disk.st_mtime_ns,
    )
    assert (archive.hour, archive.compression) == (DAY + 23 * 3600, Compression.LZ4)


def test_nothing_new_is_nothing_reported(tree: Tree) -> None:
    """A second scan of a quiet tree is empty, an ordinary and a full one."""
    tree.write("20250310/9")
    assert not quiet(tree.scan())
    assert quiet(tree.scan(1.0))
    assert quiet(tree.scan(1.0, full=True))


def test_growth_of_the_newest_hours_is_seen_at_every_scan(tree: Tree) -> None:
    """The two newest hours are looked at each time, without a hint and without time passing."""
    for hour in (9, 10, 11):
        tree.write(f"20250310/{hour}")
    tree.scan()
    for hour in (10, 11):
        tree.write(f"20250310/{hour}", b"more\n")
    assert tree.names(tree.scan().changed) == ["20250310/10", "20250310/11"]


def test_a_late_write_to_a_sealed_hour_is_seen_within_a_minute(tree: Tree) -> None:
    """Neither hot nor hinted: found in the round, once a minute, wherever in months of files it is."""
    tree.months()
    tree.write("20250310/9")
    tree.scan()
    assert quiet(tree.scan(ROUND_S))
    tree.write("20240107/1", b"late\n")
    seen = [tree.names(tree.scan(1.0).changed) for _ in range(int(ROUND_S) + 1)]
    assert seen.count(["20240107/1"]) == 1
    assert sum(map(len, seen)) == 1


def test_marked_files_are_looked_at_at_every_scan(tree: Tree) -> None:
    """What the caller still reads is hot, however old; until it marks others."""
    tree.months()
    tree.scan()
    late = tree.write("20240107/1", b"late\n")
    assert quiet(tree.scan())
    tree.discovery.mark_hot([str(late)])
    assert tree.names(tree.scan().changed) == ["20240107/1"]
    assert str(late.parent) in tree.discovery.hot_folders
    tree.discovery.mark_hot([])
    tree.write("20240107/1", b"later\n")
    assert quiet(tree.scan())


def test_hinted_files_and_folders_are_looked_at_now(tree: Tree) -> None:
    """A hint makes it earlier, for a file that is known, a new one, and a whole folder."""
    tree.months()
    tree.scan()
    path = tree.write("20240107/1", b"late\n")
    assert tree.names(tree.scan(hinted=[path]).changed) == ["20240107/1"]
    path = tree.write("20240107/7")
    assert tree.names(tree.scan(hinted=[path]).appeared) == ["20240107/7"]
    tree.write("20240107/8")
    tree.write("20240107/0", b"late\n")
    scan = tree.scan(hinted=[path.parent])
    assert (tree.names(scan.appeared), tree.names(scan.changed)) == (["20240107/8"], ["20240107/0"])


def test_hints_that_name_nothing_do_no_harm(tree: Tree) -> None:
    tree.write("20250310/9")
    tree.scan()
    assert quiet(tree.scan(hinted=[tree.hourly, "/etc", tree.hourly / "20990101" / "3", tree.hourly / "x", "relative"]))


def test_new_days_and_restored_old_days_are_found_by_the_next_scan(tree: Tree) -> None:
    """`mkdir -p` and first lines between two scans, without any hint; the newest day and one from last year."""
    tree.months()
    tree.scan()
    tree.write("20240121/0")
    tree.write("20230101/5")
    assert tree.names(tree.scan().appeared) == ["20230101/5", "20240121/0"]


def test_an_hour_that_comes_late_to_yesterday_is_found_by_the_next_scan(tree: Tree) -> None:
    """An hour's file has come 59 minutes late: after the day had rolled."""
    tree.write("20250310/22")
    tree.write("20250311/0")
    tree.scan()
    tree.write("20250310/23")
    assert tree.names(tree.scan().appeared) == ["20250310/23"]


def test_gzip_in_place_is_one_change(tree: Tree) -> None:
    """While both exist the plain file counts; then the same source file goes on as the archive, never vanished."""
    plain = tree.write("20250310/9")
    tree.scan()
    archive = tree.write("20250310/9.gz", b"...")
    assert quiet(tree.scan())
    plain.unlink()
    scan = tree.scan()
    assert tree.names(scan.changed) == ["20250310/9.gz"]
    assert not scan.vanished
    archive.unlink()
    assert tree.names(tree.scan().vanished) == ["20250310/9.gz"]


def test_a_plain_file_that_vanishes_between_listing_and_stat_leaves_its_archive(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gzip finishes in the middle of a scan: the archive is reported, not a loss."""
    plain = tree.write("20250310/9")
    tree.scan()
    tree.write("20250310/9.gz", b"...")
    real = os.stat

    def gone(path: str, **options: bool) -> os.stat_result:
        if path == str(plain):
            raise FileNotFoundError(path)
        return real(path, **options)

    monkeypatch.setattr(os, "stat", gone)
    scan = tree.scan(full=True)
    assert tree.names(scan.changed) == ["20250310/9.gz"]
    assert not scan.vanished


def test_a_file_made_again_under_its_name_has_changed(tree: Tree) -> None:
    """Another inode in an old folder is noticed by a listing alone, equal size and time or not."""
    tree.months()
    old = tree.write("20240107/1", b"same")
    stamp = os.stat(old)
    tree.scan()
    new = old.with_name("new")
    new.write_bytes(b"same")
    os.utime(new, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    new.rename(old)
    scan = tree.scan(hinted=[old.with_name("2")])
    assert tree.names(scan.changed) == ["20240107/1"]


def test_pruned_files_and_folders_have_vanished(tree: Tree) -> None:
    tree.write("20250309/22")
    tree.write("20250309/23")
    tree.write("20250310/9").unlink()
    tree.scan()
    (tree.hourly / "20250309" / "22").unlink()
    assert tree.names(tree.scan().vanished) == ["20250309/22"]
    shutil.rmtree(tree.hourly / "20250309")
    assert tree.names(tree.scan().vanished) == ["20250309/23"]


def test_a_tree_that_goes_away_is_waited_for(tree: Tree) -> None:
    """Unmounted or moved: one warning, nothing has vanished; once it is back everything is compared at once."""
    tree.months(3)
    tree.scan()
    away = tree.root / "away"
    tree.hourly.rename(away)
    with capture_logs() as logs:
        for _ in range(3):
            scan = tree.scan(1.0)
            assert quiet(scan)
            assert not scan.present
            assert scan.locked == [], "no right to read it would bring it back"
            assert len(scan.files) == 9
    assert [entry["event"] for entry in logs] == ["tree_absent"]
    (away / "20240101" / "0").unlink()
    (away / "20240102" / "0").write_bytes(b"changed\n")
    away.rename(tree.hourly)
    scan = tree.scan(1.0)
    assert scan.present
    assert tree.names(scan.vanished) == ["20240101/0"]
    assert tree.names(scan.changed) == ["20240102/0"]


def test_other_names_are_logged_once_per_kind(tree: Tree) -> None:
    """Months of `9.tmp`, `10.tmp` are one line per folder, whatever number of scans."""
    for name in ("20250310/9", "20250310/10.tmp", "20250310/11.tmp", "20250310/lost+found/x", "2025-03-10/1"):
        tree.write(name)
    with capture_logs() as logs:
        tree.scan()
        tree.write("20250310/12.tmp")
        scan = tree.scan(ROUND_S, full=True)
    assert tree.names(scan.files.values()) == ["20250310/9"]
    assert [entry["event"] for entry in logs] == ["name_skipped"] * 3
    assert {entry["log_level"] for entry in logs} == {"info"}


def test_what_is_no_regular_file_is_warned_about_once(tree: Tree, tmp_path: Path) -> None:
    """A FIFO, a folder as an hour, a file as a day, links that lead out, nowhere or in a circle: skipped."""
    tree.write("20250310/9")
    os.mkfifo(tree.hourly / "20250310" / "10")
    (tree.hourly / "20250310" / "11").mkdir()
    outside = tmp_path / "outside"
    (outside / "20250312").mkdir(parents=True)
    (outside / "file").write_bytes(b"secret\n")
    (tree.hourly / "20250310" / "12").symlink_to(outside / "file")
    (tree.hourly / "20250310" / "13").symlink_to(tree.hourly / "nowhere")
    (tree.hourly / "20250310" / "14").symlink_to(tree.hourly / "20250310" / "14")
    (tree.hourly / "20250311").write_bytes(b"")
    (tree.hourly / "20250312").symlink_to(outside / "20250312")
    with capture_logs() as logs:
        tree.scan(1.0, full=True)
        scan = tree.scan(1.0, full=True)
    assert tree.names(scan.files.values()) == ["20250310/9"]
    warned = [(entry["event"], entry["name"]) for entry in logs if entry["log_level"] == "warning"]
    assert sorted(warned) == [("file_skipped", name) for name in ("10", "11", "12", "13", "14", "20250311", "20250312")]


def test_links_inside_the_root_are_read(tree: Tree) -> None:
    """A link is as good as a file as long as it stays in the tree; `stat` is the target's."""
    target = tree.root / "store" / "nine"
    target.parent.mkdir()
    target.write_bytes(b"12345")
    (tree.hourly / "20250310").mkdir()
    (tree.hourly / "20250310" / "9").symlink_to(target)
    file = tree.scan().appeared[0]
    assert (file.size, file.inode) == (5, target.stat().st_ino)


def test_a_folder_that_cannot_be_listed_keeps_its_files(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """No permission: nothing has vanished, one warning, and the other folders go on."""
    closed = tree.write("20250309/9").parent
    tree.scan()
    tree.write("20250310/0")
    real = os.scandir

    def refusing(path: str) -> Any:
        if path == str(closed):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with capture_logs() as logs:
        scan = tree.scan(full=True)
        assert quiet(tree.scan(full=True))
    assert tree.names(scan.appeared) == ["20250310/0"]
    assert not scan.vanished
    assert [(entry["event"], entry["path"]) for entry in logs] == [("folder_unreadable", str(closed))]


def test_an_error_of_the_disk_keeps_the_file_and_warns_once(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO on one file: it stays as it was, the others are reported, and there is one line of log."""
    bad = tree.write("20250310/9")
    tree.scan()
    tree.write("20250310/10")
    real = os.stat

    def failing(path: str, **options: bool) -> os.stat_result:
        if path == str(bad):
            raise OSError(5, "Input/output error", path)
        return real(path, **options)

    monkeypatch.setattr(os, "stat", failing)
    with capture_logs() as logs:
        assert tree.names(tree.scan(full=True).appeared) == ["20250310/10"]
        assert quiet(tree.scan(full=True))
    assert [(entry["event"], entry["path"]) for entry in logs] == [("file_unreadable", str(bad))]


def test_months_of_finished_files_cost_next_to_nothing(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan looks at the newest hours and at a small share of the rest, and not more because it is called often."""
    tree.months(31)
    for hour in range(24):
        tree.write(f"20250310/{hour}")
    tree.scan()
    calls: list[str] = []
    real = os.stat

    def counted(path: str, **options: bool) -> os.stat_result:
        calls.append(path)
        return real(path, **options)

    monkeypatch.setattr(os, "stat", counted)
    scans = 605  # a little more than a minute
    for _ in range(scans):
        tree.scan(0.1)
    rounds = 31 * 3 + 24
    assert len(calls) <= scans * 2 + rounds + 24  # two hot hours each time, one round over everything
    assert len(set(calls)) == rounds
