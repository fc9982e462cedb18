"""What a line's documents must be, by `json` and `decimal` alone: the fields of the streams are written out here once
more, by hand, and nothing of the codec is used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from bson import Decimal128
from tests.fuzz.targets.bson_reader import Element

TIMES = {"node_trades": {"time"}, "node_fills": set[str](), "misc_events": set[str]()}
MILLIS = {"node_trades": set[str](), "node_fills": {"time"}, "misc_events": set[str]()}
DECIMALS = {
    "node_trades": {"px", "sz"},
    "node_fills": {"px", "sz", "startPosition", "closedPnl", "fee", "builderFee", "deployerFee"},
    "misc_events": set[str](),
}
INNER_DECIMALS = {"node_trades": ("side_info", "start_pos"), "node_fills": ("liquidation", "markPx")}
DEPTH = 100


class NotJson(ValueError):
    """Not JSON as the codec's rules have it."""


def depth_of(line: bytes) -> int:
    """Brackets open at once outside strings; a string ends at the next quote without a backslash before it."""
    depth = deepest = 0
    inside = escaped = False
    for byte in line:
        if inside:
            inside = escaped or byte != 0x22
            escaped = not escaped and byte == 0x5C
        elif byte == 0x22:
            inside = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def parsed(line: bytes) -> Any:
    """The value of a line that is UTF-8 and not deep. Raises NotJson."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, value in pairs:
            check(name)
            check(value)
        return dict(pairs)

    def check(value: Any) -> None:
        if isinstance(value, str) and any(0xD800 <= ord(char) <= 0xDFFF for char in value):
            raise NotJson("a lone surrogate")
        for inner in value if isinstance(value, list) else ():
            check(inner)

    def refuse(word: str) -> Any:
        raise NotJson(word)

    try:
        # parse_int: `int` refuses more than 4300 digits; a number of so many is huge, whichever it is
        value = json.loads(
            line.decode(),
            object_pairs_hook=members,
            parse_constant=refuse,
            parse_int=lambda text: int(text) if len(text) < 4000 else 10**4000,
        )
    except json.JSONDecodeError as error:
        raise NotJson(str(error)) from error
    check(value)
    return value


def untyped_reason(value: Any) -> str | None:
    """Why an entry of an untyped stream is refused, by the first rule that applies; None: it is stored."""
    if not isinstance(value, dict):
        return "type"
    walked = list(_walk(value))
    if any(isinstance(inner, int) and not -(2**63) <= inner < 2**63 for inner, _ in walked):
        return "range"
    if any(isinstance(inner, float) and abs(inner) == float("inf") for inner, _ in walked):
        return "range"
    if any("\0" in name for _, names in walked for name in names):
        return "key"
    ours = {"_id", "block_number", "block_time", "local_time"}
    return "reserved_field" if any(name in ours or name.endswith("_ns") for name in value) else None


def _walk(value: Any) -> Iterator[tuple[Any, list[str]]]:
    yield value, list(value) if isinstance(value, dict) else []
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _walk(inner)


def nanoseconds(text: str) -> int:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    since = datetime.fromisoformat(whole).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 10**9 + int(Decimal("0." + (fraction or "0")) * 10**9)


def elements(family: str, numbers: str, entry: Any, wrapper: dict[str, Any] | None, key: bytes) -> list[Element]:
    """All elements of the document, in order."""
    made = [Element("id", "_id", key)]
    members = entry
    if family == "node_fills":
        user, members = entry
        made.append(Element("text", "user", user))
    for name, value in members.items():
        made += _member(family, numbers, name, value)
    if wrapper is not None:
        made += [_plain("block_number", wrapper["block_number"])]
        made += [*_time("block_time", nanoseconds(wrapper["block_time"]))]
        made += [*_time("local_time", nanoseconds(wrapper["local_time"]))]
        known = {"block_number", "block_time", "local_time", "events"}
        made += [_plain(name, value) for name, value in wrapper.items() if name not in known]
    return made


def _member(family: str, numbers: str, name: str, value: Any) -> list[Element]:
    if name in TIMES[family]:
        return _time(name, nanoseconds(value))
    if name in MILLIS[family]:
        return _time(name, value * 10**6)
    if name in DECIMALS[family] and value is not None:
        return [_decimal(numbers, name, value)]
    known, inner = INNER_DECIMALS.get(family, (None, ""))
    if name == known and value is not None:
        return [_with_decimals(numbers, name, value, inner)]
    return [_plain(name, value)]


def _with_decimals(numbers: str, name: str, value: Any, decimal: str) -> Element:
    if isinstance(value, list):
        parts = [_with_decimals(numbers, str(index), part, decimal) for index, part in enumerate(value)]
        return Element("array", name, parts)
    inner = [
        _decimal(numbers, key, part) if key == decimal and part is not None else _plain(key, part)
        for key, part in value.items()
    ]
    return Element("object", name, inner)


def _time(name: str, since: int) -> list[Element]:
    return [Element("date", name, since // 10**6), Element("int64", name + "_ns", since)]


def _decimal(numbers: str, name: str, text: str) -> Element:
    if numbers == "string":
        return Element("text", name, text)
    if numbers == "double":
        return Element("double", name, float(text))
    return Element("decimal", name, Decimal(text).as_tuple())


def _plain(name: str, value: Any) -> Element:
    if isinstance(value, dict):
        return Element("object", name, [_plain(key, inner) for key, inner in value.items()])
    if isinstance(value, list):
        return Element("array", name, [_plain(str(index), inner) for index, inner in enumerate(value)])
    if value is None or isinstance(value, bool | str | float):
        kind = {bool: "bool", str: "text", float: "double"}.get(type(value), "null")
        return Element(kind, name, value)
    return Element("int32" if -(2**31) <= value < 2**31 else "int64", name, value)


def comparable(found: list[Element]) -> list[Element]:
    """Decimals as what they say, doubles as they print (-0.0 is not 0.0)."""

    def one(element: Element) -> Element:
        if element.kind in ("object", "array"):
            return element._replace(value=[one(inner) for inner in element.value])
        if element.kind == "decimal" and isinstance(element.value, bytes):
            return element._replace(value=Decimal128.from_bid(element.value).to_decimal().as_tuple())
        return element._replace(value=repr(element.value)) if element.kind == "double" else element

    return [one(element) for element in found]


def position_id(prefix: bytes, place: int) -> bytes:
    return bytes.fromhex(f"{prefix.hex()}{place:010x}")


def content_id(family: str, entry: Any) -> bytes:
    """By the design: the event's second, then 64 bits of blake2b over the length-prefixed key fields."""
    if family == "node_trades":
        time = nanoseconds(entry["time"])
        seconds = time // 10**9
        key = [time, entry["coin"], entry["side_info"][0]["oid"], entry["side_info"][1]["oid"]]
    else:
        user, fill = entry
        seconds = fill["time"] // 1000
        key = [fill["time"], fill["coin"], fill["tid"], user, fill["oid"], fill["side"]]
    digest = blake2b(digest_size=8)
    for part in key:
        text = str(part).encode()
        digest.update(str(len(text)).encode() + b":" + text + b",")
    return bytes.fromhex(f"{seconds:08x}") + digest.digest()
