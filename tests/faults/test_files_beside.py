"""`9` beside a `9.gz` that holds other lines: compressed, and then written anew under the same name."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tests.support.hour_tree import DAY, HourTree, numbers
from tests.support.ingested import trades
from tests.support.servers import Server
from tests.support.tailrace_process import until


@pytest.mark.parametrize("reading", [True, False], ids=["while it runs", "while stopped"])
def test_an_archive_beside_a_file_with_other_lines(
    tmp_path: Path, standalone: Server, database_name: str, reading: bool
) -> None:
    """While both are there `9` counts, and nothing of it is taken for the archive; what the archive alone holds is
    stored once `9` is gone. No line twice, none said to be lost."""
    with HourTree(tmp_path, standalone, database_name) as tree:
        path, archive = tree.path(f"{DAY}/9"), tree.path(f"{DAY}/9.gz")
        archive.write_bytes(gzip.compress(trades(0, 10)))
        path.write_bytes(trades(50, 5))
        with tree.run() as run:
            run.wait_for("live")
            until(lambda: tree.stored(9) == numbers(50, 5))
            if not reading:
                run.stop()
            with path.open("ab") as out:
                out.write(trades(55, 5))
            if reading:
                until(lambda: tree.stored(9) == numbers(50, 10))
            else:
                tree.once()
            path.unlink()
            if reading:
                until(lambda: tree.stored(9) == numbers(0, 10) + numbers(50, 10))
                assert run.stop()["bytes_lost"] == 0
        tree.once()
        assert tree.by_hour() == {9: numbers(0, 10) + numbers(50, 10)}
