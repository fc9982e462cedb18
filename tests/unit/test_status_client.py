"""How `status` asks an instance: every failure is one sentence with the address, and nothing is asked on the way."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.canned_instance import Canned, history, serving, status

from tailrace.commands.watching.place import instance_of
from tailrace.config import Address
from tailrace.errors import Exit, UsageError
from tailrace.ops import notes
from tailrace.ops.client import (
    Place,
    Unanswered,
    fetch_history,
    fetch_status,
    listening,
    must_understand,
    place_of,
)


@pytest.fixture
def canned() -> Iterator[Canned]:
    with serving() as instance:
        yield instance


@contextmanager
def saying(answer: bytes) -> Iterator[Place]:
    """A program that says this to the first who connects, whatever is asked, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Place(host="127.0.0.1", port=listener.getsockname()[1])
        thread.join(5)


def failure(place: Place, timeout: float = 5) -> str:
    with pytest.raises(Unanswered) as raised:
        fetch_status(place, timeout=timeout)
    assert raised.value.exit_code == Exit.FAILURE
    (sentence,) = str(raised.value).splitlines()
    assert str(place) in sentence
    assert sentence.isprintable()
    return sentence


def test_an_answer_is_what_was_told(canned: Canned) -> None:
    """Both documents arrive as they were told."""
    place = place_of(canned.url)
    assert fetch_status(place) == status()
    assert fetch_history(place) == history()


def test_a_name_that_the_loopback_does_not_answer_to() -> None:
    """What a tailrace says to a foreign Host (403) is not taken for another program: the sentence says how to ask."""
    with saying(b"HTTP/1.0 403 Forbidden\r\nServer: tailrace\r\n\r\n") as place:
        sentence = failure(place)
    assert "another program" not in sentence
    assert "answers to an address or localhost only" in sentence


def test_no_proxy_of_the_environment_is_asked(canned: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance on this machine is asked itself, whatever http_proxy says."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetch_status(place_of(canned.url))["pid"] == 4711
    ((path, _headers),) = canned.asked
    assert path == "/status"


def test_an_older_instance_has_no_history(canned: Canned) -> None:
    """404 for /history is no failure."""
    canned.tell(status())
    assert fetch_history(place_of(canned.url)) is None


def test_nothing_listens() -> None:
    """The address, and whether `run` runs."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        place = Place(host="127.0.0.1", port=nobody.getsockname()[1])
        assert "is `tailrace run` running" in failure(place)


def test_a_program_that_says_nothing() -> None:
    """The time-out ends it, and is said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = Place(host="127.0.0.1", port=listener.getsockname()[1])
        assert "nothing came within 0.2 s" in failure(place, timeout=0.2)


def test_a_program_that_never_ends_its_answer() -> None:
    """A byte now and then keeps no one waiting: the time-out is for the whole answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while not over.wait(0.05):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        sentence = failure(Place(host="127.0.0.1", port=listener.getsockname()[1]), timeout=0.3)
        over.set()
        thread.join(5)
    assert "nothing came within" in sentence


def test_a_program_that_says_too_much() -> None:
    """What never ends does not fill the memory."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def flood() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                try:
                    while True:
                        connection.sendall(b" " * 65536)
                except OSError:
                    return

        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        sentence = failure(Place(host="127.0.0.1", port=listener.getsockname()[1]), timeout=30)
        thread.join(5)
    assert "another program" in sentence


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00\xff\x1b[2J\r\n\r\n", b"220 mail ESMTP\r\n"])
def test_a_program_that_does_not_speak_http(answer: bytes) -> None:
    """Another service behind that port is told from a tailrace."""
    with saying(answer) as place:
        assert "another program does, and not in HTTP" in failure(place)


def test_a_connection_that_breaks_off() -> None:
    """Said as what it is."""
    with saying(b"") as place:
        assert "broken off" in failure(place)


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (200, b"<html>hello</html>"),
        (200, b"[1]"),
        (200, b'{"status": "up"}'),
        (200, b'{"format": true}'),
        (200, b"\xff\xfe\x00"),
        (200, b"[" * 100_000),
        (200, b'{"format": ' + b"9" * 5_000 + b"}"),
        (404, b"Not here"),
        (302, b""),
    ],
)
def test_another_program_that_speaks_http(canned: Canned, code: int, body: bytes) -> None:
    """A web server, or any other JSON, is no tailrace: one sentence, no traceback."""
    canned.answers["/status"] = (code, body)
    assert "another program does" in failure(place_of(canned.url))


