"""The metrics: what is declared, and what a scraper reads of it."""

from __future__ import annotations

import re

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.registry import REGISTRY
from tests.support.scrape import Scrape

from tailrace import __version__
from tailrace.ingest.mongo.health import HealthState
from tailrace.ingest.stats import SourceStats
from tailrace.model import Outcome, Reason
from tailrace.ops.metrics import METRICS, Exposition, Kind
from tailrace.ops.status import Moment, SourceMoment

UNITS = ("lines", "bytes", "entries", "spans", "files", "seconds", "rollovers")
WITHOUT_UNIT = {"tailrace_unaccounted", "tailrace_live", "tailrace_server_ok", "tailrace_server_retries"}


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
        assert set(metric.labels) <= {"source", "collection", "reason", "version", "python"}
        assert metric.help.endswith(".") or metric.name == "tailrace_build_info"


def test_figures_of_a_source() -> None:
    """Every figure of a source is the series that its name says, and they add up."""
    stats = stats_of(100, in_flight=30, rejects={Reason.JSON: 5, Reason.EMPTY: 2})
    stats.lost_bytes, stats.live = 11, True
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
    }
    for name, value in figures.items():
        assert read.value(f"tailrace_{name}", source="tokyo", collection="db.trades") == value, name
    of_sources = [metric.name for metric in METRICS if "source" in metric.labels]
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
