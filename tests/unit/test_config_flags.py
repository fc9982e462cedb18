"""Options of the command line: one per setting, text in, text out."""

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from tailrace.config import KEYS, load
from tailrace.config.flags import SETTING_FLAGS, ConfigOption, with_settings


def run(*arguments: str) -> tuple[int, str, list[tuple[str, bool, str | None, dict[str, str]]]]:
    calls = []
    app = typer.Typer(add_completion=False)

    @app.command()
    @with_settings
    def command(
        flags: dict[str, str],
        name: Annotated[str, typer.Argument()],
        once: Annotated[bool, typer.Option("--once", help="Catch up, then exit.")] = False,
        config: ConfigOption = None,
    ) -> None:
        """What the command does."""
        calls.append((name, once, config, flags))

    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    return result.exit_code, result.output, calls


def test_only_what_was_given() -> None:
    """`flags` holds the given settings by name, as text; the command's own parameters are as they were."""
    assert run("x") == (0, "", [("x", False, None, {})])
    code, _, calls = run(
        *("x", "--once", "--config", "c.toml", "--max-line-bytes", "1MiB", "--mongodb-uri=embedded"),
        *("--no-clustered", "--allow-ttl", "--max-workers", "nonsense"),
    )
    assert code == 0
    assert calls == [
        (
            "x",
            True,
            "c.toml",
            {
                "clustered": "false",
                "allow_ttl": "true",
                "mongodb_uri": "embedded",
                "max_line_bytes": "1MiB",
                "max_workers": "nonsense",
            },
        )
    ]


def test_every_setting_has_an_option() -> None:
    """And every option a setting, which `load` takes under that name."""
    assert SETTING_FLAGS.keys() == KEYS.keys()
    for name, key in KEYS.items():
        value = [] if key.rule.metavar == "TEXT" and key.default in ("true", "false") else ["x"]
        code, output, calls = run("n", key.flag, *value)
        assert code == 0, output
        assert calls[0][3] == {name: "x" if value else "true"}


def test_help_shows_default_and_variable() -> None:
    """In a panel of their own, after the command's own options."""
    code, output, calls = run("--help")
    assert (code, calls) == (0, [])
    text = " ".join(output.split())
    assert "What the command does." in text
    assert "Settings" in text
    assert text.index("--once") < text.index("Settings") < text.index("--mongodb-uri")
    for key in KEYS.values():
        assert f"{key.variable})" in text, key.name
    assert "(default: 64MiB; TAILRACE_MAX_LINE_BYTES)" in text


def test_a_commands_own_option_takes_the_place() -> None:
    """A command that has its own meaning of `root` keeps it, and `flags` does not hold it."""
    calls = []
    app = typer.Typer(add_completion=False)

    @app.command()
    @with_settings
    def command(flags: dict[str, str], root: str = "here") -> None:
        calls.append((root, flags))

    assert CliRunner().invoke(app, ["--root", "there", "--stream", "s"]).exit_code == 0
    assert calls == [("there", {"stream": "s"})]


def test_an_unknown_option_is_a_usage_error() -> None:
    """Exit 2, as for any command."""
    assert run("x", "--mongo-uri", "y")[0] == 2


def test_flags_reach_the_settings() -> None:
    """What the command line gave is what `load` takes."""
    flags = run("x", "--root", "/d/node_fills", "--mongodb-uri", "embedded", "--clustered")[2][0][3]
    loaded = load(flags, {"HOME": "/h"}, None)
    assert loaded.settings.sources[0].clustered
    assert loaded.where["clustered"] == "--clustered"
    with pytest.raises(KeyError):
        load({"no_such_setting": "1"}, {"HOME": "/h"}, None)
