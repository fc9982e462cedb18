"""The metrics: what is declared, and what a scraper reads of it."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.registry import REGISTRY, Collector, CollectorRegistry
from pymongo.hello import Hello
from pymongo.server_description import ServerDescription
from tests.support.scrape import Scrape

from tailrace import __version__
from tailrace.ingest.instance import Workers
from tailrace.ingest.mongo import topology
from tailrace.ingest.mongo.health import HealthState
from tailrace.ingest.mongo.topology import Member
from tailrace.ingest.stats import SourceStats
from tailrace.model import DuplicateCause, MemberKind, Outcome, Reason
from tailrace.ops.exposition import Exposition, Process
from tailrace.ops.metric import Kind
from tailrace.ops.metrics import METRICS
from tailrace.ops.status import Moment, Reload, ReloadOutcome, SourceMoment

HELLOS: dict[str, dict[str, Any]] = {
    "Unknown": {},
    "Standalone": {},
    "Mongos": {"msg": "isdbgrid"},
    "RSPrimary": {"setName": "rs0", "isWritablePrimary": True},
    "RSSecondary": {"setName": "rs0", "secondary": True},
    "RSArbiter": {"setName": "rs0", "arbiterOnly": True},
    "RSOther": {"setName": "rs0", "hidden": True},
    "RSGhost": {"isreplicaset": True},
}
"""What servers say of themselves, by the driver's name for them."""

UNITS = (
    *("lines", "bytes", "entries", "spans", "files", "seconds", "rollovers", "documents", "hours", "blocks"),
    *("retries", "reloads", "members"),
)
WITHOUT_UNIT = {
    *("tailrace_unaccounted", "tailrace_live", "tailrace_ready", "tailrace_server_ok", "tailrace_server_primary"),
    *("tailrace_workers_busy", "tailrace_workers_allowed", "tailrace_workers_limit", "tailrace_last_reload_ok"),
}
BOUNDED = {"source", "collection", "reason", "cause", "framing", "state", "class", "kind", "outcome"}


def stats_of(lines: int, *, in_flight: int = 0, rejects: dict[Reason, int] | None = None) -> SourceStats:
    """So many one-entry lines of ten bytes read, all but `in_flight` settled in one span."""
    stats = SourceStats(lag_bytes=7, lag_seconds=1.5, files_open=2, files_backlog=1, rollovers=3, rewritten=4)
    stats.locked = ["/data/a"]
    stats.read(lines, lines * 10)
    settled, rejects = lines - in_flight, rejects or {}
    outcome = Outcome(lines=settled, inserted=settled - sum(rejects.values()) - 1, duplicates=1, rejects=rejects)
    stats.settled(settled, settled * 10, settled, outcome)
    return stats


def moment_of(*sources: SourceMoment, server: HealthState | None = None) -> Moment:
    state = server or HealthState(ok=True)
    return Moment(uptime=12.5, age=0.1, server=state, trouble=0.0 if state.ok else 9.0, sources=sources)


def scrape(moment: Moment, accept: str = "") -> Scrape:
    _type, body = Exposition(lambda: moment).render(accept)
    return Scrape(body.decode())


def test_declarations_keep_the_conventions() -> None:
    """Names are `tailrace_<noun>_<unit>`, counters end in `_total`, no name is there twice, no label is unbounded."""
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"tailrace(_[a-z]+)+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        stem = metric.name.removesuffix("_total")
        assert stem.endswith((*UNITS, "_info")) or metric.name in WITHOUT_UNIT
        assert set(metric.labels) <= BOUNDED or metric.name == "tailrace_build_info"
        assert metric.help.endswith(".") or metric.name == "tailrace_build_info"


