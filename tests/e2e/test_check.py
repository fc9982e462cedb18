"""`tailrace check`: one clear sentence for each thing that can be wrong, exit 78, no traceback, no secret.

What it says of each area is in tests/unit/test_doctor_*.py; here it meets real servers, certificates, locks and limits.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support import roles
from tests.support.certificates import Authority
from tests.support.checked import PASSWORD, command, levels, refused, report
from tests.support.servers import ReplicaSet, Server
from tests.support.tailrace_process import Run, hour_file, tailrace

from tailrace.embedded import free_port
from tailrace.model import Framing
from tailrace.simulator import trade_lines


@pytest.fixture
def flags(tmp_path: Path, standalone: Server, database_name: str) -> dict[str, str]:
    hour_file(tmp_path / "data", "20250310/9").write_bytes(b"".join(trade_lines(1, 10, framing=Framing.BARE)))
    return {
        "--root": str(tmp_path / "data" / "node_trades"),
        "--mongodb-uri": standalone.uri,
        "--database": database_name,
        "--state-dir": str(tmp_path / "state"),
    }


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


def test_a_socket_that_is_not_there(flags: dict[str, str], tmp_path: Path) -> None:
    """Named by its path; what to do is about a socket, not about a network."""
    path = tmp_path / "mongod.sock"
    flags["--mongodb-uri"] = "mongodb://" + str(path).replace("/", "%2F")
    refused(command("check", flags), f"the socket {path} is not there", "net.unixDomainSocket")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))  # and nobody listens
    refused(command("check", flags), f"the socket {path} cannot be used (Connection refused)", "start mongod")


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
    nobody = {**flags, "--mongodb-uri": f"mongodb://{guarded}/?directConnection=true"}
    refused(command("check", nobody), "authentication", "names none")
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
    for name in ("check", "run"):
        refused(command(name, {**flags, "--source": "other"}), "node_trades", "other")


def snapshot(folder: Path) -> list[tuple[str, int, int, bytes]]:
    """Every name, mode, time of change and content."""
    return [
        (str(path), path.lstat().st_mode, path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    ]


def test_nothing_is_changed(flags: dict[str, str], tmp_path: Path) -> None:
    """The state that a killed run left, with commits in its log alone, the files, the collections: all as before."""
    given = [word for pair in flags.items() for word in pair]
    with Run(*given) as run:
        run.wait_for("live")
        run.kill()
    assert (tmp_path / "state" / "checkpoints.sqlite3-wal").stat().st_size > 0
    with MongoClient[dict[str, Any]](flags["--mongodb-uri"]) as client:
        database = client[flags["--database"]]

        def stored() -> dict[str, list[dict[str, Any]]]:
            return {name: [*database[name].find()] for name in sorted(database.list_collection_names())}

        before = snapshot(tmp_path), stored()
        assert before[1].keys() == {"node_trades", "node_trades.files", "node_trades.rejects"}
        found = report(flags, 0)
        assert (snapshot(tmp_path), stored()) == before
    assert "node_trades into" in found["state"][0][1]
    assert "run would continue" in found["ledger"][0][1]


def test_beside_a_run_that_is_at_work(flags: dict[str, str]) -> None:
    """It holds the state directory and serves the address: a note and no problem, and it goes on undisturbed. With
    another state directory the same source is another writer's: a problem, with its pid."""
    address = f"127.0.0.1:{free_port()}"
    given = [word for pair in flags.items() for word in pair]
    with Run(*given, "--http", address) as run:
        run.wait_for("live")
        found = report(flags, 0, "--http", address)
        assert levels(found, "problem") == set()
        assert f"pid {run.process.pid}" in found["state"][0][1]
        assert "served by the run that is at work" in found["http"][0][1]
        other = report({**flags, "--state-dir": flags["--state-dir"] + "2"}, 78, "--http", address)
        assert levels(other, "problem") == {"ledger", "http"}
        assert f"process {run.process.pid}" in other["ledger"][0][1]
        run.stop()


