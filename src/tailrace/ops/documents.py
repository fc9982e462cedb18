"""What a running tailrace is doing, for machines: the JSON of `/status` and `/readyz`. Pure.

Names end in their unit: `_s` is seconds, `_ms` milliseconds. Nothing secret is in it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tailrace import __version__
from tailrace.model import DuplicateCause, Reason
from tailrace.ops.history import History
from tailrace.ops.logs import redact
from tailrace.ops.recent import Problem
from tailrace.ops.seen import Hour, Member, Stats
from tailrace.ops.status import Moment, Obstacle, Reload, SourceMoment
from tailrace.words import duration_words, hour_words

FORMAT = 1
"""Version of the JSON of `/status` and `/readyz`: a field that changes its meaning or goes away makes it 2."""

_MISSING = 100  # hours that are named
_OLD = 2 * 3600 + 300  # seconds since the newest hour began, as in the alert TailraceNoNewHour
_IDLE = 60.0  # seconds


def readiness_document(obstacles: list[Obstacle]) -> dict[str, Any]:
    """The JSON of `/readyz`."""
    why = [{"code": obstacle.code, "sentence": obstacle.sentence} for obstacle in obstacles]
    return {"format": FORMAT, "ready": not why, "why": why}


def document(
    moment: Moment,
    obstacles: list[Obstacle],
    *,
    history: History | None = None,
    hours: Mapping[str, Sequence[Hour]] | None = None,
    problems: Sequence[Problem] = (),
) -> dict[str, Any]:
    """The JSON of `/status`. `hours`: None when the event loop did not tell."""
    history = history or History()
    return {
        **readiness_document(obstacles),
        "version": __version__,
        "codec": moment.codec,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "now": round(time.time(), 3),
        "uptime_s": round(moment.uptime, 3),
        "figures_age_s": round(moment.age, 3),
        "server": _server(moment),
        "workers": {
            "busy": moment.workers.busy,
            "allowed": moment.workers.allowed,
            "limit": moment.workers.limit,
            "in_flight_bytes": moment.workers.size,
            "in_flight_limit_bytes": moment.workers.size_limit,
        },
        "reload": {"count": sum(moment.reloads.values()), "last": _reload(moment.last_reload)},
        "problems": [_problem(each) for each in problems],
        "sources": [
            _source(each, history, None if hours is None else hours.get(each.name, ())) for each in moment.sources
        ],
    }


def _server(moment: Moment) -> dict[str, Any]:
    server = moment.server
    return {
        "ok": server.ok,
        "trouble_s": round(moment.trouble, 3),
        "verdict": None if server.verdict is None else server.verdict.value,
        "sentence": redact(server.sentence),
        "retries": server.retries,
        "retries_by_class": dict(moment.retries),
        "version": moment.server_version,
        "topology": moment.topology,
        "members": [_member(each) for each in moment.members],
    }


def _member(member: Member) -> dict[str, Any]:
    return {
        "address": member.address,
        "kind": member.kind,
        "rtt_ms": None if member.round_trip is None else round(1000 * member.round_trip, 2),
        "error": redact(member.error),
    }


def _reload(reload: Reload | None) -> dict[str, Any] | None:
    if reload is None:
        return None
    return {
        "at": round(reload.at, 3),
        "outcome": reload.outcome.value,
        "changed": list(reload.changed),
        "left": list(reload.left),
        "problems": [redact(each) for each in reload.problems],
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "at": round(problem.at, 3),
        "level": problem.level,
        "event": problem.event,
        "source": problem.source,
        "sentence": redact(problem.sentence),
        "count": problem.count,
    }


def _source(source: SourceMoment, history: History, hours: Sequence[Hour] | None) -> dict[str, Any]:
    stats, done = source.stats, source.stats.done
    writes = stats.write_seconds
    half, most = history.percentiles(source, 0.5, 0.99)
    causes, now = done.causes, time.time()
    idle = history.idle(source, now)
    return {
        "source": source.source,
        "collection": source.collection,
        "stream": stats.stream,
        "root": stats.root,
        "live": stats.live,
        "file": stats.file,
        "lines": {"read": stats.lines_read, "settled": done.lines, "in_flight": stats.lines_in_flight},
        "bytes": {
            "read": stats.bytes_read,
            "settled": stats.bytes_settled,
            "in_flight": stats.bytes_read - stats.bytes_settled,
            "lost": stats.lost_bytes,
        },
        "entries": {
            "settled": stats.entries_settled,
            "inserted": done.inserted,
            "duplicates": done.duplicates,
            "duplicate_causes": {cause.value: causes[cause] for cause in DuplicateCause},
            "rejected": done.rejected,
            "rejects": {reason.value: done.rejects.get(reason, 0) for reason in Reason},
        },
        "lag": {"bytes": stats.lag_bytes, "seconds": round(stats.lag_seconds, 3)},
        "checkpoint": {"age_s": round(stats.checkpoint_age, 3), "lag_bytes": stats.checkpoint_lag},
        "newest_entry": {
            "time": stats.newest_entry,
            "lag_s": None if stats.newest_entry is None else round(stats.entry_lag, 3),
        },
        "writes": {
            "count": writes.count,
            "documents": round(stats.write_documents.total),
            "seconds": round(writes.total, 3),
            "p50_ms": None if half is None else round(1000 * half, 2),
            "p99_ms": None if most is None else round(1000 * most, 2),
        },
        "files": {
            "open": stats.files_open,
            "backlog": stats.files_backlog,
            "rewritten": stats.rewritten,
            "locked": len(stats.locked),
            "waiting": stats.files_waiting,
            "following": stats.files_following,
            "sealed": stats.files_sealed,
            "unreadable": stats.files_unreadable,
        },
        "missing_hours": list(stats.missing_hours[:_MISSING]),
        "missing_blocks": stats.missing_blocks,
        "hours": None if hours is None else [_hour(each) for each in hours],
        "newest_hour": stats.newest_hour,
        "idle_s": round(idle),
        "quiet": quiet(stats, idle, now),
        "spans_settled": stats.spans_settled,
        "rollovers": stats.rollovers,
        "unaccounted": stats.imbalance(),
    }


def quiet(stats: Stats, idle: float, now: float) -> str:
    """A sentence when a source that is live has nothing to do, though a node writes at all times; else empty.

    `idle`: seconds since something was read; `now`: epoch seconds, of this machine's clock. Old hours alone are no
    reason: a simulated node, or a copy that is still being made, has no others.
    """
    if not stats.live:
        return ""
    if not stats.newest_hour:
        return "There is no hour file yet: nothing is stored until the node writes one."
    age = now - stats.newest_hour
    if age <= _OLD or idle < _IDLE:
        return ""
    return (
        f"Nothing was written for {duration_words(idle)}, and the newest hour, {hour_words(stats.newest_hour)}, began "
        f"{duration_words(age)} ago: the node has stopped, writes elsewhere, or this is a finished archive."
    )


def _hour(hour: Hour) -> dict[str, Any]:
    return {
        "hour": hour.hour,
        "path": hour.path,
        "state": str(hour.state),
        "size": hour.size,
        "compressed": hour.compressed,
        "settled": hour.settled,
        "lines": hour.lines,
        "rejected": hour.rejected,
    }
