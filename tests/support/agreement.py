"""Who says how much was stored: metrics, `/status`, `tailrace status`, the dashboard, MongoDB and the files on disk.

Each is asked in its own way and answers the same table, name -> number, as far as it says something of a name. MongoDB
and the disk are counted without tailrace (json, PyMongo). A table that lacks a name says nothing of it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from tests.support.browser import Browser
from tests.support.counting import Tally, hours_of_tree
from tests.support.scrape import Scrape, ask
from tests.support.tailrace_process import environment, tailrace, until

Table = dict[str, int]


def of_metrics(url: str, source: str) -> Table:
    """`made`: documents that this process made. After a lost reply our own insert comes back as a duplicate."""
    scrape = Scrape(ask(url, "/metrics").body)

    def value(name: str, **labels: str) -> int:
        return round(scrape.value(f"tailrace_{name}", source=source, **labels))

    inserted, lost = value("inserted_entries_total"), value("duplicate_entries_total", cause="lost_reply")
    reasons = {
        dict(labels)["reason"]: round(number)
        for (name, labels), number in scrape.series.items()
        if name == "tailrace_rejected_entries_total" and dict(labels)["source"] == source
    }
    return {
        "lines": value("settled_lines_total"),
        "lines_read": value("read_lines_total"),
        "entries": value("settled_entries_total"),
        "inserted": inserted,
        "lost_reply": lost,
        "duplicates": value("duplicate_entries_total"),
        "made": inserted + lost,
        "rejected": sum(reasons.values()),
        "bytes": value("settled_bytes_total"),
        "unaccounted": value("unaccounted"),
        **_reasons(reasons),
    }


def of_status(url: str, source: str) -> Table:
    return _of_document(json.loads(ask(url, "/status").body), source)


def of_status_json(url: str, source: str) -> Table:
    done = tailrace("status", "--json", "--url", url)
    assert done.returncode == 0, done.stderr
    return _of_document(json.loads(done.stdout), source)


def _of_document(document: Mapping[str, Any], source: str) -> Table:
    (found,) = [each for each in document["sources"] if each["source"] == source]
    lines, entries, causes = found["lines"], found["entries"], found["entries"]["duplicate_causes"]
    return {
        "lines": lines["settled"],
        "lines_read": lines["read"],
        "entries": entries["settled"],
        "inserted": entries["inserted"],
        "lost_reply": causes["lost_reply"],
        "duplicates": entries["duplicates"],
        "made": entries["inserted"] + causes["lost_reply"],
        "rejected": entries["rejected"],
        "bytes": found["bytes"]["settled"],
        "unaccounted": found["unaccounted"],
        **_reasons(entries["rejects"]),
    }


def of_status_text(url: str) -> Table:
    """What the report says, read as a person would. One source must be all there is."""
    done = tailrace("status", "--url", url)
    assert done.returncode == 0, done.stderr
    lines = re.search(r"([\d,]+) lines read = ([\d,]+) settled \+ 0 in flight, difference (\d+)", done.stdout)
    entries = re.search(r"([\d,]+) inserted, ([\d,]+) duplicate ?(?:\([^)]*\))?, ([\d,]+) rejected", done.stdout)
    assert lines is not None, done.stdout
    assert entries is not None, done.stdout
    read, settled, difference = map(_number, lines.groups())
    inserted, duplicates, rejected = map(_number, entries.groups())
    return {
        "lines_read": read,
        "lines": settled,
        "unaccounted": difference,
        "inserted": inserted,
        "duplicates": duplicates,
        "rejected": rejected,
    }


def of_watch(url: str) -> Table:
    """One line of `status --watch`, as it goes to a file. One source must be all there is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tailrace", "status", "--watch", "--url", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
    finally:
        process.terminate()
        process.communicate(timeout=20)
    found = re.search(r"inserted ([\d,]+)  duplicate ([\d,]+)  rejected ([\d,]+)", line)
    assert found is not None, line
    inserted, duplicates, rejected = map(_number, found.groups())
    return {"inserted": inserted, "duplicates": duplicates, "rejected": rejected}


def of_page(url: str, directory: Path, expected: Mapping[str, int]) -> Table:
    """The dashboard in a headless Chromium, once its figures have come: at the latest after ten seconds, whatever they
    are then. `expected`: whose reasons are looked for. `directory`: for the browser's profile."""
    names = {
        "lines": "lines-settled",
        "lines_read": "lines-read",
        "entries": "settled",
        "inserted": "inserted",
        "lost_reply": "duplicates-lost_reply",
        "duplicates": "duplicates",
        "rejected": "rejected",
        "unaccounted": "unaccounted",
        **{name: f"rejects-{name.removeprefix('reason ')}" for name in expected if name.startswith("reason ")},
    }
    browser = Browser(directory)
    try:
        browser.open(url)
        until(lambda: browser.figure("inserted") >= 0, 10, "figures on the page")
        return {name: browser.figure(shown) for name, shown in names.items()}
    finally:
        browser.close()


def of_mongodb(uri: str, database: str, collection: str) -> Table:
    with MongoClient[dict[str, Any]](uri) as client:
        base = client[database]
        found = base[f"{collection}.rejects"].aggregate(
            [{"$match": {"reason": {"$exists": True}}}, {"$group": {"_id": "$reason", "count": {"$sum": 1}}}]
        )
        reasons = {each["_id"]: each["count"] for each in found}
        made = base[collection].count_documents({})
    rejected = sum(reasons.values())
    return {"made": made, "rejected": rejected, "entries": made + rejected, **_reasons(reasons)}


def of_disk(root: Path, stream: str) -> Table:
    """Complete lines and bytes of the hour files, and their entries by json alone: a wrapped line has as many as it has
    events, any other, whatever is wrong with it, is one."""
    lines = size = entries = 0
    for path in hours_of_tree(root, stream).values():
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    lines, size, entries = lines + 1, size + len(line), entries + _entries(line)
    return {"lines": lines, "lines_read": lines, "bytes": size, "entries": entries}


def _entries(line: bytes) -> int:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return 1
    wrapped = isinstance(value, dict) and isinstance(value.get("events"), list)
    return len(value["events"]) if wrapped else 1


def of_tally(tally: Tally) -> Table:
    """Every line of the files held against every document and reject, one by one."""
    return {
        "lines": tally.lines,
        "lines_read": tally.lines,
        "entries": tally.entries,
        "made": tally.stored,
        "rejected": tally.kept,
        **_reasons(tally.reasons),
    }


def differences(tables: Mapping[str, Table]) -> Iterator[str]:
    """A sentence for each name on which two disagree."""
    for name in sorted({name for table in tables.values() for name in table}):
        said = {who: table[name] for who, table in tables.items() if name in table}
        if len(set(said.values())) > 1:
            yield f"{name}: " + ", ".join(f"{who} {number:,}" for who, number in said.items())


def _reasons(reasons: Mapping[str, int]) -> Table:
    return {f"reason {reason}": number for reason, number in sorted(reasons.items()) if number}


def _number(text: str) -> int:
    return int(text.replace(",", ""))
