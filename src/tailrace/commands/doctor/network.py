"""Every host of mongodb_uri, side by side, and what is to be said of their names, connections and certificates."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from tailrace.commands.doctor.bounded import bounded
from tailrace.commands.doctor.finding import Finding, Subject, fine, listed, note, parted, problem, skipped
from tailrace.commands.doctor.wire import STEP, Address, Probe, probe
from tailrace.config.uri import scrub
from tailrace.ingest.mongo import tls
from tailrace.ingest.mongo.connection import redact_uri
from tailrace.words import duration_words

LIMIT = 7.0
"""Seconds for all hosts together, those that only the set's configuration names included."""

EXPIRES_SOON = 30 * 86400
"""Seconds before the end of a certificate from which on it is a note."""

_SRV_LIMIT = 5.0  # seconds for the records of mongodb+srv://
_CHECK_HOST = "correct the host in mongodb_uri, or what resolves names here (/etc/hosts, /etc/resolv.conf)"


@dataclass(slots=True)
class Reached:
    """`named`: of the hosts that `uri` names; `others`: of members that only the set's configuration names.

    `options`: of `uri`, by name in lower case; secrets are among them.
    """

    uri: str
    findings: list[Finding] = field(default_factory=list)
    named: list[Probe] = field(default_factory=list)
    others: list[Probe] = field(default_factory=list)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def answered(self) -> list[Probe]:
        return [each for each in (*self.named, *self.others) if each.failed is None]


async def look(uri: str) -> Reached:
    """Within `LIMIT` seconds, and `_SRV_LIMIT` for mongodb+srv://."""
    reached = Reached(uri)
    # Before the driver reads them: it says less, and could ask for a passphrase.
    try:
        problem_of_files = await bounded(lambda: tls.problem_of_files(uri), STEP)
    except TimeoutError:
        problem_of_files = f"a file that mongodb_uri names for TLS gives no answer within {STEP:g} s"
    if problem_of_files is not None:
        remedy = "correct the file, its rights, or the option of mongodb_uri that names it"
        reached.findings.append(problem(Subject.TLS, problem_of_files, remedy))
        return reached
    try:
        parsed = await bounded(lambda: parse_uri(uri, warn=False), _SRV_LIMIT)
    except (PyMongoError, TimeoutError, ValueError, OSError) as error:
        reached.findings += _no_hosts(uri, error)
        return reached
    reached.options = {name.lower(): value for name, value in parsed["options"].items()}
    if "proxyhost" in reached.options:
        reached.findings.append(skipped(Subject.TCP, "mongodb_uri goes through a proxy: only the driver knows the way"))
        return reached
    context = _context(reached.options) if reached.options.get("tls") or tls.wants_tls(uri) else None
    deadline = time.monotonic() + LIMIT
    reached.named = await _all(parsed["nodelist"], context, deadline)
    if not reached.options.get("directconnection"):
        known = {each.address for each in reached.named}
        reached.others = await _all(sorted(_configured(reached.named) - known), context, deadline)
    reached.findings += of_hosts(uri, reached.named, bool(reached.others and _any(reached.others)), context)
    reached.findings += _of_others(uri, reached.others)
    return reached


def _any(probes: Iterable[Probe]) -> bool:
    return any(each.failed is None for each in probes)


async def _all(addresses: Iterable[Address], context: ssl.SSLContext | None, deadline: float) -> list[Probe]:
    return list(await asyncio.gather(*(probe(each, context, deadline) for each in addresses)))


def _configured(probes: Iterable[Probe]) -> set[Address]:
    """Of every member, as the set's configuration names it: the driver goes by these names."""
    members: set[Address] = set()
    for each in probes:
        for kind in ("hosts", "passives", "arbiters"):
            for name in each.hello.get(kind, ()):
                host, _, port = str(name).rpartition(":")
                members.add((host.strip("[]"), int(port) if port.isdecimal() else 27017))
    return members


def _no_hosts(uri: str, error: BaseException) -> Iterator[Finding]:
    """The connection string names no host: in practice an SRV record that is not there, or that nobody serves."""
    host = redact_uri(uri).partition("://")[2].rpartition("@")[2].partition("/")[0].partition("?")[0]
    if isinstance(error, TimeoutError):
        sentence = f"the SRV record of {host} gave no answer within {_SRV_LIMIT:g} s"
        yield problem(Subject.DNS, sentence, _CHECK_HOST)
    elif uri.startswith("mongodb+srv://"):
        sentence = f"the SRV record of {host} cannot be read ({_said(error, uri)})"
        yield problem(Subject.DNS, sentence, f"{_CHECK_HOST}; for a host without such a record write mongodb://")
    else:
        yield problem(Subject.MONGODB, f"mongodb_uri is not usable: {_said(error, uri)}", "correct mongodb_uri")


def _said(error: BaseException, uri: str) -> str:
    text = scrub(redact_uri(str(error)), uri).partition("\n")[0][:200]
    return text or type(error).__name__


