"""`tailrace run` as those who watch it see it: figures against an independent count, red and green."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support.scrape import Reply, Scrape, ask
from tests.support.servers import Server
from tests.support.tailrace_process import Run, hour_file, tailrace, until

BAD = (b"not json\n", b"\n", b"\xff\xfe\n", b'{"coin":"ENA"}\n', b'{"_id":1}\n')
"""One line each for json, empty, utf8, missing, and a fifth whose reason is looked up, not assumed."""


def trade(number: int) -> bytes:
    side = {"user": "0x" + "1" * 40, "start_pos": "0.0", "oid": number, "twap_id": None, "cloid": None}
    entry = {
        "coin": "ENA",
        "side": "B",
        "time": "2025-03-10T11:24:42.070019819",
        "px": "0.4511",
        "sz": "2133.0",
        "hash": "0x" + "ab" * 32,
        "trade_dir_override": "Na",
        "side_info": [side, {**side, "oid": number + 1}],
    }
    return json.dumps(entry).encode() + b"\n"


class Watched:
    """One tree, one database, and `run` on them with its endpoint on a port of its own."""

    def __init__(self, root: Path, server: Server, database: str) -> None:
        self.root, self._server, self._database = root, server, database
        self.flags = (
            *("--root", str(root / "data"), "--stream", "node_trades", "--mongodb-uri", server.uri),
            *("--database", database, "--state-dir", str(root / "state"), "--poll-interval", "50ms"),
            *("--write-timeout", "1s", "--retry-max-delay", "200ms", "--shutdown-grace", "1s"),
        )
        self.namespace = f"{database}.node_trades"

    def start(self, *more: str) -> Run:
        return Run(*self.flags, "--http", "127.0.0.1:0", *more)

    def append(self, data: bytes, name: str = "20250310/11") -> None:
        with hour_file(self.root / "data", name).open("ab") as file:
            file.write(data)

    def counts(self) -> tuple[int, dict[str, int]]:
        """(documents, rejects by reason) as MongoDB has them."""
        with MongoClient[dict[str, Any]](self._server.uri) as client:
            database = client[self._database]
            by_reason = database["node_trades.rejects"].aggregate([{"$sortByCount": "$reason"}])
            return database["node_trades"].count_documents({}), {each["_id"]: each["count"] for each in by_reason}


@pytest.fixture
def watched(tmp_path: Path, standalone: Server, database_name: str) -> Watched:
    return Watched(tmp_path, standalone, database_name)


def url_of(run: Run) -> str:
    return str(run.wait_for("serving")["url"])


def scrape(url: str) -> Scrape:
    return Scrape(ask(url, "/metrics").body)


def codes(reply: Reply) -> list[str]:
    return [each["code"] for each in json.loads(reply.body)["why"]]


def test_figures_are_what_mongodb_has(watched: Watched) -> None:
    """Inserted and rejected by reason are what an independent count finds, lines and bytes what was written."""
    lines = [trade(number) for number in range(500)]
    written = b"".join(lines) + b"".join(BAD)
    watched.append(written)
    with watched.start() as run:
        url = url_of(run)
        run.wait_for("live")
        later = b"".join(trade(number) for number in range(1000, 1020))
        watched.append(later, "20250310/12")
        until(lambda: scrape(url).value("tailrace_settled_lines_total") == 525, what="all lines settled")
        read = scrape(url)
        documents, rejects = watched.counts()
        assert documents == 520
        assert sum(rejects.values()) == len(BAD)
        assert len(rejects) >= 4

        of = {"source": "node_trades", "collection": watched.namespace}
        assert read.value("tailrace_inserted_entries_total", **of) == documents
        for reason, count in rejects.items():
            assert read.value("tailrace_rejected_entries_total", reason=reason, **of) == count, reason
        assert read.value("tailrace_rejected_entries_total", **of) == len(BAD)
        assert read.value("tailrace_settled_entries_total", **of) == documents + len(BAD)
        assert read.value("tailrace_duplicate_entries_total", **of) == 0
        assert read.value("tailrace_read_lines_total", **of) == 525
        assert read.value("tailrace_read_bytes_total", **of) == len(written) + len(later)
        assert read.value("tailrace_settled_bytes_total", **of) == len(written) + len(later)
        for nothing in (
            "in_flight_lines",
            "in_flight_bytes",
            "unaccounted",
            "lost_bytes_total",
            "rewritten_files_total",
        ):
            assert read.value(f"tailrace_{nothing}", **of) == 0, nothing
        assert read.value("tailrace_rollovers_total", **of) == 1
        assert read.value("tailrace_live", **of) == 1
        until(lambda: scrape(url).value("tailrace_open_files", **of) == 2, what="both hours open")
        until(lambda: scrape(url).value("tailrace_lag_bytes", **of) == 0, what="no lag")

        status = json.loads(ask(url, "/status").body)
        (source,) = status["sources"]
        assert (status["ready"], status["server"]["ok"]) == (True, True)
        assert source["entries"]["inserted"] == documents
        assert {reason: count for reason, count in source["entries"]["rejects"].items() if count} == rejects
        assert source["file"].endswith("20250310/12")
        stopped = run.stop()
        assert (stopped["inserted"], stopped["rejected"]) == (documents, len(BAD))


def test_events_that_are_stored_already(watched: Watched) -> None:
    """A node that writes its blocks again: duplicates are what was written beyond what MongoDB has."""
    lines = [trade(number) for number in range(300)]
    watched.append(b"".join(lines))
    with watched.start("--identity", "content") as run:
        url = url_of(run)
        run.wait_for("live")
        watched.append(b"".join(lines[200:]))
        until(lambda: scrape(url).value("tailrace_settled_lines_total") == 400, what="all lines settled")
        read = scrape(url)
        assert read.value("tailrace_inserted_entries_total") == 300 == watched.counts()[0]
        assert read.value("tailrace_duplicate_entries_total") == 100
        assert read.value("tailrace_unaccounted") == 0


def test_the_newest_entry_is_the_last_that_came(watched: Watched) -> None:
    """Also when others came just before it and none does after; and one of the far future hides none that follows."""

    def at(moment: str) -> bytes:
        return trade(1).replace(b"2025-03-10T11:24:42.070019819", moment.encode())

    def newest() -> Any:
        return json.loads(ask(url, "/status").body)["sources"][0]["newest_entry"]["time"]

    watched.append(at("2025-03-10T11:00:00"))
    with watched.start() as run:
        url = url_of(run)
        run.wait_for("live")
        for second in range(1, 11):
            watched.append(at(f"2025-03-10T11:24:{second:02}"))
            time.sleep(0.02)  # a write each, as a node in a quiet market
        until(lambda: newest() == 1_741_605_850, what="the last of ten")
        watched.append(at("2100-01-01T00:00:00"))
        until(lambda: scrape(url).value("tailrace_settled_lines_total") == 12, what="an absurd time stored")
        watched.append(at("2025-03-10T11:24:11"))
        until(lambda: newest() == 1_741_605_851, what="the next")
        assert scrape(url).value("tailrace_entry_lag_seconds") > 0


def test_ready_when_the_root_is_there(watched: Watched) -> None:
    """Red and alive while the stream's tree is missing, with a sentence that names it; green once it is made."""
    with watched.start() as run:
        url = url_of(run)
        run.wait_for("waiting_for_root")
        until(lambda: codes(ask(url, "/readyz")) == ["waiting_for_root"], what="waiting for the root")
        reply = ask(url, "/readyz")
        assert reply.status == 503
        assert "node_trades" in reply.body
        assert str(watched.root / "data") in reply.body
        assert ask(url, "/healthz").status == 200
        watched.append(trade(1))
        until(lambda: ask(url, "/readyz").status == 200, what="ready")


