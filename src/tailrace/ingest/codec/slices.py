"""A wrapped line cut into raw slices, so that one entry can be kept aside in the very bytes that were written."""

from __future__ import annotations

import msgspec

from tailrace.ingest.codec.nesting import DEPTH_LIMIT, depth_of
from tailrace.streams.schema import EVENTS

_wrapper = msgspec.json.Decoder(dict[str, msgspec.Raw])
_events = msgspec.json.Decoder(list[msgspec.Raw])


class Slices:
    """`line` is known to be a JSON object."""

    def __init__(self, line: bytes) -> None:
        self._fields = {name: bytes(raw) for name, raw in _wrapper.decode(line).items()}
        self._entries: list[bytes] = []
        events = self._fields.get(EVENTS, b"")
        if events.startswith(b"["):
            self._entries = [bytes(raw) for raw in _events.decode(events)]
            del self._fields[EVENTS]

    def wrapper_is_deep(self) -> bool:
        """Whether a field beside the entries reaches over the limit."""
        return any(depth_of(raw) + 1 > DEPTH_LIMIT for raw in self._fields.values())

    def is_deep(self, index: int) -> bool:
        """Whether the entry, two levels down, reaches over the limit."""
        return depth_of(self._entries[index]) + 2 > DEPTH_LIMIT

    def alone(self, index: int) -> bytes:
        """The line with this entry only; the fields in order, then the array."""
        fields = b"".join([msgspec.json.encode(name) + b":" + raw + b"," for name, raw in self._fields.items()])
        return b"{" + fields + b'"events":[' + self._entries[index] + b"]}"