@pytest.fixture
def mortal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that the test starts heed the mode bits of files: root does not, unless it is told to."""
    if os.geteuid() != 0:
        return
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root reads every file, and there is no setpriv (util-linux) to make it heed the mode bits")
    python = tmp_path / "python"
    caps = "-dac_override,-dac_read_search"
    python.write_text(f'#!/bin/sh\nexec {setpriv} --inh-caps={caps} --bounding-set={caps} {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


@pytest.mark.usefixtures("mortal")
def test_one_problem_hides_no_other(flags: dict[str, str], tmp_path: Path) -> None:
    """A folder that may not be listed, a file that may not be read, a state directory below a file and a server that is
    down, all in one report; what depends on them is said not to have been looked at."""
    day = hour_file(tmp_path / "data", "20250311/0").parent
    locked = hour_file(tmp_path / "data", "20250310/8")
    locked.write_bytes(b"")
    locked.chmod(0o000)
    day.chmod(0o000)
    (tmp_path / "file").write_text("")
    port = free_port()
    broken = {"--state-dir": str(tmp_path / "file" / "state"), "--mongodb-uri": f"mongodb://127.0.0.1:{port}"}
    try:
        found = report({**flags, **broken}, 78)
    finally:
        day.chmod(0o755)
    assert levels(found, "problem") == {"root", "state_dir", "tcp"}
    said = " ".join(sentence for level, sentence in found["root"] if level == "problem")
    assert str(day) in said
    assert str(locked) in said
    assert f"127.0.0.1:{port} refuses" in found["tcp"][0][1]
    assert {"state", "disk", "roles", "ledger"} <= levels(found, "skipped")
    assert levels(found, "ok") >= {"configuration", "sample", "dns"}


@pytest.mark.usefixtures("mortal")
def test_files_of_the_state_that_may_not_be_written(flags: dict[str, str], tmp_path: Path) -> None:
    """As after one run with sudo, one of them is another user's: `run` cannot open it, and `check` says so, with the
    file, whose it is, and how to give it back. A killed run leaves all four."""
    with Run(*[word for pair in flags.items() for word in pair]) as run:
        run.wait_for("live")
        run.kill()
    assert levels(report(flags, 0), "problem") == set()
    names = {
        "lock": 0o000,
        "checkpoints.sqlite3": 0o400,
        "checkpoints.sqlite3-wal": 0o000,
        "checkpoints.sqlite3-shm": 0o000,
    }
    for name, mode in names.items():
        file = tmp_path / "state" / name
        before = file.stat().st_mode
        file.chmod(mode)
        found = report(flags, 78)
        [(_, sentence)] = found["state"]
        assert f"{file} (of " in sentence
        assert "may not be both read and written by" in sentence
        assert levels(found, "problem") == {"state"}, "the lease of the killed run is not called another writer's"
        refused(command("run", flags), str(tmp_path / "state"))
        file.chmod(before)


def test_a_root_that_may_not_be_looked_at_hides_no_other(flags: dict[str, str], tmp_path: Path) -> None:
    """A root that is a loop of links, and a server that is well: the whole report, with this one problem."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    found = report({**flags, "--root": str(tmp_path / "loop"), "--stream": "node_trades"}, 78)
    assert levels(found, "problem") == {"root"}
    assert {"roles", "collection", "ledger", "server_clock"} <= levels(found, "ok")
    assert "would catch up with what is there;" in found["ledger"][0][1]  # not with 0 files: nobody has counted them


@pytest.mark.parametrize("name", ["a..b", "a.system", "a.system.b", "system"])
def test_a_collection_that_mongodb_does_not_allow(flags: dict[str, str], name: str) -> None:
    """Refused with the key, and before anything is made: the server refuses the collection, or those beside it."""
    refused(command("check", {**flags, "--collection": name}), "collection", "--collection")


def test_hosts_that_never_answer_are_bounded_in_time(flags: dict[str, str], own_server: Server) -> None:
    """One that drops packets, one that is frozen, one without an address, one that refuses: each by its name and with
    its own reason, all within fifteen seconds."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        full, frozen, closed = door.getsockname()[1], own_server.process.port, free_port()
        before = [socket.socket() for _ in range(4)]  # they fill its queue, and the kernel drops whoever comes then
        for each in before:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", full))
        hosts = f"127.0.0.1:{full},127.0.0.1:{frozen},nowhere.invalid,127.0.0.1:{closed}"
        with own_server.frozen():
            began = time.monotonic()
            found = report({**flags, "--mongodb-uri": f"mongodb://{hosts}/"}, 78)
            took = time.monotonic() - began
        for each in before:
            each.close()
    assert took < 15
    tcp = " ".join(sentence for level, sentence in found["tcp"] if level == "problem")
    assert f"127.0.0.1:{full} does not answer within" in tcp
    assert f"127.0.0.1:{closed} refuses connections" in tcp
    assert "nowhere.invalid cannot be resolved" in found["dns"][0][1]
    assert f"127.0.0.1:{frozen} takes the connection and does not answer" in found["members"][0][1]


def test_a_state_directory_that_hangs(flags: dict[str, str], tmp_path: Path) -> None:
    """Whoever opens its lock never comes back, as on a dead network mount: one problem after ten seconds. The disk, on
    the same mount, is not waited for as long again."""
    (tmp_path / "state").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "state" / "lock")  # to open it waits for somebody who writes into it
    began = time.monotonic()
    found = report(flags, 78)
    took = time.monotonic() - began
    assert levels(found, "problem") == {"state_dir"}
    assert "no answer within 10 s" in found["state_dir"][0][1]
    assert levels(found, "skipped") >= {"state", "disk"}
    assert levels(found, "ok") >= {"root", "mongodb", "ledger"}
    assert took < 20


@contextmanager
def answering(context: ssl.SSLContext) -> Iterator[int]:
    """The port of somebody who speaks TLS and nothing else. Ends when the door is closed."""
    door = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                caller, _ = door.accept()
            except OSError:
                return
            with caller, suppress(OSError):
                context.wrap_socket(caller, server_side=True).close()

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield door.getsockname()[1]
    finally:
        door.shutdown(socket.SHUT_RDWR)
        door.close()
        server.join(10)


def test_certificates(flags: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """One for another name (with those that it is for), of an unknown authority, expired, soon to expire; a server that
    wants TLS, or a certificate of ours: each by its cause, and none of them is sent a password."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder, "authority")
    sound = authority.issue("sound", "/CN=sound", alternative="DNS:localhost")
    expired = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    expired.load_cert_chain(authority.issue("expired", "/CN=x", alternative="DNS:localhost", days=-1))
    server = Server(
        folder / "server", "--tlsMode", "preferTLS", "--tlsCertificateKeyFile", str(sound), "--tlsCAFile",
        str(authority.certificate),
    )  # fmt: skip
    server.start()
    try:
        server.command({"setParameter": 1, "tlsMode": "requireTLS"})
        user = f"{roles.PRODUCT}:{roles.PASSWORD}@" if server.guarded else ""
        with answering(expired) as old:
            here, tls = f"{server.process.port}/?directConnection=true", f"&tls=true&tlsCAFile={authority.certificate}"
            ours = f"{tls}&tlsCertificateKeyFile={sound}"
            cases = {
                f"mongodb://{user}localhost:{here}{ours}": (0, "expires in"),
                f"mongodb://127.0.0.1:{here}{ours}": (78, "not for the name 127\\.0\\.0\\.1; it is for localhost"),
                f"mongodb://localhost:{here}&tls=true": (78, "signed by an authority unknown here"),
                f"mongodb://localhost:{here}{tls}": (78, "client certificate|certificate of ours"),
                f"mongodb://localhost:{here}": (78, "it may want TLS"),
                f"mongodb://localhost:{old}/?directConnection=true{tls}": (78, "its certificate has expired"),
                f"mongodb://localhost:{here}{tls}x": (78, "cannot be read: No such file or directory"),
            }
            with ThreadPoolExecutor(2) as crowd:
                made = crowd.map(lambda uri: report({**flags, "--mongodb-uri": uri}, cases[uri][0]), cases)
                for (uri, (code, words)), found in zip(cases.items(), made, strict=True):
                    [(level, sentence)] = [said for said in found["tls"] if said[0] != "skipped"]
                    assert level == ("problem" if code else "note"), uri
                    assert re.search(words, sentence), (uri, sentence)
                    assert levels(found, "problem") == ({"tls"} if code else set())
    finally:
        server.kill()