def test_red_while_mongodb_is_frozen(tmp_path: Path, own_server: Server, database_name: str) -> None:
    """Red with the reason and for how long while MongoDB answers nothing, alive all the time; then green, exact."""
    watched = Watched(tmp_path, own_server, database_name)
    watched.append(trade(1))
    with watched.start() as run:
        url = url_of(run)
        run.wait_for("live")
        until(lambda: ask(url, "/readyz").status == 200, what="ready")
        with own_server.frozen():
            watched.append(trade(2))
            until(lambda: ask(url, "/readyz").status == 503, 30, "red")
            until(lambda: scrape(url).value("tailrace_server_trouble_seconds") > 1, 30, "trouble that lasts")
            reply = ask(url, "/readyz")
            assert codes(reply) == ["mongodb_trouble"]
            assert "MongoDB has been in trouble for" in reply.body
            assert ask(url, "/healthz").status == 200
            read = scrape(url)
            assert read.value("tailrace_server_ok") == 0
            assert read.value("tailrace_server_retries") >= 1
            assert read.value("tailrace_in_flight_lines") == 1
            assert read.value("tailrace_lag_seconds") > 1
            assert read.value("tailrace_unaccounted") == 0
            assert json.loads(ask(url, "/status").body)["server"]["verdict"] == "retry"
        until(lambda: ask(url, "/readyz").status == 200, 30, "green again")
        until(lambda: scrape(url).value("tailrace_settled_lines_total") == 2, what="both lines settled")
        read = scrape(url)
        assert (read.value("tailrace_server_ok"), read.value("tailrace_server_retries")) == (1, 0)
        entries = read.value("tailrace_inserted_entries_total") + read.value("tailrace_duplicate_entries_total")
        assert entries == 2 == watched.counts()[0]
        assert read.value("tailrace_unaccounted") == 0


