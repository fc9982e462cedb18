"""What a setting's value may be: one small rule per kind of value. Pure.

A rule parses what a file (TOML types), a variable or a flag (text) gave, and shows a parsed value the way a file
would write it. `parse` raises ValueError with the end of a sentence that begins with the key, its value and where it
was set; it never repeats the value. pydantic calls `parse` as the validator of the field that carries the rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from tailrace.config.units import UnitMissing, format_duration, format_size, parse_duration, parse_size


def either(words: list[str]) -> str:
    """`a, b or c`"""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


@dataclass(frozen=True, slots=True)
class Rule:
    """Base. `metavar` stands for the value in help, `allowed` says what it may be in the documentation."""

    @property
    def metavar(self) -> str:
        return "TEXT"

    @property
    def allowed(self) -> str:
        raise NotImplementedError

    def parse(self, value: object) -> Any:
        raise NotImplementedError

    def show(self, value: Any) -> str:
        return str(value)

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)


@dataclass(frozen=True, slots=True)
class Text(Rule):
    """A string that `check` finds nothing wrong with (it returns the end of the sentence, or None)."""

    check: Callable[[str], str | None]
    description: str

    @property
    def allowed(self) -> str:
        return self.description

    def parse(self, value: object) -> str:
        text = value if isinstance(value, str) else None
        reason = "must be a string" if text is None else not_utf8(text) or _a_uri(text) or self.check(text)
        if text is None or reason is not None:
            raise ValueError(reason)
        return text


def _a_uri(text: str) -> str | None:
    """Under a wrong key a connection string would be shown, in logs and by `check`, with its password."""
    return "must not be a connection string: that is mongodb_uri" if "://" in text else None


@dataclass(frozen=True, slots=True)
class FilePath(Rule):
    """A path. The merge has made it absolute before it comes here. UTF-8, because the ledger keeps paths as text."""

    @property
    def metavar(self) -> str:
        return "PATH"

    @property
    def allowed(self) -> str:
        return "a path"

    def parse(self, value: object) -> Path:
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError("must be a path")
        if re.search(r"mongodb(\+srv)?:/", value):  # refused before anything is told from its parts: one is a password
            raise ValueError("must be a path, and this is a connection string")
        if reason := not_utf8(value):
            raise ValueError(reason)
        return Path(value)


@dataclass(frozen=True, slots=True)
class Choice(Rule):
    """One of the values of a StrEnum."""

    values: type[StrEnum]

    @property
    def metavar(self) -> str:
        return "|".join(self.values)

    @property
    def allowed(self) -> str:
        return either([f"`{value}`" for value in self.values])

    def parse(self, value: object) -> StrEnum:
        words = [str(word) for word in self.values]
        if isinstance(value, str) and value in words:
            return self.values(value)
        near = get_close_matches(value.lower(), words, n=1) if isinstance(value, str) else []
        raise ValueError(f"must be {either(words)}" + (f"; did you mean {near[0]}?" if near else ""))


@dataclass(frozen=True, slots=True)
class Switch(Rule):
    """true or false; a variable may also say it as 1, 0, yes, no, on, off, in any case."""

    @property
    def allowed(self) -> str:
        return "`true` or `false`"

    def parse(self, value: object) -> bool:
        word = value.lower() if isinstance(value, str) else value
        if word is True or word in ("true", "yes", "on", "1"):
            return True
        if word is False or word in ("false", "no", "off", "0"):
            return False
        raise ValueError("must be true or false")

    def show(self, value: bool) -> str:
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Whole(Rule):
    """A whole number from `low` to `high`."""

    low: int
    high: int

    @property
    def metavar(self) -> str:
        return "N"

    @property
    def allowed(self) -> str:
        return f"{self.low} to {self.high}"

    def parse(self, value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value, re.ASCII):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not self.low <= value <= self.high:
            raise ValueError(f"must be a whole number from {self.low} to {self.high}")
        return value


@dataclass(frozen=True, slots=True)
class Duration(Rule):
    """Seconds, written with units; the bounds are written the same way."""

    low: str
    high: str

    @property
    def metavar(self) -> str:
        return "DURATION"

    @property
    def allowed(self) -> str:
        return f"{self.low} to {self.high}"

    def parse(self, value: object) -> float:
        text = as_text(value)
        try:
            seconds = parse_duration(text)
        except UnitMissing:
            raise ValueError(f"needs a unit, such as 500ms, 30s or 5m; {self.allowed} is allowed") from None
        except ValueError:
            raise ValueError(f"must be a duration such as 500ms, 30s or 1h30m, from {self.allowed}") from None
        if not parse_duration(self.low) <= seconds <= parse_duration(self.high):
            raise ValueError(f"must be from {self.allowed}")
        return seconds

    def show(self, value: float) -> str:
        return format_duration(value)


@dataclass(frozen=True, slots=True)
class Size(Rule):
    """Bytes, written with units; the bounds are written the same way."""

    low: str
    high: str

    @property
    def metavar(self) -> str:
        return "SIZE"

    @property
    def allowed(self) -> str:
        return f"{self.low} to {self.high}"

    def parse(self, value: object) -> int:
        text = as_text(value)
        try:
            size = parse_size(text)
        except UnitMissing:
            raise ValueError(f"needs a unit, such as 64MiB or 10MB; {self.allowed} is allowed") from None
        except ValueError:
            raise ValueError(f"must be a size such as 64MiB or 10MB, from {self.allowed}") from None
        if not parse_size(self.low) <= size <= parse_size(self.high):
            raise ValueError(f"must be from {self.allowed}")
        return size

    def show(self, value: int) -> str:
        return format_size(value)


def is_huge(number: int) -> bool:
    """Whether no text should be made of it: Python refuses to beyond 4,300 digits, which a file can write in hex."""
    return number.bit_length() > 256


def not_utf8(text: str) -> str | None:
    """Why a text cannot be stored: where a variable or a flag has other bytes, Python has lone surrogates."""
    return "must be UTF-8" if any("\ud800" <= char <= "\udfff" for char in text) else None


def as_text(value: object) -> str:
    """The text of a value that a file may also give as a number; empty (which no rule takes) for all else."""
    if isinstance(value, int) and is_huge(value):
        return ""
    return str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""
