"""What the driver sees, as `run` would: user, roles, version, collections, ledger, disk. Reads only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from tailrace.commands.doctor import ledger, members, rights
from tailrace.commands.doctor.clock import of_server
from tailrace.commands.doctor.files import Seen
from tailrace.commands.doctor.finding import Finding, Level, Subject, fine, note, parted, problem, skipped
from tailrace.commands.doctor.state import StateSeen
from tailrace.commands.doctor.wire import Probe
from tailrace.config import Settings, SourceSettings
from tailrace.errors import CollectionUnfit, LedgerDamaged, ServerRefusesUs, TailraceError
from tailrace.ingest.mongo.connection import Client, ServerOptions, connect, handles, write_concern_warning
from tailrace.ingest.mongo.made import info_of
from tailrace.ingest.mongo.refusal_sentences import server_sentence
from tailrace.ingest.mongo.server import inspect
from tailrace.ingest.wiring import server_options
from tailrace.words import size_words

LIMIT = 6.0
"""Seconds for all that is asked of a server, of each source again for what concerns its collection."""

OLDEST = (4, 4)
CLUSTERED_SINCE = (5, 3)
"""As in `ingest.mongo.server` (a test holds them together)."""

DISK_WANTED = 2 << 30  # bytes
_UNAUTHORIZED = 13
_USER = "correct user, password and authSource (the database that the user was made in, often admin) in mongodb_uri"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the other areas have found by now. `seen`: by the name of the source."""

    settings: Settings
    seen: Mapping[str, Seen]
    state: StateSeen
    probes: Sequence[Probe]


async def look(case: Case) -> AsyncIterator[Finding]:
    """Raises nothing of the driver's."""
    settings, sources = case.settings, case.settings.sources
    options = server_options(settings, sources[0], settings.connection_string)
    try:
        client = connect(options)
    except ServerRefusesUs as refusal:
        yield problem(Subject.MONGODB, *parted(str(refusal), "correct mongodb_uri"))
        return
    try:
        with pymongo.timeout(LIMIT):
            async for finding in _asked(case, client, options):
                yield finding
    except PyMongoError as error:
        yield _refusal(error, options)
    finally:
        await client.close()


def _refusal(error: PyMongoError, options: ServerOptions) -> Finding:
    """Of the first call that needs an answer."""
    what, remedy = server_sentence(error, options), "look at the log of that mongod, and at mongodb_uri"
    if isinstance(error, OperationFailure) and error.code != _UNAUTHORIZED:
        return problem(Subject.AUTHENTICATION, what, _USER)
    if isinstance(error, OperationFailure):
        return problem(Subject.ROLES, what, rights.grant(options))
    return problem(Subject.MONGODB, what, remedy)


async def _asked(case: Case, client: Client, options: ServerOptions) -> AsyncIterator[Finding]:
    hello = await client.admin.command("hello")
    build = await client.server_info()
    topology = members.topology_of(case.probes)
    name = f"replica set {hello['setName']}" if "setName" in hello else topology.kind or "server"
    yield fine(Subject.MONGODB, f"MongoDB {build['version']}, {name}")
    version = tuple(build.get("versionArray", ()))[:2]
    yield of_version(str(build["version"]), version)
    wanted = [source.namespace for source in case.settings.sources if source.clustered]
    yield of_clustered(str(build["version"]), version, wanted)
    info = (await client.admin.command({"connectionStatus": 1, "showPrivileges": True}))["authInfo"]
    users = bool(info.get("authenticatedUsers"))
    privileges = info.get("authenticatedUserPrivileges", ()) if users else None
    if users:
        yield fine(Subject.AUTHENTICATION, "the user of mongodb_uri is accepted")
    yield members.of_write_concern(case.settings.write_concern, topology, await _config(client, topology.kind))
    for probe in case.probes:
        theirs = members.clock_of(probe.hello)
        if theirs is not None and probe.hello is topology.hello:
            yield of_server(theirs, probe.asked + probe.took / 2, probe.took)
    fits = version >= OLDEST
    asks = False
    for source in case.settings.sources:
        try:
            async for finding in _of_source(case, client, source, privileges, fits=fits, now=members.clock_of(hello)):
                asks = asks or finding.subject is Subject.AUTHENTICATION
                yield replace(finding, source=source.source)
        except TailraceError as error:  # what stops this source hides none of the others
            stopped = problem(Subject.COLLECTION, *parted(str(error), "mend what it says, then check again"))
            yield replace(stopped, source=source.source)
    if not users and not asks:
        yield fine(
            Subject.AUTHENTICATION, "no user is given, and the server asks for none: it trusts whoever reaches it"
        )
    yield await _disk(case, client, options.database)


