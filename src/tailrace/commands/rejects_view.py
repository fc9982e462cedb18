"""How `tailrace rejects` shows what was kept aside. Kept bytes are hostile input: nothing of them reaches a terminal
unescaped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tailrace.ingest.mongo.reject_queries import RejectHead, RejectReader
from tailrace.model import Reason
from tailrace.verify.replay import Replayed
from tailrace.verify.selection import label

JSON_VERSION = 1
"""Of the documents that `--json` prints: raised when a field changes its meaning or goes."""

SHOWN_BYTES = 16 * 1024
"""Of the kept bytes, on a terminal and in JSON; --raw and --output give them all."""

_SHORT_ID = 24  # hex digits: the place; two rejects of one place have different bytes and need more
_COLUMNS = ("id", "reason", "file", "offset", "index", "size", "detail")


@dataclass(frozen=True, slots=True)
class Listing:
    """`counts` are of all that was asked for, `heads` may be the first of them."""

    namespace: str
    counts: dict[Reason, int]
    heads: list[RejectHead]


def print_listing(listing: Listing) -> None:
    console = Console(highlight=False, soft_wrap=True)
    total = sum(listing.counts.values())
    if not total:
        console.print(Text(f"nothing is kept aside in {listing.namespace}.rejects"))
        return
    rows = [_row(head) for head in listing.heads]
    if console.is_terminal:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for name in _COLUMNS:
            right = name in ("offset", "index", "size")
            table.add_column(name, justify="right" if right else "left", no_wrap=name != "detail")
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table, soft_wrap=False)
    else:
        for line in aligned([_COLUMNS, *rows]):
            console.print(Text(line))
    by_reason = ", ".join(f"{reason} {count:,}" for reason, count in listing.counts.items())
    first = f" (the first {len(rows):,} are shown, see --limit)" if len(rows) < total else ""
    console.print(Text(f"{total:,} kept aside in {listing.namespace}.rejects{first}: {by_reason}"))


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns of text, the last one ragged."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(head: RejectHead) -> tuple[str, ...]:
    place = (str(head.start), str(head.index), str(head.size))
    return (head.key.hex()[:_SHORT_ID], head.reason.value, label(head.path), *place, printable(head.detail))


def print_json(listing: Listing) -> None:
    document = {
        "version": JSON_VERSION,
        "collection": f"{listing.namespace}.rejects",
        "total": sum(listing.counts.values()),
        "reasons": listing.counts,
        "rejects": [_fields(head) for head in listing.heads],
    }
    print(json.dumps(document))


def _fields(head: RejectHead) -> dict[str, Any]:
    return {
        "id": head.key.hex(),
        "reason": head.reason.value,
        "detail": head.detail,
        "path": head.path,
        "hour": datetime.fromtimestamp(head.hour, UTC).strftime("%Y-%m-%dT%HZ"),
        "offset": head.start,
        "end": head.end,
        "index": head.index,
        "size": head.size,
        "parts": head.parts,
        "source": head.source,
        "family": head.family,
    }


async def print_reject(head: RejectHead, reader: RejectReader, *, as_json: bool) -> None:
    """All fields, and the bytes as text; what is not printable is escaped."""
    data = b""
    async for part in reader.load_bytes(head):
        data += part[: SHOWN_BYTES - len(data)]
        if len(data) == SHOWN_BYTES:
            break
    cut = head.size - len(data)
    text = printable(data.decode("utf-8", "backslashreplace"))
    fields = _fields(head)
    if as_json:
        print(json.dumps({"version": JSON_VERSION, **fields, "text": text, "text_omits_bytes": cut}))
        return
    width = max(map(len, fields))
    for name, value in fields.items():
        print(f"{name:<{width}}  {printable(str(value))}")
    print(f"\n{text}")
    if cut:
        print(f"... {cut:,} more bytes: see --raw and --output")


def printable(text: str) -> str:
    """`text` on one line with everything that a terminal might obey escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_replayed(done: Replayed, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        document = {
            "version": JSON_VERSION,
            "dry_run": dry_run,
            "rejects": done.rejects,
            "stored": done.stored,
            "already_there": done.already,
            "still_rejected": done.still,
            "reasons": done.reasons,
        }
        print(json.dumps(document))
        return
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(done.reasons.items()))
    gone = f", {done.gone:,} gone meanwhile" if done.gone else ""
    stored = "would be stored" if dry_run else "stored"
    print(
        f"{done.rejects:,} rejects looked at: {done.stored:,} {stored}, {done.already:,} already there, "
        f"{done.still:,} still rejected{f' ({reasons})' if reasons else ''}{gone}"
    )
