"""Settings of the connection, without a server."""

from __future__ import annotations

import pytest

from tailrace.errors import ServerRefusesUs
from tailrace.ingest.mongo.connection import (
    ServerOptions,
    connect,
    handles,
    parse_write_concern,
    redact_uri,
    write_concern_setting,
    write_concern_warning,
)
from tailrace.ingest.mongo.refusal_sentences import hosts_of, missing_privilege


def options(uri: str = "mongodb://127.0.0.1:1", *, database: str = "hl", collection: str = "trades") -> ServerOptions:
    concern = parse_write_concern("majority")
    return ServerOptions(uri=uri, database=database, collection=collection, write_concern=concern)


@pytest.mark.parametrize(("text", "sent"), [("majority", {"w": "majority"}), ("1+j", {"w": 1}), ("3+j", {"w": 3})])
def test_allowed_write_concerns_are_sent_with_j(text: str, sent: dict[str, object]) -> None:
    """Acknowledged means journaled, always; what is weaker than majority is warned about."""
    concern = parse_write_concern(text)
    assert concern.document == {**sent, "j": True}
    assert write_concern_setting(concern) == text
    assert (write_concern_warning(concern) is None) is (text == "majority")


@pytest.mark.parametrize("text", ["0", "0+j", "1", "2", "", "w1", "majority+jj", "-1+j", "100+j", "1 + j"])
def test_other_write_concerns_are_refused_with_a_sentence(text: str) -> None:
    """The message says what to write instead."""
    with pytest.raises(ValueError, match="majority"):
        parse_write_concern(text)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb://u:p@h:1/db?x=1", "mongodb://***@h:1/db?x=1"),
        ("mongodb+srv://u:p%40@h/", "mongodb+srv://***@h/"),
        ("mongodb://u:p/w@h:1/", "mongodb://***@h:1/"),
        ("mongodb://u:p@w@h:1/", "mongodb://***@h:1/"),
        ("mongodb://h/?tlsCertificateKeyFilePassword=hush&x=1", "mongodb://h/?tlsCertificateKeyFilePassword=***&x=1"),
        ("MONGODB://u:p@h/", "MONGODB://***@h/"),
        ("mongodb://h:1/", "mongodb://h:1/"),
    ],
)
def test_a_redacted_uri_holds_no_secret(uri: str, shown: str) -> None:
    """Also when the password is not escaped as it should be."""
    assert redact_uri(uri) == shown


@pytest.mark.parametrize(
    "uri",
    ["http://u:hush@h/", "mongodb://u:hush@h:99999999/", "mongodb://u:hush@", "mongodb://h/?tls=maybe", "nonsense", ""],
)
def test_a_uri_that_is_none_is_refused_in_one_line(uri: str) -> None:
    with pytest.raises(ServerRefusesUs, match="mongodb_uri is not usable") as caught:
        connect(options(uri))
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_names_that_mongodb_does_not_allow_are_refused() -> None:
    client = connect(options())
    try:
        for bad in (options(database="a b"), options(collection="a$b"), options(collection="")):
            with pytest.raises(ServerRefusesUs, match="name"):
                handles(client, bad)
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("uri", "hosts"),
    [
        ("mongodb://u:p@a:1,b:2/?replicaSet=x", "a:1, b:2"),
        ("mongodb+srv://u:p@cluster.example/db", "cluster.example"),
        ("mongodb://u:p@h/", "h:27017"),
    ],
)
def test_messages_name_hosts_only(uri: str, hosts: str) -> None:
    assert hosts_of(uri) == hosts


def test_privileges_are_those_of_readwrite() -> None:
    """readWrite on the database suffices, also as a wildcard; read does not, and the sentence names the role."""
    all_actions = ["find", "insert", "update", "remove", "createCollection", "createIndex", "listIndexes"]
    for resource in ({"db": "hl", "collection": ""}, {"db": "", "collection": ""}, {"anyResource": True}):
        assert missing_privilege([{"resource": resource, "actions": all_actions}], options()) is None
    for resource, actions in (
        ({"db": "hl", "collection": ""}, ["find"]),
        ({"db": "other", "collection": ""}, all_actions),
        ({"db": "hl", "collection": "trades"}, all_actions),
        ({"cluster": True}, all_actions),
    ):
        sentence = missing_privilege([{"resource": resource, "actions": actions}], options())
        assert sentence is not None
        assert "role readWrite on the database hl" in sentence