def test_an_instance_that_fails_to_answer(canned: Canned) -> None:
    """500 leads to its log."""
    canned.answers["/status"] = (500, b"This could not be answered; the log says why.\n")
    assert "its log says why" in failure(place_of(canned.url))


def test_a_version_that_is_not_understood(canned: Canned) -> None:
    """Which version is spoken, which is understood, and what to do; a hostile version name stays text."""
    canned.tell({**status(), "format": 2, "version": "9.0\x1b[2J"})
    told = fetch_status(place_of(canned.url))
    with pytest.raises(Unanswered) as raised:
        must_understand(told, place_of(canned.url))
    sentence = str(raised.value)
    assert "9.0\\x1b[2J" in sentence
    assert "version 2 of /status, and this one understands version 1" in sentence
    must_understand(status(), place_of(canned.url))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://127.0.0.1:9464", "http://127.0.0.1:9464"),
        ("http://127.0.0.1:9464/", "http://127.0.0.1:9464"),
        ("http://127.0.0.1:9464/status", "http://127.0.0.1:9464"),
        ("node-1:9465", "http://node-1:9465"),
        ("node-1", "http://node-1:9464"),
        ("http://node-1", "http://node-1:80"),
        ("https://ops.example/tailrace/", "https://ops.example:443/tailrace"),
        ("[::1]:9464", "http://[::1]:9464"),
    ],
)
def test_what_an_operator_may_type(url: str, place: str) -> None:
    """With and without scheme, port, and path."""
    assert str(place_of(url)) == place


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://a",
        "http://",
        "http://a:99999",
        "http://a:0",
        "http://a:b",
        "http://a b",
        "http://a/?x",
        "h\x1b[2J",
        "é",
    ],
)
def test_what_is_no_address(url: str) -> None:
    """A usage error that shows it, escaped."""
    with pytest.raises(UsageError) as raised:
        place_of(url)
    assert "is no address such as http://127.0.0.1:9464" in str(raised.value)
    assert str(raised.value).isprintable()


def test_a_password_is_not_repeated() -> None:
    """A URL with a user is refused, without showing it."""
    with pytest.raises(UsageError) as raised:
        place_of("http://watcher:s3cret@127.0.0.1:9464")
    assert "s3cret" not in str(raised.value)
    assert "watcher" not in str(raised.value)


@pytest.mark.parametrize(("host", "asked"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.5", "10.0.0.5")])
def test_an_instance_that_listens_everywhere_is_asked_on_the_loopback(host: str, asked: str) -> None:
    """0.0.0.0 is where one listens, not where one asks."""
    assert listening(Address(host, 9464)).host == asked


def test_json_is_read_whole(canned: Canned) -> None:
    """An answer of a megabyte, as of many sources, arrives whole."""
    big = {**status(), "sources": [status()["sources"][0]] * 150}
    canned.tell(big)
    assert len(json.dumps(big)) > 1_000_000
    assert fetch_status(place_of(canned.url)) == big


# -- what an instance wrote down -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "null", '{"pid": "x"}', '{"pid": 99999999999999999999, "http": "127.0.0.1:1"}', '{"pid": -1}'),
        *('{"pid": true}', '{"pid": 1.5e308}', "[" * 100_000),
        json.dumps({"pid": 1, "http": "no address"}),
    ],
)
def test_a_damaged_instance_file_is_as_none(tmp_path: Path, content: str) -> None:
    """Whatever is in it, the setting http is what remains."""
    file = tmp_path / notes.INSTANCE
    file.write_text(content)
    assert instance_of(file) == (None, None)
    assert instance_of(tmp_path / "none") == (None, None)
    assert instance_of(tmp_path) == (None, None)


def test_an_instance_file_is_believed_while_its_process_lives(tmp_path: Path) -> None:
    """Ours lives; without http it serves nothing, and that is known."""
    file = tmp_path / notes.INSTANCE
    file.write_text(json.dumps({"pid": os.getpid(), "http": "127.0.0.1:9470", "started": 1.0}))
    assert instance_of(file) == (os.getpid(), Address("127.0.0.1", 9470))
    file.write_text(json.dumps({"pid": os.getpid(), "http": None, "started": 1.0}))
    assert instance_of(file) == (os.getpid(), None)
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    file.write_text(json.dumps({"pid": gone.pid, "http": "127.0.0.1:9470", "started": 1.0}))
    assert instance_of(file) == (None, None)
