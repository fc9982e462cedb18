"""The connection string: accepted, refused, found in a file, and never shown."""

import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tailrace.config import Settings, effective, load
from tailrace.config.merge import merge
from tailrace.config.uri import HIDDEN, problem, redact
from tailrace.errors import SettingsError

BASE = {"HOME": "/home/u", "TAILRACE_ROOT": "/data/node_trades"}
SECRET = "hunter2secret"
URI = f"mongodb://tail:{SECRET}@a.example:27017,b.example/?replicaSet=rs0&tlsCertificateKeyFilePassword={SECRET}"


def problems(environ: dict[str, str], **flags: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(flags, {**BASE, **environ}, None)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET not in shown
    return caught.value.problems


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("", "must begin with mongodb:// or mongodb+srv://, or be the word embedded"),
        (f"postgres://u:{SECRET}@h/", "must begin with mongodb:// or mongodb+srv://, or be the word embedded"),
        (
            f"mongodb://u:{SECRET} x@h",
            "contains white space or a control character; percent-encode it (a blank is %20)",
        ),
        (f"mongodb://u:{SECRET}@x@h", "has more than one @; inside a user name, a password or an option write %40"),
        (
            f"mongodb://u:{SECRET}/x@h",
            "has a / or ? before its @; inside a user name or a password write %2F and %3F, and %40 for any other @",
        ),
        (f"mongodb://u:{SECRET}:x@h", "has a second : before its @; inside a user name or a password write %3A"),
        (
            f"mongodb://u:{SECRET}%x@h",
            "has a % before its @ that begins no escape; inside a user name or a password write %25",
        ),
        (f"mongodb://:{SECRET}@h", "has an empty user name before its @"),
        (f"mongodb://u:{SECRET}@", "names no host"),
        (f"mongodb://u:{SECRET}", "has a host that is not name, name:port or [IPv6 address]:port"),
        ("mongodb://h:70000", "has a port that is not from 1 to 65535"),
        ("mongodb+srv://h:27017", "with mongodb+srv:// must name one host and no port"),
        (f"mongodb://h/?{SECRET}", "has an option after the ? that is not name=value"),
        (
            f"mongodb://u:{SECRET}@h/?retryWrites=true&w=1",
            (
                "has the option w=1, with which a killed mongod loses documents that it acknowledged; remove it: the "
                "setting write_concern decides"
            ),
        ),
    ],
)
def test_a_refused_uri(uri: str, reason: str) -> None:
    """One sentence that says what is wrong and where it was set, without any of the string."""
    if uri:
        assert problems({"TAILRACE_MONGODB_URI": uri}) == [f"mongodb_uri (from TAILRACE_MONGODB_URI) {reason}."]
    assert problems({}, mongodb_uri=uri) == [f"mongodb_uri (from --mongodb-uri) {reason}."]
    assert redact(uri) == HIDDEN
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"mongodb_uri": uri, "state_dir": "/s"})
    assert SECRET not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("embedded", "embedded"),
        ("mongodb://localhost", "mongodb://localhost"),
        ("mongodb://[::1]:27018/db?w=majority", "mongodb://[::1]:27018/db?w=majority"),
        ("mongodb://h/?w=1&journal=true", "mongodb://h/?w=1&journal=true"),
        (f"mongodb+srv://u:{SECRET}@c.example/?appName=x", "mongodb+srv://***@c.example/?appName=x"),
        (
            f"mongodb://%2Frun%2Fm.sock/?authMechanismProperties=A:{SECRET}",
            "mongodb://%2Frun%2Fm.sock/?authMechanismProperties=***",
        ),
        (URI, "mongodb://***@a.example:27017,b.example/?replicaSet=rs0&tlsCertificateKeyFilePassword=***"),
    ],
)
def test_an_accepted_uri(uri: str, shown: str) -> None:
    """It reaches the driver as it was; no listing, text form or dump of the settings holds its secrets."""
    result = load({}, {**BASE, "TAILRACE_MONGODB_URI": uri}, None)
    assert result.settings.connection_string == uri
    assert result.settings.embedded == (uri == "embedded")
    assert ("mongodb_uri", shown, "TAILRACE_MONGODB_URI") in effective(result)
    everything = [repr(result), str(result.settings), str(result.settings.model_dump()), str(effective(result))]
    assert SECRET not in "".join([*everything, result.settings.model_dump_json()])
    assert result.warnings == []
    assert SECRET not in repr(merge({}, {**BASE, "TAILRACE_MONGODB_URI": uri}, None))


def test_two_places_for_one_secret() -> None:
    """Exclusive: naming both places."""
    assert problems({"TAILRACE_MONGODB_URI": URI}, mongodb_uri_file="/run/uri") == [
        (
            "mongodb_uri (from TAILRACE_MONGODB_URI) and mongodb_uri_file (from --mongodb-uri-file) are both set: "
            "remove one of the two."
        )
    ]


