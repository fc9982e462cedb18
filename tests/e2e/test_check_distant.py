"""`tailrace check` where the server is far away, or has no time: not a word of roles or passwords that are in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support.checked import PASSWORD, levels, report, sentence, words
from tests.support.proxy import Proxy
from tests.support.servers import Server
from tests.support.tailrace_process import hour_file, tailrace

from tailrace.model import Framing
from tailrace.simulator import trade_lines

SOURCES = 8
ROUND_TRIP = 0.1  # seconds: two continents
FAR = 0.3  # seconds: a satellite


@pytest.fixture
def flags(tmp_path: Path, standalone: Server, database_name: str) -> dict[str, str]:
    hour_file(tmp_path / "data", "20250310/9").write_bytes(b"".join(trade_lines(1, 10, framing=Framing.BARE)))
    return {
        "--root": str(tmp_path / "data" / "node_trades"),
        "--mongodb-uri": standalone.uri,
        "--database": database_name,
        "--state-dir": str(tmp_path / "state"),
    }


def fill(flags: dict[str, str]) -> None:
    """So that there is more to ask about."""
    done = tailrace("run", "--once", "--http", "off", *words(flags))
    assert done.returncode == 0, done.stderr


def through(proxy: Proxy, uri: str) -> str:
    return uri.replace(f"127.0.0.1:{proxy.target}", f"127.0.0.1:{proxy.port}")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Server]:
    """With authentication on, and one user."""
    server = Server(tmp_path / "guarded", "--auth")
    server.start()
    with MongoClient[dict[str, Any]](server.process.uri) as client:  # the localhost exception makes the first user
        client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
    yield server
    server.kill()


def test_many_sources_on_a_distant_server(flags: dict[str, str], standalone: Server, tmp_path: Path) -> None:
    """Eight of them, a tenth of a second away: all are asked, side by side, and all is well."""
    settings = tmp_path / "tailrace.toml"
    name = flags.pop("--database")  # the documented role is for any of them, and for few collections
    settings.write_text("".join(f'[[sources]]\nsource = "s{n}"\ndatabase = "{name}_{n}"\n' for n in range(SOURCES)))
    flags["--config"] = str(settings)
    fill(flags)
    with Proxy(standalone.process.port) as proxy:
        proxy.latency = ROUND_TRIP / 2
        found = report({**flags, "--mongodb-uri": through(proxy, standalone.uri)}, 0)
    for subject in ("roles", "collection", "ledger"):
        assert [level for level, _ in found[subject]] == ["ok"] * SOURCES, found[subject]
    assert all("run would continue" in said for _, said in found["ledger"])


def test_a_user_on_a_distant_server(flags: dict[str, str], guarded: Server) -> None:
    """Its password is right and its roles suffice, however long that takes to find out."""
    uri = f"mongodb://root:{PASSWORD}@127.0.0.1:{guarded.process.port}/?directConnection=true"
    flags["--mongodb-uri"] = uri
    fill(flags)
    with Proxy(guarded.process.port) as proxy:
        proxy.latency = FAR / 2
        found = report({**flags, "--mongodb-uri": through(proxy, uri)}, 0)
    assert {"authentication", "roles", "collection"} <= levels(found, "ok")


@pytest.mark.parametrize(
    ("asked", "subject"),
    [("connectionStatus", "mongodb"), ("listCollections", "collection"), ("listIndexes", "collection")],
)
def test_no_time_left_is_no_refusal(flags: dict[str, str], standalone: Server, asked: str, subject: str) -> None:
    """The server ends a question because time is up: a note; the rest is said not to have been looked at."""
    fill(flags)
    with standalone.failing(asked, errorCode=50):
        found = report(flags, 0)
    assert "not all that was asked within" in sentence(found, subject, "note")
    assert "because there was no time left" in sentence(found, "ledger", "skipped")
    assert levels(found, "problem") == set()


def test_no_time_for_statistics(flags: dict[str, str], standalone: Server) -> None:
    """The disk's figures may take long; that is no missing right."""
    with standalone.failing("dbStats", errorCode=50):
        found = report(flags, 0)
    assert "gave no answer" in sentence(found, "server_disk", "skipped")
