"""Prints docs/configuration.md, from the table of settings: `python -m tailrace.config.document`.

A test compares the page with what this prints, and loads its example.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from tailrace.config.rules import Switch
from tailrace.config.settings import KEYS, Key

EXAMPLE = """\
# /etc/tailrace.toml: trades and fills of one node, into two collections
mongodb_uri_file = "/etc/tailrace/mongodb-uri"
root = "/home/hluser/hl/data"       # for both sources
identity = "content"                # for both sources
write_timeout = "20s"

[[sources]]
stream = "node_trades_by_block"     # source "node_trades", collection "node_trades"

[[sources]]
stream = "node_fills_by_block"
source = "tokyo-1"
collection = "fills"
start_at = "end"
"""

_PAGE = """\
# Configuration

<!-- Made by `python -m tailrace.config.document`; a test compares. Edit src/tailrace/config/, not this page. -->

Settings come from four places; a later one wins:

1. the defaults below,
2. a TOML file, named by `--config` or the variable `TAILRACE_CONFIG`,
3. environment variables, `TAILRACE_` and the key in capitals,
4. flags, `--` and the key with dashes.

Two are required: `root`, and `mongodb_uri` or `mongodb_uri_file`. `tailrace check` validates everything, reaches the
server, says what `run` would do, and exits 0 or 78. All problems are reported at once, each naming the key, where it
was set, and what is allowed. An unknown key or an unknown `TAILRACE_` variable is an error. An empty variable counts as
not set.

- Durations have units: `ms`, `s`, `m`, `h`, `d`, as in `500ms`, `5m`, `1h30m`. Sizes too: `B`, `kB`, `MB`, `GB`, `TB`
  (1000) and `KiB`, `MiB`, `GiB`, `TiB` (1024). A bare number is an error; `0` needs no unit.
- A relative path in the file starts from the file's directory, elsewhere from the working directory. `~/` is `$HOME`.
- The column *reload* says what SIGHUP or `tailrace reload` does with a changed value: takes it over (live), or names it
  and leaves it as it was until a restart. Sources are added and removed live. The file is read again; variables and
  flags stay those of the start. A configuration that is not valid as a whole changes nothing.
- `mongodb_uri` is a secret: no log, error or listing shows its user, its password or any option that may hold one. In a
  flag, every user of the machine can read it in the list of processes (there is a warning): use the variable or a file.

## Example

```toml
{example}```

## Of a source

Keys of a `[[sources]]` table, one table for each stream of each node. Above the first table they are the defaults of
all tables; without any table they describe the one source. A variable or flag wins over the tables, too; but `root`,
`stream`, `source` and `collection` tell tables apart, and overriding them in several tables is an error. No two sources
may write to one collection under one name (`source`), and sources of one collection must agree in `identity`,
`numbers`, `clustered` and `user_index`.

{of_source}

## Of the process

In the file above the first `[[sources]]`.

{of_process}

## Flags and variables

{names}

`--config PATH` (`TAILRACE_CONFIG`) names the file. Other variables that are looked at: `STATE_DIRECTORY` (set by
systemd), `XDG_STATE_HOME` and `HOME` for `state_dir`, `HOME` for `~`, `CREDENTIALS_DIRECTORY` (of systemd: nobody is
warned about who may read a credential there). Variables that begin with `TAILRACE_TEST_` belong to the tests
(`TAILRACE_TEST_MONGOD`: the mongod they start), and those that Kubernetes makes for a service called tailrace
(`TAILRACE_PORT`, `TAILRACE_SERVICE_HOST`, ...) are ignored.
"""


_RELOADED = {True: "live", False: "restart"}


def page() -> str:
    """The whole page, ending in a newline."""
    return _PAGE.format(
        example=EXAMPLE,
        of_source=_settings(key for key in KEYS.values() if key.per_source),
        of_process=_settings(key for key in KEYS.values() if not key.per_source),
        names=_names(),
    )


def _settings(keys: Iterable[Key]) -> str:
    rows = [(f"`{key.name}`", key.rule.allowed, _default(key), _RELOADED[key.live], key.help) for key in keys]
    return _table(("key", "value", "default", "reload", "what it does"), rows)


def _default(key: Key) -> str:
    return f"`{key.default}`" if key.fixed_default else key.default


def _names() -> str:
    rows = [(f"`{key.name}`", f"`{_flag(key)}`", f"`{key.variable}`") for key in KEYS.values()]
    return _table(("key", "flag", "variable"), rows)


def _flag(key: Key) -> str:
    return f"{key.flag}`, `--no-{key.flag[2:]}" if isinstance(key.rule, Switch) else f"{key.flag} {key.rule.metavar}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(page())