async def _of_source(
    case: Case,
    client: Client,
    source: SourceSettings,
    privileges: Sequence[Mapping[str, Any]] | None,
    *,
    fits: bool,
    now: float | None,
) -> AsyncIterator[Finding]:
    """`privileges`: None without a user. `fits`: the server's version does."""
    options = server_options(case.settings, source, case.settings.connection_string)
    ours = handles(client, options)
    try:
        present = [each.name for each in (ours.data, ours.rejects, ours.files) if await info_of(each) is not None]
    except OperationFailure as error:
        yield _not_listed(error, options, user=privileges is not None)
        yield skipped(Subject.COLLECTION, "this user may not look at it")
        yield skipped(Subject.LEDGER, "this user may not look at it")
        return
    roles = fine(Subject.ROLES, "the server asks for no user: everybody may do everything")
    if privileges is not None:
        roles = rights.of_roles(privileges, options, present)
    yield roles
    if roles.level is Level.PROBLEM or not fits:
        because = "the roles do not suffice" if fits else "the server is too old"
        yield skipped(Subject.COLLECTION, because)
        yield skipped(Subject.LEDGER, because)
        return
    try:
        facts = await inspect(client, options, clustered=source.clustered, time_limit=LIMIT)
    except CollectionUnfit as unfit:
        yield problem(Subject.COLLECTION, *parted(str(unfit), "name another collection"))
        yield skipped(Subject.LEDGER, "the collection does not fit")
        return
    except ServerRefusesUs as refusal:
        if "clustered = true needs" not in str(refusal):  # that is said already
            yield problem(Subject.COLLECTION, str(refusal), "look at the log of the mongod, and at the user's roles")
        yield skipped(Subject.LEDGER, "the collection could not be looked at")
        return
    said = write_concern_warning(options.write_concern)  # among the warnings of the configuration
    for warning in facts.warnings:
        if warning != said:
            yield note(Subject.COLLECTION, warning, _remedy_of(warning))
    yield fine(Subject.COLLECTION, f"{source.namespace} {'fits' if facts.exists else 'is not there yet'}")
    try:
        for finding in await ledger.look(source, case.seen[source.source], case.state, facts, ours, now):
            yield finding
    except (PyMongoError, LedgerDamaged) as error:
        what = server_sentence(error, options) if isinstance(error, PyMongoError) else str(error)
        sentence = f"the ledger of {source.namespace} cannot be read: {what}"
        yield problem(Subject.LEDGER, sentence, "give the user the roles of docs/security.md, then check again")


def _not_listed(error: OperationFailure, options: ServerOptions, *, user: bool) -> Finding:
    if error.code == _UNAUTHORIZED and not user:
        sentence = "the server asks for a user and a password, and mongodb_uri names none"
        return problem(
            Subject.AUTHENTICATION,
            sentence,
            "put USER:PASSWORD@ before the host in mongodb_uri, and authSource=... among its options",
        )
    if error.code == _UNAUTHORIZED:
        sentence = f"the MongoDB user may not listCollections on {options.database}: run would be refused"
        return problem(Subject.ROLES, sentence, rights.grant(options))
    return problem(Subject.ROLES, server_sentence(error, options), rights.grant(options))


def of_version(shown: str, version: tuple[int, ...]) -> Finding:
    """Pure."""
    if version < OLDEST:
        sentence = f"MongoDB {shown} is too old: 4.4 is the oldest that tailrace works with"
        return problem(Subject.VERSION, sentence, "upgrade the server, or name another one in mongodb_uri")
    return fine(Subject.VERSION, f"{shown}: 4.4 or later is needed")


def of_clustered(shown: str, version: tuple[int, ...], wanted: Sequence[str]) -> Finding:
    """`wanted`: collections for which clustered = true is set. Pure."""
    can = version >= CLUSTERED_SINCE
    if wanted and not can:
        sentence = f"clustered = true ({', '.join(wanted)}) needs MongoDB 5.3, and this is {shown}"
        return problem(Subject.CLUSTERED, sentence, "set clustered = false, or upgrade the server")
    if wanted:
        return fine(Subject.CLUSTERED, f"asked for, and {shown} can (5.3 or later)")
    return fine(Subject.CLUSTERED, f"not asked for; {shown} {'could' if can else 'could not: 5.3 is needed'}")


def _remedy_of(warning: str) -> str:
    remedies = {
        "validator": "let the validator admit what tailrace writes, or drop it",
        "unique index": "drop that index, unless these refusals are wanted",
        "clustered =": "set clustered as the collection is",
        "shard key": "grant find on config.collections, or see for yourself that the shard key is _id",
    }
    return next((remedy for part, remedy in remedies.items() if part in warning), "see docs/guarantees.md")


async def _config(client: Client, kind: str) -> Mapping[str, Any] | None:
    """The set's configuration; None where there is no set, or this user may not read it."""
    if kind not in ("primary", "secondary"):
        return None
    try:
        found: Mapping[str, Any] = (await client.admin.command("replSetGetConfig"))["config"]
    except OperationFailure:
        return None
    return found


async def _disk(case: Case, client: Client, database: str) -> Finding:
    try:
        facts = await client[database].command({"dbStats": 1, "scale": 1})
    except OperationFailure:
        return skipped(Subject.SERVER_DISK, "this user may not run dbStats: watch the server's disk there")
    total, used = facts.get("fsTotalSize", 0), facts.get("fsUsedSize", 0)
    if not total:
        return skipped(Subject.SERVER_DISK, f"the server does not say before {database} is there")
    return of_disk(int(total), int(total - used), sum(seen.size for seen in case.seen.values()))


def of_disk(total: int, free: int, backlog: int) -> Finding:
    """Bytes. `backlog`: of all hour files, most of which may be stored already. Pure."""
    shown = f"{size_words(free)} of {size_words(total)} free on the server's disk"
    if free < DISK_WANTED:
        sentence = f"only {shown}: a full disk stops mongod; nothing would be lost, and nothing stored either"
        return note(Subject.SERVER_DISK, sentence, "free space or add some, before mongod stops")
    if free < backlog:
        sentence = f"{shown}, and the hour files hold {size_words(backlog)}"
        return note(Subject.SERVER_DISK, sentence, "make room for what is not stored yet")
    return fine(Subject.SERVER_DISK, shown)
