"""What a value may be: units, choices, bounds, write concern; each refusal as its exact sentence."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.config import KEYS, Address, load
from tailrace.config.units import UnitMissing, format_duration, format_size, parse_duration, parse_size
from tailrace.errors import SettingsError

FINE = {"HOME": "/home/u", "TAILRACE_MONGODB_URI": "mongodb://h/", "TAILRACE_ROOT": "/data/node_trades"}
CONCERN = (
    "must be majority, 1+j, 2+j, ...: without majority or journal a killed mongod loses documents that it acknowledged."
)
COLLECTION = "must not end in .files or .rejects, which are kept beside a collection."


MEND = "make install builds it where cargo is, or use auto or python"


def sentence(name: str, text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load({name: text}, FINE, None, why_not_native=lambda: "it is not there")
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("write_timeout", "30", "needs a unit, such as 500ms, 30s or 5m; 1s to 10m is allowed."),
        ("write_timeout", "half", "must be a duration such as 500ms, 30s or 1h30m, from 1s to 10m."),
        ("write_timeout", "1s1h", "must be a duration such as 500ms, 30s or 1h30m, from 1s to 10m."),
        ("write_timeout", "999ms", "must be from 1s to 10m."),
        ("write_timeout", "0", "must be from 1s to 10m."),
        ("poll_interval", "61s", "must be from 10ms to 1m."),
        ("max_line_bytes", "64", "needs a unit, such as 64MiB or 10MB; 1KiB to 1GiB is allowed."),
        ("max_line_bytes", "64 bits", "must be a size such as 64MiB or 10MB, from 1KiB to 1GiB."),
        ("max_line_bytes", "2GiB", "must be from 1KiB to 1GiB."),
        ("max_in_flight_bytes", "65535B", "must be from 64KiB to 64GiB."),
        ("max_workers", "65", "must be a whole number from 1 to 64."),
        ("max_workers", "4.0", "must be a whole number from 1 to 64."),
        ("identity", "contents", "must be position or content; did you mean content?"),
        ("log_level", "trace", "must be debug, info, warning or error."),
        ("clustered", "maybe", "must be true or false."),
        ("write_concern", "1", CONCERN),
        ("write_concern", "0", CONCERN),
        ("write_concern", "2", CONCERN),
        ("write_concern", "0+j", "must be majority, 1+j, 2+j, ... up to 50+j."),
        ("http", "9464", "must be HOST:PORT such as 127.0.0.1:9464 (port 0 to 65535), [IPV6]:PORT or off."),
        ("http", "h:65536", "must be HOST:PORT such as 127.0.0.1:9464 (port 0 to 65535), [IPV6]:PORT or off."),
        ("codec", "native", f"cannot be had: it is not there; {MEND}."),
        ("stream", "a/b", "must be the name of a stream's directory, such as node_trades."),
        ("stream", "_by_block", "must be the name of a stream's directory, such as node_trades."),
        ("source", "", "must be 1 to 100 letters, digits or any of _ . : @ -."),
        ("database", "admin", "must not be a database of the server's own (admin, local, config)."),
        ("database", "a.b", 'must be 1 to 63 bytes without / \\ . " $ * < > : | ? and blanks.'),
        ("collection", "trades.rejects", COLLECTION),
        ("collection", "a$b", "must be 1 to 120 bytes without $, without .. and without a . at either end."),
        ("collection", "a..b", "must be 1 to 120 bytes without $, without .. and without a . at either end."),
        ("collection", "system.x", "must not have system between its dots: the server keeps such names to itself."),
        ("collection", "a.system", "must not have system between its dots: the server keeps such names to itself."),
    ],
)
def test_a_refused_value(name: str, text: str, reason: str) -> None:
    """Key, value, where it was set, what is allowed."""
    flag = "--" + name.replace("_", "-")
    assert sentence(name, text) == f'{name} = "{text}" (from {flag}) {reason}'


@pytest.mark.parametrize(
    ("toml", "shown", "reason"),
    [
        ("write_timeout = 30", "30", "needs a unit, such as 500ms, 30s or 5m; 1s to 10m is allowed."),
        ("max_workers = true", "true", "must be a whole number from 1 to 64."),
        ("write_concern = 1", "1", CONCERN),
        ("database = 5", "5", "must be a string."),
        ("root = {password = 1}", "a table", "must be a path."),
        ('state_dir = "a\\u0000b"', '"', "must be a path."),
        ("clustered = 2", "2", "must be true or false."),
        ("log_level = 2024-01-01", "2024-01-01", "must be debug, info, warning or error."),
    ],
)
def test_a_value_of_a_wrong_type_in_the_file(
    tmp_path_factory: pytest.TempPathFactory, toml: str, shown: str, reason: str
) -> None:
    """TOML's own types are taken as they are meant, never converted by luck."""
    file = tmp_path_factory.mktemp("config") / "t.toml"
    file.write_text(toml)
    environ = {key: value for key, value in FINE.items() if not ("root" in toml and key == "TAILRACE_ROOT")}
    with pytest.raises(SettingsError) as caught:
        load({}, environ, str(file))
    (problem,) = caught.value.problems
    name = toml.split(" ", maxsplit=1)[0]
    assert problem.startswith(f"{name} = {shown}")
    assert problem.endswith(f" (from {file}: {name}) {reason}")


