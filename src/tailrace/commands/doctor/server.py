"""What the driver sees, as `run` would: user, version, write concern, disk; then each source's collections."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from tailrace.commands.doctor import collection, members, rights
from tailrace.commands.doctor.case import Case, ServerSeen, out_of_time, too_slow
from tailrace.commands.doctor.clock import of_server
from tailrace.commands.doctor.finding import Finding, Subject, fine, note, parted, problem, skipped
from tailrace.config import SourceSettings
from tailrace.errors import ServerRefusesUs
from tailrace.ingest.mongo.connection import Client, ServerOptions, connect
from tailrace.ingest.mongo.describing import describe
from tailrace.ingest.mongo.refusal_sentences import server_sentence
from tailrace.ingest.wiring import server_options
from tailrace.words import size_words

LIMIT = 6.0
"""Seconds for what is asked of a server once, and not of each source (`collection.LIMIT`)."""

OLDEST = (4, 4)
"""As in `ingest.mongo.server` (a test holds them together)."""

DISK_WANTED = 2 << 30  # bytes
_USER = "correct user, password and authSource (the database that the user was made in, often admin) in mongodb_uri"


async def look(case: Case, heard: list[Finding]) -> None:
    """What it finds goes to `heard` at once: should it hang, that counts. Raises nothing of the driver's."""
    options = server_options(case.settings, case.settings.sources[0], case.uri)
    try:
        client = connect(options)
    except ServerRefusesUs as refusal:
        heard.append(problem(Subject.MONGODB, *parted(str(refusal), "correct mongodb_uri")))
        return
    try:
        try:
            with pymongo.timeout(LIMIT):
                server = await _asked(case, client, heard)
        except PyMongoError as error:
            heard.append(_refusal(error, options, answered=bool(heard)))
            return
        asked = [_of_source(case, client, server, source, heard) for source in case.settings.sources]
        # HAZARD: one by one a distant server would need longer than all of us have
        await asyncio.gather(*asked, _disk(case, client, options.database, heard))
        if server.privileges is None and not any(each.subject is Subject.AUTHENTICATION for each in heard):
            sentence = "no user is given, and the server asks for none: it trusts whoever reaches it"
            heard.append(fine(Subject.AUTHENTICATION, sentence))
    finally:
        await client.close()


def _refusal(error: PyMongoError, options: ServerOptions, *, answered: bool) -> Finding:
    """Of a call that every source needs. `answered`: not the first one."""
    what, remedy = server_sentence(error, options), "look at the log of that mongod, and at mongodb_uri"
    if out_of_time(error) and answered:
        return too_slow(Subject.MONGODB, LIMIT)
    if isinstance(error, OperationFailure) and not out_of_time(error):
        if error.code == collection.UNAUTHORIZED:
            return problem(Subject.ROLES, what, rights.grant(options))
        return problem(Subject.AUTHENTICATION, what, _USER)
    return problem(Subject.MONGODB, what, remedy)


async def _asked(case: Case, client: Client, heard: list[Finding]) -> ServerSeen:
    hello = await client.admin.command("hello")
    build = await client.server_info()
    topology = members.topology_of(case.probes)
    name = f"replica set {hello['setName']}" if "setName" in hello else topology.kind or "server"
    heard.append(fine(Subject.MONGODB, f"MongoDB {build['version']}, {name}"))
    version = tuple(build.get("versionArray", ()))[:2]
    heard.append(of_version(str(build["version"]), version))
    wanted = [source.namespace for source in case.settings.sources if source.clustered]
    heard.append(of_clustered(str(build["version"]), version, wanted))
    info = (await client.admin.command({"connectionStatus": 1, "showPrivileges": True}))["authInfo"]
    users = bool(info.get("authenticatedUsers"))
    if users:
        heard.append(fine(Subject.AUTHENTICATION, "the user of mongodb_uri is accepted"))
    config = await _config(client, topology.kind)
    heard.append(members.of_write_concern(case.settings.write_concern, topology, config))
    for probe in case.probes:
        theirs = members.clock_of(probe.hello)
        if theirs is not None and probe.hello is topology.hello:
            heard.append(of_server(theirs, probe.asked + probe.took / 2, probe.took))
    return ServerSeen(
        fits=version >= OLDEST,
        compatible=await _compatible(client),
        databases=await _databases(client),
        privileges=info.get("authenticatedUserPrivileges", ()) if users else None,
        now=members.clock_of(hello),
    )


async def _of_source(
    case: Case, client: Client, server: ServerSeen, source: SourceSettings, heard: list[Finding]
) -> None:
    async for finding in collection.look(case, client, server, source):
        heard.append(replace(finding, source=source.source))  # noqa: PERF401  what was found before time is up counts


def of_version(shown: str, version: tuple[int, ...]) -> Finding:
    """Pure."""
    if version < OLDEST:
        sentence = f"MongoDB {shown} is too old: 4.4 is the oldest that tailrace works with"
        return problem(Subject.VERSION, sentence, "upgrade the server, or name another one in mongodb_uri")
    return fine(Subject.VERSION, f"{shown}: 4.4 or later is needed")


def of_clustered(shown: str, version: tuple[int, ...], wanted: Sequence[str]) -> Finding:
    """`wanted`: collections for which clustered = true is set. Pure."""
    can = version >= collection.CLUSTERED_SINCE
    if wanted and not can:
        sentence = f"clustered = true ({', '.join(wanted)}) needs MongoDB 5.3, and this is {shown}"
        return problem(Subject.CLUSTERED, sentence, "set clustered = false, or upgrade the server")
    if wanted:
        return fine(Subject.CLUSTERED, f"asked for, and {shown} can (5.3 or later)")
    return fine(Subject.CLUSTERED, f"not asked for; {shown} {'could' if can else 'could not: 5.3 is needed'}")


async def _compatible(client: Client) -> tuple[int, ...]:
    try:
        found = await client.admin.command({"getParameter": 1, "featureCompatibilityVersion": 1})
    except OperationFailure:  # the documented roles leave it out
        return ()
    words = str(found["featureCompatibilityVersion"].get("version", "")).split(".")
    return tuple(int(word) for word in words if word.isdecimal())


async def _databases(client: Client) -> list[str]:
    try:
        return await client.list_database_names()
    except OperationFailure:
        return []


async def _config(client: Client, kind: str) -> Mapping[str, Any] | None:
    """The set's configuration; None where there is no set, or this user may not read it."""
    if kind not in ("primary", "secondary"):
        return None
    try:
        found: Mapping[str, Any] = (await client.admin.command("replSetGetConfig"))["config"]
    except OperationFailure:
        return None
    return found


async def _disk(case: Case, client: Client, database: str, heard: list[Finding]) -> None:
    try:
        with pymongo.timeout(LIMIT):
            facts = await client[database].command({"dbStats": 1, "scale": 1})
    except PyMongoError as error:
        heard.append(skipped(Subject.SERVER_DISK, _no_stats(error)))
        return
    total, used = facts.get("fsTotalSize", 0), facts.get("fsUsedSize", 0)
    if not total:
        heard.append(skipped(Subject.SERVER_DISK, f"the server does not say before {database} is there"))
        return
    heard.append(of_disk(int(total), int(total - used), sum(seen.size for seen in case.seen.values())))


def _no_stats(error: PyMongoError) -> str:
    if isinstance(error, OperationFailure) and error.code == collection.UNAUTHORIZED:
        return "this user may not run dbStats: watch the server's disk there"
    if out_of_time(error):
        return f"dbStats gave no answer within {LIMIT:g} s: watch the server's disk there"
    return f"dbStats failed ({describe(error)}): watch the server's disk there"


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
