"""`tailrace check`: would `run` work here, and what would it do? Reads only: nothing is created, locked or written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pymongo
import typer
from pymongo.errors import PyMongoError

from tailrace.commands.common import interruptible, settle_settings
from tailrace.config import Settings, SourceSettings
from tailrace.config.flags import ConfigOption, with_settings
from tailrace.embedded import find_mongod
from tailrace.errors import ConfigurationError, Exit, SettingsChanged
from tailrace.ingest.codec.choosing import codec_words
from tailrace.ingest.files.discovery import Discovery
from tailrace.ingest.files.names import locate
from tailrace.ingest.files.reading import open_reader
from tailrace.ingest.mongo.connection import Client, Handles
from tailrace.ingest.mongo.ledger_documents import (
    StoredSettings,
    first_difference,
    settings_document,
    settings_sentence,
)
from tailrace.ingest.mongo.server import ServerFacts, connect, handles, inspect
from tailrace.ingest.wiring import make_codec, server_options
from tailrace.model import SourceFile, StartAt
from tailrace.words import size_words

_SAMPLE_BYTES = 64 << 20  # of a first line; a block of 20 MB was reported
_SAMPLE_TRIES = 3  # newest files looked at for a first line: the newest may be empty still


@dataclass(slots=True)
class Finding:
    """One line of the report. `problem`: `run` would end with exit 78."""

    subject: str
    sentence: str
    problem: bool = False


@with_settings
def check(flags: dict[str, str], config: ConfigOption = None) -> None:
    """Validate the configuration, reach the server, and say what `run` would do. Exit 0, or 78 with what is wrong."""
    loaded = settle_settings(flags, config)
    findings = [Finding("configuration", "valid"), _codec(loaded.settings), *_state(loaded.settings)]
    for source in loaded.settings.sources:
        files = list(_files(loaded.settings, source, findings))
        findings += interruptible(_server(loaded.settings, source, files))
    width = max(len(finding.subject) for finding in findings)
    failed = [finding for finding in findings if finding.problem]
    for finding in findings:
        typer.echo(f"{'PROBLEM' if finding.problem else 'ok':<8}{finding.subject:<{width}}  {finding.sentence}")
    typer.echo(f"{len(failed)} problem(s): run would end with exit 78" if failed else "run would start")
    if failed:
        raise typer.Exit(Exit.CONFIGURATION)


def _codec(settings: Settings) -> Finding:
    """Which one `run` would use; that a demanded one is there is known by now."""
    words = codec_words(settings.codec)
    why = f" ({words['codec_why']}, and auto does without)" if "codec_why" in words else ""
    return Finding("codec", words["codec"] + why)


def _state(settings: Settings) -> Iterator[Finding]:
    path = settings.state_dir
    if path.exists() and not path.is_dir():
        yield Finding("state_dir", f"{path} is not a directory: set state_dir to one", True)
        return
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        what = f"{existing} is not a directory" if not existing.is_dir() else f"this user may not write to {existing}"
        yield Finding("state_dir", f"{path} cannot be used ({what}): mend that, or set another state_dir", True)
    else:
        yield Finding("state_dir", f"{path} ({'there' if path.exists() else 'will be made'})")


def _files(settings: Settings, source: SourceSettings, findings: list[Finding]) -> Iterator[SourceFile]:
    """The files of the tree; what is to be said of them is added to `findings`."""
    try:
        tree = locate(str(source.directory), source.stream)
    except OSError as error:
        findings.append(Finding("root", f"{source.root} cannot be looked at: {error.strerror}", True))
        return
    if tree is None:
        findings.append(Finding("root", f"no {source.stream} below {source.root} yet: run would wait for it"))
        return
    scan = Discovery(tree).scan(0.0, full=True)
    if not scan.present:
        findings.append(Finding("root", f"{tree.hourly} cannot be listed: give this user the right to read it", True))
        return
    files = sorted(scan.files.values(), key=lambda file: file.hour)
    size = sum(file.size for file in files)
    findings.append(Finding("root", f"{tree.hourly}: {len(files)} hour files, {size_words(size)}"))
    _sample(settings, source, files, findings)
    yield from files


def _sample(settings: Settings, source: SourceSettings, files: list[SourceFile], findings: list[Finding]) -> None:
    """The first line of one of the newest files, as the codec reads it."""
    codec = make_codec(source, settings.codec)
    for file in files[: -_SAMPLE_TRIES - 1 : -1]:
        try:
            reader = open_reader(file.path, file.compression, file.within)
            line, newline, _ = reader.read_at(0, _SAMPLE_BYTES).lstrip().partition(b"\n")
            reader.close()
        except Exception as error:  # noqa: BLE001  whatever this one file is, run skips it and goes on
            findings.append(Finding("sample", f"{file.path} cannot be read ({error}): run would go on with the others"))
            return
        if not newline:
            continue  # no complete line yet
        encoded = codec.encode(line, bytes(7), 0)
        if encoded.rejects:
            first = encoded.rejects[0]
            findings.append(
                Finding("sample", f"the first line of {file.path} would be kept aside: {first.reason}, {first.detail}")
            )
        else:
            findings.append(
                Finding("sample", f"the first line of {file.path} is fine: entries {len(encoded.documents)}")
            )
        return


async def _server(settings: Settings, source: SourceSettings, files: list[SourceFile]) -> list[Finding]:
    try:
        if settings.embedded:
            return [Finding("mongodb", f"embedded: {find_mongod()} would be started below {settings.state_dir}")]
        client = connect(server_options(settings, source, settings.connection_string))
        try:
            return await _inspect(settings, source, files, client)
        finally:
            await client.close()
    except ConfigurationError as error:
        return [Finding("mongodb", str(error), True)]


async def _inspect(
    settings: Settings, source: SourceSettings, files: list[SourceFile], client: Client
) -> list[Finding]:
    options = server_options(settings, source, settings.connection_string)
    facts = await inspect(client, options, clustered=source.clustered)
    findings = [Finding("mongodb", f"MongoDB {facts.server_version}, {facts.topology}")]
    findings += [Finding("mongodb", warning) for warning in facts.warnings]
    return [*findings, await _ledger(source, files, facts, handles(client, options))]


async def _ledger(source: SourceSettings, files: list[SourceFile], facts: ServerFacts, collections: Handles) -> Finding:
    """What the collection knows: other settings are a problem; else what run would begin with."""
    ours = settings_document(
        StoredSettings(
            identity=source.identity, numbers=source.numbers, family=source.family, clustered=facts.clustered
        )
    )
    try:
        with pymongo.timeout(10):
            stored = await collections.files.find_one({"_id": "settings"})
            registered = await collections.files.find_one({"_id": f"source/{source.source}"})
            lives = await collections.files.count_documents({"source": source.source, "fingerprint": {"$exists": True}})
    except PyMongoError as error:
        raise ConfigurationError(f"the ledger of {source.namespace} cannot be read: {error}") from None
    changed = first_difference(stored, ours) if stored is not None else None
    if changed is not None and stored is not None and (facts.documents or lives):
        raise SettingsChanged(settings_sentence(source.namespace, changed, stored, ours))
    subject = source.namespace
    if registered is not None and registered.get("state") == "started":
        known = f"{facts.documents:,} documents there, {lives:,} files known from source {source.source}"
        return Finding(subject, f"{known}: run would continue")
    if facts.documents and not lives:
        unexplained = f"; {facts.documents:,} documents are there that no ledger explains"
    else:
        unexplained = ""
    size = size_words(sum(file.size for file in files))
    created = unexplained if facts.exists else "; the collection would be created"
    if source.start_at is StartAt.END:
        return Finding(subject, f"first start: run would skip the {size} that are there (start_at = end){created}")
    return Finding(subject, f"first start: run would catch up with {len(files)} files, {size}{created}")
