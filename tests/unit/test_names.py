"""Names: what is a day, an hour, an archive; and where a stream's tree is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.ingest.files.names import candidates, day_of, hour_of, locate, pattern_of, plain_path, streams_in
from tailrace.model import Compression


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("19700101", 0), ("20250310", 1741564800), ("20240229", 1709164800), ("21060207", 4294944000)],
)
def test_day_folders_are_utc_midnights(name: str, seconds: int) -> None:
    """YYYYMMDD is that day's midnight in UTC, whatever the local time zone is."""
    assert day_of(name) == seconds


@pytest.mark.parametrize(
    "name",
    [
        "20250229",
        "20251301",
        "2025031",
        "202503100",
        "2025-03-10",
        "hourly",
        "",
        "19691231",
        "21060208",
        "２０２５０３１０",
    ],
)
def test_other_names_are_no_days(name: str) -> None:
    """Impossible dates, dates outside the four bytes of an id, and digits of other scripts are no days."""
    assert day_of(name) is None


def test_hours_with_and_without_leading_zero() -> None:
    """`9` and `09` are the ninth hour; the extension says how it is compressed."""
    assert hour_of("9") == hour_of("09") == (9, Compression.NONE)
    assert hour_of("0") == (0, Compression.NONE)
    assert hour_of("23.gz") == (23, Compression.GZIP)
    assert hour_of("7.zst") == (7, Compression.ZSTD)
    assert hour_of("07.lz4") == (7, Compression.LZ4)


@pytest.mark.parametrize("name", ["24", "009", "-1", "9.tmp", "9.gz.tmp", ".9", "9.", "", "9 ", "9\n", "٩", "9.GZ"])
def test_other_names_are_no_hours(name: str) -> None:
    """Temporary files, hours past 23 and look-alikes are not taken for hour files."""
    assert hour_of(name) is None


def test_a_file_and_its_archive_are_one_source_file() -> None:
    """`9` and `9.gz` have one plain path; a dot elsewhere in the path is no extension."""
    assert plain_path("/d/20250310/9.gz") == plain_path("/d/20250310/9") == "/d/20250310/9"
    assert plain_path("/d.gz/9") == "/d.gz/9"


def test_kinds_of_names_fold_their_digits() -> None:
    assert pattern_of("9.tmp") == pattern_of("10.tmp") != pattern_of("9.log")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "node_trades" / "hourly").mkdir(parents=True)
    (tmp_path / "data" / "node_fills_by_block" / "hourly").mkdir(parents=True)
    (tmp_path / "data" / "other").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("below", ["", "node_trades", "node_trades/hourly"])
def test_root_may_be_data_directory_stream_or_hourly(data: Path, below: str) -> None:
    """All three say the same tree; a stream name that is not needed does no harm."""
    tree = locate(str(data / below), "node_trades")
    assert tree is not None
    assert tree.hourly == str(data / "node_trades" / "hourly")
    assert tree.stream == "node_trades"


@pytest.mark.parametrize("below", ["node_trades", "node_trades/hourly"])
def test_the_stream_is_taken_from_the_path(data: Path, below: str) -> None:
    tree = locate(str(data / below))
    assert tree is not None
    assert tree.stream == "node_trades"


def test_a_data_directory_needs_a_stream_and_says_which_there_are(data: Path) -> None:
    """Without a name nothing is guessed; `streams_in` lists the names to choose from."""
    assert locate(str(data)) is None
    assert streams_in(str(data)) == ["node_fills_by_block", "node_trades"]
    assert streams_in(str(data / "missing")) == []


def test_a_root_that_does_not_exist_yet_is_no_error(tmp_path: Path) -> None:
    """None until `mkdir -p` has come all the way down; the candidates say where to wait."""
    root = tmp_path / "later" / "data"
    for path in (tmp_path, root, root / "node_trades"):
        path.mkdir(parents=True, exist_ok=True)
        assert locate(str(root), "node_trades") is None
    (root / "node_trades" / "hourly").mkdir()
    tree = locate(str(root), "node_trades")
    assert tree is not None
    assert tree.hourly in [candidate.hourly for candidate in candidates(str(root), "node_trades")]


def test_a_linked_root_is_resolved_once(data: Path, tmp_path: Path) -> None:
    """Paths are real, so that the link may be turned without moving what is being read."""
    (tmp_path / "current").symlink_to(data)
    tree = locate(str(tmp_path / "current"), "node_trades")
    assert tree is not None
    assert (tree.root, tree.hourly) == (str(data), str(data / "node_trades" / "hourly"))
    assert tree.holds(str(data / "node_fills_by_block" / "x"))
    assert not tree.holds(str(data) + "-other/x")
    assert not tree.holds("/etc/passwd")


def test_an_hourly_folder_on_another_disk_is_followed(data: Path, tmp_path: Path) -> None:
    """`hourly` itself may be a link: the operator placed it; what it leads to belongs to the tree."""
    (tmp_path / "disk").mkdir()
    (data / "node_twap_statuses").mkdir()
    (data / "node_twap_statuses" / "hourly").symlink_to(tmp_path / "disk")
    tree = locate(str(data), "node_twap_statuses")
    assert tree is not None
    assert tree.stream == "node_twap_statuses"
    assert tree.hourly == str(tmp_path / "disk")
    assert tree.holds(str(tmp_path / "disk" / "20250310"))
