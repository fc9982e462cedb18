"""What one source's collections say, as `run` would see them: rights, promises, ledger. Reads only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from tailrace.commands.doctor import ledger, rights
from tailrace.commands.doctor.case import Case, ServerSeen, out_of_time, too_slow
from tailrace.commands.doctor.finding import Finding, Level, Subject, fine, note, parted, problem, skipped
from tailrace.config import SourceSettings
from tailrace.errors import CollectionUnfit, ServerRefusesUs, TailraceError
from tailrace.ingest.mongo.connection import Client, ServerOptions, handles, write_concern_warning
from tailrace.ingest.mongo.made import uuids
from tailrace.ingest.mongo.refusal_sentences import server_sentence
from tailrace.ingest.mongo.server import ServerFacts, facts_of
from tailrace.ingest.wiring import server_options

LIMIT = 10.0
"""Seconds for each source, side by side: as many as `run` has for each look at its collections."""

CLUSTERED_SINCE = (5, 3)
"""As in `ingest.mongo.server` (a test holds them together)."""

UNAUTHORIZED = 13


async def look(case: Case, client: Client, server: ServerSeen, source: SourceSettings) -> AsyncIterator[Finding]:
    """Raises nothing: whatever stops it is a finding, and what comes after that is said not to have been looked at."""
    options = server_options(case.settings, source, case.uri)
    told: set[Subject] = set()
    stopped: Finding | None = None
    because = ""
    try:
        with pymongo.timeout(LIMIT):
            async for finding in _asked(case, client, server, source, options):
                told.add(finding.subject)
                yield finding
    except PyMongoError as error:
        at = Subject.LEDGER if Subject.COLLECTION in told else Subject.COLLECTION
        slow = out_of_time(error)
        stopped = too_slow(at, LIMIT) if slow else _refused(at, error, options)
        because = "there was no time left" if slow else f"of the problem with {at.value}"
    except TailraceError as error:
        stopped = problem(Subject.COLLECTION, *parted(str(error), "mend what it says, then check again"))
        because = f"of the problem with {Subject.COLLECTION.value}"
    if stopped is not None:
        yield stopped
        missing = {Subject.ROLES, Subject.COLLECTION, Subject.LEDGER} - told - {stopped.subject}
        for subject in missing:
            yield skipped(subject, because)


async def _asked(
    case: Case, client: Client, server: ServerSeen, source: SourceSettings, options: ServerOptions
) -> AsyncIterator[Finding]:
    ours = handles(client, options)
    privileges = server.privileges
    try:
        present = await uuids(ours)
    except OperationFailure as error:
        if out_of_time(error):
            raise
        yield _not_listed(error, options, user=privileges is not None)
        yield skipped(Subject.COLLECTION, "this user may not look at it")
        yield skipped(Subject.LEDGER, "this user may not look at it")
        return
    roles = fine(Subject.ROLES, "the server asks for no user: everybody may do everything")
    if privileges is not None:
        roles = rights.of_roles(privileges, options, present)
    yield roles
    if roles.level is Level.PROBLEM or not server.fits:
        because = "the roles do not suffice" if server.fits else "the server is too old"
        yield skipped(Subject.COLLECTION, because)
        yield skipped(Subject.LEDGER, because)
        return
    try:
        facts = await facts_of(client, options, clustered=source.clustered)
    except CollectionUnfit as unfit:
        yield problem(Subject.COLLECTION, *parted(str(unfit), "name another collection"))
        yield skipped(Subject.LEDGER, "the collection does not fit")
        return
    except ServerRefusesUs as refusal:
        if "clustered = true needs" not in str(refusal):  # that is said already
            yield problem(Subject.COLLECTION, str(refusal), "look at the log of the mongod, and at the user's roles")
        yield skipped(Subject.LEDGER, "the collection could not be looked at")
        return
    for finding in _fits(source, server, facts, options):
        yield finding
    async for finding in ledger.look(source, case.seen[source.source], case.state, facts, ours, server.now):
        yield finding


def _fits(source: SourceSettings, server: ServerSeen, facts: ServerFacts, options: ServerOptions) -> Iterator[Finding]:
    said = write_concern_warning(options.write_concern)  # among the warnings of the configuration
    for warning in facts.warnings:
        if warning != said:
            yield note(Subject.COLLECTION, warning, _remedy_of(warning))
    refusals = [] if facts.exists else [*of_making(source, server)]
    yield from refusals
    if not refusals:
        yield fine(Subject.COLLECTION, f"{source.namespace} {'fits' if facts.exists else 'is not there yet'}")


def of_making(source: SourceSettings, server: ServerSeen) -> Iterator[Finding]:
    """Why the server would not make the collection. Pure."""
    name = source.database
    twin = next((each for each in server.databases if each != name and each.lower() == name.lower()), None)
    if twin is not None and name not in server.databases:
        sentence = f"the database {name} cannot be made: {twin} is there, and the names differ in nothing but case"
        yield problem(Subject.COLLECTION, sentence, f"set database = {twin}, or a name of its own")
    if source.clustered and server.compatible and server.compatible < CLUSTERED_SINCE:
        shown = ".".join(map(str, server.compatible))
        sentence = (
            f"{source.namespace} cannot be made clustered: that needs the featureCompatibilityVersion 5.3, and the "
            f"server has {shown}"
        )
        yield problem(
            Subject.COLLECTION,
            sentence,
            "set clustered = false, or, once no older version is to come back: "
            'db.adminCommand({setFeatureCompatibilityVersion: "<version of the server>"})',
        )


def _refused(at: Subject, error: PyMongoError, options: ServerOptions) -> Finding:
    what = server_sentence(error, options)
    if at is Subject.COLLECTION:
        return problem(at, what, "look at the log of the mongod, and at the user's roles")
    sentence = f"the ledger of {options.namespace} cannot be read: {what}"
    return problem(at, sentence, "give the user the roles of docs/security.md, then check again")


def _not_listed(error: OperationFailure, options: ServerOptions, *, user: bool) -> Finding:
    if error.code == UNAUTHORIZED and not user:
        sentence = "the server asks for a user and a password, and mongodb_uri names none"
        return problem(
            Subject.AUTHENTICATION,
            sentence,
            "put USER:PASSWORD@ before the host in mongodb_uri, and authSource=... among its options",
        )
    if error.code == UNAUTHORIZED:
        sentence = f"the MongoDB user may not listCollections on {options.database}: run would be refused"
        return problem(Subject.ROLES, sentence, rights.grant(options))
    return problem(Subject.ROLES, server_sentence(error, options), rights.grant(options))


def _remedy_of(warning: str) -> str:
    remedies = {
        "validator": "let the validator admit what tailrace writes, or drop it",
        "unique index": "drop that index, unless these refusals are wanted",
        "clustered =": "set clustered as the collection is",
        "shard key": "grant find on config.collections, or see for yourself that the shard key is _id",
    }
    return next((remedy for part, remedy in remedies.items() if part in warning), "see docs/guarantees.md")
