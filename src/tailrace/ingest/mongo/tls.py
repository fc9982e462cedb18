"""TLS to MongoDB: what is wrong with the files that the URI names, and why a handshake failed. No secrets.

The driver reads these files, too; but it says neither which of them is wrong nor where it was named, and asks for a
passphrase on the terminal, where a service would wait for ever.
"""

from __future__ import annotations

import re
import ssl
from urllib.parse import unquote

_CA, _KEY, _CRL = "tlsCAFile", "tlsCertificateKeyFile", "tlsCRLFile"

_CAUSES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), sentence)
    for pattern, sentence in (
        (
            r"mismatch, certificate is not valid for '(?P<name>[^']*)'",
            "its certificate is not for the name {name}: name it in mongodb_uri as its certificate does",
        ),
        (r"certificate has expired", "its certificate has expired: renew it on the server"),
        (r"certificate is not yet valid", "its certificate is not valid yet: look at the clocks of both machines"),
        (
            r"self[- ]signed certificate|issuer certificate|verify the first certificate",
            "its certificate is signed by an authority unknown here: set tlsCAFile in mongodb_uri to that one's file",
        ),
        (
            r"alert (?:certificate required|bad certificate|handshake failure|unknown ca)|certificate_required",
            "it wants a certificate of ours that its authority has signed: set tlsCertificateKeyFile in mongodb_uri",
        ),
        (
            r"wrong version number|record layer failure|handshake failed: \S+:\d+:\s*(?:$|[\[(,])|EOF|reset by peer",
            "it does not answer in TLS: if it is a server without TLS, remove tls=true from mongodb_uri",
        ),
    )
)


def problem_of_files(uri: str) -> str | None:
    """What is wrong with a certificate file that `uri` names, as a sentence; None when nothing is. Reads them."""
    options = _options(uri)
    for name in (_CA, _KEY, _CRL):
        path = options.get(name.lower())
        if path is not None and (reason := _problem_of(name, path, options.get("tlscertificatekeyfilepassword"))):
            return f"{name} = {path} in mongodb_uri {reason}"
    return None


def wants_tls(uri: str) -> bool:
    options = _options(uri)
    default = "true" if uri.startswith("mongodb+srv://") or any(name.startswith("tls") for name in options) else "false"
    return options.get("tls", options.get("ssl", default)) == "true"


def uses_x509(uri: str) -> bool:
    """Whether the user is who the client certificate says."""
    return _options(uri).get("authmechanism", "").upper() == "MONGODB-X509"


def handshake_sentence(where: str, raw: str, text: str) -> str:
    """`raw`: what the driver raised, in full; `text`: the same, fit for a message."""
    for pattern, cause in _CAUSES:
        match = pattern.search(raw)
        if match is not None:
            return f"the TLS handshake with {where} failed: {cause.format(**match.groupdict())} ({text})"
    return f"the TLS handshake with {where} failed: check tls, tlsCAFile and the certificate ({text})"


def closed_sentence(where: str, uri: str) -> str:
    """For a server that closes connections before it answers: a mongod does so where TLS does not fit."""
    todo = (
        "it may want a client certificate: set tlsCertificateKeyFile in mongodb_uri"
        if wants_tls(uri)
        else "it may want TLS: set tls=true in mongodb_uri, and tlsCAFile where its authority is a private one"
    )
    return f"the server at {where} closes every connection before it answers: {todo}"


def _options(uri: str) -> dict[str, str]:
    """The options of a URI by name in lower case."""
    pairs = (part.partition("=") for part in re.split("[&;]", uri.partition("?")[2]))
    return {name.lower(): unquote(value) for name, _, value in pairs}


def _problem_of(name: str, path: str, password: str | None) -> str | None:
    try:
        with open(path, "rb") as file:
            file.read(1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asked = False

    def passphrase() -> str:
        nonlocal asked
        asked = True
        return password or ""

    try:
        if name == _KEY:
            context.load_cert_chain(path, password=passphrase)
        else:
            context.load_verify_locations(path)
    except (OSError, ValueError):  # ssl.SSLError is an OSError; ValueError: a passphrase that is too long
        if asked:
            given = "is not the right one" if password else "is not set"
            return f"holds a private key with a passphrase, and tlsCertificateKeyFilePassword {given}"
        both = "a certificate and its private key" if name == _KEY else "a certificate or revocation list"
        return f"does not hold {both} in PEM form"
    return None
