"""TLS to mongod with an authority made for the tests: what works, and one sentence for each thing that does not."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from tests.support import roles
from tests.support.certificates import Authority
from tests.support.ingested import Tree, trades
from tests.support.servers import Server
from tests.support.tailrace_process import hour_file, tailrace

from tailrace.errors import Exit, ServerRefusesUs
from tailrace.ingest.mongo.connection import ServerOptions, connect, parse_write_concern
from tailrace.ingest.mongo.server import inspect

CANARY = "hush-hush"
SUBJECT = "OU=clients,O=tailrace,CN=tailrace"  # as MongoDB writes it
_PATIENCE = 3.0  # seconds; the driver tries again until they are over, whatever is wrong

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # PyMongo 4.20, after a failed handshake


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another authority, which nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Path:
    """tailrace's own certificate and key."""
    return authority.issue("client", "/CN=tailrace/O=tailrace/OU=clients")


class Place:
    """Where the server is. `uri` with the name of its certificate, the authority and our certificate."""

    def __init__(self, server: Server, authority: Authority, ours: Path) -> None:
        self.ours = f"&tlsCertificateKeyFile={ours}"
        self.plain = server.uri.replace("127.0.0.1", "localhost")
        self.trusting = f"{self.plain}&tls=true&tlsCAFile={authority.certificate}"
        self.uri = self.trusting + self.ours


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, authority: Authority, ours: Path) -> Iterator[Place]:
    """A mongod that wants TLS and a certificate of its authority. Its own is for `localhost`, not for 127.0.0.1."""
    certificate = authority.issue("server", "/CN=mongod/O=servers", alternative="DNS:localhost")
    files = ("--tlsCertificateKeyFile", str(certificate), "--tlsCAFile", str(authority.certificate))
    server = Server(tmp_path_factory.mktemp("tls"), "--tlsMode", "preferTLS", *files)
    server.start()
    try:
        user = {"createUser": SUBJECT, "roles": [{"role": "readWrite", "db": "hl"}]}
        server.command(user, "$external")
        server.command({"setParameter": 1, "tlsMode": "requireTLS"})
        with pytest.raises(PyMongoError), MongoClient[Any](server.uri, serverSelectionTimeoutMS=500) as client:
            client.admin.command("ping")
        yield Place(server, authority, ours)
    finally:
        server.kill()


async def look(uri: str, database: str = "hl") -> str:
    """What `check` does with the server; the version, or the refusal's sentence."""
    options = ServerOptions(
        uri=uri, database=database, collection="trades", write_concern=parse_write_concern("majority")
    )
    try:
        client = connect(options)
        try:
            return (await inspect(client, options, time_limit=_PATIENCE)).server_version
        finally:
            await client.close()
    except ServerRefusesUs as refusal:
        return str(refusal)


def test_run_and_verify_over_tls(tmp_path: Path, place: Place, database_name: str) -> None:
    """With the authority's file and our certificate in the URI everything works; counted over TLS as well."""
    tree = Tree(tmp_path, place.uri, database_name)
    tree.write("20250310/9", trades(0, 50))
    done = tailrace("run", "--once", *tree.options)
    assert done.returncode == Exit.DONE, done.stderr
    assert "holds a password" not in done.stderr  # the name of a file is none
    assert tree.verify().proven
    with tree.documents() as documents:
        assert documents.count_documents({}) == 50


async def test_a_certificate_can_be_the_user(place: Place, authority: Authority) -> None:
    """MONGODB-X509: the user is the subject of the certificate; one that the server does not know is told so."""
    x509 = place.uri.rpartition("@")[2].removeprefix("mongodb://") + "&authMechanism=MONGODB-X509"
    assert (await look(f"mongodb://{x509}")).startswith(("4.", "5.", "6.", "7.", "8."))
    other = authority.issue("other", "/CN=other/O=tailrace/OU=clients")
    known = x509.replace(place.ours, f"&tlsCertificateKeyFile={other}")
    assert "knows no user for the certificate of tlsCertificateKeyFile" in await look(f"mongodb://{known}")


