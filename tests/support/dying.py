"""tailrace that kills itself with -9 at one exact place.

    python -m tests.support.dying --at PLACE --when before|after [--nth N] [--set CONSTANT] <arguments of tailrace>

`PLACE` is `module:function`, `module:Class.method` (a coroutine dies before its first step, or when its result is
there) or `sqlite:STATEMENT`, the N-th statement on the local state that begins with that word. The product knows
nothing of this: names are replaced in the modules that use them, after everything was imported. SIGKILL leaves no
`finally`, no flush and no goodbye.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import os
import re
import signal
import sqlite3
import sys
from collections.abc import Callable
from typing import Any, Never

from tailrace import cli


class Death:
    """Comes at the `nth` visit of its place."""

    def __init__(self, when: str, nth: int) -> None:
        self._when = when
        self._left = nth

    def visit(self, when: str) -> None:
        if when == self._when:
            self._left -= 1
            if self._left == 0:
                die()


def die() -> Never:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def plant(place: str, death: Death) -> None:
    """Raises AttributeError or ImportError for a place that is not there: the table has to follow the code."""
    module, _colon, name = place.partition(":")
    if module == "sqlite":
        sqlite3.connect = functools.partial(sqlite3.connect, factory=_dying_connection(name, death))  # type: ignore[assignment]  # same calls, another factory
        return
    owner: Any = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    setattr(owner, last, _dying(getattr(owner, last), death))


def _dying(work: Callable[..., Any], death: Death) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(work):

        @functools.wraps(work)
        async def coroutine(*arguments: Any, **named: Any) -> Any:
            death.visit("before")
            result = await work(*arguments, **named)
            death.visit("after")
            return result

        return coroutine

    @functools.wraps(work)
    def function(*arguments: Any, **named: Any) -> Any:
        death.visit("before")
        result = work(*arguments, **named)
        death.visit("after")
        return result

    return function


def _dying_connection(statement: str, death: Death) -> type[sqlite3.Connection]:
    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            if not sql.startswith(statement):
                return super().execute(sql, *arguments)
            death.visit("before")
            cursor = super().execute(sql, *arguments)
            death.visit("after")
            return cursor

    return Connection


def main() -> None:
    parser = argparse.ArgumentParser(prog="dying")
    parser.add_argument("--at", required=True)
    parser.add_argument("--when", choices=("before", "after"), required=True)
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--set", default="", help="module:NAME=NUMBER, a constant that is made small for a small test")
    options, arguments = parser.parse_known_args()
    if options.set:
        module, name, number = re.split("[:=]", options.set)
        assert isinstance(getattr(importlib.import_module(module), name), int)
        setattr(importlib.import_module(module), name, int(number))
    plant(options.at, Death(options.when, options.nth))
    sys.argv[1:] = arguments
    cli.main()


if __name__ == "__main__":
    main()