def test_figures_of_a_source() -> None:
    """Every figure of a source is the series that its name says, and they add up."""
    stats = stats_of(100, in_flight=30, rejects={Reason.JSON: 5, Reason.EMPTY: 2})
    stats.lost_bytes, stats.live = 11, True
    stats.stream = "node_trades_by_block"
    stats.files_waiting, stats.files_following, stats.files_sealed, stats.files_unreadable = 1, 2, 3, 4
    stats.newest_hour, stats.missing_hours, stats.missing_blocks = 7200, (3600,), 5
    stats.newest_entry, stats.entry_lag, stats.checkpoint_age, stats.checkpoint_lag = 9.5, 0.25, 0.5, 8
    read = scrape(moment_of(SourceMoment("tokyo", "db.trades", stats)))
    figures = {
        "read_lines_total": 100,
        "settled_lines_total": 70,
        "in_flight_lines": 30,
        "read_bytes_total": 1000,
        "settled_bytes_total": 700,
        "in_flight_bytes": 300,
        "settled_spans_total": 1,
        "settled_entries_total": 70,
        "inserted_entries_total": 62,
        "duplicate_entries_total": 1,
        "rejected_entries_total": 7,
        "lag_bytes": 7,
        "lag_seconds": 1.5,
        "open_files": 2,
        "backlog_files": 1,
        "locked_files": 1,
        "rollovers_total": 3,
        "rewritten_files_total": 4,
        "lost_bytes_total": 11,
        "unaccounted": 0,
        "live": 1,
        "files": 10,
        "newest_hour_timestamp_seconds": 7200,
        "missing_hours": 1,
        "missing_blocks": 5,
        "newest_entry_timestamp_seconds": 9.5,
        "entry_lag_seconds": 0.25,
        "checkpoint_age_seconds": 0.5,
        "checkpoint_lag_bytes": 8,
    }
    for name, value in figures.items():
        assert read.value(f"tailrace_{name}", source="tokyo", collection="db.trades") == value, name
    assert read.value("tailrace_files", state="sealed") == 3
    assert read.value("tailrace_missing_blocks", framing="by_block") == 5
    of_sources = [metric.name for metric in METRICS if "source" in metric.labels and metric.kind is not Kind.HISTOGRAM]
    assert {f"tailrace_{name}" for name in figures} == set(of_sources), "a metric that no test looks at"


def test_every_reason_is_there_from_the_start() -> None:
    """An alert on an increase needs the 0 before it."""
    read = scrape(moment_of(SourceMoment("a", "db.a", SourceStats())))
    for reason in Reason:
        assert read.value("tailrace_rejected_entries_total", reason=reason.value) == 0
    assert len([name for name, _labels in read.series if name == "tailrace_rejected_entries_total"]) == len(Reason)


def test_what_is_not_accounted_for_is_seen() -> None:
    """A line that vanished between reading and settling, and an entry without an outcome, are not 0."""
    stats = stats_of(100)
    stats.lines_read += 1
    stats.entries_settled -= 2
    assert scrape(moment_of(SourceMoment("a", "db.a", stats))).value("tailrace_unaccounted") == 3


def test_one_source_name_in_two_collections() -> None:
    """They are two series: one alone would hide the other, and a double one would spoil the whole scrape."""
    one, two = SourceMoment("a", "db.one", stats_of(10)), SourceMoment("a", "db.two", stats_of(20))
    read = scrape(moment_of(one, two))
    assert read.value("tailrace_read_lines_total", collection="db.one") == 10
    assert read.value("tailrace_read_lines_total", collection="db.two") == 20


def test_the_process_and_its_server() -> None:
    """Trouble is a 0, how long it lasts, and how often it was tried; the build is in labels."""
    well = scrape(moment_of())
    assert [well.value(f"tailrace_server_{name}") for name in ("ok", "trouble_seconds", "retries")] == [1, 0, 0]
    ill = scrape(moment_of(server=HealthState(ok=False, since=1.0, sentence="no primary", retries=4)))
    assert [ill.value(f"tailrace_server_{name}") for name in ("ok", "trouble_seconds", "retries")] == [0, 9, 4]
    assert ill.value("tailrace_build_info", version=__version__) == 1
    assert ill.value("tailrace_uptime_seconds") == 12.5
    assert ill.value("tailrace_loop_age_seconds") == 0.1
    assert ill.value("process_resident_memory_bytes") > 1e6
    assert set(ill.families) >= {metric.name.removesuffix("_total") for metric in METRICS if not metric.labels}


def exposed(collector: Collector) -> str:
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_the_process_where_proc_has_processes_only(tmp_path: Path) -> None:
    """`ProcSubset=pid` of the unit takes /proc/stat away: the same figures come all the same, and the same start."""
    (tmp_path / "self").symlink_to("/proc/self")
    assert Path("/proc/stat").exists(), "the other has it"
    narrow, usual = (Scrape(exposed(Process(proc=proc, registry=None))) for proc in (str(tmp_path), "/proc"))
    assert set(narrow.families) == set(usual.families)
    assert len(usual.families) >= 6
    start = "process_start_time_seconds"
    assert narrow.value(start) == pytest.approx(usual.value(start), abs=2), "/proc/stat has whole seconds"


def test_the_start_does_not_move() -> None:
    """What the alert of restarts counts the changes of: one value for as long as the process lives."""
    exposition = Exposition(moment_of)
    starts = {Scrape(exposition.render("")[1].decode()).value("process_start_time_seconds") for _ in range(3)}
    (start,) = starts
    assert 0 <= time.time() - start < 3600


