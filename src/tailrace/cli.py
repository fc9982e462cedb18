"""The command line: arguments, exit codes, nothing else. Each command is a module in `commands/`.

Exit codes are a contract (design: Command line): 0 done, 1 `verify` found a difference, 2 usage, 70 failure at
run time, 78 configuration, 130 interrupted. What went wrong is one sentence a problem on standard
error; a traceback is a defect.
"""

from __future__ import annotations

import re
import sys
from typing import Annotated

import structlog
import typer

from tailrace import __version__
from tailrace.commands import check, demo, rejects, reload, run, simulate, status, verify
from tailrace.errors import Exit, SettingsError, TailraceError
from tailrace.ops import logs
from tailrace.ops.logs import redact

_URI = "--mongodb-uri"
_STRAY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)\S*@")
"""HAZARD: narrower than what is redacted in messages. A word that this changes is another word: no path may look so."""

app = typer.Typer(
    name="tailrace",
    help="Puts every entry of a Hyperliquid node's hourly files into MongoDB: at once, exactly once in effect, "
    "and provably all of it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its tables cut names at 80 columns
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 verify found a difference, 2 usage, 70 failure at run time, 78 configuration,"
    " 130 interrupted.",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"tailrace {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command("run")(run.run)
app.command("verify")(verify.verify)
app.add_typer(rejects.app, name="rejects")
app.command("status")(status.status)
app.command("reload")(reload.reload)
app.command("check")(check.check)
app.command("simulate")(simulate.simulate)
app.command("demo")(demo.demo)


def main() -> None:
    """What `sys.argv` says, to its end. Raises SystemExit when anything is wrong."""
    sys.argv[1:] = without_stray_secrets(sys.argv[1:])
    try:
        app()
    except TailraceError as error:
        problems = error.problems if isinstance(error, SettingsError) else [str(error)]
        sys.exit(_said(problems, error.exit_code))
    except OSError as error:  # of standard output: a full disk, a closed pipe; ours are mapped where they happen
        sys.exit(_said([f"the output could not be written ({error.strerror or error})"], Exit.FAILURE))


def _said(problems: list[str], code: int) -> int:
    for problem in problems:
        if logs.is_json():
            structlog.get_logger("tailrace").error("ended", error=redact(problem), exit_code=code)
        else:
            print(f"tailrace: {redact(problem)}", file=sys.stderr)
    return code


def without_stray_secrets(arguments: list[str]) -> list[str]:
    """The command line with every connection string redacted that no option takes: a usage error would echo it.

    A connection string and its option become one word, so that neither is taken for an argument when the option before
    lacks its value. Pure.
    """
    result: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            return [*result, word, *(_STRAY.sub(r"\1***@", rest) for rest in words)]
        if word == _URI:
            value = next(words, None)
            result.append(word if value is None else f"{word}={value}")
        else:
            result.append(word if word.startswith(f"{_URI}=") else _STRAY.sub(r"\1***@", word))
    return result
