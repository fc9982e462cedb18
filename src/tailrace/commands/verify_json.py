"""A verification's report as one JSON document. Every field is described in docs/verify.md. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from tailrace.verify.report import FileReport, LifeReport, Totals, Unexplained, VerifyReport, all_proven, totals_of

JSON_VERSION = 1
"""Raised when a field changes its meaning or goes."""


def json_document(reports: Sequence[VerifyReport]) -> dict[str, Any]:
    return {
        "version": JSON_VERSION,
        "proven": all_proven(reports),
        "totals": _totals(totals_of(reports)),
        "sources": [_source(report) for report in reports],
    }


def _source(report: VerifyReport) -> dict[str, Any]:
    return {
        "source": report.source,
        "collection": report.namespace,
        "identity": report.identity.value,
        "deep": report.deep,
        "repair": report.repair,
        "proven": report.proven,
        "totals": _totals(totals_of([report])),
        "files": [_file(file) for file in report.files],
        "unverifiable": [_life(life) for life in report.lives],
        "unexplained": None if report.unexplained is None else _unexplained(report.unexplained),
        "missing_hours": [
            {"from": _hour(begin), "to": _hour(end), "hours": (end - begin) // 3600}
            for begin, end in report.missing_hours
        ],
    }


def _totals(totals: Totals) -> dict[str, int]:
    fields = asdict(totals)
    fields["kept_aside"] = fields.pop("kept")
    return fields


def _file(file: FileReport) -> dict[str, Any]:
    fields = asdict(file)
    findings = [
        {
            "kind": finding.kind.value,
            "id": finding.key.hex(),
            "offset": finding.offset,
            "index": finding.index,
            "field": finding.field,
            "ours": finding.ours,
            "stored": finding.stored,
            "reason": finding.reason,
        }
        for finding in file.findings
    ]
    kept, prefix = fields.pop("kept"), file.prefix
    return {
        **fields,
        "kept_aside": kept,
        "prefix": None if prefix is None else prefix.hex(),
        "hour": _hour(file.hour),
        "state": file.state.value,
        "findings": findings,
    }


def _life(life: LifeReport) -> dict[str, Any]:
    return {**asdict(life), "prefix": life.prefix.hex(), "hour": _hour(life.hour), "state": life.state.value}


def _unexplained(found: Unexplained) -> dict[str, Any]:
    return asdict(found)


def _hour(hour: int) -> str:
    return datetime.fromtimestamp(hour, UTC).strftime("%Y-%m-%dT%HZ")
