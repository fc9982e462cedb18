"""Several at once: two on one state directory, two under one source name, several sources in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pymongo import MongoClient
from tests.support.servers import Server
from tests.support.tailrace_process import Run, hour_file, tailrace, until

from tailrace.model import Framing
from tailrace.simulator import fill_lines, trade_lines


def test_two_on_one_state_directory(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """The second is refused with the first one's pid, exit 78; the first goes on."""
    hour_file(tmp_path / "data", "20250310/9").write_bytes(b"".join(trade_lines(1, 3, framing=Framing.BARE)))
    flags = (
        *("--root", str(tmp_path / "data" / "node_trades"), "--mongodb-uri", standalone.uri),
        *("--database", database_name, "--state-dir", str(tmp_path / "state")),
    )
    with Run(*flags) as first:
        first.wait_for("live")
        second = tailrace("run", "--http", "off", *flags)
        assert second.returncode == 78
        assert str(first.process.pid) in second.stderr
        assert "Traceback" not in second.stderr
        first.stop()
    assert tailrace("run", "--once", "--http", "off", *flags).returncode == 0, "free again once the first has ended"


def test_two_writers_under_one_source_name(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """Another state directory, the same source and collection: the ledger refuses the second with the other's host
    and pid."""
    hour_file(tmp_path / "data", "20250310/9").write_bytes(b"".join(trade_lines(1, 3, framing=Framing.BARE)))
    flags = (
        *("--root", str(tmp_path / "data" / "node_trades"), "--mongodb-uri", standalone.uri),
        *("--database", database_name),
    )
    with Run(*flags, "--state-dir", str(tmp_path / "one")) as first:
        first.wait_for("live")
        second = tailrace("run", "--http", "off", *flags, "--state-dir", str(tmp_path / "two"))
        assert second.returncode == 78, second.stderr
        assert str(first.process.pid) in second.stderr
        assert "source" in second.stderr
        assert "Traceback" not in second.stderr
        first.stop()
    again = tailrace("run", "--once", "--http", "off", *flags, "--state-dir", str(tmp_path / "two"))
    assert again.returncode == 0, "a writer that has said goodbye leaves its name free"


def test_a_refused_start_leaves_the_name_free(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """Refused after the source was claimed (other numbers): the next one, wherever it runs, waits for no lease."""
    hour_file(tmp_path / "data", "20250310/9").write_bytes(b"".join(trade_lines(1, 3, framing=Framing.BARE)))
    flags = (
        *("--root", str(tmp_path / "data" / "node_trades"), "--mongodb-uri", standalone.uri),
        *("--database", database_name, "--http", "off", "--once", "--state-dir"),
    )
    assert tailrace("run", *flags, str(tmp_path / "one"), "--numbers", "double").returncode == 0
    refused = tailrace("run", *flags, str(tmp_path / "one"))
    assert refused.returncode == 78, refused.stderr
    assert "numbers" in refused.stderr
    with MongoClient[dict[str, Any]](standalone.uri) as client:
        source = client[database_name]["node_trades.files"].find_one({"_id": "source/node_trades"})
    assert source is not None
    assert "lease" not in source
    again = tailrace("run", *flags, str(tmp_path / "two"), "--numbers", "double")
    assert again.returncode == 0, again.stderr
    assert "waiting_for_lease" not in again.stderr


def test_several_sources_in_one_file(tmp_path: Path, standalone: Server, database_name: str) -> None:
    """Two [[sources]], trades and fills in two framings, followed by one process, each into its own collection."""
    trades, fills = list(trade_lines(1, 50, framing=Framing.BARE)), list(fill_lines(2, 50, framing=Framing.BY_BLOCK))
    hour_file(tmp_path / "data", "20250310/9").write_bytes(b"".join(trades[:20]))
    hour_file(tmp_path / "data", "20250310/9", "node_fills_by_block").write_bytes(b"".join(fills))
    config = tmp_path / "tailrace.toml"
    config.write_text(
        f'root = "{tmp_path / "data"}"\ndatabase = "{database_name}"\nstate_dir = "state"\n\n'
        '[[sources]]\nstream = "node_trades"\n\n[[sources]]\nstream = "node_fills_by_block"\n'
    )
    with (
        MongoClient[dict[str, Any]](standalone.uri) as client,
        Run("--config", str(config), TAILRACE_MONGODB_URI=standalone.uri) as run,
    ):
        run.wait_for("live", count=2)
        with hour_file(tmp_path / "data", "20250310/9").open("ab") as out:
            out.write(b"".join(trades[20:]))
        database = client[database_name]
        until(lambda: database.node_trades.count_documents({}) == 50)
        until(lambda: database.node_fills.count_documents({}) == 50)
        run.stop()
    assert len(run.named("stopped")) == 2
