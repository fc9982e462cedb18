"""Every metric there is, each declared once: name, kind, labels, help, and where its value comes from.

`docs/metrics.md` is made from these declarations: `python -m tailrace.ops.metrics > docs/metrics.md`; a test compares.
Values are taken when somebody asks (`exposition`), from the figures that a moment holds: nothing is counted here, and a
scrape costs the ingestion nothing. Labels are bounded by the configuration and by `Reason`: never a path.
"""

from __future__ import annotations

import platform
import sys

from tailrace import __version__
from tailrace.model import Reason
from tailrace.ops import series
from tailrace.ops.documents import FORMAT
from tailrace.ops.metric import SOURCE, Kind, Metric, counter, gauge, histogram, of_process
from tailrace.ops.status import BEAT, HANG, ReloadOutcome

METRICS: tuple[Metric, ...] = (
    counter("tailrace_read_lines_total", "Lines read from hour files.", lambda s: s.lines_read),
    counter(
        "tailrace_settled_lines_total",
        "Lines of which everything is durably stored or kept aside.",
        lambda s: s.done.lines,
    ),
    gauge(
        "tailrace_in_flight_lines",
        "Lines read and not settled yet; after a drop of a collection, also those given up, until they are read again.",
        lambda s: s.lines_in_flight,
    ),
    counter("tailrace_read_bytes_total", "Uncompressed bytes read from hour files.", lambda s: s.bytes_read),
    counter("tailrace_settled_bytes_total", "Uncompressed bytes settled.", lambda s: s.bytes_settled),
    gauge("tailrace_in_flight_bytes", "Bytes read and not settled yet.", lambda s: s.bytes_read - s.bytes_settled),
    counter("tailrace_settled_spans_total", "Spans settled, one or more writes each.", lambda s: s.spans_settled),
    counter("tailrace_settled_entries_total", "Entries of the lines settled.", lambda s: s.entries_settled),
    counter("tailrace_inserted_entries_total", "Entries that became new documents.", lambda s: s.done.inserted),
    Metric(
        name="tailrace_duplicate_entries_total",
        kind=Kind.COUNTER,
        labels=(*SOURCE, "cause"),
        help="Entries proven to be stored already: `replay`, stored before this process sent them; `lost_reply`, by "
        "ourselves a moment ago, and the acknowledgement did not come; `repeated`, with content identity, twice in a "
        "span.",
        read=series.duplicates,
    ),
    Metric(
        name="tailrace_rejected_entries_total",
        kind=Kind.COUNTER,
        labels=(*SOURCE, "reason"),
        help="Entries and lines kept aside in the collection's rejects.",
        read=series.rejects,
    ),
    gauge(
        "tailrace_lag_bytes",
        "Bytes known to be in hour files and not settled yet, also in those that wait to be opened. An archive counts "
        "with its size on disk while it waits, then with what is in flight of it; what cannot be read is in "
        "`tailrace_locked_files`, not here.",
        lambda s: s.lag_bytes,
    ),
    gauge("tailrace_lag_seconds", "Age of the oldest of these bytes since it was noticed.", lambda s: s.lag_seconds),
    gauge(
        "tailrace_checkpoint_lag_bytes",
        "Bytes from the checkpoints that are saved to the known ends of the files.",
        lambda s: s.checkpoint_lag,
    ),
    gauge(
        "tailrace_checkpoint_age_seconds",
        "How long what is settled has waited to be saved in the local state; 0 when all is saved. A full disk, most "
        "often; a restart would read so much again.",
        lambda s: s.checkpoint_age,
    ),
    Metric(
        name="tailrace_newest_entry_timestamp_seconds",
        kind=Kind.GAUGE,
        labels=SOURCE,
        help="Event time of the newest entry stored; one over an hour ahead of this machine's clock does not count. "
        "Absent until an entry with an event time was stored.",
        read=series.newest(lambda s: s.newest_entry or 0.0),
    ),
    Metric(
        name="tailrace_entry_lag_seconds",
        kind=Kind.GAUGE,
        labels=SOURCE,
        help="How old that entry was when it was acknowledged, by this machine's clock: from the event to the "
        "database, the node's own delay included.",
        read=series.newest(lambda s: s.entry_lag),
    ),
    histogram("tailrace_write_seconds", "Insert commands, from sending to acknowledgement.", lambda s: s.write_seconds),
    histogram("tailrace_write_documents", "Documents of an insert command.", lambda s: s.write_documents),
    gauge(
        "tailrace_newest_hour_timestamp_seconds",
        "Start of the newest hour that has a file (when none is left: had one); 0: there never was any.",
        lambda s: s.newest_hour,
    ),
    gauge(
        "tailrace_missing_hours",
        "Hours, at most two days back from the newest, that have no file and that the collection does not know; none "
        "of a day whose folder cannot be listed.",
        lambda s: len(s.missing_hours),
    ),
    Metric(
        name="tailrace_missing_blocks",
        kind=Kind.GAUGE,
        labels=(*SOURCE, "framing"),
        help="Block numbers that were passed over, since the start. With `by_block` a node writes every block; with "
        "`streaming` those without events have no line.",
        read=series.blocks,
    ),
    Metric(
        name="tailrace_files",
        kind=Kind.GAUGE,
        labels=(*SOURCE, "state"),
        help="Hour files that are there: `waiting` to be opened, `following`, `sealed` (read to their end and idle), "
        "`unreadable`.",
        read=series.files,
    ),
    gauge("tailrace_open_files", "Hour files held open.", lambda s: s.files_open),
    gauge("tailrace_backlog_files", "Hour files with bytes that are not read yet.", lambda s: s.files_backlog),
    gauge(
        "tailrace_locked_files",
        "Files that cannot be opened and day folders that cannot be listed now; they are tried again.",
        lambda s: len(s.locked),
    ),
    counter("tailrace_rollovers_total", "Newer hour files that appeared while running.", lambda s: s.rollovers),
    counter(
        "tailrace_rewritten_files_total",
        "Hour files found cut or rewritten below what was read. Always worth a look.",
        lambda s: s.rewritten,
    ),
    counter(
        "tailrace_lost_bytes_total",
        "Bytes that vanished before they were stored. Anything but 0 is a loss; the log names the files.",
        lambda s: s.lost_bytes,
    ),
    gauge(
        "tailrace_unaccounted",
        "Lines read minus settled and in flight, plus entries settled minus inserted, duplicate and rejected, each "
        "without its sign. Must be 0: anything else is a defect of tailrace.",
        lambda s: s.imbalance(),
    ),
    gauge(
        "tailrace_live",
        "1 once everything that was there at the start is stored; 0 again after a drop of its collection, until then.",
        lambda s: s.live,
    ),
    of_process(
        "tailrace_server_ok",
        "1 while no operation on MongoDB is failing; 0 also when all of one kind, as writes, wait for 3 s unanswered.",
        lambda m: m.server.ok,
    ),
    of_process("tailrace_server_trouble_seconds", "How long the present trouble lasts, else 0.", lambda m: m.trouble),
    of_process(
        "tailrace_server_retries", "Failed attempts in the present trouble, else 0.", lambda m: m.server.retries
    ),
    Metric(
        name="tailrace_retries_total",
        kind=Kind.COUNTER,
        labels=("class",),
        help="Failed attempts on MongoDB that were repeated: `network`, `no_primary`, `timeout`, `overload`, "
        "`write_concern`, `operator`, `other`.",
        read=lambda m: [((kind,), count) for kind, count in m.retries.items()],
    ),
    Metric(
        name="tailrace_server_members",
        kind=Kind.GAUGE,
        labels=("kind",),
        help="Servers of the connection string and of its replica set, as the driver sees them.",
        read=series.members,
    ),
    of_process(
        "tailrace_server_primary",
        "1 while a server that takes writes is known.",
        lambda m: any(member.writable for member in m.members),
    ),
    of_process("tailrace_workers_busy", "Spans in flight.", lambda m: m.workers.busy),
    of_process(
        "tailrace_workers_allowed",
        "Spans that may be in flight now: as many as help (the concurrency limit).",
        lambda m: m.workers.allowed,
    ),
    of_process("tailrace_workers_limit", "Spans in flight at most (max_workers).", lambda m: m.workers.limit),
    of_process(
        "tailrace_in_flight_limit_bytes",
        "Bytes in flight at most, of all sources (max_in_flight_bytes).",
        lambda m: m.workers.size_limit,
    ),
    of_process("tailrace_ready", "1 while `/readyz` would say so, but for missing trees.", lambda m: m.ready),
    Metric(
        name="tailrace_reloads_total",
        kind=Kind.COUNTER,
        labels=("outcome",),
        help="Reloads of the configuration: `changed`, `unchanged`, `refused`, `failed`.",
        read=lambda m: [((each.value,), m.reloads.get(each.value, 0)) for each in ReloadOutcome],
    ),
    of_process(
        "tailrace_last_reload_ok",
        "0 while the last reload was refused or failed, or a source that it added did not start.",
        lambda m: m.last_reload is None or not m.last_reload.problems,
    ),
    of_process(
        "tailrace_loop_age_seconds",
        "Since the event loop last turned and these figures were taken. Over 5 s it hangs.",
        lambda m: m.age,
    ),
    of_process("tailrace_uptime_seconds", "Since the start, by the monotonic clock.", lambda m: m.uptime),
    Metric(
        name="tailrace_build_info",
        kind=Kind.GAUGE,
        labels=("version", "python", "codec"),
        help="1; the labels say what is running.",
        read=lambda moment: [((__version__, platform.python_version(), moment.codec), 1.0)],
    ),
)


