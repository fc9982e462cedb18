"""One process, several sources: what MongoDB refuses of one is that one's trouble."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support.servers import Server, wait_until
from tests.support.tailrace_process import Run

from tailrace.simulator import trade_lines


@pytest.mark.parametrize("code", [13, 11600], ids=["operator", "transient"])
def test_a_refused_source_does_not_stop_another(
    tmp_path: Path, standalone: Server, database_name: str, code: int
) -> None:
    """While every insert of one source fails, the lines of the other are stored as they come."""
    files = {}
    for number, name in enumerate("ab"):
        files[name] = tmp_path / name / "node_trades" / "hourly" / "20250310" / "9"
        files[name].parent.mkdir(parents=True)
        files[name].write_bytes(b"".join(trade_lines(number, 20)))
    tables = "".join(
        f'[[sources]]\nroot = "{tmp_path / name}"\nstream = "node_trades"\nsource = "{name}"\ncollection = "{name}"\n'
        for name in files
    )
    config = tmp_path / "t.toml"
    config.write_text(
        f'mongodb_uri = "{standalone.uri}"\ndatabase = "{database_name}"\nstate_dir = "{tmp_path / "s"}"\n{tables}'
    )
    config.chmod(0o600)
    with Run("--config", str(config)) as run, MongoClient[dict[str, Any]](standalone.admin_uri) as client:
        database = client[database_name]
        run.wait_for("live", count=2)
        with standalone.failing("insert", errorCode=code, namespace=f"{database_name}.a"):
            for line in trade_lines(7, 30):
                for file in files.values():
                    with file.open("ab") as out:
                        out.write(line)
                time.sleep(0.1)
            wait_until(lambda: database["b"].count_documents({}) == 50, "the other source stands still")
            assert database["a"].count_documents({}) == 20
        wait_until(lambda: database["a"].count_documents({}) == 50, "not stored after the refusals")
