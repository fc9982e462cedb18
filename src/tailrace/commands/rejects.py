"""`tailrace rejects list | show | replay`: what was kept aside, with its reason and its bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from tailrace.commands import rejects_view
from tailrace.commands.common import interruptible, settle_settings
from tailrace.commands.shelves import Shelf, shelves_of, the_one
from tailrace.config import Loaded, Settings
from tailrace.config.flags import ConfigOption, with_settings
from tailrace.errors import RuntimeFailure, SettingsChanged, UsageError
from tailrace.ingest.codec.choosing import choose_codec
from tailrace.ingest.mongo.reject_queries import RejectHead
from tailrace.ingest.mongo.writer import whole_line
from tailrace.ingest.wiring import entry_alone
from tailrace.model import SCHEMA_VERSION, Framing, Identity, Numbers, Reason
from tailrace.streams import schema_of
from tailrace.verify.reject_lookup import HoursFilter, by_keys, framing_of
from tailrace.verify.replay import Decoding, Replay, Replayed
from tailrace.verify.selection import hours_of

app = typer.Typer(
    help="What was kept aside: list it, look at it, store it once its cause is gone.", no_args_is_help=True
)

_NEEDED = frozenset({"mongodb_uri"})
_DERIVED = "the name of the collection"  # where `config.load` says so, the stream is only a guess

ReasonOption = Annotated[
    list[str] | None, typer.Option("--reason", metavar="REASON", help="Only of this reason; may be repeated.")
]
HourOption = Annotated[
    str | None, typer.Option("--hour", metavar="HOUR", help="Only of files of this hour (20250310/9) or day.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


@app.command("list")
@with_settings
def list_rejects(
    flags: dict[str, str],
    config: ConfigOption = None,
    reason: ReasonOption = None,
    hour: HourOption = None,
    limit: Annotated[int, typer.Option(min=0, help="Show this many at most; 0 for all.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """What is kept aside, in order of place, and how much by reason."""
    loaded = settle_settings(flags, config, require=_NEEDED)
    interruptible(_list(loaded.settings, _filter(reason, hour), limit, as_json=as_json))


@app.command("show")
@with_settings
def show_reject(
    flags: dict[str, str],
    key: Annotated[str, typer.Argument(metavar="ID", help="As listed; its beginning suffices.", show_default=False)],
    config: ConfigOption = None,
    raw: Annotated[bool, typer.Option("--raw", help="Only the bytes, as they were, on standard output.")] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the bytes to this file.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """One reject with all its fields and its bytes."""
    if raw + as_json + (output is not None) > 1:
        raise UsageError("only one of --raw, --json and --output can be given")
    loaded = settle_settings(flags, config, require=_NEEDED)
    interruptible(_show(loaded.settings, key, output, raw=raw, as_json=as_json))


@app.command("replay")
@with_settings
def replay_rejects(
    flags: dict[str, str],
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Only these; without any: all.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    reason: ReasonOption = None,
    hour: HourOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would become of them.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Decode them again; store what is good now and remove it from here. What is still bad stays. Safe beside `run`."""
    if keys and (reason or hour):
        raise UsageError("give either ids or --reason and --hour")
    loaded = settle_settings(flags, config, require=_NEEDED)
    done = interruptible(_replay(loaded, keys or [], _filter(reason, hour), dry_run=dry_run))
    rejects_view.print_replayed(done, dry_run=dry_run, as_json=as_json)


async def _list(settings: Settings, which: HoursFilter, limit: int, *, as_json: bool) -> None:
    async with shelves_of(settings) as shelves:
        for shelf in shelves:
            counts = await shelf.reader.counts(which)
            heads = [head async for head in shelf.reader.find(which, limit=limit)]
            shown = rejects_view.Listing(shelf.namespace, counts, heads)
            rejects_view.print_json(shown) if as_json else rejects_view.print_listing(shown)


async def _show(settings: Settings, word: str, output: Path | None, *, raw: bool, as_json: bool) -> None:
    async with shelves_of(settings) as shelves:
        shelf, head = await the_one(shelves, word)
        if output is not None:
            with _opened(output) as out:
                async for part in shelf.reader.load_bytes(head):
                    out.write(part)
        elif raw:
            async for part in shelf.reader.load_bytes(head):
                sys.stdout.buffer.write(part)
            sys.stdout.buffer.flush()
        else:
            await rejects_view.print_reject(head, shelf.reader, as_json=as_json)


async def _replay(loaded: Loaded, words: list[str], which: HoursFilter, *, dry_run: bool) -> Replayed:
    settings, total = loaded.settings, Replayed()
    async with shelves_of(settings) as shelves:
        wanted: dict[str, list[bytes]] = {shelf.namespace: [] for shelf in shelves}
        for word in words:
            shelf, head = await the_one(shelves, word)
            wanted[shelf.namespace].append(head.key)
        for shelf in shelves:
            keys = wanted[shelf.namespace]
            if words and not keys:
                continue
            replay = Replay(
                shelf.handles,
                shelf.retrier,
                await _decoder(loaded, shelf),
                max_line_bytes=settings.max_line_bytes,
                dry_run=dry_run,
            )
            heads = by_keys(shelf.reader, list(dict.fromkeys(keys))) if keys else shelf.reader.find(which)
            total.add(await replay.run(heads))
    return total


async def _decoder(loaded: Loaded, shelf: Shelf) -> Callable[[RejectHead], Decoding]:
    """By what the collection was filled with, whatever is set now. Raises SettingsChanged for another schema."""
    stored = await shelf.retrier.call(
        lambda: shelf.handles.files.find_one({"_id": "settings"}), "reading the settings of the collection"
    )
    source = shelf.source
    identity = source.identity if stored is None else Identity(stored["identity"])
    numbers = source.numbers if stored is None else Numbers(stored["numbers"])
    if stored is not None and stored["schema"] != SCHEMA_VERSION:
        raise SettingsChanged(
            f"{shelf.namespace} was filled with schema version {stored['schema']}, and this tailrace writes version "
            f"{SCHEMA_VERSION}: replay with the tailrace that filled it"
        )
    declared = _declared(loaded, shelf.namespace)

    @cache
    def decoding(family: str, framing: Framing) -> Decoding:
        schema = schema_of(family)
        return Decoding(
            codec=choose_codec(loaded.settings.codec, schema, framing, identity=identity, numbers=numbers),
            entry_of=entry_alone if framing.wrapped else whole_line,
            ignore=schema.compared(identity),
        )

    return lambda head: decoding(head.family, framing_of(head, declared, source.framing))


def _declared(loaded: Loaded, namespace: str) -> dict[str, Framing]:
    """Framing by source name, where the configuration says the stream and does not derive it from the collection."""
    sources = loaded.settings.sources
    return {
        source.source: source.framing
        for number, source in enumerate(sources, start=1)
        if source.namespace == namespace
        and loaded.where.get(f"[[sources]] {number}, stream" if len(sources) > 1 else "stream") != _DERIVED
    }


def _filter(reasons: list[str] | None, hour: str | None) -> HoursFilter:
    unknown = sorted(set(reasons or ()) - set(Reason))
    if unknown:
        raise UsageError(f"reason {unknown[0]!r} is unknown; it is one of {', '.join(Reason)}")
    hours = None if hour is None else hours_of(hour)
    if hour is not None and hours is None:
        raise UsageError(f"hour {hour!r} is neither an hour (20250310/9) nor a day (20250310)")
    return HoursFilter(reasons=frozenset(Reason(reason) for reason in reasons or ()), hours=hours)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise RuntimeFailure(f"{path} cannot be written: {error.strerror}") from error
