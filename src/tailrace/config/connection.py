"""Values that describe connections, and their rules: connection string, write concern, address to listen on. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import SecretStr

from tailrace.config import uri
from tailrace.config.rules import Rule, as_text


@dataclass(frozen=True, slots=True)
class Secret(Rule):
    """A connection string, kept so that no print shows it."""

    @property
    def metavar(self) -> str:
        return "URI"

    @property
    def allowed(self) -> str:
        return "a connection string, `mongodb://...` or `mongodb+srv://...`, or `embedded`"

    def parse(self, value: object) -> SecretStr:
        text = value if isinstance(value, str) else None
        reason = "must be a string" if text is None else uri.problem(text)
        if text is None or reason is not None:
            raise ValueError(reason)
        return SecretStr(text)

    def show(self, value: SecretStr) -> str:
        return uri.redact(value.get_secret_value())


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 lets the system choose one. `host` is without the brackets of an IPv6 address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Listen(Rule):
    """An address to listen on, or None for off."""

    @property
    def metavar(self) -> str:
        return "HOST:PORT|off"

    @property
    def allowed(self) -> str:
        return "`HOST:PORT`, `[IPV6]:PORT` or `off`"

    def parse(self, value: object) -> Address | None:
        if value == "off":
            return None
        text = value if isinstance(value, str) else ""
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+)):([0-9]{1,5})", text, re.ASCII)
        if match is None or int(match[3]) > 65535:
            raise ValueError("must be HOST:PORT such as 127.0.0.1:9464 (port 0 to 65535), [IPV6]:PORT or off")
        return Address(match[1] or match[2], int(match[3]))

    def show(self, value: Address | None) -> str:
        return "off" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class WriteConcern:
    """How many members have acknowledged, all of them from their journal: it survives the kill of a mongod."""

    w: int | Literal["majority"]

    def __str__(self) -> str:
        return self.w if self.w == "majority" else f"{self.w}+j"


@dataclass(frozen=True, slots=True)
class Acknowledged(Rule):
    """majority, or a number of members that have it in their journal."""

    @property
    def metavar(self) -> str:
        return "majority|N+j"

    @property
    def allowed(self) -> str:
        return "`majority`, `1+j`, `2+j` and so on up to `50+j`"

    def parse(self, value: object) -> WriteConcern:
        text = as_text(value)
        match = re.fullmatch(r"([0-9]{1,2})\+j", text, re.ASCII)
        if text == "majority":
            return WriteConcern("majority")
        if match and 1 <= int(match[1]) <= 50:
            return WriteConcern(int(match[1]))
        if re.fullmatch(r"[0-9]+", text, re.ASCII):
            raise ValueError(
                "must be majority, 1+j, 2+j, ...: without majority or journal a killed mongod loses documents that it "
                "acknowledged"
            )
        raise ValueError("must be majority, 1+j, 2+j, ... up to 50+j")
