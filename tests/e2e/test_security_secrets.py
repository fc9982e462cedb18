"""A password given to tailrace appears nowhere: whatever the place it is given in, the command, and what goes wrong."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pymongo import MongoClient
from tests.support import roles
from tests.support.ingested import trades
from tests.support.scrape import ask
from tests.support.servers import Server
from tests.support.tailrace_process import Run, environment, hour_file

from tailrace.__main__ import with_secrets, without_secrets
from tailrace.cli import main, without_stray_secrets
from tailrace.config.uri import scrub
from tailrace.embedded import free_port
from tailrace.errors import Exit

CANARY = "k4n%r y:w/rd"
"""With characters that must be escaped in a URI, and that a careless scanner takes for its end."""
ENCODED = quote(CANARY, safe="")
USER = "tail"
SHOWN = (CANARY, ENCODED, quote(CANARY), ENCODED.lower(), "k4n", "w/rd", "w%2Frd", "w%2frd")
COMMANDS = (("run", "--once"), ("check",), ("verify",), ("rejects", "list"), ("rejects", "replay"))


def assert_no_canary(said: str | bytes, what: object = "") -> None:
    text = said if isinstance(said, str) else said.decode(errors="replace")
    found = [each for each in SHOWN if each in text]
    assert not found, (what, found, text[max(0, text.find(found[0]) - 300) :][:600])


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for a password, and the user whose password is the canary."""
    server = Server(tmp_path_factory.mktemp("guarded"), "--auth")
    server.start()
    try:
        roles.make_users(server.uri)
        with MongoClient[Any](roles.as_user(server.uri, roles.ADMIN)) as client:
            client.admin.command("createUser", USER, pwd=CANARY, roles=["readWriteAnyDatabase"])
        yield server
    finally:
        server.kill()


Started = tuple[str, str, subprocess.Popen[bytes]]  # command, host, process


