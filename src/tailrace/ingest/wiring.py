"""What the settings of a source say to each part that is wired for it: codec, collection, books, pipeline, descriptors.

Used by `instance`, and by the commands that look at a source's collection without running it.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass

from tailrace.config import CodecChoice, Settings
from tailrace.config.sources import SourceSettings
from tailrace.errors import ConfigurationError
from tailrace.ingest.books import BookOptions
from tailrace.ingest.codec.choosing import choose_codec
from tailrace.ingest.codec.codec import Codec
from tailrace.ingest.codec.slices import Slices
from tailrace.ingest.files.names import candidates, locate
from tailrace.ingest.mongo.ledger import StoredSettings
from tailrace.ingest.mongo.retrying import RetryOptions
from tailrace.ingest.mongo.server import CollectionFacts, ServerOptions, parse_write_concern
from tailrace.ingest.pipeline import PipelineOptions
from tailrace.ingest.tuning import Tuning
from tailrace.ingest.workers import Limits
from tailrace.model import Life
from tailrace.streams import schema_of

_OPEN_SHARE = 4  # of the descriptors that the process may have, one in so many is for hour files of a source
_OPEN_MOST = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """What is left of a source's run that ended because collections were dropped: the lives that it knew, whether its
    first start was over, and the names of those collections. Empty at the start of the process."""

    lives: tuple[Life, ...] = ()
    begun: bool = False
    dropped: frozenset[str] = frozenset()


def entry_alone(line: bytes, index: int) -> bytes:
    """One entry of a wrapped line, alone in its wrapper: what is kept aside of it."""
    return Slices(line).alone(index)


def make_codec(source: SourceSettings, setting: CodecChoice) -> Codec:
    """The codec of a source. Raises SettingsError for an identity that its stream cannot have, and for a native codec
    that is demanded and not there."""
    schema = schema_of(source.family)
    return choose_codec(setting, schema, source.framing, identity=source.identity, numbers=source.numbers)


def book_options(source: SourceSettings, facts: CollectionFacts, former: Former | None = None) -> BookOptions:
    """What the books of a source are kept under."""
    former = former or Former()
    stored = StoredSettings(
        identity=source.identity, numbers=source.numbers, family=source.family, clustered=facts.clustered
    )
    root = stream_directory(source)
    return BookOptions(
        source=source.source,
        namespace=source.namespace,
        collection_uuid=facts.uuid,
        root=root,
        there=os.path.isdir(root),
        start_at=source.start_at,
        settings=stored,
        rejects_uuid=facts.rejects_uuid,
        lives=former.lives,
        begun=former.begun,
        rejects_dropped=f"{source.collection}.rejects" in former.dropped,
    )


def pipeline_options(source: SourceSettings, *, once: bool) -> PipelineOptions:
    """The part of the settings that a pipeline looks at."""
    return PipelineOptions(
        root=str(source.directory),
        stream=source.stream,
        start_at=source.start_at,
        once=once,
    )


def tuning(settings: Settings) -> Tuning:
    """The part of the settings that a pipeline takes over while it runs."""
    return Tuning(
        poll_interval=settings.poll_interval,
        seal_after=settings.seal_after,
        shutdown_grace=settings.shutdown_grace,
        max_line_bytes=settings.max_line_bytes,
    )


def retry_options(settings: Settings) -> RetryOptions:
    return RetryOptions(timeout=settings.write_timeout, cap=settings.retry_max_delay)


def limits(settings: Settings) -> Limits:
    """Of what all sources of a process have in flight together."""
    return Limits(spans=settings.max_workers, size=settings.max_in_flight_bytes)


def event_time_of(source: SourceSettings) -> str | None:
    """The field of a document that says when its event was, as near as the stream tells."""
    return schema_of(source.family).event_time or ("block_time" if source.framing.wrapped else None)


def server_options(settings: Settings, source: SourceSettings, uri: str) -> ServerOptions:
    """`uri`: the setting, or that of the embedded mongod."""
    return ServerOptions(
        uri=uri,
        database=source.database,
        collection=source.collection,
        write_concern=parse_write_concern(str(settings.write_concern)),
        write_timeout=settings.write_timeout,
        allow_ttl=source.allow_ttl,
    )


def indexes_of(source: SourceSettings) -> list[tuple[str, ...]]:
    """What is built on a collection that we create: the schema's indexes, and the users' when asked for."""
    schema = schema_of(source.family)
    return [*schema.indexes, *(schema.user_indexes if source.user_index else ())]


def stream_directory(source: SourceSettings) -> str:
    """`HourlyTree.directory`, also where there is none yet."""
    try:
        tree = locate(str(source.directory), source.stream)
    except OSError as error:
        raise ConfigurationError(f"root: {source.directory} cannot be looked at: {error.strerror}") from None
    return (tree or next(candidates(str(source.directory), source.stream))).directory


def max_open(sources: int) -> int:
    """Descriptors for the hour files of one source. `sources`: that there are, maybe none yet."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(8, min(_OPEN_MOST, soft // _OPEN_SHARE // max(1, sources)))
