"""What a simulated node wrote: the account that ingestion is measured against.

It is counted from what was meant to be written, while writing; nothing here parses a line. Law, for every file and in
all: `entries == good + sum(bad.values())`, and each bad entry becomes exactly one reject of that reason.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

BAD_LINES_KEPT = 10_000
"""Places of bad lines are kept up to this many; the counts by reason are exact in any case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """Where a bad entry is: `offset` of its line in the file, in bytes; `line` from 0, `index` in the line."""

    path: str
    line: int
    offset: int
    index: int
    kind: str
    reason: str


@dataclass(slots=True, kw_only=True)
class FileRecord:
    """One hour file. `hour`: epoch seconds. `start`: its size when we began to append.

    `lines` counts ours from `start` on; `mended`: the file ended in mid-line, which a newline of ours (before `start`)
    completed. `first_event`, `last_event`: epoch nanoseconds of the blocks of the first and last good entry.
    """

    path: str
    hour: int
    start: int = 0
    mended: bool = False
    bytes: int = 0
    lines: int = 0
    entries: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    first_event: int | None = None
    last_event: int | None = None

    @property
    def good(self) -> int:
        return self.entries - sum(self.bad.values())


@dataclass(slots=True, kw_only=True)
class Manifest:
    """All of a run. `complete`: it reached its limit; False when it was stopped before."""

    stream: str
    framing: str
    seed: int
    complete: bool
    files: list[FileRecord]
    bad_lines: list[BadLine] = field(default_factory=list)

    @property
    def entries(self) -> int:
        return sum(file.entries for file in self.files)

    @property
    def good(self) -> int:
        return sum(file.good for file in self.files)

    @property
    def lines(self) -> int:
        return sum(file.lines for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def bad(self) -> dict[str, int]:
        """Bad entries by the reason they must be rejected for."""
        total: Counter[str] = Counter()
        for file in self.files:
            total.update(file.bad)
        return dict(sorted(total.items()))

    def to_json(self) -> str:
        content: dict[str, Any] = asdict(self)
        for record, file in zip(content["files"], self.files, strict=True):
            record["good"] = file.good
        totals = {"bytes": self.bytes, "lines": self.lines, "entries": self.entries, "good": self.good, "bad": self.bad}
        return json.dumps({"totals": totals, **content}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        content = json.loads(text)
        del content["totals"]
        for record in content["files"]:
            del record["good"]
        files = [FileRecord(**record) for record in content.pop("files")]
        bad_lines = [BadLine(**line) for line in content.pop("bad_lines")]
        return cls(files=files, bad_lines=bad_lines, **content)

    def save(self, path: Path) -> None:
        path.write_text(self.to_json(), encoding="utf-8")
