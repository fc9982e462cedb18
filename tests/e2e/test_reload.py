"""SIGHUP and `tailrace reload` against a real `run`: what changes, what is left, and what is said of it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import chdir
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from pymongo import MongoClient
from tests.support.notify import Manager
from tests.support.reloads import Place
from tests.support.servers import Server
from tests.support.tailrace_process import Run, environment, tailrace, until

from tailrace.ingest.state.holder import holder


@pytest.fixture
def place(tmp_path: Path, standalone: Server, database_name: str) -> Place:
    """With lines in the tree of source `a`, and a configuration that names it."""
    place = Place(tmp_path, standalone, database_name)
    place.append("a", 5)
    place.write(place.source("a"))
    return place


def live(place: Place, *flags: str) -> Run:
    run = place.start(*flags)
    run.wait_for("live")
    return run


# -- what is said ----------------------------------------------------------------------------------------------------


def test_a_limit_changes_and_the_files_tell(place: Place) -> None:
    """The command says what changed and exits 0; again: that nothing has. instance.json is there while it runs, for our
    user alone, and gone afterwards; reload.json tells the last outcome."""
    with live(place, "--http", "127.0.0.1:0") as run:
        note = place.state / "instance.json"
        until(note.exists)
        content = json.loads(note.read_text())
        assert (content["pid"], f"http://{content['http']}") == (run.process.pid, run.named("serving")[0]["url"])
        assert abs(time.time() - content["started"]) < 60
        assert stat.S_IMODE(note.stat().st_mode) == 0o600
        place.write(place.source("a"), poll_interval="2s", max_workers=4)
        done = place.reload()
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [
            "reloaded",
            "  changed poll_interval: 50ms -> 2s",
            "  changed max_workers: 16 -> 4",
        ]
        assert run.named("reloaded")[0]["changed"] == ["poll_interval: 50ms -> 2s", "max_workers: 16 -> 4"]
        again = place.reload()
        assert (again.returncode, again.stdout) == (0, "nothing has changed\n")
        outcome = json.loads((place.state / "reload.json").read_text())
        assert (outcome["pid"], outcome["outcome"], outcome["problems"]) == (run.process.pid, "unchanged", [])
        run.stop()
        assert not note.exists()


def test_an_invalid_file_changes_nothing(place: Place) -> None:
    """All its problems are said at once, by the command and in the log, exit 78; the former configuration stays and the
    ingestion goes on; mended, it is taken over. A file that is gone or no TOML is refused in the same way."""
    with live(place) as run:
        place.write(place.source("a"), poll_interval="never", max_workers=0, seal_after="1s", shoe_size="44")
        done = place.reload()
        assert (done.returncode, done.stderr) == (78, "")
        assert done.stdout.startswith("refused: nothing has changed\n")
        problems = [line for line in done.stdout.splitlines() if line.startswith("  PROBLEM ")]
        for name in ("poll_interval", "max_workers", "shoe_size"):
            assert sum(name in line for line in problems) == 1, done.stdout
        refused = run.wait_for("reload_refused")
        assert all(name in refused["why"] for name in ("poll_interval", "max_workers", "shoe_size"))
        assert "nothing has changed" in refused["meaning"]
        place.append("a", 5)
        place.until_stored(10)
        place.config.write_text("[[sources")
        assert place.reload().returncode == 78
        itself = tailrace("reload", "--config", str(place.config))  # which cannot learn the state directory from it
        assert itself.returncode == 78
        assert "not TOML" in itself.stderr
        assert "nothing has changed: no running tailrace was asked" in itself.stderr
        place.config.unlink()
        gone = place.reload()
        assert gone.returncode == 78
        assert str(place.config) in gone.stdout
        place.write(place.source("a"), seal_after="1s")
        assert "seal_after: 5m -> 1s" in place.reload().stdout
        run.stop()


def test_what_cannot_change_is_named_each_time(place: Place) -> None:
    """It is left as it was, and named again at the next reload; what can change beside it does. No secret is shown."""
    with live(place, "--write-concern", "majority") as run:
        place.write(place.source("a", start_at="end"), codec="python", watch="poll", seal_after="1s")
        left = [
            "  left    watch: auto -> poll needs a restart",
            "  left    codec: auto -> python needs a restart",
            f"  left    a -> {place.database}.node_trades, start_at: beginning -> end needs a restart",
        ]
        done = place.reload()
        assert done.returncode == 0
        assert done.stdout.splitlines() == ["reloaded", "  changed seal_after: 5m -> 1s", *left]
        again = place.reload()
        assert again.stdout.splitlines() == ["nothing has changed", *left]
        place.append("a", 5)
        place.until_stored(10)
        run.stop()


def test_without_a_run(place: Place) -> None:
    """Nobody runs on that directory: exit 70 and what to name, whether or not one ran there before."""
    for _ in range(2):
        done = place.reload()
        assert (done.returncode, done.stdout) == (70, "")
        assert f"no tailrace runs on the state directory {place.state}" in done.stderr
        assert "--state-dir" in done.stderr
        place.state.mkdir(exist_ok=True)
        (place.state / "lock").write_text("1 elsewhere\n")


def test_a_shorter_interval_is_not_waited_for(place: Place) -> None:
    """A look that was due in half a minute comes at once: of a source that is live, of one whose tree is awaited."""
    both = (place.source("a"), place.source("later"))
    place.write(*both, poll_interval="30s", watch="poll")
    with live(place) as run:
        run.wait_for("waiting_for_root")
        time.sleep(0.5)
        place.write(*both, poll_interval="50ms", watch="poll")
        assert "poll_interval: 30s -> 50ms" in place.reload().stdout
        place.append("a", 1)
        place.append("later", 2)
        until(lambda: place.stored() == 8, 10, what="a look at both")
        run.stop()


def test_logs_change_live(place: Place) -> None:
    """Level and format, also of loggers that were bound to a source long before the reload."""
    place.append("c", 5)
    both = (place.source("a"), place.source("c"))
    place.write(*both)
    log = place.directory / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tailrace", "run", "--http", "off", "--config", str(place.config)],
            stderr=out,
            env=environment(TAILRACE_MONGODB_URI=place.server.uri),
        )
    try:
        until(lambda: len(said(log, '"event": "live"')) == 2, what="live")
        place.write(*both, log_level="error")
        assert "log_level: info -> error" in place.reload().stdout
        place.append("a", [b"no entry\n"], "20250310/10")
        until(lambda: place.stored("node_trades.rejects") == 1, what="a reject")
        assert not said(log, "kept_aside"), "a warning, said while the level was error"
        place.write(*both, log_level="debug", log_format="text")
        assert "log_format: auto -> text" in place.reload().stdout
        place.append("c", [b"no entry\n"], "20250310/11")
        until(lambda: bool(said(log, "kept_aside")), what="a warning")
        (line,) = said(log, "kept_aside")
        assert not line.startswith("{")
        assert "source=c" in line
        assert said(log, "file_entered"), "the level debug"
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def said(log: Path, words: str) -> list[str]:
    """The lines of the log that hold these words."""
    return [line for line in log.read_text().splitlines() if words in line]


# -- sources ---------------------------------------------------------------------------------------------------------


def test_sources_come_and_go(place: Place) -> None:
    """One is added beside the first; removed it gives its account and is not read; added again it goes on where it
    stopped, without reading a line twice; removed again its name is free at once for another process."""
    place.append("b", 7)
    with live(place) as run:
        a, b = place.source("a"), place.source("b")
        name = f"b -> {place.database}.node_trades"
        place.write(a, b)
        assert f"  changed source {name} added" in place.reload().stdout
        place.until_stored(12)
        place.write(a)
        assert f"  changed source {name} removed" in place.reload().stdout
        account = run.wait_for("stopped")
        assert (account["source"], account["inserted"], account["lines_in_flight"]) == (name, 7, 0)
        place.append("b", 3)
        place.append("a", 1)
        place.until_stored(13)
        place.write(b, a)
        assert place.reload().returncode == 0
        place.until_stored(16)
        place.write(a)
        assert place.reload().returncode == 0
        account = run.wait_for("stopped", count=2)
        assert (account["source"], account["lines_read"], account["duplicates"]) == (name, 3, 0)
        begun = time.monotonic()
        flags = [word for key, value in b.items() for word in (f"--{key}", value)]
        other = ("--state-dir", str(place.directory / "elsewhere"), "--mongodb-uri", place.server.uri)
        done = tailrace("run", "--once", "--http", "off", "--database", place.database, *flags, *other)
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - begun < 9, "it waited for a lease that was not released"
        place.append("a", 1)
        place.until_stored(17)
        run.stop()


def test_a_tree_that_comes_later(place: Place) -> None:
    """A source whose tree does not exist is added all the same, and read as soon as it does."""
    with live(place) as run:
        place.write(place.source("a"), place.source("later"))
        assert place.reload().returncode == 0
        assert run.wait_for("waiting_for_root")["source"] == "later"
        place.append("later", 3)
        place.until_stored(8)
        run.stop()


def test_a_root_that_is_mistyped_for_a_while(place: Place) -> None:
    """The tree that a source was fed from stays its own: under another name every entry would be stored twice. A tree
    that comes while it is awaited is its own from then on."""
    a, b = place.source("a"), place.source("b")
    mistyped = place.source("b", root=str(place.directory / "mistyped"))
    place.append("b", 7)
    place.write(a, b)
    with live(place) as run:
        place.until_stored(12)
        place.write(a)
        assert place.reload().returncode == 0
        place.write(a, mistyped)
        assert place.reload().returncode == 0
        run.wait_for("waiting_for_root")
        place.write(a, {**b, "source": "renamed"})
        done = place.reload()
        assert done.returncode == 78, done.stdout
        assert "set source = 'b' again" in done.stdout
        place.append("mistyped", 3)
        place.until_stored(15)
        place.write(a, {**mistyped, "source": "renamed"})
        done = place.reload()
        assert done.returncode == 78, done.stdout
        assert "set source = 'b' again" in done.stdout
        run.stop()


def test_an_unfit_source_is_refused_whole(place: Place) -> None:
    """A capped collection: exit 78 with the sentence of a start, nothing else changes, the others go on."""
    with MongoClient[dict[str, Any]](place.server.uri) as client:
        client[place.database].create_collection("capped", capped=True, size=1 << 20)
    with live(place) as run:
        place.write(place.source("a"), place.source("b", collection="capped"), seal_after="1s")
        done = place.reload()
        assert done.returncode == 78
        assert f"{place.database}.capped is capped" in done.stdout
        place.append("a", 5)
        place.until_stored(10)
        place.write(place.source("a"))
        assert place.reload().stdout == "nothing has changed\n", "seal_after was not taken over with it"
        run.stop()


def test_a_name_that_another_process_holds(place: Place) -> None:
    """It is told, exit 70, whose it is; the others go on; once the other has stopped, a reload adds it."""
    place.append("b", 3)
    b = place.source("b")
    flags = [word for key, value in b.items() for word in (f"--{key}", value)]
    other_state = ("--state-dir", str(place.directory / "elsewhere"))
    with (
        Run(*flags, *other_state, "--database", place.database, "--mongodb-uri", place.server.uri) as other,
        live(place) as run,
    ):
        other.wait_for("live")
        place.write(place.source("a"), b, seal_after="1s")
        done = place.reload("--log-format", "json")
        assert done.returncode == 70, done.stdout
        assert "did not start" in done.stdout
        assert f"process {other.process.pid}" in done.stdout
        assert "changed seal_after: 5m -> 1s" in done.stdout
        assert "the other sources go on" in run.wait_for("source_not_started")["meaning"]
        place.append("a", 1)
        place.until_stored(9)
        other.stop()
        again = place.reload()
        assert again.returncode == 0
        assert f"source b -> {place.database}.node_trades added" in again.stdout
        place.append("b", 2)
        place.until_stored(11)
        run.stop()


def test_what_did_not_start_is_not_said_to_be_added(place: Place) -> None:
    """Among what changed stands only what did."""
    place.append("b", 3)
    with live(place) as run:
        a, b = place.source("a"), place.source("b", collection="other")
        for sources in ((a, b), (a,)):
            place.write(*sources)
            assert place.reload().returncode == 0
        place.write(a, {**b, "numbers": "double"})  # the collection has decimals
        done = place.reload()
        assert done.returncode == 70, done.stdout
        assert "did not start" in done.stdout
        assert "added" not in done.stdout
        assert lease(place, "b", "other") is None, "its name is free at once"
        run.stop()


def test_one_that_is_removed_while_it_begins_anew(place: Place) -> None:
    """Its collection was dropped and MongoDB does not let us make it again: its name is free at once, too."""
    place.append("b", 3)
    a, b = place.source("a"), place.source("b", collection="other")
    place.write(a, b)
    with place.start() as run:
        run.wait_for("live", count=2)
        assert lease(place, "b", "other")
        with place.server.failing("connectionStatus", errorCode=13):
            with MongoClient[dict[str, Any]](place.server.uri) as client:
                client[place.database]["other"].drop()
            run.wait_for("waiting_for_mongodb")
            place.write(a)
            assert place.reload().returncode == 0
        assert lease(place, "b", "other") is None
        place.append("a", 1)
        place.until_stored(6)
        run.stop()


def lease(place: Place, name: str, collection: str) -> dict[str, Any] | None:
    """Of that source, as its ledger has it now."""
    with MongoClient[dict[str, Any]](place.server.uri) as client:
        source = client[place.database][f"{collection}.files"].find_one({"_id": f"source/{name}"})
    assert source is not None
    return source.get("lease")


def test_another_source_in_place_of_the_only_one(place: Place) -> None:
    """The one is removed and the other added; the process goes on."""
    place.append("b", 3)
    with live(place) as run:
        place.write(place.source("b"))
        assert place.reload().returncode == 0
        place.until_stored(8)
        place.append("b", 2)
        place.until_stored(10)
        assert run.process.poll() is None
        run.stop()


def test_one_that_cannot_start_in_place_of_the_only_one(place: Place) -> None:
    """The only source moves to a collection that was filled with other numbers: exit 70; the process stays without a
    source, says so wherever it is asked, and the next reload that adds one is carried out."""
    other = place.source("a", collection="old")
    place.write({**other, "numbers": "double"})
    with live(place) as run:
        run.stop()
    place.write(place.source("a"))
    with live(place, "--http", "127.0.0.1:0") as run:
        url = run.named("serving")[0]["url"]
        place.write(other)
        done = place.reload()
        assert done.returncode == 70, done.stdout
        assert "numbers" in done.stdout
        failed = run.wait_for("source_not_started")
        assert "no source is followed" in failed["meaning"]
        assert "go on" not in failed["meaning"]
        with pytest.raises(HTTPError) as red:
            urlopen(f"{url}/readyz", timeout=5).close()
        with red.value as answer:
            assert [each["code"] for each in json.load(answer)["why"]] == ["no_source"]
        told = tailrace("status", "--url", url)
        assert "no source is followed" in told.stdout, told.stdout
        place.append("a", 1)
        place.write(place.source("a"))
        assert place.reload().returncode == 0
        place.until_stored(6)
        with urlopen(f"{url}/readyz", timeout=5) as answer:
            assert answer.status == 200
        run.stop()


def test_one_that_waits_in_place_of_the_only_one(place: Place) -> None:
    """A reload that comes while the new one waits for its lease is carried out, and adds it once the lease is free.
    While there is no other a stop is a stop. Nothing of it is an error."""
    place.append("b", 3)
    with live(place) as run:
        hold(place, "b", seconds=4)
        place.write(place.source("b"))
        run.process.send_signal(signal.SIGHUP)
        run.wait_for("waiting_for_lease")
        place.write(place.source("b"), seal_after="7s")
        run.process.send_signal(signal.SIGHUP)
        done = run.wait_for("reloaded", count=2)
        assert done["changed"] == ["seal_after: 5m -> 7s", f"source b -> {place.database}.node_trades added"]
        place.until_stored(8)
        hold(place, "c", seconds=60)
        place.write(place.source("c"))
        run.process.send_signal(signal.SIGHUP)
        until(lambda: run.named("waiting_for_lease")[-1]["source"] == "c", what="it waits again")
        run.stop()
        assert not errors(run)
        assert ["source b" in each["why"] for each in run.named("reload_cut_short")] == [True, False]
        assert lease(place, "c", "node_trades") is not None, "which is another's"


def hold(place: Place, name: str, *, seconds: float) -> None:
    """The lease of that source, as another process that was killed just now left it."""
    expires = datetime.now(UTC) + timedelta(seconds=seconds)
    lease = {"instance": "other", "session": "other", "host": "elsewhere", "pid": 4711, "expires": expires}
    with MongoClient[dict[str, Any]](place.server.uri) as client:
        files = client[place.database]["node_trades.files"]
        files.update_one({"_id": f"source/{name}"}, {"$set": {"lease": lease}}, upsert=True)


def test_an_added_source_has_the_new_limits(place: Place) -> None:
    """What changes in the same reload holds for it, too."""
    place.append("b", [place.lines(1)[0].replace(b"{", b'{"long": "' + b"x" * 3000 + b'", ', 1)])
    with live(place) as run:
        place.write(place.source("a"), place.source("b"), max_line_bytes="1KiB")
        assert place.reload().returncode == 0
        assert run.wait_for("kept_aside")["reasons"] == {"too_long": 1}
        run.stop()


def test_a_source_that_mongodb_refuses_blocks_nobody(place: Place) -> None:
    """While it waits for its lease, others go on, and a reload that takes it away again is done."""
    with live(place) as run:
        with place.server.failing("findAndModify", errorCode=13):
            place.write(place.source("a"), place.source("b"))
            place.reload(timeout="1500ms")
            place.append("a", 1)
            place.until_stored(6)
            place.write(place.source("a"), seal_after="1s")
            done = place.reload(timeout="4s")
            assert done.returncode == 0, done.stderr
        run.stop()


# -- at odd moments --------------------------------------------------------------------------------------------------


def test_during_start_up(tmp_path: Path, own_server: Server, database_name: str) -> None:
    """A reload that is asked for while MongoDB does not answer yet is done when the start is over."""
    place = Place(tmp_path, own_server, database_name)
    place.append("a", 5)
    place.write(place.source("a"))
    with own_server.frozen():
        run = place.start()
        until(lambda: bool(run.named("starting")) and holder(place.state) == run.process.pid, what="a start")
        place.write(place.source("a"), seal_after="1s")
        run.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert not run.named("reloaded")
    with run:
        assert run.wait_for("reloaded")["changed"] == ["seal_after: 5m -> 1s"]
        place.until_stored(5)
        run.stop()


def test_in_its_first_moments(place: Place) -> None:
    """Nothing ends by it: ignored before anything big is imported, and done after the start from when the configuration
    is being read."""
    place.config.unlink()
    os.mkfifo(place.config)
    with place.start() as run:
        process = Path(f"/proc/{run.process.pid}")
        loaded, ignored = "", False
        while not ignored:
            assert run.process.poll() is None
            loaded = (process / "maps").read_text()
            words = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
            ignored = bool(int(words["SigIgn"], 16) >> (signal.SIGHUP - 1) & 1)
        assert "pydantic" not in loaded
        run.process.send_signal(signal.SIGHUP)
        with place.config.open("w") as pipe:  # it is reading it
            run.process.send_signal(signal.SIGHUP)
            time.sleep(0.1)
            place.write(place.source("a"))
            pipe.write(place.config.read_text())
            place.write(place.source("a"), seal_after="1s")
        assert run.wait_for("reloaded")["changed"] == ["seal_after: 5m -> 1s"]
        run.stop()


def test_two_at_once_and_a_storm(place: Place) -> None:
    """Two commands both end well; of fifty signals the last one's file holds, and nothing is lost of what comes
    meanwhile. That one comes while a source is being added is no error."""
    with live(place) as run:
        command = [sys.executable, "-m", "tailrace", "reload", "--state-dir", str(place.state), "--timeout", "20s"]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) for _ in range(2)]
        assert [(each.communicate(timeout=30)[0], each.returncode) for each in both] == [
            ("nothing has changed\n", 0)
        ] * 2
        for number in range(50):
            some = [place.source("a"), place.source("b")][: 1 + number % 2]
            place.write(*some, seal_after=f"{number + 1}s")
            run.process.send_signal(signal.SIGHUP)
            place.append("a", 1)
        until(lambda: any(_ends(each, "50s") for each in run.named("reloaded")), what="the last one's file")
        assert not run.named("reload_refused")
        assert not errors(run)
        place.until_stored(55)
        run.stop()


def errors(run: Run) -> list[dict[str, Any]]:
    return [each for each in run.events if each.get("level") == "error"]


def _ends(event: dict[str, Any], text: str) -> bool:
    return any(each.endswith(text) for each in event["changed"])


def test_a_stop_in_the_middle_of_a_reload(place: Place) -> None:
    """SIGTERM while a removed source drains: what was to be added does not start, and the process ends."""
    place.append("c", 5)
    place.append("b", 5)
    place.write(place.source("a"), place.source("c"))
    with place.start("--shutdown-grace", "10s") as run:
        run.wait_for("live", count=2)
        place.write(place.source("a"), place.source("b"))
        with place.server.failing("insert", blockConnection=True, blockTimeMS=2000):
            place.append("c", 1)
            time.sleep(0.7)
            place.append("a", 1)
            time.sleep(0.3)
            run.process.send_signal(signal.SIGHUP)
            time.sleep(0.3)
            run.process.send_signal(signal.SIGTERM)
            assert run.ended(12) == 0
        assert not errors(run)
    assert place.stored() >= 12


def test_the_outcome_is_that_of_the_file_as_it_is(place: Place) -> None:
    """A reload asked for while one goes on: what is told is what became of the file of now, not of then."""
    place.append("c", 5)
    place.write(place.source("a"), place.source("c"))
    with place.start("--shutdown-grace", "10s") as run:
        run.wait_for("live", count=2)
        with place.server.failing("insert", blockConnection=True, blockTimeMS=3000):
            place.append("c", 1)
            time.sleep(0.3)
            place.write(place.source("a"))
            run.process.send_signal(signal.SIGHUP)  # it drains for seconds
            time.sleep(0.5)
            place.write(place.source("a"), seal_after="7s")
            done = place.reload()
        assert "seal_after: 5m -> 7s" in done.stdout, done.stdout
        run.stop()


def test_a_process_that_ends_meanwhile(place: Place) -> None:
    """The command does not wait for the outcome of a process that is gone: it says so, exit 70."""
    place.append("c", 5)
    place.write(place.source("a"), place.source("c"))
    flags = ("--config", str(place.config), "--mongodb-uri", place.server.uri, "--shutdown-grace", "20s")
    with Manager(place.directory / "notify") as manager, Run(*flags, NOTIFY_SOCKET=manager.name) as run:
        run.wait_for("live", count=2)
        with place.server.failing("insert", blockConnection=True, blockTimeMS=9000):
            place.append("c", 1)
            time.sleep(0.3)
            place.write(place.source("a"))
            words = [sys.executable, "-m", "tailrace", "reload", "--state-dir", str(place.state), "--timeout", "50s"]
            asking = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment())
            manager.wait_for("RELOADING=1")  # and c drains
            time.sleep(0.3)
            assert asking.poll() is None
            run.kill()
            killed = time.monotonic()
            said = asking.communicate(timeout=40)[1]
        assert asking.returncode == 70
        assert time.monotonic() - killed < 10
        assert f"process {run.process.pid} has ended meanwhile" in said


def test_a_working_directory_that_is_gone(place: Place) -> None:
    """That `run` was started in it, or `tailrace reload` is, keeps nothing from being reloaded."""
    begun, other = place.directory / "release-41", place.directory / "release-42"
    for each in (begun, other):
        each.mkdir()
    with chdir(begun):
        run = live(place)
    with run:
        begun.rmdir()
        place.write(place.source("a"), seal_after="7s")
        inside = ["sh", "-c", 'rmdir "$0" && exec "$@"', str(other), sys.executable, "-m", "tailrace", "reload"]
        for directory, code in (("state", 78), (str(place.state), 0)):
            other.mkdir(exist_ok=True)
            done = subprocess.run(
                [*inside, "--state-dir", directory, "--timeout", "10s"],
                cwd=other,
                capture_output=True,
                text=True,
                env=environment(),
                check=False,
            )
            assert done.returncode == code, done.stderr
            assert ("which was removed" in done.stderr) == (code == 78), done.stderr
            assert ("changed seal_after: 5m -> 7s" in done.stdout) == (code == 0)
        assert place.reload().returncode == 0
        run.stop()


def test_a_pid_that_comes_again(place: Place) -> None:
    """In a container every process has the same pid: what a former one left behind is not taken for an answer, and does
    not hide ours."""
    with live(place) as run:
        left = {"pid": run.process.pid, "number": 7, "outcome": "changed", "changed": ["of a former process"]}
        (place.state / "reload.json").write_text(json.dumps(left))
        done = place.reload(timeout="3s")
        assert (done.returncode, done.stdout) == (0, "nothing has changed\n")
        run.stop()


def test_a_process_that_does_not_reload_is_left_alone(tmp_path: Path, own_server: Server, database_name: str) -> None:
    """`run --once` holds the directory, too: the command says that it does not reload, and it goes on."""
    place = Place(tmp_path, own_server, database_name)
    place.append("a", 100)
    place.write(place.source("a"))
    with own_server.frozen():
        run = place.start("--once")
        until(lambda: holder(place.state) == run.process.pid, what="a start")
        done = place.reload(timeout="500ms")
        assert done.returncode == 70, done.stdout
    with run:
        assert run.ended() == 0
    assert place.stored() == 100


def test_a_terminal_that_is_gone_stops_it(place: Place) -> None:
    """SIGHUP of a terminal that hung up is no reload: what is in flight is stored, and the name is free at once."""
    primary, secondary = os.openpty()
    code = (
        "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        "os.execv(sys.executable, [sys.executable, '-m', 'tailrace', *sys.argv[1:]])"
    )
    flags = ("--http", "off", "--config", str(place.config), "--mongodb-uri", place.server.uri)
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", *flags],
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        env=environment(),
    )
    try:
        os.close(secondary)
        place.until_stored(5)
        until((place.state / "instance.json").exists, what="the end of its start")
        os.close(primary)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
    assert not (place.state / "instance.json").exists()
    assert not (place.state / "reload.json").exists()
    other = ("--state-dir", str(place.directory / "elsewhere"))
    begun = time.monotonic()
    assert tailrace("run", "--once", *flags, *other).returncode == 0
    assert time.monotonic() - begun < 9, "the lease was not released"
