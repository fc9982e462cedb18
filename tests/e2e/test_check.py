"""`tailrace check`: one clear sentence for each thing that can be wrong, exit 78, no traceback, no secret."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support.servers import Server
from tests.support.tailrace_process import hour_file, tailrace

from tailrace.embedded import free_port
from tailrace.model import Framing
from tailrace.simulator import trade_lines

PASSWORD = "s3cret-pass"


@pytest.fixture
def flags(tmp_path: Path, standalone: Server, database_name: str) -> dict[str, str]:
    hour_file(tmp_path / "data", "20250310/9").write_bytes(b"".join(trade_lines(1, 10, framing=Framing.BARE)))
    return {
        "--root": str(tmp_path / "data" / "node_trades"),
        "--mongodb-uri": standalone.uri,
        "--database": database_name,
        "--state-dir": str(tmp_path / "state"),
    }


def command(name: str, flags: dict[str, str], **env: str) -> subprocess.CompletedProcess[str]:
    given = [word for pair in flags.items() for word in pair]
    return tailrace(name, *given, "--http", "off", "--log-format", "text", timeout=40, **env)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> str:
    """Exit 78, no traceback, no secret, and exactly one sentence about a problem, with these words in it."""
    said = done.stdout + done.stderr
    assert done.returncode == 78, said
    assert "Traceback" not in said
    assert PASSWORD not in said
    problems = [line for line in said.splitlines() if line.startswith(("PROBLEM", "tailrace: "))]
    assert len(problems) == 1, said
    for word in words:
        assert word in problems[0], problems[0]
    return problems[0]


def test_all_is_well(flags: dict[str, str]) -> None:
    """Exit 0, what `run` would do, and nothing created: no database, no state directory."""
    done = command("check", flags)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "first start: run would catch up with 1 files" in done.stdout
    assert "run would start" in done.stdout
    assert not Path(flags["--state-dir"]).exists()
    with MongoClient[dict[str, Any]](flags["--mongodb-uri"]) as client:
        assert flags["--database"] not in client.list_database_names()


def test_check_and_run_refuse_alike(flags: dict[str, str]) -> None:
    """What `check` calls a problem ends `run` with the same code."""
    flags["--write-concern"] = "1"
    refused(command("check", flags), "write_concern")
    refused(command("run", flags), "write_concern")


def test_a_wrong_uri(flags: dict[str, str]) -> None:
    """Not a connection string: the key, where it was set; the value is a secret and not shown."""
    refused(
        command("check", {**flags, "--mongodb-uri": f"http://user:{PASSWORD}@host"}), "mongodb_uri", "--mongodb-uri"
    )


def test_an_unreachable_host(flags: dict[str, str]) -> None:
    """Nobody listens there: the host and the port are named."""
    port = str(free_port())
    refused(command("check", {**flags, "--mongodb-uri": f"mongodb://127.0.0.1:{port}"}), port)


def test_a_host_without_an_address(flags: dict[str, str]) -> None:
    """A name that cannot be resolved is named."""
    refused(command("check", {**flags, "--mongodb-uri": "mongodb://no-such-host.invalid"}), "no-such-host.invalid")


@pytest.fixture
def guarded(tmp_path_factory: pytest.TempPathFactory, database_name: str) -> Iterator[str]:
    """host:port of a mongod with authentication on, and two users: `reader` may only read, `writer` may write."""
    server = Server(tmp_path_factory.mktemp("guarded"), "--auth")
    server.start()
    host = server.uri.removeprefix("mongodb://").split("/")[0]
    with MongoClient[dict[str, Any]](server.uri) as client:  # the localhost exception makes the first user
        client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
    with MongoClient[dict[str, Any]](f"mongodb://root:{PASSWORD}@{host}/?directConnection=true") as client:
        for name, role in (("reader", "read"), ("writer", "readWrite")):
            client.admin.command("createUser", name, pwd=PASSWORD, roles=[{"role": role, "db": database_name}])
    yield host
    server.kill()


def test_authentication_and_roles(flags: dict[str, str], guarded: str) -> None:
    """A wrong password and a missing role are told apart, each with what to do; readWrite on the database suffices."""
    uri = "mongodb://{}:{}@{}/?directConnection=true"
    wrong = {**flags, "--mongodb-uri": uri.format("writer", PASSWORD + "x", guarded)}
    refused(command("check", wrong), "password")
    reader = {**flags, "--mongodb-uri": uri.format("reader", PASSWORD, guarded)}
    refused(command("check", reader), "readWrite", flags["--database"])
    writer = {**flags, "--mongodb-uri": uri.format("writer", PASSWORD, guarded)}
    done = command("check", writer)
    assert done.returncode == 0, done.stdout + done.stderr
    done = tailrace("run", "--once", "--http", "off", *[word for pair in writer.items() for word in pair])
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_bad_toml(flags: dict[str, str], tmp_path: Path) -> None:
    """The file, the line, and what is wrong there."""
    file = tmp_path / "tailrace.toml"
    file.write_text('root = "/x"\nstream = node_trades\n')
    refused(command("check", {**flags, "--config": str(file)}), str(file), "line 2")


def test_an_unknown_key(flags: dict[str, str], tmp_path: Path) -> None:
    """An unknown key in the file, with the nearest name that exists."""
    file = tmp_path / "tailrace.toml"
    file.write_text('colection = "x"\n')
    refused(command("check", {**flags, "--config": str(file)}), "colection", "collection", str(file))


def test_a_misspelt_variable(flags: dict[str, str]) -> None:
    """An unknown TAILRACE_ variable, with the nearest name that exists."""
    del flags["--mongodb-uri"]
    done = command("check", flags, TAILRACE_MONGO_URI="mongodb://127.0.0.1")
    assert done.returncode == 78
    assert "TAILRACE_MONGO_URI" in done.stderr
    assert "TAILRACE_MONGODB_URI" in done.stderr


@pytest.mark.parametrize("concern", ["1", "0"])
def test_a_write_concern_that_loses(flags: dict[str, str], concern: str) -> None:
    """w = 1 without a journal, or none at all, loses acknowledged documents: refused, with what is allowed."""
    refused(command("check", {**flags, "--write-concern": concern}), "write_concern", "majority")


def test_an_unwritable_state_directory(flags: dict[str, str], tmp_path: Path) -> None:
    """A state directory that cannot be made, below a file."""
    (tmp_path / "file").write_text("")
    flags["--state-dir"] = str(tmp_path / "file" / "state")
    refused(command("check", flags), "state_dir", str(tmp_path / "file"))
    refused(command("run", flags), "state_dir", str(tmp_path / "file"))


def test_a_time_series_collection(flags: dict[str, str]) -> None:
    """A time-series collection under the name has no unique _id: refused."""
    with MongoClient[dict[str, Any]](flags["--mongodb-uri"]) as client:
        client[flags["--database"]].create_collection("node_trades", timeseries={"timeField": "time"})
    refused(command("check", flags), "time-series", "another collection")
    refused(command("run", flags), "time-series", "another collection")


def test_changed_numbers(flags: dict[str, str]) -> None:
    """Other numbers than those that the collection was filled with: both values named, by check and by run; as long as
    nothing is stored they may be changed."""
    done = tailrace("run", "--once", "--http", "off", *[word for pair in flags.items() for word in pair])
    assert done.returncode == 0, done.stderr
    flags["--numbers"] = "double"
    refused(command("check", flags), "numbers = decimal", "numbers = double")
    refused(command("run", flags), "numbers = decimal", "numbers = double")


def test_another_source_name_for_the_same_tree(flags: dict[str, str]) -> None:
    """The same tree into the same collection under another source name would store everything twice: refused."""
    given = [word for pair in flags.items() for word in pair]
    assert tailrace("run", "--once", "--http", "off", *given).returncode == 0
    refused(command("run", {**flags, "--source": "other"}), "node_trades", "other")
