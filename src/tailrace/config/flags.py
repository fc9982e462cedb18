"""An option for every setting, for the commands of cli.py. Text in, text out: `load` does all the checking.

    @app.command()
    @with_settings
    def run(flags: dict[str, str], config: ConfigOption = None, once: bool = False) -> None:
        loaded = load(flags, os.environ, config)

`flags` is not an option: it receives the settings given on the command line, by name, and only those.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from tailrace.config.rules import Switch
from tailrace.config.settings import KEYS, Key

PANEL = "Settings"
_PARAMETER = "flags"

Result = TypeVar("Result")

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="PATH",
        help="TOML file with settings; variables and flags win over it (TAILRACE_CONFIG)",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]


def _help(key: Key) -> str:
    """Brackets would be markup to rich, hence the round ones."""
    default = key.default if key.default.startswith("required") else f"default: {key.default}"
    return f"{key.help} ({default}; {key.variable})"


def _option(key: Key) -> inspect.Parameter:
    """The type is text: the sentences about a wrong value are the same wherever it was set."""
    if isinstance(key.rule, Switch):
        annotation: Any = bool | None
        name, metavar = f"{key.flag}/--no-{key.flag[2:]}", None
    else:
        annotation = str | None
        name, metavar = key.flag, key.rule.metavar
    option = typer.Option(name, metavar=metavar, help=_help(key), show_default=False, rich_help_panel=PANEL)
    return inspect.Parameter(
        key.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[annotation, option]
    )


SETTING_FLAGS: dict[str, inspect.Parameter] = {name: _option(key) for name, key in KEYS.items()}
"""The option of each setting, by the setting's name."""


def with_settings(command: Callable[..., Result]) -> Callable[..., Result]:
    """`command` with an option per setting in place of its parameter `flags`.

    An option of its own that has the name of a setting takes that setting's place (and is not in `flags`).
    """
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for name, parameter in signature.parameters.items() if name != _PARAMETER]
    taken = {parameter.name for parameter in own}
    added = {name: option for name, option in SETTING_FLAGS.items() if name not in taken}
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + list(added.values())

    @functools.wraps(command)
    def wrapped(**options: Any) -> Result:
        given = {name: options.pop(name) for name in added}
        flags = {name: _as_text(value) for name, value in given.items() if value is not None}
        return command(**{_PARAMETER: flags}, **options)

    # typer reads both: the signature for defaults and order, the annotations for types
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # PEP 362 attribute
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapped


def _as_text(value: str | bool) -> str:
    return value if isinstance(value, str) else str(value).lower()
