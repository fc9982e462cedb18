"""Every metric there is, each declared once: name, kind, labels, help, and where its value comes from.

`docs/metrics.md` is made from these declarations: `python -m tailrace.ops.metrics > docs/metrics.md`; a test compares.
Values are taken when somebody asks (`Exposition`), from the figures that a moment holds: nothing is counted here, and a
scrape costs the ingestion nothing. Labels are bounded by the configuration and by `Reason`: never a path.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from tailrace import __version__
from tailrace.model import Reason
from tailrace.ops.status import BEAT, FORMAT, HANG, Moment, SourceMoment, Stats

_SOURCE = ("source", "collection")


class Kind(StrEnum):
    """A counter only grows, from 0 with the process; its name ends in `_total`. A gauge goes up and down."""

    COUNTER = "counter"
    GAUGE = "gauge"


Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values of the labels, in the order of `Metric.labels`, and the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`help` is one sentence for an operator."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    read: Callable[[Moment], Samples]


def _of_sources(kind: Kind, name: str, help_: str, value: Callable[[Stats], float]) -> Metric:
    def read(moment: Moment) -> Samples:
        return [(_labels(each), value(each.stats)) for each in moment.sources]

    return Metric(name=name, kind=kind, labels=_SOURCE, help=help_, read=read)


def _labels(source: SourceMoment) -> tuple[str, str]:
    return source.source, source.collection


def _counter(name: str, help_: str, value: Callable[[Stats], float]) -> Metric:
    return _of_sources(Kind.COUNTER, name, help_, value)


def _gauge(name: str, help_: str, value: Callable[[Stats], float]) -> Metric:
    return _of_sources(Kind.GAUGE, name, help_, value)


def _of_process(name: str, help_: str, value: Callable[[Moment], float]) -> Metric:
    return Metric(name=name, kind=Kind.GAUGE, labels=(), help=help_, read=lambda moment: [((), value(moment))])


def _rejects(moment: Moment) -> Samples:
    """All reasons, from the start: a series that appears with its first reject has no increase to alert on."""
    for source in moment.sources:
        for reason in Reason:
            yield (*_labels(source), reason.value), source.stats.done.rejects.get(reason, 0)


METRICS: tuple[Metric, ...] = (
    _counter("tailrace_read_lines_total", "Lines read from hour files.", lambda s: s.lines_read),
    _counter(
        "tailrace_settled_lines_total",
        "Lines of which everything is durably stored or kept aside.",
        lambda s: s.done.lines,
    ),
    _gauge("tailrace_in_flight_lines", "Lines read and not settled yet.", lambda s: s.lines_in_flight),
    _counter("tailrace_read_bytes_total", "Uncompressed bytes read from hour files.", lambda s: s.bytes_read),
    _counter("tailrace_settled_bytes_total", "Uncompressed bytes settled.", lambda s: s.bytes_settled),
    _gauge("tailrace_in_flight_bytes", "Bytes read and not settled yet.", lambda s: s.bytes_read - s.bytes_settled),
    _counter("tailrace_settled_spans_total", "Spans settled, one or more writes each.", lambda s: s.spans_settled),
    _counter("tailrace_settled_entries_total", "Entries of the lines settled.", lambda s: s.entries_settled),
    _counter("tailrace_inserted_entries_total", "Entries that became new documents.", lambda s: s.done.inserted),
    _counter(
        "tailrace_duplicate_entries_total",
        "Entries proven to be stored already: replays, and with content identity the same event again.",
        lambda s: s.done.duplicates,
    ),
    Metric(
        name="tailrace_rejected_entries_total",
        kind=Kind.COUNTER,
        labels=(*_SOURCE, "reason"),
        help="Entries and lines kept aside in the collection's rejects.",
        read=_rejects,
    ),
    _gauge("tailrace_lag_bytes", "Bytes known to be in hour files and not settled yet.", lambda s: s.lag_bytes),
    _gauge("tailrace_lag_seconds", "Age of the oldest of these bytes since it was noticed.", lambda s: s.lag_seconds),
    _gauge("tailrace_open_files", "Hour files held open.", lambda s: s.files_open),
    _gauge("tailrace_backlog_files", "Hour files with bytes that are not read yet.", lambda s: s.files_backlog),
    _gauge(
        "tailrace_locked_files",
        "Files that cannot be opened and day folders that cannot be listed now; they are tried again.",
        lambda s: len(s.locked),
    ),
    _counter("tailrace_rollovers_total", "Newer hour files that appeared while running.", lambda s: s.rollovers),
    _counter(
        "tailrace_rewritten_files_total",
        "Hour files found cut or rewritten below what was read. Always worth a look.",
        lambda s: s.rewritten,
    ),
    _counter(
        "tailrace_lost_bytes_total",
        "Bytes that vanished before they were stored. Anything but 0 is a loss; the log names the files.",
        lambda s: s.lost_bytes,
    ),
    _gauge(
        "tailrace_unaccounted",
        "Lines read minus settled and in flight, plus entries settled minus inserted, duplicate and rejected, each "
        "without its sign. Must be 0: anything else is a defect of tailrace.",
        lambda s: s.imbalance(),
    ),
    _gauge("tailrace_live", "1 once everything that was there at the start is stored.", lambda s: s.live),
    _of_process("tailrace_server_ok", "1 while no operation on MongoDB is failing.", lambda m: m.server.ok),
    _of_process("tailrace_server_trouble_seconds", "How long the present trouble lasts, else 0.", lambda m: m.trouble),
    _of_process(
        "tailrace_server_retries", "Failed attempts in the present trouble, else 0.", lambda m: m.server.retries
    ),
    _of_process(
        "tailrace_loop_age_seconds",
        "Since the event loop last turned and these figures were taken. Over 5 s it hangs.",
        lambda m: m.age,
    ),
    _of_process("tailrace_uptime_seconds", "Since the start, by the monotonic clock.", lambda m: m.uptime),
    Metric(
        name="tailrace_build_info",
        kind=Kind.GAUGE,
        labels=("version", "python"),
        help="1; the labels say what is running.",
        read=lambda _moment: [((__version__, platform.python_version()), 1.0)],
    ),
)


class _Declared(Collector):
    """The declared metrics with the values of the moment of the scrape."""

    def __init__(self, moment: Callable[[], Moment]) -> None:
        self._moment = moment

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        moment = self._moment()  # one for all metrics: they add up
        for metric in METRICS:
            make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
            family = make(metric.name, metric.help, labels=metric.labels)
            for labels, value in metric.read(moment):
                family.add_metric(labels, float(value))
            yield family


class Exposition:
    """What `/metrics` answers. A registry of its own: nothing is shared with the process that embeds us."""

    def __init__(self, moment: Callable[[], Moment]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Declared(moment))
        ProcessCollector(registry=self.registry)

    def render(self, accept: str) -> tuple[str, bytes]:
        """(content type, body) in the format that the header Accept asks for: Prometheus text, or OpenMetrics."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)


