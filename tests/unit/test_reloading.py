"""What another configuration changes in a process that runs: live, with a restart, by sources that come and go."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tailrace.config.reloading import Changes, changes, name_of
from tailrace.config.settings import KEYS, LIVE, Settings
from tailrace.config.sources import SourceSettings

SECRET = "s3cret"

OTHERS: dict[str, tuple[Any, Any]] = {
    "root": ("/data/one", "/data/two"),
    "stream": ("node_trades", "node_trades_by_block"),
    "source": ("tokyo", "osaka"),
    "database": ("hyperliquid", "other"),
    "collection": ("node_trades", "trades"),
    "start_at": ("beginning", "end"),
    "identity": ("position", "content"),
    "numbers": ("decimal", "double"),
    "clustered": (False, True),
    "allow_ttl": (False, True),
    "user_index": (False, True),
    "mongodb_uri": (f"mongodb://me:{SECRET}@one/", f"mongodb://me:{SECRET}2@two/"),
    "mongodb_uri_file": ("/run/one", "/run/two"),
    "state_dir": ("/var/lib/one", "/var/lib/two"),
    "poll_interval": ("1s", "2s"),
    "watch": ("auto", "poll"),
    "seal_after": ("5m", "1m"),
    "max_line_bytes": ("64MiB", "1MiB"),
    "max_in_flight_bytes": ("64MiB", "32MiB"),
    "max_workers": (16, 4),
    "codec": ("auto", "python"),
    "write_concern": ("majority", "2+j"),
    "write_timeout": ("30s", "10s"),
    "retry_max_delay": ("10s", "5s"),
    "shutdown_grace": ("8s", "20s"),
    "http": ("127.0.0.1:9464", "off"),
    "log_format": ("auto", "json"),
    "log_level": ("info", "debug"),
}
"""A value and another one of every key."""

NAMED = ("source", "database", "collection")
"""Keys that a source is known by: with another value it is another source."""


def settings(*sources: SourceSettings, **given: Any) -> Settings:
    return Settings(
        **{"state_dir": "/state", "mongodb_uri": f"mongodb://me:{SECRET}@one/", **given},
        sources=sources or (source(),),
    )


def source(**given: Any) -> SourceSettings:
    return SourceSettings(
        **{"root": "/data", "stream": "node_trades", "source": "tokyo", "collection": "node_trades", **given}
    )


def sentences(found: Changes) -> str:
    return "\n".join((*found.changed, *found.left))


def test_every_key_is_looked_at() -> None:
    """A key that is new must be in the table of this test."""
    assert OTHERS.keys() == KEYS.keys()
    assert {name for name, key in KEYS.items() if key.live} == LIVE


def test_nothing_changes() -> None:
    """The same configuration again: no sentence, and the settings that there were."""
    found = changes(settings(), settings())
    assert (found.changed, found.left, found.added, found.removed) == ((), (), (), ())
    assert found.settings == settings()


@pytest.mark.parametrize("name", [name for name, key in KEYS.items() if not key.per_source])
def test_of_the_process(name: str) -> None:
    """Each key is taken over and said to be, or is said to need a restart and stays; nothing else changes."""
    before, after = OTHERS[name]
    now, then = settings(**{name: before}), settings(**{name: after})
    assert getattr(now, name) != getattr(then, name)
    found = changes(now, then)
    if KEYS[name].live:
        assert (len(found.changed), found.left) == (1, ())
        assert found.settings == then
    else:
        assert (found.changed, len(found.left)) == ((), 1)
        assert found.left[0].endswith(" needs a restart")
        assert found.settings == now
    (sentence,) = (*found.changed, *found.left)
    assert sentence.startswith(f"{name}: ")
    if not name.startswith("mongodb_uri"):
        assert f"{KEYS[name].rule.show(getattr(now, name))} -> " in sentence
        assert KEYS[name].rule.show(getattr(then, name)) in sentence.partition(" -> ")[2]


@pytest.mark.parametrize("name", [name for name, key in KEYS.items() if key.per_source and name not in NAMED])
def test_of_a_source(name: str) -> None:
    """Nothing of a source changes live: the key and the source are named, and the source goes on as it was."""
    before, after = OTHERS[name]
    now, then = settings(source(**{name: before})), settings(source(**{name: after}))
    found = changes(now, then)
    assert (found.changed, found.added, found.removed) == ((), (), ())
    (sentence,) = found.left
    assert sentence.startswith(f"tokyo -> hyperliquid.node_trades, {name}: ")
    assert sentence.endswith(" needs a restart")
    assert found.settings == now


@pytest.mark.parametrize("name", NAMED)
def test_what_a_source_is_known_by(name: str) -> None:
    """Another name, database or collection is another source: the one is removed, the other added."""
    before, after = OTHERS[name]
    one, other = source(**{name: before}), source(**{name: after})
    found = changes(settings(one), settings(other))
    assert (found.added, found.removed, found.left) == ((other,), (one,), ())
    assert found.changed == (f"source {name_of(other)} added", f"source {name_of(one)} removed")
    assert found.settings.sources == (other,)


def test_sources_come_and_go() -> None:
    """Added, removed and kept at once; one that is kept keeps what it was started with, whatever is written now."""
    kept, gone, new = source(), source(source="gone"), source(source="new")
    found = changes(settings(kept, gone), settings(source(root="/elsewhere"), new))
    assert (found.added, found.removed) == ((new,), (gone,))
    assert found.settings.sources == (kept, new)
    assert found.left == ("tokyo -> hyperliquid.node_trades, root: /data -> /elsewhere needs a restart",)


def test_the_order_of_sources_means_nothing() -> None:
    """Whatever order the tables stand in."""
    some = [source(), source(source="b"), source(source="c")]
    for order in itertools.permutations(some):
        found = changes(settings(*some), settings(*order))
        assert (sentences(found), found.added, found.removed) == ("", (), ())
        assert set(found.settings.sources) == set(some)


def test_what_was_left_is_named_again() -> None:
    """The next reload compares with what holds, not with what was asked for."""
    now, then = settings(http="off", poll_interval="1s"), settings(http="127.0.0.1:1", poll_interval="2s")
    first = changes(now, then)
    again = changes(first.settings, then)
    assert first.changed == ("poll_interval: 1s -> 2s",)
    assert (again.changed, again.left) == ((), first.left)
    assert first.left == ("http: off -> 127.0.0.1:1 needs a restart",)
    assert changes(first.settings, now).left == ()  # taken back: nothing to name


def test_no_secret_is_shown() -> None:
    """Of another connection string only that it is another, whatever changes with it; a file's name is no help."""
    now = settings(mongodb_uri=OTHERS["mongodb_uri"][0])
    then = settings(mongodb_uri=OTHERS["mongodb_uri"][1], mongodb_uri_file="/run/s3cret", log_level="debug")
    found = changes(now, then)
    assert set(found.left) == {
        "mongodb_uri: another value needs a restart",
        "mongodb_uri_file: another value needs a restart",
    }
    assert found.settings.connection_string == now.connection_string
    assert SECRET not in sentences(found)
    assert SECRET not in repr(found.settings)


def test_many_at_once_are_all_said() -> None:
    """As many sentences as keys that differ."""
    names = [name for name, key in KEYS.items() if not key.per_source]
    now, then = (settings(**{name: OTHERS[name][which] for name in names}) for which in (0, 1))
    found = changes(now, then)
    assert len(found.changed) == len(LIVE)
    assert len(found.left) == len(names) - len(LIVE)
    for name in LIVE:
        assert getattr(found.settings, name) == getattr(then, name), name
    assert changes(found.settings, then).changed == ()
