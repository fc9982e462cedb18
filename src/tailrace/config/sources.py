"""What one `[[sources]]` table says: one stream of one node, and the collection its entries go to.

Each field says all there is to know of its key: the rule its value follows, the default, and what it does. A field
whose default depends on something else carries `Unset` with the words for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from tailrace.config.rules import Choice, FilePath, Switch, Text
from tailrace.errors import SettingsError
from tailrace.model import Framing, Identity, Numbers, StartAt

_NAME_LIMIT = 120  # bytes of a collection's name: with database and `.rejects` far below the server's 255
_RESERVED_ENDINGS = (".files", ".rejects")  # the ledger and the rejects of a collection


def _stream_problem(name: str) -> str | None:
    fine = re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name, re.ASCII) and name.strip(".") and name != "hourly"
    return None if fine and family_of(name) else "must be the name of a stream's directory, such as node_trades"


def _source_problem(name: str) -> str | None:
    fine = re.fullmatch(r"[A-Za-z0-9_.:@-]{1,100}", name, re.ASCII)
    return None if fine else "must be 1 to 100 letters, digits or any of _ . : @ -"


def _database_problem(name: str) -> str | None:
    if name in ("admin", "local", "config"):
        return "must not be a database of the server's own (admin, local, config)"
    fine = re.fullmatch(r"[^/\\. \"$*<>:|?\x00]+", name) and len(name.encode()) <= 63
    return None if fine else 'must be 1 to 63 bytes without / \\ . " $ * < > : | ? and blanks'


def _collection_problem(name: str) -> str | None:
    if name.endswith(_RESERVED_ENDINGS):
        return "must not end in .files or .rejects, which are kept beside a collection"
    if "system" in name.split("."):  # refused by the server (6.0) for the collection, or for what lies beside it
        return "must not have system between its dots: the server keeps such names to itself"
    fine = name and len(name.encode()) <= _NAME_LIMIT and not re.search(r"[$\x00]|^\.|\.\.|\.$", name)
    return None if fine else f"must be 1 to {_NAME_LIMIT} bytes without $, without .. and without a . at either end"


def family_of(stream: str) -> str:
    """`node_trades_by_block` -> `node_trades`: the stream's name without the suffix of its framing."""
    return stream.removesuffix(framing_of(stream))


def framing_of(stream: str) -> Framing:
    """How lines of the stream are framed, by the suffix of its directory's name."""
    return next((framing for framing in Framing if framing and stream.endswith(framing)), Framing.BARE)


@dataclass(frozen=True, slots=True)
class Unset:
    """In words: what holds when a key without a fixed default is not set."""

    text: str


class Frozen(BaseModel):
    """Base of the models. Unknown names are errors."""

    # hide_input_in_errors: not even pydantic's own words may show a connection string
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SourceSettings(Frozen):
    """One stream of one node, and where its entries go. Keys of `[[sources]]`, with defaults from the top level.

    Invariant: after `load`, `stream`, `source` and `collection` are set; `root` is when the command requires it.
    """

    root: Annotated[Path | None, FilePath(), Unset("required by commands that read files")] = Field(
        None,
        description="The node's data directory, a stream's directory in it, or that directory's hourly. It may not "
        "exist yet.",
    )
    stream: Annotated[
        str, Text(_stream_problem, "a directory's name"), Unset("from the path, when root leads to a stream")
    ] = Field(description="The stream's directory below the data directory, such as node_trades_by_block.")
    source: Annotated[
        str, Text(_source_problem, "1 to 100 letters, digits or `_ . : @ -`"), Unset("the stream's family")
    ] = Field(
        description="Name of this node in the ledger. Two nodes that write to one collection need two names. Part of "
        "every position _id: do not change it later."
    )
    database: Annotated[str, Text(_database_problem, "a database's name, at most 63 bytes")] = Field(
        "hyperliquid", description="The database."
    )
    collection: Annotated[
        str,
        Text(_collection_problem, f"a collection's name, at most {_NAME_LIMIT} bytes"),
        Unset("the stream's family"),
    ] = Field(
        description="The collection. The ledger (NAME.files) and what is kept aside (NAME.rejects) lie beside it."
    )
    start_at: Annotated[StartAt, Choice(StartAt)] = Field(
        StartAt.BEGINNING,
        description="Where the very first start of a source begins in files that are there: at their beginning, or "
        "after their last complete line.",
    )
    identity: Annotated[Identity, Choice(Identity)] = Field(
        Identity.POSITION,
        description="position: every entry of every line is a document. content: the same event, from a restarted or "
        "from a second node, is one document. Fixed once a collection has data.",
    )
    numbers: Annotated[Numbers, Choice(Numbers)] = Field(
        Numbers.DECIMAL,
        description="The BSON type of decimal strings such as px and sz. Fixed once a collection has data.",
    )
    clustered: Annotated[bool, Switch()] = Field(
        False, description="Create the collection clustered on _id: less work for the server, fewer tools know it."
    )
    allow_ttl: Annotated[bool, Switch()] = Field(
        False, description="Accept a TTL index on the collection: documents then vanish, and verify will miss them."
    )
    user_index: Annotated[bool, Switch()] = Field(
        False, description="Build the index on users, too, when creating the collection (about 52 us a document)."
    )

    @property
    def family(self) -> str:
        """The stream without the suffix of its framing: what the schema is chosen by."""
        return family_of(self.stream)

    @property
    def framing(self) -> Framing:
        return framing_of(self.stream)

    @property
    def namespace(self) -> str:
        """`database.collection`"""
        return f"{self.database}.{self.collection}"

    @property
    def directory(self) -> Path:
        """`root`, for a command that requires it: SettingsError when it is not set."""
        if self.root is None:
            raise SettingsError(["root is not set"])
        return self.root