def test_a_replica_set(flags: dict[str, str], replica_set: ReplicaSet) -> None:
    """Members that mongodb_uri does not name are found and asked; more acknowledgements than members are never had; one
    that hangs is named, and a majority is there without it."""
    secondary = replica_set.secondaries[0]
    named = replica_set.uri.replace(f",127.0.0.1:{replica_set.ports[2]}", "")
    assert named != replica_set.uri
    whole = {**flags, "--mongodb-uri": named}
    [members] = report(whole, 0)["members"]
    assert members[0] == "ok"
    assert [members[1].count(kind) for kind in (" primary", " secondary")] == [1, 2]
    hidden = roles.authenticated()  # the documented role may not read the set's configuration
    found = report({**whole, "--write-concern": "5+j"}, 0 if hidden else 78)
    assert found["write_concern"][0][0] == ("note" if hidden else "problem")
    assert "asks for 5 members, and the set has 3" in found["write_concern"][0][1]
    direct = {**flags, "--mongodb-uri": secondary.uri}
    assert "directConnection=true asks for no other" in report(direct, 78)["members"][0][1]
    with secondary.frozen():
        found = report({**flags, "--mongodb-uri": replica_set.uri}, 0)
    assert [level for level, _ in found["members"]] == ["note", "ok"]
    assert f":{secondary.process.port} takes the connection and does not answer" in found["members"][0][1]
    assert found["write_concern"][0][0] == "ok"


def test_five_members_asked_of_one(flags: dict[str, str]) -> None:
    """A standalone never acknowledges for two."""
    assert "standalone" in refused(command("check", {**flags, "--write-concern": "2+j"}), "write_concern")


def test_lines_framed_otherwise_than_the_name_says(flags: dict[str, str], tmp_path: Path) -> None:
    """Every line would be kept aside: a problem, with the endings that such a folder's name has."""
    hour_file(tmp_path / "data", "20250310/9").write_bytes(b"".join(trade_lines(1, 10, framing=Framing.BY_BLOCK)))
    refused(command("check", flags), "wrapped", "_by_block or _streaming")


def test_a_file_from_the_future(flags: dict[str, str], tmp_path: Path) -> None:
    """The clocks do not agree: worth knowing, and no reason not to start."""
    file = hour_file(tmp_path / "data", "20250310/9")
    os.utime(file, (time.time() + 3600,) * 2)
    found = report(flags, 0)
    assert any("in the future" in sentence for _, sentence in found["clock"])


def test_a_misspelt_stream(flags: dict[str, str], tmp_path: Path) -> None:
    """`run` would wait for it: a note, with the streams that are there and the one that was meant; exit 0."""
    done = command("check", {**flags, "--root": str(tmp_path / "data"), "--stream": "node_trade"})
    assert done.returncode == 0, done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("note    root")]
    assert "did you mean node_trades?" in line
    assert "run would start; 1 note(s)" in done.stdout