def test_a_file_with_the_uri(tmp_path: Path) -> None:
    """Its content, stripped; a warning when others may read it."""
    file = tmp_path / "uri"
    file.write_text(f" {URI}\n")
    file.chmod(0o600)
    environ = {**BASE, "TAILRACE_MONGODB_URI_FILE": str(file)}
    result = load({}, environ, None)
    assert result.settings.connection_string == URI
    assert result.warnings == []
    assert result.where["mongodb_uri"] == f"the file {file}, named by TAILRACE_MONGODB_URI_FILE"
    file.chmod(0o640)
    about = f'mongodb_uri_file = "{file}" (from TAILRACE_MONGODB_URI_FILE)'
    assert load({}, environ, None).warnings == [f"{about} can be read by others than its owner: chmod 600 it."]
    guarded = {**environ, "CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert load({}, guarded, None).warnings == [], "a credential of systemd, which sees to who may read it"
    assert load({}, {**environ, "CREDENTIALS_DIRECTORY": "/run/credentials"}, None).warnings != []


def test_a_file_without_a_uri(tmp_path: Path) -> None:
    """Absent, a directory, empty, not text, something else: a sentence each."""
    environ = {"TAILRACE_MONGODB_URI_FILE": str(tmp_path / "uri")}
    about = f'mongodb_uri_file = "{tmp_path / "uri"}" (from TAILRACE_MONGODB_URI_FILE)'
    assert problems(environ) == [f"{about} cannot be read: No such file or directory."]
    for content, reason in [
        (b"\n", "is empty."),
        (b"\xff\xfe", "is not a text file."),
        (b"x" * 70_000, "is too long for a connection string."),
    ]:
        (tmp_path / "uri").write_bytes(content)
        assert problems(environ) == [f"{about} {reason}"]
    (tmp_path / "uri").write_text(f"{URI}\n{URI}\n")
    assert problems(environ) == [
        (
            f"mongodb_uri (from the file {tmp_path / 'uri'}, named by TAILRACE_MONGODB_URI_FILE) contains white space "
            "or a control character; percent-encode it (a blank is %20)."
        )
    ]
    assert problems({}, mongodb_uri_file=str(tmp_path)) == [
        f'mongodb_uri_file = "{tmp_path}" (from --mongodb-uri-file) cannot be read: Is a directory.'
    ]


def test_a_uri_under_a_wrong_key() -> None:
    """Hidden there, too."""
    assert problems({"TAILRACE_MONGODB_URI_FILE": URI, "TAILRACE_STREAM": URI, "TAILRACE_MAX_WORKERS": URI}) == [
        "mongodb_uri_file = *** (from TAILRACE_MONGODB_URI_FILE) must be a path, and this is a connection string.",
        "max_workers = *** (from TAILRACE_MAX_WORKERS) must be a whole number from 1 to 64.",
        "stream = *** (from TAILRACE_STREAM) must not be a connection string: that is mongodb_uri.",
    ]
    assert problems({**BASE, "TAILRACE_MONGODB_URI": "embedded", "TAILRACE_COLLECTION": "mongodb://u:x@"}) == [
        "collection = *** (from TAILRACE_COLLECTION) must not be a connection string: that is mongodb_uri."
    ]
    assert SECRET not in str(problems({"TAILRACE_ROOT": URI, "TAILRACE_MONGODB_URI": "embedded"}))


def test_warnings_about_a_password_that_others_see(tmp_path: Path) -> None:
    """In a flag, or in a file that others can read; not in a variable, and not without a password."""
    assert load({"mongodb_uri": URI}, BASE, None).warnings == [
        (
            "--mongodb-uri holds a password, which every user of this machine can read in the list of processes: "
            "use TAILRACE_MONGODB_URI or mongodb_uri_file."
        )
    ]
    assert load({"mongodb_uri": "mongodb://user@h/"}, BASE, None).warnings == []
    file = tmp_path / "t.toml"
    file.write_text(f'mongodb_uri = "{URI}"\n')
    file.chmod(0o640)
    assert load({}, BASE, str(file)).warnings == []
    file.chmod(0o644)
    assert load({}, BASE, str(file)).warnings == [
        f"{file} holds a password that others can read: chmod o-rwx it, or use mongodb_uri_file."
    ]


@settings(deadline=None, max_examples=300)
@given(st.text(min_size=6, max_size=20), st.sampled_from(["mongodb://", "mongodb+srv://"]), st.booleans())
def test_no_password_is_ever_shown(password: str, scheme: str, encoded: bool) -> None:
    """Properly encoded it is accepted and hidden; written raw it is hidden whether accepted or not."""
    written = quote(password, safe="") if encoded else password
    uri = f"{scheme}user:{written}@db.example/?replicaSet=rs"
    if encoded:
        assert problem(uri) is None
        assert redact(uri) == f"{scheme}***@db.example/?replicaSet=rs"
    assert redact(uri) in (HIDDEN, f"{scheme}***@db.example/?replicaSet=rs")