async def test_each_refused_handshake_names_its_cause_and_the_setting(
    standalone: Server, place: Place, authority: Authority, stranger: Authority
) -> None:
    """Wrong host name, unknown authority, no certificate of ours or a stranger's, TLS on one side only: the host, the
    cause and what to set, in one line; nothing is sent to such a server. Side by side: each takes its whole time."""
    foreign = stranger.issue("foreign", "/CN=foreign")
    elsewhere = place.uri.partition("&")[2]
    cases = {
        place.uri.replace("localhost", "127.0.0.1"): "not for the name 127.0.0.1",
        place.uri.replace(str(authority.certificate), str(stranger.certificate)): "set tlsCAFile in mongodb_uri",
        f"{place.plain}&tls=true{place.ours}": "set tlsCAFile in mongodb_uri",
        place.trusting: "set tlsCertificateKeyFile in mongodb_uri",
        f"{place.trusting}&tlsCertificateKeyFile={foreign}": "set tlsCertificateKeyFile in mongodb_uri",
        place.plain: "set tls=true in mongodb_uri",
        f"{standalone.uri}&{elsewhere}": "remove tls=true from mongodb_uri",
    }
    sentences = await asyncio.gather(*map(look, cases))
    for (uri, expected), sentence in zip(cases.items(), sentences, strict=True):
        host = uri.rpartition("@")[2].removeprefix("mongodb://").partition("/")[0]
        assert expected in sentence, (uri, sentence)
        assert host in sentence
        assert "\n" not in sentence
        assert roles.PASSWORD not in sentence
    assert (await look(place.uri)).count(".") == 2  # the very same server is well
    gc.collect()  # so that the driver's warning comes here


async def test_an_expired_certificate_is_refused(authority: Authority) -> None:
    """A server whose certificate has expired: said so. A mongod does not start with one, so only TLS is spoken here."""
    shown = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("expired", "/CN=localhost", alternative="DNS:localhost", days=-1))
    context.sni_callback = lambda _socket, name, _context: shown.append(name)

    async def nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(nothing, "127.0.0.1", 0, ssl=context) as listener:
        port = listener.sockets[0].getsockname()[1]
        sentence = await look(f"mongodb://localhost:{port}/?tls=true&tlsCAFile={authority.certificate}")
    assert "localhost" in shown
    assert "its certificate has expired: renew it on the server" in sentence
    gc.collect()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    (folder / "text").write_text("no certificate\n")
    return {
        "missing": folder / "missing",
        "folder": folder,
        "text": folder / "text",
        "no_key": authority.certificate,
        "locked": authority.issue("locked", "/CN=locked", passphrase=CANARY),
    }


@pytest.mark.parametrize(
    ("option", "file", "more", "sentence"),
    [
        ("tlsCAFile", "missing", "", "cannot be read: No such file or directory"),
        ("tlsCAFile", "folder", "", "cannot be read: Is a directory"),
        ("tlsCAFile", "text", "", "does not hold a certificate"),
        ("tlsCRLFile", "missing", "", "cannot be read: No such file or directory"),
        ("tlsCertificateKeyFile", "missing", "", "cannot be read: No such file or directory"),
        ("tlsCertificateKeyFile", "text", "", "does not hold a certificate and its private key"),
        ("tlsCertificateKeyFile", "no_key", "", "does not hold a certificate and its private key"),
        ("tlsCertificateKeyFile", "locked", "", "and tlsCertificateKeyFilePassword is not set"),
        ("tlsCertificateKeyFile", "locked", f"x{CANARY}", "and tlsCertificateKeyFilePassword is not the right one"),
    ],
)
async def test_a_file_that_will_not_do_is_named(
    files: dict[str, Path], option: str, file: str, more: str, sentence: str
) -> None:
    """The option, the file and what is wrong with it, before any server is asked; a passphrase is not asked for."""
    password = f"&tlsCertificateKeyFilePassword={more}" if more else ""
    said = await look(f"mongodb://u:{CANARY}@localhost/?tls=true&{option}={files[file]}{password}")
    assert said.startswith(f"{option} = {files[file]} in mongodb_uri ")
    assert sentence in said
    assert CANARY not in said
    assert "\n" not in said


def test_the_command_line_says_it_with_exit_78(
    tmp_path: Path, files: dict[str, Path], place: Place, database_name: str
) -> None:
    """`run` and `verify` end with 78 and the sentence, without a traceback, and without asking on the terminal."""
    hour_file(tmp_path / "data", "20250310/9").write_bytes(trades(0, 1))
    uri = f"{place.trusting}&tlsCertificateKeyFile={files['locked']}"
    flags = ["--root", str(tmp_path / "data" / "node_trades"), "--database", database_name]
    for command in ("run", "verify"):
        done = tailrace(
            command, *flags, "--state-dir", str(tmp_path / "state"), "--log-format", "text", TAILRACE_MONGODB_URI=uri
        )
        assert done.returncode == Exit.CONFIGURATION, done.stderr
        said = done.stdout + done.stderr
        assert "tlsCertificateKeyFilePassword is not set" in said
        assert "Traceback" not in said
        assert "pass phrase" not in said
