"""Every right that the MongoDB user lacks, not only the first; and the command that grants them. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from tailrace.commands.doctor.finding import Finding, Subject, fine, problem
from tailrace.ingest.mongo.connection import ServerOptions
from tailrace.ingest.mongo.refusal_sentences import missing_privilege

_SUFFIXES = ("", ".rejects", ".files")
_ACTIONS = ("find", "insert", "update", "remove", "listIndexes", "createIndex")

Privileges = Iterable[Mapping[str, Any]]


def of_roles(privileges: Privileges, options: ServerOptions, present: Container[str]) -> Finding:
    """`privileges`: from connectionStatus; `present`: names of the collections that are there."""
    lacking = missing(list(privileges), options, present)
    if not lacking:
        return fine(Subject.ROLES, f"this user may do on {options.namespace} all that run does")
    where = [f"{', '.join(actions)} on {options.namespace}{suffix}" for suffix, actions in lacking.items()]
    return problem(Subject.ROLES, f"the MongoDB user may not {'; '.join(where)}: run would be refused", grant(options))


def grant(options: ServerOptions) -> str:
    """What an administrator types. The user is not named: no message names him."""
    role = f'[{{role: "readWrite", db: "{options.database}"}}]'
    return (
        f'as an administrator: db.getSiblingDB("<authSource>").grantRolesToUser("<user>", {role}), or the role '
        "of docs/security.md"
    )


def missing(
    privileges: Sequence[Mapping[str, Any]], options: ServerOptions, present: Container[str]
) -> dict[str, list[str]]:
    """Actions by the collection's suffix. What is needed at all is known to `missing_privilege` alone: it is asked
    about each action as if every other were granted."""
    pairs = [(suffix, action) for suffix in _SUFFIXES for action in _ACTIONS]
    lacking: dict[str, list[str]] = {}
    for pair in pairs:
        others = [_granted(options, *other) for other in pairs if other != pair]
        if missing_privilege([*privileges, *others], options, present) is not None:
            lacking.setdefault(pair[0], []).append(pair[1])
    return lacking


def _granted(options: ServerOptions, suffix: str, action: str) -> Mapping[str, Any]:
    return {"resource": {"db": options.database, "collection": options.collection + suffix}, "actions": [action]}
