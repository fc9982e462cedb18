"""What `check` says of the machine: disk, descriptors, notifications, the endpoint's address."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailrace.commands.doctor import host
from tailrace.commands.doctor.finding import Level
from tailrace.config import Watch, load

MOUNTS = r"""22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:50 / /mnt/node rw shared:9 - nfs4 server:/export rw
31 22 0:51 / /mnt/a\040blank rw shared:9 - fuse.sshfs me@host: rw
32 30 0:52 / /mnt/node/local rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("free", "inodes", "level"),
    [
        (1 << 40, 1 << 20, Level.OK),
        (1 << 40, None, Level.OK),
        (host.SPACE_WANTED - 1, 1 << 20, Level.NOTE),
        (1 << 40, 12, Level.NOTE),
        (host.SPACE_NEEDED - 1, 1 << 20, Level.PROBLEM),
        (1 << 40, 0, Level.PROBLEM),
    ],
)
def test_a_disk_that_fills(free: int, inodes: int | None, level: Level) -> None:
    """Little room is a note, next to none a problem: checkpoints could not be saved. Without inodes there is none."""
    assert host.of_disk("/state", free=free, inodes=inodes, wanted=host.SPACE_WANTED).level is level


def test_the_disk_of_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    """It is that of the nearest folder above it."""
    assert host.disk(tmp_path / "a" / "b", embedded=False).sentence.endswith(str(tmp_path))


def test_a_low_limit_of_open_files() -> None:
    """A note with the limit to set; the usual limits are enough for several sources."""
    assert host.of_open_files(1024, 2, 128).level is Level.OK
    finding = host.of_open_files(128, 1, 32)
    assert finding.level is Level.NOTE
    assert "LimitNOFILE=" in finding.remedy


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/x", "ext4"),
        ("/mnt/node/hl/hourly", "nfs4"),
        ("/mnt/node/local/x", "tmpfs"),
        ("/mnt/nodes", "ext4"),
        ("/mnt/a blank/x", "fuse.sshfs"),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str) -> None:
    """That of the innermost mount that holds it."""
    assert host.file_system_of(MOUNTS, path) == kind


@pytest.mark.parametrize(
    ("refused", "kind", "watch", "level", "word"),
    [
        (0, "ext4", Watch.AUTO, Level.OK, "tells of changes"),
        (0, "overlay", Watch.AUTO, Level.OK, "tells of changes"),
        (0, "nfs4", Watch.AUTO, Level.NOTE, "nfs4"),
        (0, "fuse.sshfs", Watch.AUTO, Level.NOTE, "every 2 s"),
        (errno.EMFILE, "ext4", Watch.AUTO, Level.NOTE, "nothing is lost"),
        (errno.EMFILE, "ext4", Watch.NATIVE, Level.PROBLEM, "watch = native"),
        (errno.ENOSPC, "ext4", Watch.AUTO, Level.NOTE, "nothing is lost"),
        (errno.ENOSYS, "ext4", Watch.NATIVE, Level.PROBLEM, "watch = native"),
    ],
)
def test_notifications(refused: int, kind: str, watch: Watch, level: Level, word: str) -> None:
    """Where the kernel tells nothing, lines come at the next poll: a note, and a problem where they are demanded."""
    finding = host.of_notifications("/hourly", watch, 2.0, refused=refused, kind=kind)
    assert finding.level is level
    assert word in finding.sentence
    assert ("max_user_instances" in finding.remedy) == (refused == errno.EMFILE)
    assert ("max_user_watches" in finding.remedy) == (refused == errno.ENOSPC)


def test_notifications_are_tried_for_real(tmp_path: Path) -> None:
    """On a disk of this machine the kernel tells; of a folder that is not there it does not, and nothing is raised."""
    assert host.notifications(str(tmp_path), Watch.AUTO, 1.0).level is Level.OK
    assert host.notifications(str(tmp_path / "no"), Watch.AUTO, 1.0).level is Level.NOTE


@pytest.fixture
def listening() -> Iterator[int]:
    """The port of somebody who listens and never answers."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(1)
        yield door.getsockname()[1]


def http(address: str) -> tuple[Level, str]:
    flags = {"http": address, "state_dir": "/nowhere"}
    finding = host.http(load(flags, {}, None, require=frozenset()).settings, None)
    return finding.level, finding.sentence


def test_an_address_that_is_taken(listening: int) -> None:
    """By a program that is no tailrace: a problem, said within seconds though it never answers."""
    level, sentence = http(f"127.0.0.1:{listening}")
    assert level is Level.PROBLEM
    assert "taken by another program" in sentence


def test_addresses_that_can_and_cannot_be_had() -> None:
    """Free; off; not of this machine; open to everybody, which is worth a note."""
    assert http("127.0.0.1:0")[0] is Level.OK
    assert http("off")[0] is Level.OK
    assert http("192.0.2.1:9464")[0] is Level.PROBLEM
    assert http("0.0.0.0:0")[0] is Level.NOTE
