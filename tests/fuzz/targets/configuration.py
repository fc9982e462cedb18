"""Any bytes as the configuration file, any text as variable or flag: settings, or sentences; never the password.

Input: parts between bytes 0x1E: the TOML file, then `E:TAILRACE_NAME=value` and `F:name=value` in any number.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
import unicodedata
import weakref
from pathlib import Path
from typing import Any

from tests.fuzz.target import Target

from tailrace.config import Settings, effective, load
from tailrace.config.document import EXAMPLE
from tailrace.config.load import FOR_INGESTING, Loaded
from tailrace.config.settings import KEYS
from tailrace.errors import ConfigurationError, SettingsError, UsageError

SECRET = "hunter2secret"
_CREDENTIALS = re.compile(r"mongodb(?:\+srv)?://[^:@/?]+:.*@", re.DOTALL)
_OPTION = re.compile(r"(mongodb(?:\+srv)?://[^?]*\?(?:.*&)?)tlsCertificateKeyFilePassword=[^&]*", re.DOTALL)
PART = b"\x1e"
_directory = tempfile.TemporaryDirectory(prefix="tailrace-fuzz-")
_home = Path(_directory.name)
_file = _home / "tailrace.toml"
_again = _home / "again.toml"
weakref.finalize(_directory, _directory.cleanup)
(_home / "uri").write_text(f"mongodb://tail:{SECRET}@h.example/\n")
(_home / "uri").chmod(0o600)
(_home / "binary").write_bytes(b"\xff\xfe" + SECRET.encode())
(_home / "node_trades").mkdir()


def check(data: bytes) -> None:
    document, *words = data.split(PART)
    _file.write_bytes(document)
    environ, flags = {"HOME": str(_home)}, {}
    for word in words:
        name, _, value = os.fsdecode(word[2:].replace(b"\0", b"")).partition("=")
        if word.startswith(b"F:") and name in KEYS:
            flags[name] = value
        elif word.startswith(b"E:"):
            environ[name] = value
    for require in (FOR_INGESTING, frozenset[str]()):
        try:
            loaded = load(flags, environ, str(_file), require=require, why_not_native=lambda: "it is not there")
        except SettingsError as error:
            _check_said(error.problems or [""], document, environ, flags)
        except (ConfigurationError, UsageError) as error:
            _check_said([str(error)], document, environ, flags)
        else:
            _check_loaded(loaded, document, environ, flags)


def _check_said(said: list[str], document: bytes, environ: dict[str, str], flags: dict[str, str]) -> None:
    """One sentence each, on one line, and no password that was given as one."""
    open_secret = _is_elsewhere(document, environ, flags)
    for sentence in said:
        assert sentence
        assert sentence[-1] in ".?", sentence
        assert not any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in sentence), repr(sentence)
        assert "Traceback" not in sentence
        assert "codec can't" not in sentence, "Python's words, not ours"
        assert open_secret or SECRET not in sentence, sentence


def _check_loaded(loaded: Loaded, document: bytes, environ: dict[str, str], flags: dict[str, str]) -> None:
    _check_said(loaded.warnings, document, environ, flags)
    rows = effective(loaded)
    if not _is_elsewhere(document, environ, flags):
        assert SECRET not in repr(rows) + repr(loaded) + str(loaded.settings)
    text = _as_toml(loaded.settings, rows)
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return  # a path of undecodable bytes: no TOML file can say it
    _again.write_bytes(encoded)
    again = load({}, {"HOME": str(_home)}, str(_again), require=frozenset())
    # The file's place of the connection string is not shown, the string is given directly.
    assert again.settings == loaded.settings.model_copy(update={"mongodb_uri_file": None})


def _as_toml(settings: Settings, rows: list[tuple[str, str, str]]) -> str:
    """What `effective` shows, as a file."""
    top, tables = [], [list[str]() for _ in settings.sources]
    if settings.mongodb_uri is not None:
        top.append(f"mongodb_uri = {_quoted(settings.connection_string)}")
    for key, shown, _ in rows:
        place, _, name = key.rpartition(", ")
        if name in ("mongodb_uri", "mongodb_uri_file") or shown == "(not set)":
            continue
        lines = tables[int(place.split()[1]) - 1 if place else 0] if KEYS[name].per_source else top
        lines.append(f"{name} = {_quoted(shown)}")
    return "\n".join(top + [line for table in tables for line in ["[[sources]]", *table]]) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_elsewhere(document: bytes, environ: dict[str, str], flags: dict[str, str]) -> bool:
    """Whether the secret stands where no secret is expected, not as a password of a connection string."""
    values, names = [*environ.values(), *flags.values()], list(environ)
    try:
        parsed = tomllib.loads(document.decode())
    except (ValueError, RecursionError):
        pass  # then no part of it is shown
    else:
        values += _strings(parsed)
        names += _names(parsed)
    return any(SECRET in name for name in names) or any(
        SECRET in _CREDENTIALS.sub("mongodb://", _OPTION.sub(r"\1", each)) for each in values
    )


def _strings(value: Any) -> list[str]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if inner:
        return [text for each in inner for text in _strings(each)]
    return [value] if isinstance(value, str) else []


def _names(value: Any) -> list[str]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [*(value if isinstance(value, dict) else ()), *(name for each in inner for name in _names(each))]


_URI = f"mongodb://tail:{SECRET}@a.example:27017,b.example/?replicaSet=rs0&tlsCertificateKeyFilePassword={SECRET}"
_EVERY = "\n".join(
    f"{key.name} = {json.dumps(key.default)}" for key in KEYS.values() if key.fixed_default and not key.per_source
)


def _seeds() -> list[bytes]:
    tables = (
        '[[sources]]\nstream = "node_trades"\nroot="a"\n[[sources]]\nstream="x_streaming"\nsource="b"\ncollection="c"\n'
    )
    files = [
        EXAMPLE,
        f'mongodb_uri = "{_URI}"\nroot = "node_trades"\nstate_dir = "state"\n',
        f'mongodb_uri = "{_URI}"\nroot = "."\n{_EVERY}\n{tables}',
        'mongodb_uri_file = "uri"\nroot = "/data"\nstream = "node_fills"\nclustered = true\nmax_workers = 8\n',
        'mongodb_uri_file = "binary"\nsources = 5\nseal_after = 5\nmax_line_bytes = 0x10\nhttp = "off"\n',
        'mongodb_uri = "embedded"\nroot = "~/x"\nstream = "s"\nidentity = "content"\nwrite_concern = "2+j"\n',
        f'source = "{_URI}"\nroot = 1979-05-27\n[http]\na = [1, {{ b = nan }}]\n',
    ]
    words = [
        f"E:TAILRACE_MONGODB_URI={_URI}",
        "E:TAILRACE_ROOT=node_trades",
        "F:poll_interval=500ms",
        "F:http=[::1]:0",
        f"F:mongodb_uri=mongodb://u:{SECRET}/x@h",
        "F:root=/data/node_fills_by_block/hourly",
        "E:TAILRACE_MAX_LINE_BYTES=1.5GiB",
        "E:TAILRACE_COLLECTION=a.b",
        "E:TAILRACE_RUT=/data",
        "F:database=hyper",
    ]
    seeds = [
        PART.join([file.encode(), *(word.encode() for word in words[at : at + 3])]) for at, file in enumerate(files)
    ]
    return seeds + [PART.join([b"", *(word.encode() for word in words[at:])]) for at in range(len(words))]


SCRAPS = (
    b"", b"\n", b"\r", b"\0", b"\\u0000", b"\\n", b"\\u001b[31m", b"\\uD800", b"\xff", b"\xef\xbb\xbf",
    b"\xe2\x80\xa8", b"\x7f",
    b'"', b"'", b'"""', b"[", b"]", b"{", b"}", b"=", b".", b"#", b",", b"[[sources]]\n", b"[sources]\n",
    b"sources = []\n", b"[a.b]\n",
    b"1" * 5000, b"0x" + b"f" * 5000, b"1e400", b"nan", b"-inf", b"true", b"1979-05-27T07:32:00Z", b"07:32:00",
    b"[1]", b"{a=1}",
    b'"\\n\\u001b" = 1\n', b'"a b" = 1\n', b"5m", b"500ms", b"999999999999999999d", b"0.5s", b"-1s", b"64MiB",
    b"1TiB", b"0", b"-0",
    b"9" * 30, "é💥".encode(), b"x" * 300, b"/" + b"y" * 5000, b"../..", b"~", b"~/x", b"$", b"a.files", b"system.x",
    b"admin", b"w=0", b"&w=1",
    b"&journal=true", b"%", b"%zz", b"@", b":", b"//", b"?", b"mongodb+srv://", b"mongodb://", b"embedded",
    b"content", b"native", b"majority",
    b"1+j", b"99+j", b"off", b"[::1]:99999", b"127.0.0.1:0", PART, PART + b"E:TAILRACE_", PART + b"F:",
    SECRET.encode(), _URI.encode(),
    *(PART + b"F:" + name.encode() + b"=" for name in KEYS), *(b"\n" + name.encode() + b" = " for name in KEYS),
)  # fmt: skip

TARGET = Target(name="configuration", check=check, seeds=_seeds(), scraps=SCRAPS)