# -- documentation ---------------------------------------------------------------------------------------------------

_PAGE = """\
# Metrics

<!-- Made by `python -m tailrace.ops.metrics`; a test compares. Edit src/tailrace/ops/metrics.py, not this page. -->

`tailrace run` serves them at `/metrics` of the address that the setting `http` names (default `127.0.0.1:9464`), in the
text format of Prometheus or in OpenMetrics, as the scraper asks. `run --once` and the other commands serve nothing.

- Counters start at 0 with the process. They and what is in flight are of one moment, at most {beat:g} s before the
  scrape, so they add up: lines read = settled + in flight; entries settled = inserted + duplicate + rejected.
  `tailrace_unaccounted` is the difference.
- Lag and checkpoints are measured every 0.25 s while lines come, at rest at least every 1.25 s, files and hours up to
  1 s later. A scrape has what was measured last.
- `source` and `collection` name one source together; `reason` is one of {reasons}, all of them present from the start.
- On Linux the usual `process_*` metrics (memory, CPU, descriptors) come with them.

| metric | kind | labels | meaning |
|---|---|---|---|
{rows}

## Health

| path | answers |
|---|---|
| `/healthz` | 200 while the event loop turns; once it has not for {hang:g} s, 503 with a sentence. |
| `/readyz` | 200 when start-up is over, there is a source, each finds its tree, nothing fails on MongoDB; else 503. |
| `/status` | 200 and JSON: sources with their figures and newest hour files, server, workers, problems. \
Of histograms it has sums and recent percentiles, of `process_*` nothing. |

`/readyz` and `/status` are JSON with a `format`, {format} at present: fields may be added to it, never change their
meaning. Both hold `ready` and `why`, a list of `code` and `sentence`:

| code | meaning |
|---|---|
| `loop_hangs` | `/healthz` is red as well |
| `starting` | MongoDB is being reached, collections and the ledger are being looked at |
| `waiting_for_root` | a source's stream directory is not there (yet) |
| `no_source` | a reload removed all sources and what it added did not start: nothing is stored until the next one |
| `unreadable` | a day folder cannot be listed or a file not opened: only an operator can mend that |
| `mongodb_trouble` | operations fail and are repeated, or none of a kind is answered for 3 s; nothing is lost |
| `mongodb_refuses` | operations fail, and only an operator can mend it: a password, a role, an option |

Every path answers GET and HEAD, without authentication: whoever reaches the address can read figures, paths of hour
files, and what MongoDB complains about; on the loopback a foreign name as `Host` gets 403 ([security.md](security.md)).
No answer holds a password or a connection string.
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
