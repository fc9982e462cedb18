"""Make a replica set of mongods that run, once, and wait for its primary. For the compose example, in tailrace's image.

    python init_replica_set.py rs0 mongo1:27017 mongo2:27017 mongo3:27017

Idempotent: a set that is there is left as it is, also when one member is down or has lost its data (the others give it
the configuration). Exit 0: there is a primary. Exit 1: a sentence says why not.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

LIMIT = float(os.environ.get("INIT_LIMIT", "120"))
"""Seconds until there must be a primary."""

_ASK = 3000  # ms for a member to answer
_NOT_YET_INITIALIZED = 94
_ALREADY_INITIALIZED = 23


class CannotInitiate(Exception):
    """One sentence for whoever started this."""


def members_of(address: str) -> set[str] | None:
    """The members that `address` knows of its set; None: it is in none yet. Raises PyMongoError."""
    with MongoClient[dict[str, Any]](address, directConnection=True, serverSelectionTimeoutMS=_ASK) as client:
        try:
            client.admin.command("replSetGetStatus")
            hello = client.admin.command("hello")
        except OperationFailure as error:
            if error.code == _NOT_YET_INITIALIZED:
                return None
            raise
        return {*hello.get("hosts", []), *hello.get("passives", []), *hello.get("arbiters", [])}


def initiate(name: str, addresses: list[str]) -> None:
    """On the first address. That somebody else was sooner is fine."""
    config = {"_id": name, "members": [{"_id": number, "host": host} for number, host in enumerate(addresses)]}
    with MongoClient[dict[str, Any]](addresses[0], directConnection=True, serverSelectionTimeoutMS=_ASK) as client:
        try:
            client.admin.command("replSetInitiate", config)
        except OperationFailure as error:
            if error.code != _ALREADY_INITIALIZED:
                raise


def ensure(name: str, addresses: list[str]) -> str:
    """What was found or done, in words. A set is made only when every address answers and none is in one."""
    known: list[set[str] | None] = []
    silent: list[str] = []
    for address in addresses:
        try:
            known.append(members_of(address))
        except OperationFailure as error:
            raise CannotInitiate(f"{address} refuses: {error.details or error}") from error
        except PyMongoError:
            silent.append(address)
    for found in known:
        if found and not found & set(addresses):
            raise CannotInitiate(f"{name} has other members already: {', '.join(sorted(found))}")
        if found:
            return "is there already"
    if silent:
        raise CannotInitiate(f"no answer from {', '.join(silent)}: is mongod running there?")
    initiate(name, addresses)
    return "has been initiated"


def primary(name: str, addresses: list[str], limit: float) -> str:
    """The primary's address, as soon as there is one."""
    with MongoClient[dict[str, Any]](addresses, replicaSet=name, serverSelectionTimeoutMS=int(limit * 1000)) as client:
        client.admin.command("ping")  # goes to the primary
        host, port = client.primary or ("?", 0)
        return f"{host}:{port}"


def main() -> None:
    name, *addresses = sys.argv[1:] or [""]
    if not (name and addresses):
        sys.exit("usage: init_replica_set.py NAME HOST:PORT...")
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            print(f"replica set {name} {ensure(name, addresses)}", flush=True)  # noqa: T201  for `docker compose logs`
            print(f"primary: {primary(name, addresses, max(1.0, deadline - time.monotonic()))}", flush=True)  # noqa: T201
        except (CannotInitiate, PyMongoError) as error:
            if time.monotonic() > deadline:
                sys.exit(f"replica set {name}: {error}")
            time.sleep(1)
        else:
            return


if __name__ == "__main__":
    main()
