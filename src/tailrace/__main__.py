"""Entry point of the `tailrace` script and of `python -m tailrace`: takes passwords out of the list of processes first.

HAZARD: everybody may read the arguments of a process, and it cannot change them. So it starts anew, before anything big
is imported, with the connection string in its environment, which only its user can read. Until then it can be read:
that is why a flag with a password is warned about.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from contextlib import suppress

_OPTION = "--mongodb-uri"
_HIDDEN = "***"
_HANDED = "_TAILRACE_HANDED_OVER"  # from a process to itself: not a setting
_SECRET = re.compile(r"@|passw|passphrase|authMechanismProperties", re.IGNORECASE)


def main() -> None:
    """Raises SystemExit when anything is wrong."""
    handed, arguments = os.environ.pop(_HANDED, None), sys.argv[1:]
    if arguments[:1] == ["run"] and "--once" not in arguments:  # a reload, and nobody is there yet to take it: the
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # configuration is read after this
    if handed is not None:
        sys.argv[1:] = with_secrets(arguments, handed.split("\n"))
    else:
        _leave(arguments)
    try:
        from tailrace.cli import main as command_line  # noqa: PLC0415 - it takes half a second, see above

        command_line()
    except KeyboardInterrupt:  # before a command began, or behind its end
        print("tailrace: interrupted", file=sys.stderr)  # noqa: T201 - as cli.py does
        sys.exit(130)


def _leave(arguments: list[str]) -> None:
    """Returns when there is nothing to hide, or no way to."""
    shown, secrets = without_secrets(arguments)
    before = sys.orig_argv[: -len(arguments)]
    if secrets and sys.executable and [*before, *arguments] == sys.orig_argv:
        with suppress(OSError, ValueError):
            environment = {**os.environ, _HANDED: "\n".join(secrets)}
            os.execve(sys.executable, [*before, *shown], environment)  # noqa: S606 - ourselves, again


def without_secrets(arguments: list[str]) -> tuple[list[str], list[str]]:
    """(arguments with `***` for every connection string that may hold a secret, those strings in order). Pure."""
    shown, secrets = [], []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        prefix = f"{_OPTION}=" if argument.startswith(f"{_OPTION}=") else ""
        value = argument.removeprefix(prefix)
        if (prefix or before == _OPTION) and _SECRET.search(value) and "\n" not in value:
            secrets.append(value)
            value = _HIDDEN
        shown.append(prefix + value)
    return shown, secrets


def with_secrets(arguments: list[str], secrets: list[str]) -> list[str]:
    """What `without_secrets` was given. Pure."""
    left = iter(secrets)
    given = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        taken = argument == f"{_OPTION}={_HIDDEN}" or (before == _OPTION and argument == _HIDDEN)
        given.append(argument.removesuffix(_HIDDEN) + next(left, _HIDDEN) if taken else argument)
    return given


if __name__ == "__main__":
    main()
