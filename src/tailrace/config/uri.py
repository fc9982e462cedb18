"""The connection string: is it one, and how to show it. Knows no server and no driver.

No text made here contains any part of a user name, a password or an option's value that is not known to be
harmless. When in doubt the whole string is hidden.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

EMBEDDED = "embedded"
"""The word that stands for a private mongod under the state directory."""

HIDDEN = "***"

_SCHEME = re.compile(r"mongodb(?:\+srv)?://")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+|[A-Za-z0-9_.~%-]+\.sock)(?::([0-9]{1,5}))?", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TELLING = 3  # characters: what is shorter tells nothing, and hiding it would spoil the text around it
_OPTION = re.compile(r"([A-Za-z]+)=([^&;=]*)")

_HARMLESS = frozenset(
    name.lower()
    for name in (
        "appName", "authMechanism", "authSource", "compressors", "connectTimeoutMS", "directConnection",
        "heartbeatFrequencyMS", "journal", "loadBalanced", "localThresholdMS", "maxIdleTimeMS", "maxPoolSize",
        "maxStalenessSeconds", "minPoolSize", "readConcernLevel", "readPreference", "replicaSet", "retryReads",
        "retryWrites", "serverSelectionTimeoutMS", "socketTimeoutMS", "srvMaxHosts", "srvServiceName", "ssl",
        "tls", "tlsAllowInvalidCertificates", "tlsAllowInvalidHostnames", "tlsCAFile", "tlsCertificateKeyFile",
        "tlsCRLFile", "tlsDisableOCSPEndpointCheck", "tlsInsecure",
        "uuidRepresentation", "w", "waitQueueTimeoutMS", "wTimeoutMS", "zlibCompressionLevel",
    )
)  # fmt: skip
"""Options of the MongoDB URI specification whose values are shown; all others hold, or may one day hold, a secret."""


def problem(uri: str) -> str | None:
    """Why `uri` cannot be used, as the end of a sentence; None when nothing is wrong that shows without a server."""
    if uri == EMBEDDED:
        return None
    if re.search(r"[\s\x00-\x1f\x7f]", uri):
        return "contains white space or a control character; percent-encode it (a blank is %20)"
    if re.search(r"[\ud800-\udfff]", uri):
        return "is not UTF-8; percent-encode other bytes"
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return "must begin with mongodb:// or mongodb+srv://, or be the word embedded"
    rest = uri[scheme.end() :]
    if rest.count("@") > 1:
        return "has more than one @; inside a user name, a password or an option write %40"
    credentials, at, rest = rest.rpartition("@")
    if at and (reason := _problem_of_credentials(credentials)):
        return reason
    hosts, options = _split(rest)
    return _problem_of_hosts(hosts, srv="+srv" in scheme[0]) or _problem_of_options(options)


def redact(uri: str) -> str:
    """`uri` without credentials and without the value of any option that is not known to be harmless."""
    if uri == EMBEDDED:
        return uri
    scheme = _SCHEME.match(uri)
    if scheme is None or problem(uri):
        return HIDDEN  # where its secret lies cannot be told
    credentials, at, rest = uri[scheme.end() :].rpartition("@")
    hosts, _ = _split(rest)
    path, mark, options = rest[len(hosts) :].partition("?")
    return scheme[0] + (HIDDEN + at if credentials else "") + hosts + path + mark + _OPTION.sub(_shown, options)


def scrub(text: str, uri: str) -> str:
    """`text`, which somebody else made about `uri`, without its password and the values that `redact` hides."""
    scheme = _SCHEME.match(uri)
    credentials, _, rest = uri[scheme.end() if scheme else 0 :].rpartition("@")
    hidden = {credentials, credentials.partition(":")[2]}
    hidden |= {match[2] for match in _OPTION.finditer(_split(rest)[1]) if match[1].lower() not in _HARMLESS}
    hidden |= set(map(unquote, hidden))
    hidden |= {part for value in hidden for part in re.split("[,:]", value) if len(part) >= _TELLING}
    for value in sorted(hidden, key=len, reverse=True):
        text = text.replace(value, HIDDEN) if value else text
    return text


def has_secret(uri: str) -> bool:
    """Whether anybody who reads `uri` learns a password, or may."""
    shown = redact(uri)
    return shown == HIDDEN or f"={HIDDEN}" in shown or ":" in _SCHEME.sub("", uri).rpartition("@")[0]


def _shown(option: re.Match[str]) -> str:
    return option[0] if option[1].lower() in _HARMLESS else f"{option[1]}={HIDDEN}"


def _split(rest: str) -> tuple[str, str]:
    """(hosts, options) of what follows the credentials."""
    hosts = re.split(r"[/?]", rest, maxsplit=1)[0]
    return hosts, rest[len(hosts) :].partition("?")[2]


def _problem_of_credentials(credentials: str) -> str | None:
    if re.search(r"[/?]", credentials):
        return "has a / or ? before its @; inside a user name or a password write %2F and %3F, and %40 for any other @"
    if credentials.count(":") > 1:
        return "has a second : before its @; inside a user name or a password write %3A"
    if _BAD_ESCAPE.search(credentials):
        return "has a % before its @ that begins no escape; inside a user name or a password write %25"
    if not credentials.partition(":")[0]:
        return "has an empty user name before its @"
    return None


def _problem_of_hosts(hosts: str, *, srv: bool) -> str | None:
    if not hosts:
        return "names no host"
    matches = [_HOST.fullmatch(host) for host in hosts.split(",")]
    if any(match is None for match in matches):
        return "has a host that is not name, name:port or [IPv6 address]:port"
    ports = [match[1] for match in matches if match is not None and match[1] is not None]
    if any(not 1 <= int(port) <= 65535 for port in ports):
        return "has a port that is not from 1 to 65535"
    if srv and (ports or len(matches) > 1):
        return "with mongodb+srv:// must name one host and no port"
    return None


def _problem_of_options(options: str) -> str | None:
    parts = [part for part in re.split("[&;]", options) if part]
    matches = [_OPTION.fullmatch(part) for part in parts]
    if any(match is None for match in matches):
        return "has an option after the ? that is not name=value"
    pairs = {match[1].lower(): match[2] for match in matches if match is not None}
    w = pairs.get("w", "majority")
    if re.fullmatch("[0-9]{1,3}", w) and (w == "0" or pairs.get("journal", "").lower() != "true"):
        return (
            f"has the option w={w}, with which a killed mongod loses documents that it acknowledged; remove it: the "
            "setting write_concern decides"
        )
    return None
