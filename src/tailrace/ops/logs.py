"""Logs: structlog events with a fixed name and fields. Readable on a terminal, JSON lines otherwise.

WARNING = nothing is lost, ERROR = someone must act. Nothing per line or per retry. All logs go to standard
error; standard output belongs to results.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from tailrace.ops.recent import Recent

# Of any scheme, also misspelt, and with the one slash that is left when somebody takes a URI for a path.
_CREDENTIALS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/{1,2})\S*@")
_OPTIONS = re.compile(r"((?:\w*(?:password|passphrase)|authMechanismProperties)=)[^&;\s\"']+", re.IGNORECASE)


RECENT = Recent()
"""What was said of problems, whether the level lets it into the log or not."""


class _Unfailing:
    """A log that cannot be written (a reader that went away, a terminal that is gone, a full disk) ends nothing."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            return self._out.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._out.flush()


class _Output:
    """How events are written now. HAZARD: a logger that was bound keeps its class and its processors, so what a reload
    may change lies behind processors that never do."""

    def __init__(self) -> None:
        self.least = logging.NOTSET
        self.text = False
        self._stamp: Processor = structlog.processors.TimeStamper()
        self._finish: Processor = _for_machines

    def be(self, level: str, out: TextIO, *, text: bool) -> None:
        self.least, self.text = _NUMBERS[level], text
        self._stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S" if text else "iso", utc=not text)
        self._finish = _for_people(out) if text else _for_machines

    def stamp(self, logger: WrappedLogger, method: str, event: EventDict) -> Any:
        return self._stamp(logger, method, event)

    def admit(self, _logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        RECENT.note(event, method)
        if _NUMBERS.get(method, logging.CRITICAL) < self.least:
            raise structlog.DropEvent
        return event

    def finish(self, logger: WrappedLogger, method: str, event: EventDict) -> Any:
        return self._finish(logger, method, event)


def _for_machines(logger: WrappedLogger, method: str, event: EventDict) -> Any:
    """A JSON object a line."""
    return _to_json(logger, method, structlog.processors.format_exc_info(logger, method, event))


_to_json = structlog.processors.JSONRenderer()
_NUMBERS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_output = _Output()


def redact(text: str) -> str:
    """`text` without the user, the password and the secret options of any connection string in it."""
    return _OPTIONS.sub(r"\1***", _CREDENTIALS.sub(r"\1***@", text))


def _redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = redact(value)
    return event


def _for_people(out: TextIO) -> Callable[[WrappedLogger, str, EventDict], str]:
    """A line an event; the field `block` is text of several lines that follows it as it is."""
    colors = out.isatty() and not os.environ.get("NO_COLOR")
    console = structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=18, sort_keys=False)

    def render(logger: WrappedLogger, method: str, event: EventDict) -> str:
        block = event.pop("block", "")
        return f"{console(logger, method, event)}{block}"

    return render


def is_text(log_format: str, stream: TextIO | None = None) -> bool:
    """Whether `log_format` means readable text on this stream (default standard error)."""
    return log_format == "text" or (log_format == "auto" and (stream if stream is not None else sys.stderr).isatty())


def is_json() -> bool:
    """Whether `configure` was called and chose JSON: then everything on standard error is an event."""
    return structlog.is_configured() and not _output.text


def configure(log_format: str, level: str, stream: TextIO | None = None) -> None:
    """`log_format`: text, json, or auto (text when `stream`, default standard error, is a terminal).

    May be called again with another format or level: loggers that were bound before follow.
    """
    out = stream if stream is not None else sys.stderr
    out_or_nothing: Any = _Unfailing(out)
    _output.be(level, out, text=is_text(log_format, out))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _output.stamp,
            _redact_event,
            _output.admit,
            _output.finish,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.PrintLoggerFactory(file=out_or_nothing),
        cache_logger_on_first_use=False,
    )
    # The driver logs every retry of its own; what matters of it reaches the operator through ServerHealth.
    logging.getLogger("pymongo").setLevel(logging.CRITICAL)
