"""The settings of one process: a frozen model, checked once, and the table that flags and documentation are made from.

Made by `load`. Values enter as text or TOML types (`max_line_bytes="64MiB"`), so a model made by hand takes them the
same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic.fields import FieldInfo

from tailrace.config import uri
from tailrace.config.connection import Acknowledged, Address, Listen, Secret, WriteConcern
from tailrace.config.rules import Choice, Duration, FilePath, Rule, Size, Whole
from tailrace.config.sources import Frozen, SourceSettings, Unset
from tailrace.errors import SettingsError

MEBIBYTE = 1 << 20


class Watch(StrEnum):
    """Where hints come from."""

    AUTO = "auto"
    NATIVE = "native"
    POLL = "poll"


class CodecChoice(StrEnum):
    """Which implementation of the codec is used."""

    AUTO = "auto"
    NATIVE = "native"
    PYTHON = "python"


class LogFormat(StrEnum):
    """How a log event is written; `auto` is text on a terminal, JSON elsewhere."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The least severe event that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Settings(Frozen):
    """All settings of one process. `sources` is empty only for a command that needs none and was given none."""

    sources: tuple[SourceSettings, ...] = ()
    mongodb_uri: Annotated[SecretStr | None, Secret(), Unset("required: this or mongodb_uri_file")] = Field(
        None, description="Connection string of the server, or embedded: a private mongod under the state directory."
    )
    mongodb_uri_file: Annotated[Path | None, FilePath(), Unset("none")] = Field(
        None, description="File that holds the connection string, instead of mongodb_uri. Nobody else should read it."
    )
    state_dir: Annotated[
        Path, FilePath(), Unset("$STATE_DIRECTORY, else $XDG_STATE_HOME/tailrace, else ~/.local/state/tailrace")
    ] = Field(description="Directory of the local state. One run at a time holds it.")
    poll_interval: Annotated[float, Duration("10ms", "1m")] = Field(
        1.0, description="How often hot hours are looked at. Hints come sooner, where there are any."
    )
    watch: Annotated[Watch, Choice(Watch)] = Field(
        Watch.AUTO, description="Hints from the kernel (native), none (poll), or what the system offers (auto)."
    )
    seal_after: Annotated[float, Duration("1s", "7d")] = Field(
        300.0, description="How long a file lies idle, with a later hour there, before its descriptor is closed."
    )
    max_line_bytes: Annotated[int, Size("1KiB", "1GiB")] = Field(
        64 * MEBIBYTE, description="A longer line is kept aside as too_long."
    )
    max_in_flight_bytes: Annotated[int, Size("64KiB", "64GiB")] = Field(
        64 * MEBIBYTE, description="Bytes of spans that are read and not settled yet. One span is always admitted."
    )
    max_workers: Annotated[int, Whole(1, 64)] = Field(
        16, description="Spans that are ingested at the same time, at most: as many as help, two while nothing waits."
    )
    codec: Annotated[CodecChoice, Choice(CodecChoice)] = Field(
        CodecChoice.AUTO,
        description="What makes documents of lines: the crate in native/, plain python, or the faster one that is "
        "there (auto). Both make the same, byte for byte.",
    )
    write_concern: Annotated[WriteConcern, Acknowledged()] = Field(
        WriteConcern("majority"),
        description="What MongoDB must have done before a write counts as done: a majority of the members, or N of "
        "them with their journal.",
    )
    write_timeout: Annotated[float, Duration("1s", "10m")] = Field(
        30.0, description="After this long without an answer a write is tried again."
    )
    retry_max_delay: Annotated[float, Duration("100ms", "5m")] = Field(
        10.0, description="The longest pause between two attempts while MongoDB is gone."
    )
    shutdown_grace: Annotated[float, Duration("0", "10m")] = Field(
        8.0, description="How long a stop waits for what is in flight. What remains is read again at the next start."
    )
    http: Annotated[Address | None, Listen()] = Field(
        Address("127.0.0.1", 9464), description="Where metrics and health are served, or off."
    )
    log_format: Annotated[LogFormat, Choice(LogFormat)] = Field(
        LogFormat.AUTO, description="How log events are written: auto is text on a terminal, JSON elsewhere."
    )
    log_level: Annotated[LogLevel, Choice(LogLevel)] = Field(
        LogLevel.INFO, description="The least severe event that is logged."
    )

    @property
    def connection_string(self) -> str:
        """The secret in plain text, for the driver alone: SettingsError when it is not set."""
        if self.mongodb_uri is None:
            raise SettingsError(["mongodb_uri is not set"])
        return self.mongodb_uri.get_secret_value()

    @property
    def embedded(self) -> bool:
        """Whether a private mongod is to be started."""
        return self.mongodb_uri is not None and self.mongodb_uri.get_secret_value() == uri.EMBEDDED


LIVE = frozenset((
    "poll_interval", "seal_after", "max_line_bytes", "max_in_flight_bytes", "max_workers", "write_timeout",
    "retry_max_delay", "shutdown_grace", "log_format", "log_level",
))  # fmt: skip
"""What a reload changes in a process that runs, besides adding and removing sources. Of a source itself nothing can
change: its name, its files and its collection are what its stored offsets mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What flags and documentation need to know of one setting. `default` is in words or as a file would write it."""

    name: str
    rule: Rule
    help: str
    default: str
    fixed_default: bool
    per_source: bool

    @property
    def live(self) -> bool:
        """Whether a reload changes it in a process that runs."""
        return self.name in LIVE

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "TAILRACE_" + self.name.upper()


def _key(name: str, field: FieldInfo, *, per_source: bool) -> Key:
    rule = next(each for each in field.metadata if isinstance(each, Rule))
    unset = next((each for each in field.metadata if isinstance(each, Unset)), None)
    return Key(
        name=name,
        rule=rule,
        help=field.description or "",
        default=unset.text if unset else rule.show(field.default),
        fixed_default=unset is None,
        per_source=per_source,
    )


KEYS: Mapping[str, Key] = {
    **{name: _key(name, field, per_source=True) for name, field in SourceSettings.model_fields.items()},
    **{name: _key(name, field, per_source=False) for name, field in Settings.model_fields.items() if name != "sources"},
}
"""Every setting there is, in the order of the documentation."""