def test_openmetrics_for_who_asks_for_it() -> None:
    """The format follows the header Accept; both are what their own parsers accept."""
    moment = moment_of(SourceMoment('odd "name"\\', "db.a", stats_of(10)))
    exposition = Exposition(lambda: moment)
    content_type, body = exposition.render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    parsed = openmetrics.text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call]  # not ours
    families = {family.name for family in parsed}
    assert families >= {metric.name.removesuffix("_total") for metric in METRICS if metric.kind is Kind.COUNTER}
    content_type, body = exposition.render("text/html, */*")
    assert content_type.startswith("text/plain; version=0.0.4")
    assert Scrape(body.decode()).value("tailrace_read_lines_total", source='odd "name"\\') == 10


def test_nothing_is_global() -> None:
    """Two expositions in one process do not know of each other, nor does the library's own registry of them."""
    one, two = Exposition(moment_of), Exposition(moment_of)
    assert one.registry is not two.registry
    assert one.render("")[1]
    assert two.render("")[1]
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("tailrace")]


def test_duplicates_say_why() -> None:
    """All causes from the start, and together they are the duplicates."""
    stats = SourceStats()
    stats.settled(0, 0, 9, Outcome(duplicates=9, lost_reply=4, repeated=2))
    read = scrape(moment_of(SourceMoment("a", "db.a", stats)))
    causes = {cause: read.value("tailrace_duplicate_entries_total", cause=cause.value) for cause in DuplicateCause}
    assert causes == {DuplicateCause.REPLAY: 3, DuplicateCause.LOST_REPLY: 4, DuplicateCause.REPEATED: 2}


def test_write_histograms() -> None:
    """Cumulative buckets that end in all, their sum, and their number: what histogram_quantile needs."""
    stats = SourceStats()
    for seconds, documents in ((0.0008, 1), (0.004, 100), (0.004, 100), (99.0, 5000)):
        stats.wrote(seconds, documents)
    read = scrape(moment_of(SourceMoment("a", "db.a", stats)))
    buckets = {"0.001": 1, "0.0025": 1, "0.005": 3, "30.0": 3, "+Inf": 4}
    assert {le: read.value("tailrace_write_seconds_bucket", le=le) for le in buckets} == buckets
    assert read.value("tailrace_write_seconds_count") == 4
    assert read.value("tailrace_write_seconds_sum") == pytest.approx(99.0088)
    assert read.value("tailrace_write_documents_bucket", le="100.0") == 3
    assert read.value("tailrace_write_documents_sum") == 5201


def test_what_is_not_known_is_not_there() -> None:
    """No lag before the first entry with an event time, no missing blocks where lines have no block: 0 would lie."""
    read = scrape(moment_of(SourceMoment("a", "db.a", SourceStats(stream="node_trades"))))
    names = {name for name, _labels in read.series}
    absent = {"tailrace_entry_lag_seconds", "tailrace_newest_entry_timestamp_seconds", "tailrace_missing_blocks"}
    assert not names & absent


@pytest.mark.parametrize("hello", HELLOS)
def test_every_server_is_counted(hello: str) -> None:
    """Whatever the driver takes a server for, its kind is one that the metric has: none is left out of the sum."""
    described = ServerDescription(("a", 1), Hello({"ok": 1, **HELLOS[hello]}) if hello != "Unknown" else None)
    assert described.server_type_name == hello
    read = scrape(replace(moment_of(), members=(topology._member(described),)))
    assert read.value("tailrace_server_members") == 1


def test_the_servers_and_the_workers() -> None:
    """Members by kind, all kinds; whether one takes writes; retries by class; spans in flight, allowed, at most."""
    secondary = Member("b:1", "secondary", 0.001, "")
    moment = replace(
        moment_of(),
        members=(Member("a:1", "primary", 0.001, ""), secondary),
        workers=Workers(busy=1, allowed=2, limit=16, size=3, size_limit=4),
        retries={"timeout": 2, "network": 0},
        last_reload=Reload(at=1.0, outcome=ReloadOutcome.REFUSED, problems=("no",)),
        reloads={"refused": 1},
        codec="native",
    )
    read = scrape(moment)
    assert read.value("tailrace_server_members", kind="secondary") == 1
    kinds = {dict(labels)["kind"] for name, labels in read.series if name == "tailrace_server_members"}
    assert kinds == set(MemberKind)
    assert read.value("tailrace_server_primary") == 1
    assert scrape(replace(moment, members=(secondary,))).value("tailrace_server_primary") == 0
    workers = [read.value(f"tailrace_workers_{name}") for name in ("busy", "allowed", "limit")]
    assert (workers, read.value("tailrace_in_flight_limit_bytes")) == ([1, 2, 16], 4)
    assert (read.value("tailrace_retries_total", **{"class": "timeout"}), read.value("tailrace_last_reload_ok")) == (
        2,
        0,
    )
    assert read.value("tailrace_reloads_total", outcome="refused") == 1
    assert read.value("tailrace_reloads_total", outcome="changed") == 0
    assert read.value("tailrace_build_info", codec="native") == 1