@pytest.fixture(scope="module", autouse=True)
def unreachable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Started]]:
    """Commands with a server that is not there, started before the other tests: each waits some ten seconds."""
    folder = tmp_path_factory.mktemp("unreachable")
    hour_file(folder / "data", "20250310/9").write_bytes(trades(0, 1))
    closed = f"127.0.0.1:{free_port()}"
    started = []
    for command, host in (("run", closed), ("verify", closed), ("check", "no-such-host.invalid")):
        uri = f"mongodb://{USER}:{ENCODED}@{host}/"
        env = settings(folder / "data" / "node_trades", "x", log_level="debug", mongodb_uri=uri)
        process = subprocess.Popen(
            [sys.executable, "-m", "tailrace", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(**env),
        )
        started.append((command, host, process))
    try:
        yield started
    finally:
        for _command, _host, process in started:
            process.kill()
            process.communicate()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = hour_file(tmp_path / "data", "20250310/9")
    path.write_bytes(trades(0, 5) + b"{\n")
    return tmp_path / "data" / "node_trades"


def uri_of(server: Server, password: str = ENCODED) -> str:
    return roles.as_user(server.process.uri, USER, password)


def settings(root: Path, database: str, **more: str) -> dict[str, str]:
    """The settings of a test as environment variables."""
    state = root.parent.parent / "state"
    given = {"root": str(root), "database": database, "state_dir": str(state), "http": "off", **more}
    return {f"TAILRACE_{name.upper()}": value for name, value in given.items()}


def says(*arguments: str, **env: str) -> tuple[int, str]:
    """(exit code, all it said) of a command in this process: many of them cost little."""
    out, before, argv = io.StringIO(), dict(os.environ), sys.argv
    os.environ.clear()
    os.environ.update(environment(**env))
    sys.argv = ["tailrace", *arguments]
    try:
        with redirect_stdout(out), redirect_stderr(out):
            main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    else:
        code = Exit.DONE
    finally:
        sys.argv = argv
        os.environ.clear()
        os.environ.update(before)
    return code, out.getvalue()


def flags_of(env: Mapping[str, str]) -> list[str]:
    given = ((name.removeprefix("TAILRACE_").lower().replace("_", "-"), value) for name, value in env.items())
    return [word for name, value in given for word in (f"--{name}", value)]


def given_by(place: str, uri: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    """(flags, variables) that give the connection string in one of the four places."""
    if place == "flag":
        return ["--mongodb-uri", uri], {}
    if place == "variable":
        return [], {"TAILRACE_MONGODB_URI": uri}
    file = folder / f"{place}.toml"
    file.write_text(uri if place == "uri_file" else f"mongodb_uri = {json.dumps(uri)}\n")
    file.chmod(0o600)
    return ([], {"TAILRACE_MONGODB_URI_FILE": str(file)}) if place == "uri_file" else (["--config", str(file)], {})


PLACES = ("flag", "variable", "uri_file", "config_file")


@pytest.mark.parametrize(("place", "log_format"), list(zip(PLACES, ("text", "json") * 2, strict=True)))
def test_in_success_and_with_a_wrong_password(
    guarded: Server, root: Path, tmp_path: Path, database_name: str, place: str, log_format: str
) -> None:
    """Every command, given the password in every place, at log level debug; nor is it in the state or in MongoDB."""
    env = {**settings(root, database_name, log_level="debug", log_format=log_format), **collection()}
    for password, expected in ((ENCODED, Exit.DONE), (f"wrong{ENCODED}", Exit.CONFIGURATION)):
        words, more = given_by(place, uri_of(guarded, password), tmp_path)
        for command in COMMANDS:
            code, said = says(*command, *words, **env, **more)
            assert_no_canary(said, command)
            assert "Traceback" not in said
            assert code == expected, (command, said)
    for path in (tmp_path / "state").rglob("*"):
        assert_no_canary(path.read_bytes() if path.is_file() else b"", path)
    with MongoClient[Any](roles.as_user(guarded.uri, roles.ADMIN)) as client:
        database = client[database_name]
        stored = [document for name in database.list_collection_names() for document in database[name].find()]
    assert len(stored) >= 5
    assert_no_canary(repr(stored))


def collection() -> dict[str, str]:
    return {"TAILRACE_COLLECTION": "node_trades"}


WRONG_URIS = (
    f"mongodb://{USER}:{CANARY}@host/",
    f"mongodb:/{USER}:{ENCODED}@host/",
    f"mongo://{USER}:{ENCODED}@host/",
    f"{USER}:{ENCODED}@host/",
    f"mongodb://{USER}:{ENCODED}@host:port/",
    f"mongodb://{USER}:{ENCODED}@x@host/",
    f"mongodb://{USER}:{ENCODED}%zz@host/",
    f"mongodb://{USER}:{ENCODED}",
    f"mongodb://host/?{ENCODED}",
    f"mongodb://host/?password={ENCODED}&w=0",
    f"mongodb://host/?authMechanism={USER}&authMechanismProperties={ENCODED}",
    f"mongodb://{USER}:{ENCODED}@host/?authMechanism=MONGODB-AWS&authMechanismProperties={ENCODED}",
    f"mongodb://{USER}:{ENCODED}@host/?authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION:{ENCODED}",
    f"mongodb://{USER}:{ENCODED}@host/?nonsense={ENCODED}",
    f"mongodb://{USER}:{ENCODED}@host/?readPreference=nowhere",
    f"mongodb://host/?tls=true&tlsCertificateKeyFile=/nowhere&tlsCertificateKeyFilePassword={ENCODED}",
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("uri", WRONG_URIS, ids=range(len(WRONG_URIS)))
def test_a_uri_that_is_none_is_refused_and_not_shown(root: Path, tmp_path: Path, uri: str, place: str) -> None:
    """Exit 78, one sentence, none of the string."""
    words, more = given_by(place, uri, tmp_path)
    code, said = says("run", *words, **settings(root, "x"), **more)
    assert code == Exit.CONFIGURATION, said
    assert_no_canary(said)
    assert "Traceback" not in said


GOOD = f"mongodb://{USER}:{ENCODED}@127.0.0.1:1/"


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", GOOD],
        ["run", "--mongodb-url", GOOD],
        ["run", f"--mongodb-url={GOOD}"],
        ["run", "--mongodb-uri"],
        ["run", "--root", "--mongodb-uri", GOOD],
        ["run", "--mongodb-uri", GOOD, "--nonsense"],
        ["run", "--mongodb-uri", GOOD, GOOD],
        ["run", "--", "--mongodb-uri", GOOD],
        ["run", "--", f"--mongodb-uri={GOOD}"],
        ["run", "--config", GOOD],
        ["run", "--root", GOOD],
        ["run", "--collection", GOOD],
        ["run", "--poll-interval", GOOD],
        ["run", "--http", GOOD],
        ["run", "--mongodb-uri-file", GOOD],
        ["verify", GOOD],
        ["rejects", GOOD],
        ["rejects", "show", GOOD],
        ["rejects", "list", "--reason", GOOD],
        ["simulate", GOOD],
        [GOOD],
        ["--mongodb-uri", GOOD],
    ],
    ids=lambda words: " ".join(words).replace(GOOD, "URI"),
)
def test_on_a_command_line_that_is_off(root: Path, arguments: list[str]) -> None:
    """The connection string where none belongs, or beside a word that does: the error does not echo it."""
    env = settings(root, "x")
    code, said = says(*arguments, **env)
    assert code in {Exit.USAGE, Exit.CONFIGURATION}, said
    assert said
    assert_no_canary(said)


@pytest.mark.parametrize(
    "env",
    [
        {"TAILRACE_MONGO_URI": GOOD},
        {"TAILRACE_CONFIG": GOOD},
        {"TAILRACE_ROOT": GOOD},
        {"TAILRACE_MONGODB_URI_FILE": GOOD},
        {"TAILRACE_STATE_DIR": GOOD},
        {"TAILRACE_DATABASE": GOOD},
        {"TAILRACE_HTTP": GOOD},
    ],
    ids="".join,
)
def test_in_the_wrong_variable(root: Path, env: dict[str, str]) -> None:
    """The variable is named and its value is not shown."""
    code, said = says("check", **{"TAILRACE_MONGODB_URI": GOOD, **settings(root, "x"), **env})
    assert code == Exit.CONFIGURATION, said
    assert_no_canary(said)


@pytest.mark.parametrize(
    "text",
    [
        f'mongodb_url = "{GOOD}"\n',
        f"mongodb_uri = {GOOD}\n",
        f'mongodb_uri = "{GOOD}\n',
        f'mongodb_uri = ["{GOOD}"]\n',
        f'[mongodb]\nuri = "{GOOD}"\n',
        f'"{GOOD}" = 1\n',
        f'[[sources]]\nmongodb_uri = "{GOOD}"\n',
        f'database = "{GOOD}"\n',
    ],
)
def test_in_a_file_that_is_off(root: Path, tmp_path: Path, text: str) -> None:
    """A wrong key, no TOML, a wrong type: the file and the line are named, and nothing of the value."""
    file = tmp_path / "tailrace.toml"
    file.write_text(text)
    env = {name: value for name, value in settings(root, "x").items() if name != "TAILRACE_DATABASE"}
    code, said = says("check", "--config", str(file), **env)
    assert code == Exit.CONFIGURATION, said
    assert "tailrace.toml" in said
    assert_no_canary(said)


def test_with_a_server_that_is_not_there(unreachable: list[Started]) -> None:
    """Nobody listens, or the name cannot be resolved: exit 78 after some ten seconds, and the host's name."""
    for command, host, process in unreachable:
        said, _ = process.communicate(timeout=55)
        assert process.returncode == Exit.CONFIGURATION, (command, said)
        assert host.encode() in said
        assert b"Traceback" not in said
        assert_no_canary(said, command)


def test_while_the_server_is_killed_and_comes_back(
    tmp_path_factory: pytest.TempPathFactory, root: Path, tmp_path: Path, database_name: str
) -> None:
    """Logs at level debug, every page of the endpoint, the list of processes and the state, before and during an
    outage, with the password in a flag: it is nowhere. What the process was started with can be seen no longer."""
    server = Server(tmp_path_factory.mktemp("killed"), "--auth")
    server.start()
    try:
        with MongoClient[Any](server.uri) as client:
            client.admin.command("createUser", USER, pwd=CANARY, roles=["root"])
        env = settings(root, database_name, log_level="debug", http="127.0.0.1:0")
        with Run("--mongodb-uri", uri_of(server), *flags_of(env)) as run:
            url = run.wait_for("serving")["url"]
            run.wait_for("live")
            pages = [ask(url, path).body for path in ("/metrics", "/status", "/readyz", "/healthz")]
            server.kill()
            with (root / "hourly" / "20250310" / "9").open("ab") as file:
                file.write(trades(5, 5))
            run.wait_for("mongodb_trouble")
            pages += [ask(url, path).body for path in ("/metrics", "/status", "/readyz", "/healthz")]
            words = Path(f"/proc/{run.process.pid}/cmdline").read_bytes().split(b"\0")
            assert words[words.index(b"--mongodb-uri") + 1] == b"***"
            for path in (tmp_path / "state").iterdir():
                assert_no_canary(path.read_bytes(), path)
            server.start()
            run.wait_for("mongodb_back", timeout=40)
            stopped = run.stop()
        assert (stopped["inserted"], stopped["unaccounted"]) == (10, 0)
        assert any("process" in each["note"] for each in run.named("configuration"))  # the warning about the flag
        assert "mongodb" in "".join(pages)
        for said in ("".join(run.lines), *pages, repr(words)):
            assert_no_canary(said)
    finally:
        server.kill()


def test_a_failure_in_the_middle_of_a_command_shows_none(guarded: Server, root: Path, database_name: str) -> None:
    """A server that closes the connection, or refuses, in the middle of `verify` and of a replay."""
    uri = uri_of(guarded)
    env = settings(root, database_name, mongodb_uri=uri, write_timeout="2s", log_level="debug")
    assert says("run", "--once", **env)[0] == Exit.DONE
    admin = roles.as_user(guarded.uri, roles.ADMIN)
    for broken in ({"errorCode": 13}, {"errorCode": 8000}):
        with MongoClient[Any](admin) as client:
            data = {"failCommands": ["find", "aggregate"], **broken}
            client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})
            try:
                for command in (("verify",), ("rejects", "list"), ("check",)):
                    code, said = says(*command, **env, **collection())
                    assert code == Exit.CONFIGURATION, (command, said)
                    assert_no_canary(said, command)
            finally:
                client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def test_a_file_with_the_uri_that_others_can_read_is_warned_about(
    guarded: Server, root: Path, tmp_path: Path, database_name: str
) -> None:
    _, env = given_by("uri_file", uri_of(guarded), tmp_path)
    env |= settings(root, database_name)
    assert "others" not in says("check", **env)[1]
    (tmp_path / "uri_file.toml").chmod(0o644)
    code, said = says("check", **env)
    assert code == Exit.DONE
    assert "can be read by others than its owner: chmod 600 it" in said
    assert_no_canary(said)


