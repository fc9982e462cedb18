"""What ends `tailrace run` at its start is a problem of `tailrace check`: both are asked each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support import roles
from tests.support.checked import command, levels, refused, report, sentence, words
from tests.support.servers import Server
from tests.support.tailrace_process import Run, events_of, hour_file, tailrace

from tailrace.model import Framing
from tailrace.simulator import trade_lines

NOT_HIDDEN = pytest.mark.skipif(roles.authenticated(), reason="the documented role may not ask what this is about")


@pytest.fixture
def flags(tmp_path: Path, standalone: Server, database_name: str) -> dict[str, str]:
    hour_file(tmp_path / "data", "20250310/9").write_bytes(lines(1))
    return {
        "--root": str(tmp_path / "data"),
        "--stream": "node_trades",
        "--mongodb-uri": standalone.uri,
        "--database": database_name,
        "--state-dir": str(tmp_path / "state"),
    }


def lines(seed: int) -> bytes:
    return b"".join(trade_lines(seed, 10, framing=Framing.BARE))


def fill(flags: dict[str, str]) -> None:
    done = tailrace("run", "--once", "--http", "off", *words(flags))
    assert done.returncode == 0, done.stderr


def both_refuse(flags: dict[str, str], *parts: str) -> None:
    refused(command("check", flags), *parts)
    refused(command("run", flags), *parts)


def test_another_start_at_before_the_first_start_is_over(flags: dict[str, str], tmp_path: Path) -> None:
    """What was skipped, or not, would stay so: the former value is named until it has started once."""
    there = Path(flags["--root"]).rename(tmp_path / "elsewhere")
    with Run(*words(flags)) as run:
        run.wait_for("waiting_for_root")
        run.kill()
    there.rename(flags["--root"])
    both_refuse({**flags, "--start-at": "end"}, "start_at = beginning and was not completed", "start_at = end")
    assert command("check", flags).returncode == 0


@pytest.mark.parametrize(
    ("harm", "word"), [({"hour": "x"}, "hour"), ({"start": -1}, "start"), ({"progress.guard": 5}, "guard")]
)
def test_a_damaged_life(flags: dict[str, str], standalone: Server, harm: dict[str, Any], word: str) -> None:
    """Whichever field of a ledger's document is not as it was written: named, and what to do."""
    fill(flags)
    with MongoClient[dict[str, Any]](standalone.admin_uri) as client:
        files = client[flags["--database"]]["node_trades.files"]
        assert files.update_one({"fingerprint": {"$exists": True}}, {"$set": harm}).modified_count == 1
    both_refuse(flags, "not as tailrace wrote it", word, "backup")


def test_other_settings_beside_the_lives_of_another_source(flags: dict[str, str], tmp_path: Path) -> None:
    """One source has skipped all, so that nothing is stored: what it has entered holds the settings all the same."""
    fill({**flags, "--source": "A", "--start-at": "end"})
    hour_file(tmp_path / "other", "20250310/9").write_bytes(lines(2))
    mine = {"--source": "B", "--root": str(tmp_path / "other"), "--state-dir": str(tmp_path / "state2")}
    both_refuse({**flags, **mine, "--numbers": "double"}, "numbers = decimal", "numbers = double")
    assert command("check", {**flags, **mine}).returncode == 0


def test_a_private_mongod(flags: dict[str, str]) -> None:
    """Its write concern is judged before it is there, and the rest is said not to have been looked at; while a run is
    at work, what it holds is looked at."""
    flags["--mongodb-uri"] = "embedded"
    both_refuse({**flags, "--write-concern": "2+j"})
    assert "standalone" in refused(command("check", {**flags, "--write-concern": "2+j"}), "write_concern = 2+j")
    found = report(flags, 0)
    assert {"roles", "collection", "ledger", "members", "server_disk"} <= levels(found, "skipped")
    assert "a private mongod is not started by check" in sentence(found, "ledger", "skipped")
    with Run(*words(flags)) as run:
        run.wait_for("live")
        assert "run would continue" in sentence(report(flags, 0), "ledger", "ok")
        refused(command("check", {**flags, "--numbers": "double"}), "numbers = decimal", "numbers = double")
        run.stop()


@NOT_HIDDEN
def test_a_database_whose_name_differs_in_case(flags: dict[str, str], standalone: Server) -> None:
    """MongoDB does not make it: the one that is there is named."""
    twin = flags["--database"].upper()
    with MongoClient[dict[str, Any]](standalone.admin_uri) as client:
        client[twin]["any"].insert_one({})
    both_refuse(flags, twin)
    assert command("check", {**flags, "--database": twin}).returncode == 0


@NOT_HIDDEN
def test_a_clustered_collection_on_a_server_that_is_held_back(flags: dict[str, str], own_server: Server) -> None:
    """A server that was upgraded and still behaves as an older one makes none; one without clustering it does make."""
    flags["--mongodb-uri"] = own_server.uri
    own_server.command({"setFeatureCompatibilityVersion": "5.0"})
    done = tailrace("run", "--clustered", "--once", "--http", "off", *words(flags))
    assert done.returncode == 78, done.stderr
    found = report(flags, 78, "--clustered")
    assert levels(found, "problem") == {"collection"}
    assert "featureCompatibilityVersion 5.3, and the server has 5.0" in sentence(found, "collection", "problem")
    assert levels(report(flags, 0), "problem") == set()


def test_a_lost_ledger_beside_an_intact_state(flags: dict[str, str], standalone: Server) -> None:
    """Said to be restored, as it is: no first start, and nothing is skipped whatever start_at says."""
    fill(flags)
    with MongoClient[dict[str, Any]](standalone.admin_uri) as client:
        client[flags["--database"]]["node_trades.files"].drop()
    flags["--start-at"] = "end"
    said = sentence(report(flags, 0), "ledger", "note")
    assert "would enter the files again that it remembers" in said
    assert "start_at = end is not looked at" in said
    done = tailrace("run", "--once", "--http", "off", "--log-format", "json", *words(flags))
    assert done.returncode == 0, done.stderr
    assert [each["files"] for each in events_of(done.stderr.splitlines()) if each["event"] == "ledger_restored"] == [1]


def test_an_identity_that_the_stream_cannot_have(flags: dict[str, str]) -> None:
    """Content identity needs the time of an event: refused without any tree, with an empty file, and with a line."""
    flags |= {"--stream": "node_order_statuses", "--identity": "content"}
    both_refuse(flags, "node_order_statuses")
    file = hour_file(Path(flags["--root"]), "20250310/9", "node_order_statuses")
    for content in (b"", b'{"a":1}\n'):
        file.write_bytes(content)
        refused(command("check", flags), "node_order_statuses")