def test_accepted_spellings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compound durations, units in any case, TOML numbers, addresses, write concerns."""
    file = tmp_path_factory.mktemp("config") / "t.toml"
    file.write_text("max_workers = 8\nclustered = true\nshutdown_grace = 0\n")
    flags = {
        "seal_after": "1h30m",
        "max_line_bytes": "1.5mib",
        "max_in_flight_bytes": "10 MB",
        "http": "[::1]:0",
        "write_concern": "2+j",
        "allow_ttl": "On",
    }
    result = load(flags, FINE, str(file))
    settings = result.settings
    assert (settings.max_workers, settings.seal_after, settings.shutdown_grace) == (8, 5400.0, 0.0)
    assert (settings.max_line_bytes, settings.max_in_flight_bytes) == (1572864, 10_000_000)
    assert settings.http == Address("::1", 0)
    assert str(settings.http) == "[::1]:0"
    assert settings.write_concern.w == 2
    assert settings.sources[0].clustered
    assert settings.sources[0].allow_ttl
    about = 'write_concern = "2+j" (from --write-concern)'
    assert result.warnings == [
        f"{about} lets a failover roll back acknowledged documents: set it to majority, or accept that."
    ]
    assert load({"http": "off"}, FINE, None).settings.http is None
    assert load({"codec": "native"}, FINE, None, why_not_native=lambda: None).settings.codec == "native"


def test_settings_are_frozen() -> None:
    """Checked once, then nobody changes them."""
    result = load({}, FINE, None)
    with pytest.raises(ValueError, match="frozen"):
        result.settings.max_workers = 5
    with pytest.raises(ValueError, match="frozen"):
        result.settings.sources[0].database = "x"


def test_every_default_is_a_value_that_its_rule_takes() -> None:
    """What the documentation shows as the default can be written into the file, and means the same."""
    fixed = {name: key for name, key in KEYS.items() if key.fixed_default}
    assert len(fixed) > 15
    written = load({name: key.default for name, key in fixed.items()}, FINE, None).settings
    assert written == load({}, FINE, None).settings


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**12))
def test_durations_round_trip(milliseconds: int) -> None:
    """What is shown is read back as the same."""
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@settings(deadline=None, max_examples=200)
@given(st.one_of(st.integers(0, 1 << 50), st.builds(lambda n, k: n << k, st.integers(0, 999), st.integers(0, 40))))
def test_sizes_round_trip(size: int) -> None:
    """What is shown is read back as the same."""
    assert parse_size(format_size(size)) == size


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="0123456789.smhd kKMiB+-eE\u0663\n", max_size=12))
def test_units_never_raise_anything_else(text: str) -> None:
    """A value, or one of the two errors; never a negative number."""
    for parse in (parse_duration, parse_size):
        try:
            value = parse(text)
        except UnitMissing:
            assert any(digit in "123456789" for digit in text)
        except ValueError:
            continue
        else:
            assert value >= 0
