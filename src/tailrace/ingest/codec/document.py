"""An entry -> its document: `_id`, user of a fill, members, block fields. Raises on anything unfit, gives no reason."""

from __future__ import annotations

from struct import Struct
from typing import Any, NamedTuple

from tailrace.identity import ID_SIZE, content_id
from tailrace.ingest.codec.elements import ObjectWriter, Unfit, Writer, as_it_is, writer_of
from tailrace.ingest.codec.faults import names_reserved
from tailrace.model import Identity, Numbers
from tailrace.streams.schema import BLOCK_FIELDS, EVENTS, WRAPPER, EntryShape, Field, Kind, Schema
from tailrace.streams.times import SECOND, nanoseconds

_ID = b"\x07_id\0"
_OVERHEAD = 4 + len(_ID) + ID_SIZE + 1  # the document's length, `_id`, the final zero
_start = Struct(f"<i{len(_ID)}s{ID_SIZE}s").pack


class Block(NamedTuple):
    """What every entry of a wrapped line carries: the elements, and the names of unknown fields among them."""

    elements: bytes
    carried: frozenset[str]


NO_BLOCK = Block(b"", frozenset())


class DocumentWriter:
    """One per codec. Thread-safe: what it remembers are shapes, and each is remembered whole."""

    def __init__(self, schema: Schema, identity: Identity, numbers: Numbers) -> None:
        self._schema = schema
        self._by_content = identity is Identity.CONTENT
        self._user: Writer | None = None
        reserved = names_reserved
        if schema.shape is EntryShape.FILL:
            self._user = writer_of(Field(name="user", kind=Kind.TEXT, required=True), numbers)
            reserved = _reserved_in_fill
        self._members = ObjectWriter(schema.fields, numbers, reserved)
        self._block = {known.name: writer_of(known, numbers) for known in WRAPPER}

    def block_of(self, wrapper: dict[str, Any]) -> Block:
        """The block fields of a wrapped line. Raises any exception when there is something wrong with them."""
        if type(wrapper) is not dict or type(wrapper[EVENTS]) is not list:
            raise Unfit
        write = self._block
        elements = (
            write["block_number"](wrapper["block_number"])
            + write["block_time"](wrapper["block_time"])
            + write["local_time"](wrapper["local_time"])
        )
        if len(wrapper) == len(write) + 1:
            return Block(elements, frozenset())
        carried = [name for name in wrapper if name != EVENTS and name not in BLOCK_FIELDS]
        if any("\0" in name or names_reserved(name) for name in carried):
            raise Unfit
        return Block(elements + b"".join([as_it_is(name)(wrapper[name]) for name in carried]), frozenset(carried))

    def document(self, entry: Any, position: bytes, block: Block) -> bytes:
        """BSON of an entry; `position` is its `_id` unless the identity is by content.

        Raises any exception on an unfit entry. Does not ask for the size of the document.
        """
        user, members = None, entry
        if self._user is None:
            body = self._members.body(members) + block.elements
        else:
            if type(entry) is not list:
                raise Unfit
            user, members = entry
            body = self._user(user) + self._members.body(members) + block.elements
        if block.carried and not (block.carried.isdisjoint(members) and (user is None or "user" not in block.carried)):
            raise Unfit
        key = self._content_id(user, members) if self._by_content else position
        return _start(len(body) + _OVERHEAD, _ID, key) + body + b"\0"

    def _content_id(self, user: str | None, members: dict[str, Any]) -> bytes:
        """Asked of written members only: their types are right. OverflowError outside the years 1970 to 2106."""
        time = members[str(self._schema.event_time)]
        if type(time) is str:
            time = nanoseconds(time)
            seconds = time // SECOND
        else:
            seconds = time // 1000
        key = []
        for path in self._schema.key:
            if path == (self._schema.event_time,):
                key.append(time)
            elif path == ("user",) and user is not None:
                key.append(user)
            else:
                key.append(_at(path, members))
        return content_id(seconds, key)


def _at(path: tuple[str | int, ...], members: Any) -> Any:
    for step in path:
        members = members[step]
    return members


def _reserved_in_fill(name: str) -> bool:
    return name == "user" or names_reserved(name)
