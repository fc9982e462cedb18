"""A `run` with a configuration file that a test writes anew, and `tailrace reload` beside it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from tests.support.servers import Server
from tests.support.tailrace_process import Run, hour_file, tailrace, until

from tailrace.model import Framing
from tailrace.simulator import trade_lines

Source = dict[str, str]


class Place:
    """A configuration file, the trees of its sources, one state directory and one database."""

    def __init__(self, directory: Path, server: Server, database: str) -> None:
        self.directory, self.server, self.database = directory, server, database
        self.config, self.state = directory / "tailrace.toml", directory / "state"
        self._supply = iter(trade_lines(7, 5000, framing=Framing.BARE))

    def source(self, name: str, **more: str) -> Source:
        """A source with a tree of its own."""
        return {"source": name, "root": str(self.directory / name), "stream": "node_trades", **more}

    def write(self, *sources: Source, **top: str | int) -> None:
        """The whole file. `top`: settings of the process."""
        given = {"database": self.database, "state_dir": str(self.state), "poll_interval": "50ms", **top}
        text = "".join(map(_line, given.items()))
        text += "".join("\n[[sources]]\n" + "".join(map(_line, source.items())) for source in sources)
        whole = self.config.with_suffix(".new")  # `run` may be reading it
        whole.write_text(text)
        whole.replace(self.config)

    def start(self, *flags: str) -> Run:
        return Run("--config", str(self.config), "--mongodb-uri", self.server.uri, *flags)

    def reload(self, *flags: str, timeout: str = "20s") -> subprocess.CompletedProcess[str]:
        """The command, told no more than the state directory: what is in the file is for `run` to judge."""
        return tailrace("reload", "--state-dir", str(self.state), "--timeout", timeout, *flags)

    def lines(self, count: int) -> list[bytes]:
        """Lines that were not given out before."""
        return [next(self._supply) for _ in range(count)]

    def append(self, name: str, lines: Iterable[bytes] | int, hour: str = "20250310/9") -> None:
        """To an hour file of the source of that name."""
        with hour_file(self.directory / name, hour).open("ab") as file:
            file.write(b"".join(self.lines(lines) if isinstance(lines, int) else lines))

    def stored(self, collection: str = "node_trades") -> int:
        with MongoClient[dict[str, Any]](self.server.uri) as client:
            return client[self.database][collection].count_documents({})

    def until_stored(self, count: int) -> None:
        until(lambda: self.stored() == count, what=f"{count} documents")


def _line(item: tuple[str, str | int]) -> str:
    name, value = item
    return f'{name} = "{value}"\n' if isinstance(value, str) else f"{name} = {value}\n"