# -- documentation ---------------------------------------------------------------------------------------------------

_PAGE = """\
# Metrics

<!-- Made by `python -m tailrace.ops.metrics`; a test compares. Edit src/tailrace/ops/metrics.py, not this page. -->

`tailrace run` serves them at `/metrics` of the address that the setting `http` names (default `127.0.0.1:9464`), in the
text format of Prometheus or in OpenMetrics, as the scraper asks. `run --once` and the other commands serve nothing.

- Counters start at 0 with the process. Figures are at most {beat:g} s old, and all of one scrape are of one moment, so
  they add up: lines read = settled + in flight; entries settled = inserted + duplicate + rejected.
  `tailrace_unaccounted` is the difference.
- `source` and `collection` name one source together; `reason` is one of {reasons}, all of them present from the start.
- On Linux the usual `process_*` metrics (memory, CPU, descriptors) come with them.

| metric | kind | labels | meaning |
|---|---|---|---|
{rows}

## Health

| path | answers |
|---|---|
| `/healthz` | 200 while the event loop turns; once it has not for {hang:g} s, 503 with a sentence. |
| `/readyz` | 200 when start-up is over, each source finds its tree and nothing fails on MongoDB; else 503. |
| `/status` | 200 and all of the above as JSON: sources, server, version, uptime. |

`/readyz` and `/status` are JSON with a `format`, {format} at present: fields may be added to it, never change their
meaning. Both hold `ready` and `why`, a list of `code` and `sentence`:

| code | meaning |
|---|---|
| `loop_hangs` | `/healthz` is red as well |
| `starting` | MongoDB is being reached, collections and the ledger are being looked at |
| `waiting_for_root` | a source's stream directory is not there (yet) |
| `unreadable` | a day folder cannot be listed or a file not opened: only an operator can mend that |
| `mongodb_trouble` | operations fail and are being repeated; nothing is lost |
| `mongodb_refuses` | the same, but only an operator can mend it: a password, a role, an option |

Every path answers GET and HEAD, without authentication: whoever reaches the address can read figures, paths of hour
files, and what MongoDB complains about. No answer holds a password or a connection string.
"""


def page() -> str:
    """The whole of docs/metrics.md."""
    rows = "\n".join(
        f"| `{metric.name}` | {metric.kind.value} | {', '.join(f'`{label}`' for label in metric.labels) or '-'} "
        f"| {metric.help} |"
        for metric in METRICS
    )
    reasons = ", ".join(f"`{reason.value}`" for reason in Reason)
    return _PAGE.format(rows=rows, reasons=reasons, beat=BEAT, hang=HANG, format=FORMAT)


if __name__ == "__main__":
    sys.stdout.write(page())