def _context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """As the driver makes one of the same options."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    insecure = bool(options.get("tlsinsecure"))
    trusting = insecure or bool(options.get("tlsallowinvalidcertificates"))
    context.check_hostname = not (trusting or options.get("tlsallowinvalidhostnames"))
    if trusting:
        context.verify_mode = ssl.CERT_NONE
    if "tlscafile" in options:
        context.load_verify_locations(options["tlscafile"])
    else:
        context.load_default_certs()
    if "tlscrlfile" in options:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        context.load_verify_locations(options["tlscrlfile"])
    if "tlscertificatekeyfile" in options:
        context.load_cert_chain(
            options["tlscertificatekeyfile"], password=options.get("tlscertificatekeyfilepassword", "")
        )
    return context


def of_hosts(
    uri: str, probes: Sequence[Probe], others_answer: bool, context: ssl.SSLContext | None
) -> Iterator[Finding]:
    """One line for each step that succeeded everywhere, one for each host where it did not. A host that cannot be had
    is a problem only where no other can."""
    say = note if others_answer or _any(probes) else problem
    order = [Subject.DNS, Subject.TCP, Subject.TLS, Subject.MEMBERS]
    for step in order[:3]:
        failed = [each for each in probes if each.failed is step]
        for each in failed:
            yield say(step, *_failure(each, uri))
        past = [each for each in probes if each.failed is None or order.index(each.failed) > order.index(step)]
        if past:
            yield from _succeeded(step, past, context)
        elif not failed:
            yield skipped(step, "no host came that far")
    for each in probes:
        if each.failed is Subject.MEMBERS:
            yield say(Subject.MEMBERS, *_failure(each, uri))


def _of_others(uri: str, probes: Iterable[Probe]) -> Iterator[Finding]:
    for each in probes:
        if each.failed is not None:
            sentence, remedy = _failure(each, uri)
            yield note(
                Subject.MEMBERS,
                f"the set's configuration names a member that cannot be had from here: {sentence}",
                f"{remedy}; the driver goes by the names of rs.conf(), not by those of mongodb_uri",
            )


def _succeeded(step: Subject, probes: Sequence[Probe], context: ssl.SSLContext | None) -> Iterator[Finding]:
    names = listed([each.where for each in probes])
    if step is Subject.DNS:
        yield fine(step, f"resolved: {names}")
    elif step is Subject.TCP:
        yield fine(step, f"connected to {names}")
    elif context is None:
        yield fine(step, "not asked for: what is stored crosses the network as it is")
    elif context.verify_mode is ssl.CERT_NONE:
        sentence = f"{names} speak TLS, and their certificates are not verified: anybody between could read and change"
        yield note(step, sentence, "remove tlsInsecure and tlsAllowInvalidCertificates from mongodb_uri, set tlsCAFile")
    else:
        ends = {each.where: _end(each.certificate) for each in probes}
        soon = {where: end for where, end in ends.items() if end - time.time() < EXPIRES_SOON}
        for where, end in soon.items():
            left = duration_words(max(0.0, end - time.time()))
            yield note(step, f"the certificate of {where} expires in {left}", "renew it on the server before that")
        if len(soon) < len(ends):
            left = duration_words(min(ends.values()) - time.time())
            yield fine(step, f"certificates verified: {names}; issued by {_issuer(probes[0])}, valid for {left}")


def _end(certificate: Mapping[str, Any]) -> float:
    """Epoch seconds."""
    return float(ssl.cert_time_to_seconds(str(certificate["notAfter"]))) if "notAfter" in certificate else float("inf")


def _issuer(each: Probe) -> str:
    names = {name: value for part in each.certificate.get("issuer", ()) for name, value in part}
    return str(names.get("commonName") or names.get("organizationName") or "an authority without a name")


def _failure(each: Probe, uri: str) -> tuple[str, str]:
    """(what is wrong, what to do)"""
    where, error = each.where, each.error
    if each.failed is Subject.DNS:
        again = isinstance(error, TimeoutError) or getattr(error, "errno", None) == socket.EAI_AGAIN
        why = "the resolver gives no answer" if again else "the name is not known"
        return f"{each.address[0]} cannot be resolved: {why}", _CHECK_HOST
    if each.failed is Subject.TCP:
        return _no_connection(each)
    if isinstance(error, TimeoutError):
        sentence = f"{where} takes the connection and does not answer within {STEP:g} s"
        return sentence, "look whether that mongod is stopped or overloaded, and whether the port is a MongoDB's"
    if isinstance(error, ssl.SSLError):  # HAZARD: asked first, some are a ValueError, too
        sentence = tls.handshake_sentence(where, str(error), "-").removesuffix(" (-)")
        what, remedy = parted(sentence, "check tls, tlsCAFile and the certificate")
        return what + (f"; it is for {listed(each.names)}" if each.names else ""), remedy
    if isinstance(error, ValueError):
        return f"{where}: {error}", "correct host and port in mongodb_uri"
    return parted(tls.closed_sentence(where, uri), "look at the log of that mongod")


def _no_connection(each: Probe) -> tuple[str, str]:
    where, error = each.where, each.error
    if isinstance(error, TimeoutError):
        return (
            f"{where} does not answer within {STEP:g} s",
            "look whether a firewall or security group drops the packets, and whether the address is right",
        )
    if each.address[1] is None:
        why = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be used ({_why(error)})"
        return (
            f"the socket {where} {why}",
            "start mongod, look at its net.unixDomainSocket, or correct the path in mongodb_uri",
        )
    if isinstance(error, ConnectionRefusedError):
        return (
            f"{where} refuses connections: nothing listens there",
            "start mongod, look at its net.port and net.bindIp, or correct host and port in mongodb_uri",
        )
    return f"{where} cannot be reached ({_why(error)})", "look at route and address"


def _why(error: BaseException | None) -> str:
    number = getattr(error, "errno", None)
    name = errno.errorcode.get(number, "") if isinstance(number, int) else ""
    return str(getattr(error, "strerror", None) or name or error)
