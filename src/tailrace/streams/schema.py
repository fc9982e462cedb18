"""What a schema of a stream can say. Data only: the codec (and its twin in Rust) give it meaning."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tailrace.model import Identity


class Kind(StrEnum):
    """What a field's value must be in JSON. In brackets: what it becomes in BSON."""

    TEXT = "text"  # a string (string)
    INTEGER = "integer"  # an integer (int32 when it fits, else int64)
    BOOLEAN = "boolean"  # true or false (bool)
    DECIMAL = "decimal"  # a string of decimal form (by `numbers`: decimal128, double or string)
    TIME = "time"  # a string of ISO form (date, and `<name>_ns` int64)
    MILLIS = "millis"  # an integer, milliseconds since 1970 (date, and `<name>_ns` int64)
    TEXT_OR_OBJECT = "text_or_object"  # a string, or an object of any content (as it is)
    OBJECT = "object"  # an object whose known members are `fields` (document)
    PAIR = "pair"  # an array of exactly two such objects (array)


class EntryShape(StrEnum):
    """What one entry is in JSON."""

    OBJECT = "object"
    FILL = "fill"  # an array `[user, {...}]`; `fields` are those of the object


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A known member of an object. One that is not `required` may be absent or null.

    TIME and MILLIS stand only at the top of an entry or wrapper: their `<name>_ns` is a field of its own.
    """

    name: str
    kind: Kind
    required: bool = False
    fields: tuple[Field, ...] = ()


WRAPPER = (
    Field(name="local_time", kind=Kind.TIME, required=True),
    Field(name="block_time", kind=Kind.TIME, required=True),
    Field(name="block_number", kind=Kind.INTEGER, required=True),
)
"""The known members of a wrapped line, but for its array EVENTS."""

EVENTS = "events"
BLOCK_FIELDS = frozenset(known.name for known in WRAPPER)

_OF_THE_COPY = BLOCK_FIELDS | {"block_time_ns", "local_time_ns"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What the entries of a family of streams are, in every framing.

    `event_time`: the TIME or MILLIS field that says when the event was; None: content identity is not to be had.
    `key`: paths of the values that identify an event (a path is names and array indices; `user` of a fill is its
    user). A TIME enters the key as integer nanoseconds, MILLIS as integer milliseconds.
    `not_compared`: fields in which two copies of one event may differ.
    `indexes`: field names of each index that a collection made by tailrace has; `user_indexes`: those it has besides
    when asked for (setting user_index).
    """

    family: str
    shape: EntryShape = EntryShape.OBJECT
    fields: tuple[Field, ...] = ()
    event_time: str | None = None
    key: tuple[tuple[str | int, ...], ...] = ()
    not_compared: frozenset[str] = frozenset()
    indexes: tuple[tuple[str, ...], ...] = ()
    user_indexes: tuple[tuple[str, ...], ...] = ()

    def compared(self, identity: Identity) -> frozenset[str]:
        """The document fields to leave out (`ignore`) when a document is compared with the stored one.

        Position identity: none, both are the same line. Content identity: what belongs to the copy and not to
        the event. Wrapper fields that no schema knows cannot be named here, so they are compared.
        """
        if identity is Identity.POSITION:
            return frozenset()
        return _OF_THE_COPY | self.not_compared