def test_words_of_a_command_line() -> None:
    """Connection strings that an option takes stay, joined to it; others lose user and password; paths stay."""
    for words, expected in (
        (["run", "--mongodb-uri", GOOD], ["run", f"--mongodb-uri={GOOD}"]),
        (["run", "--mongodb-uri"], ["run", "--mongodb-uri"]),
        ([GOOD], ["mongodb://***@127.0.0.1:1/"]),
        (["--root", "/mnt/nas:/vol@1/a:b@c"], ["--root", "/mnt/nas:/vol@1/a:b@c"]),
        (["--", "--mongodb-uri", GOOD], ["--", "--mongodb-uri", "mongodb://***@127.0.0.1:1/"]),
    ):
        assert without_stray_secrets(words) == expected


def test_what_the_list_of_processes_shows_is_given_back() -> None:
    """Hidden words come back in their places; what holds no secret is shown."""
    plain = "mongodb://127.0.0.1:1/"
    for words, shown in (
        (["run", "--mongodb-uri", GOOD, "--once"], ["run", "--mongodb-uri", "***", "--once"]),
        ([f"--mongodb-uri={GOOD}", "--mongodb-uri", "***"], ["--mongodb-uri=***", "--mongodb-uri", "***"]),
        (["--mongodb-uri", plain], ["--mongodb-uri", plain]),
        (["--mongodb-uri"], ["--mongodb-uri"]),
        ([], []),
    ):
        hidden, secrets = without_secrets(words)
        assert hidden == shown
        assert with_secrets(hidden, secrets) == words


def test_a_text_of_the_driver_loses_every_secret_of_its_uri() -> None:
    uri = f"mongodb://{USER}:{ENCODED}@h/?tlsCertificateKeyFilePassword=x{ENCODED}&w=majority"
    assert scrub(f"{CANARY} and {ENCODED} and x{CANARY}, majority", uri) == "*** and *** and ***, majority"