def test_red_while_a_dropped_collection_may_not_be_made_again(
    watched: Watched, standalone: Server, database_name: str
) -> None:
    """Nothing of the source is read then, and whoever looks sees it: not ready, not live, and MongoDB's refusal in
    words. All clear once it is let, with everything stored."""
    watched.append(trade(1))
    with watched.start() as run, MongoClient[dict[str, Any]](standalone.admin_uri) as client:
        url = url_of(run)
        run.wait_for("live")
        until(lambda: scrape(url).value("tailrace_live") == 1, what="live")
        assert ask(url, "/readyz").status == 200
        with standalone.failing("create", errorCode=13):
            client[database_name].drop_collection("node_trades")
            run.wait_for("waiting_for_mongodb")
            watched.append(trade(2))
            until(lambda: scrape(url).value("tailrace_live") == 0, what="not live")
            until(lambda: scrape(url).value("tailrace_retries_total", **{"class": "operator"}) >= 2, what="attempts")
            read, reply = scrape(url), ask(url, "/readyz")
            assert (reply.status, codes(reply)) == (503, ["mongodb_refuses"])
            assert "does not permit what tailrace needs" in reply.body
            assert [read.value(f"tailrace_{name}") for name in ("ready", "server_ok", "live")] == [0, 0, 0]
            assert read.value("tailrace_server_retries") >= 2
        until(lambda: ask(url, "/readyz").status == 200, what="ready again")
        until(lambda: scrape(url).value("tailrace_live") == 1, what="live again")
        until(lambda: watched.counts()[0] == 2, what="all of it is stored")
        read = scrape(url)
        assert [read.value(f"tailrace_{name}") for name in ("ready", "server_ok", "server_retries")] == [1, 1, 0]
        run.stop()


def test_it_answers_while_it_starts(watched: Watched) -> None:
    """With a server that is not there: alive, not ready, and both reasons said; nothing of the password anywhere."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused and nobody else gets the port
        uri = f"mongodb://watcher:s3cret@127.0.0.1:{nobody.getsockname()[1]}/"
        with Run(*watched.flags[:4], *watched.flags[6:], "--mongodb-uri", uri, "--http", "127.0.0.1:0") as run:
            url = url_of(run)
            assert "starting" in codes(ask(url, "/readyz"))
            assert ask(url, "/healthz").status == 200
            answers = "".join(ask(url, path).body for path in ("/readyz", "/status", "/metrics"))
            assert "s3cret" not in answers


def test_a_busy_port_ends_the_start(watched: Watched) -> None:
    """Exit 78 and one sentence with the port and what to set, before MongoDB or the state directory are touched."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = tailrace("run", *watched.flags, "--http", address, "--log-format", "json", "--log-level", "error")
    assert done.returncode == 78, done.stderr
    (sentence,) = done.stderr.splitlines()
    event = json.loads(sentence)  # with JSON logs the last word is an event, too
    assert event["error"].startswith(f"http: cannot listen on {address}: ")
    assert "set http to" in event["error"]
    assert (event["event"], event["exit_code"]) == ("ended", 78)
    assert not (watched.root / "state").exists()
    with MongoClient[dict[str, Any]](watched._server.uri) as client:
        assert watched.namespace.partition(".")[0] not in client.list_database_names()


def test_off_and_once_serve_nothing(watched: Watched) -> None:
    """`--http off` listens nowhere; `--once` does not either, so it may run beside the one that serves."""
    watched.append(trade(1))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = tailrace("run", "--once", *watched.flags, "--http", address, "--log-format", "json")
        assert done.returncode == 0, done.stderr
        assert '"serving"' not in done.stderr
    with watched.start("--http", "off") as run:
        run.wait_for("live")
        assert run.named("serving") == []
        run.stop()
