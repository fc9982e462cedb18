"""The MongoDB roles of docs/security.md, read from the page itself, for any database; and authentication for tests.

With TAILRACE_TEST_AUTH=1 every mongod of the fixtures asks for a password. `Server.uri` is then that of a user who has
the documented role and nothing else, for the collections that tests use (`COLLECTIONS`, in any database); what a test
does by itself, through `pymongo.MongoClient`, is done as administrator: it drops and plants what tailrace may not.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import pymongo
from pymongo import MongoClient

Privilege = dict[str, Any]
Document = TypeVar("Document", bound=Mapping[str, Any])

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
DATABASE, COLLECTION = "hyperliquid", "node_trades"  # as the page has them

COLLECTIONS = (
    "node_trades",
    "node_fills",
    "trades",
    "by_content",
    "fills",
    "node_order_statuses",
    "node_raw_book_diffs",
)
"""Data collections of the tests that run with authentication; a test with another one adds it here."""

ADMIN, PRODUCT = "admin-of-tests", "tailrace-under-test"
PASSWORD = "pwd-of-tests"
_KEY = "a2V5IG9mIHRoZSB0ZXN0cycgcmVwbGljYSBzZXQ="


def authenticated() -> bool:
    """Whether this run of the tests asks for passwords."""
    return os.environ.get("TAILRACE_TEST_AUTH", "") not in ("", "0")


def documented(role: str, database: str = DATABASE, collections: Sequence[str] = (COLLECTION,)) -> list[Privilege]:
    """The privileges of a role of the page, for another database ("": any) and other collections."""
    blocks = re.findall(r"runCommand\(\n(\{.*?\n\})\n\)", PAGE.read_text(), re.DOTALL)
    [found] = [each for each in map(json.loads, blocks) if each["createRole"] == role]
    assert found.keys() == {"createRole", "privileges", "roles"}
    assert found["roles"] == []
    result = []
    for privilege in found["privileges"]:
        assert privilege["resource"]["db"] == DATABASE
        name = privilege["resource"]["collection"]
        names = [each + name.removeprefix(COLLECTION) for each in collections] if name else [""]
        result += [
            {"resource": {"db": database, "collection": each}, "actions": list(privilege["actions"])} for each in names
        ]
    return result


def make_user(client: MongoClient[Any], name: str, privileges: Sequence[Privilege]) -> None:
    """A user of the database `admin` with a role of the same name that has these privileges and no others. One who is
    there keeps his sessions."""
    there = client.admin.command("usersInfo", name)["users"]
    client.admin.command("updateRole" if there else "createRole", name, privileges=list(privileges), roles=[])
    if not there:
        client.admin.command("createUser", name, pwd=PASSWORD, roles=[name])


def as_user(uri: str, user: str, password: str = PASSWORD) -> str:
    """`uri` (with or without a user) with this user."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{user}:{password}@{rest.rpartition('@')[2]}"


def make_users(uri: str) -> None:
    """The first user through the localhost exception, then tailrace's. `uri`: of a primary without users."""
    with MongoClient[Any](uri) as client:
        client.admin.command("createUser", ADMIN, pwd=PASSWORD, roles=["root"])
    with MongoClient[Any](as_user(uri, ADMIN)) as client:
        make_user(client, PRODUCT, documented("tailrace", "", COLLECTIONS))


def out_of_sight(command: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """`command` without a flag that holds the password of the user under test, and the variable that holds it then: the
    warning about a password in a flag would be among what a test counts."""
    words, variables = list(command), dict[str, str]()
    for at, word in enumerate(words[:-1]):
        if word == "--mongodb-uri" and f"://{PRODUCT}:" in words[at + 1]:
            variables = {"TAILRACE_MONGODB_URI": words[at + 1]}
            del words[at : at + 2]
            break
    return words, variables


def arguments(directory: Path) -> list[str]:
    """Of a mongod that asks for a password; members of a set know each other by a key."""
    directory.mkdir(parents=True, exist_ok=True)
    key = directory / "key"
    key.write_text(_KEY)
    key.chmod(0o600)
    return ["--auth", "--keyFile", str(key)]


def as_admin(uri: str) -> str:
    """`uri`; where it names the user under test, the administrator's."""
    return as_user(uri, ADMIN) if f"://{PRODUCT}:" in uri else uri


class _AsAdmin(MongoClient[Document], Generic[Document]):
    """A client of a test."""

    def __init__(self, host: Any = None, *rest: Any, **options: Any) -> None:
        super().__init__(as_admin(host) if isinstance(host, str) else host, *rest, **options)


def tests_connect_as_admin() -> None:
    """Called before any test is imported. The product uses the asynchronous client, and is not concerned."""
    vars(pymongo)["MongoClient"] = _AsAdmin
