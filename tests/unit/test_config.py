"""Loading: layers, provenance, derived defaults, and every problem as one exact sentence."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tailrace.config import Loaded, effective, load
from tailrace.errors import SettingsError
from tailrace.model import Framing, Identity, Numbers, StartAt

HOME = {"HOME": "/home/u"}
URI = "mongodb://db.example:27017/"
FINE = {**HOME, "TAILRACE_MONGODB_URI": URI, "TAILRACE_ROOT": "/data/node_trades"}


def write(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def problems(
    environ: Mapping[str, str] = FINE,
    flags: Mapping[str, str] | None = None,
    config: str | None = None,
    require: frozenset[str] = frozenset(("root", "mongodb_uri")),
) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(flags or {}, environ, config, require=require, why_not_native=lambda: "it is not there")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None  # pydantic's error does not travel along
    return caught.value.problems


def loaded(environ: Mapping[str, str] = FINE, config: str | None = None, **flags: str) -> Loaded:
    return load(flags, environ, config)


def test_the_least_that_is_needed() -> None:
    """A root and a URI suffice; everything else has the documented default."""
    settings = loaded().settings
    (source,) = settings.sources
    assert (source.directory, source.stream, source.source) == (Path("/data/node_trades"), "node_trades", "node_trades")
    assert (source.family, source.framing, source.namespace) == (
        "node_trades",
        Framing.BARE,
        "hyperliquid.node_trades",
    )
    assert (source.start_at, source.identity, source.numbers) == (
        StartAt.BEGINNING,
        Identity.POSITION,
        Numbers.DECIMAL,
    )
    assert (source.clustered, source.allow_ttl, source.user_index) == (False, False, False)
    assert settings.connection_string == URI
    assert not settings.embedded
    assert settings.state_dir == Path("/home/u/.local/state/tailrace")
    assert (settings.poll_interval, settings.seal_after, settings.write_timeout) == (1.0, 300.0, 30.0)
    assert (settings.retry_max_delay, settings.shutdown_grace, settings.max_workers) == (10.0, 8.0, 16)
    assert settings.max_line_bytes == settings.max_in_flight_bytes == 64 << 20
    assert settings.write_concern.w == "majority"
    assert settings.http is not None
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 9464)
    assert (settings.watch, settings.codec, settings.log_format, settings.log_level) == ("auto", "auto", "auto", "info")


def test_a_later_layer_wins_and_is_remembered(tmp_path: Path) -> None:
    """Defaults < file < environment < flags, key by key, and `where` says which it was."""
    file = write(
        tmp_path / "tailrace.toml", 'max_workers = 5\nwrite_timeout = "5s"\nseal_after = "6m"\nclustered = true\n'
    )
    environ = {**FINE, "TAILRACE_WRITE_TIMEOUT": "6s", "TAILRACE_SEAL_AFTER": "7m"}
    result = loaded(environ, file, seal_after="8m", clustered="false")
    settings = result.settings
    assert settings.poll_interval == 1.0
    assert settings.max_workers == 5
    assert settings.write_timeout == 6.0
    assert settings.seal_after == 480.0
    assert settings.sources[0].clustered is False
    shown = {key: (value, where) for key, value, where in effective(result)}
    assert shown["poll_interval"] == ("1s", "default")
    assert shown["max_workers"] == ("5", f"{file}: max_workers")
    assert shown["write_timeout"] == ("6s", "TAILRACE_WRITE_TIMEOUT")
    assert shown["seal_after"] == ("8m", "--seal-after")
    assert shown["clustered"] == ("false", "--no-clustered")
    assert shown["stream"] == ("node_trades", "the path of root")
    assert shown["collection"] == ("node_trades", "the stream's family")


def test_config_flag_wins_over_its_variable(tmp_path: Path) -> None:
    """`--config` is read instead of TAILRACE_CONFIG; without it the variable counts."""
    one, two = write(tmp_path / "1.toml", "max_workers = 1"), write(tmp_path / "2.toml", "max_workers = 2")
    environ = {**FINE, "TAILRACE_CONFIG": one}
    assert loaded(environ).settings.max_workers == 1
    assert loaded(environ, two).settings.max_workers == 2


def test_an_empty_variable_counts_as_not_set() -> None:
    """Compose files leave a variable out by making it empty."""
    assert loaded({**FINE, "TAILRACE_STREAM": "", "TAILRACE_HTTP": ""}) == loaded()


def test_variables_that_are_no_settings_are_left_alone() -> None:
    """TAILRACE_TEST_* and what Kubernetes makes for a service of our name are not misspelt settings."""
    more = {
        "TAILRACE_TEST_MONGOD": "/bin/mongod",
        "TAILRACE_SERVICE_HOST": "10.0.0.1",
        "TAILRACE_PORT": "tcp://10.0.0.1:9464",
        "TAILRACE_PORT_9464_TCP_ADDR": "10.0.0.1",
    }
    assert loaded({**FINE, **more}) == loaded()


@pytest.mark.parametrize(
    ("environ", "path", "where"),
    [
        ({"STATE_DIRECTORY": "/var/lib/tailrace:/var/lib/other", **HOME}, "/var/lib/tailrace", "STATE_DIRECTORY"),
        ({"XDG_STATE_HOME": "/s/", **HOME}, "/s/tailrace", "XDG_STATE_HOME"),
        ({"XDG_STATE_HOME": "relative", **HOME}, "/home/u/.local/state/tailrace", "HOME"),
        ({"TAILRACE_STATE_DIR": "~/here", "STATE_DIRECTORY": "/v", **HOME}, "/home/u/here", "TAILRACE_STATE_DIR"),
    ],
)
def test_where_state_goes(environ: dict[str, str], path: str, where: str) -> None:
    """The setting, else systemd's directory, else XDG's, else the home."""
    result = load({}, environ, None, require=frozenset())
    assert (str(result.settings.state_dir), result.where["state_dir"]) == (path, where)


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the file they start from its directory, elsewhere from the working directory."""
    (tmp_path / "etc").mkdir()
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "etc" / "t.toml", 'root = "node_fills"\n')
    environ = {**HOME, "TAILRACE_MONGODB_URI": URI, "TAILRACE_STATE_DIR": "state"}
    settings = loaded(environ, "etc/t.toml").settings
    assert settings.sources[0].root == tmp_path / "etc" / "node_fills"
    assert settings.state_dir == tmp_path / "state"


TWO = """
root = "/data"
identity = "content"
numbers = "double"
[[sources]]
stream = "node_trades_by_block"
[[sources]]
stream = "node_fills_streaming"
source = "tokyo"
collection = "fills"
identity = "position"
"""


def test_sources_take_their_defaults_from_the_top(tmp_path: Path) -> None:
    """Each table says what differs; a variable or a flag wins over the tables, too."""
    file = write(tmp_path / "t.toml", TWO)
    environ = {**HOME, "TAILRACE_MONGODB_URI": URI, "TAILRACE_NUMBERS": "string"}
    result = loaded(environ, file)
    trades, fills = result.settings.sources
    assert (trades.family, trades.framing, trades.collection, trades.source) == (
        "node_trades",
        Framing.BY_BLOCK,
        "node_trades",
        "node_trades",
    )
    assert (fills.family, fills.framing, fills.collection, fills.source) == (
        "node_fills",
        Framing.STREAMING,
        "fills",
        "tokyo",
    )
    assert (trades.root, trades.identity, trades.numbers) == (Path("/data"), Identity.CONTENT, Numbers.STRING)
    assert (fills.root, fills.identity, fills.numbers) == (Path("/data"), Identity.POSITION, Numbers.STRING)
    shown = {key: (value, where) for key, value, where in effective(result)}
    assert shown["[[sources]] 1, identity"] == ("content", f"{file}: identity")
    assert shown["[[sources]] 2, identity"] == ("position", f"{file}: [[sources]] 2, identity")
    assert shown["[[sources]] 2, numbers"] == ("string", "TAILRACE_NUMBERS")
    overridden = load({"identity": "content"}, environ, file).settings.sources
    assert [source.identity for source in overridden] == [Identity.CONTENT, Identity.CONTENT]


def test_what_tells_sources_apart_is_not_overridden(tmp_path: Path) -> None:
    """A flag that would give all tables one stream is a problem, never a silent choice; with one table it wins."""
    file = write(tmp_path / "t.toml", TWO)
    assert problems({**HOME, "TAILRACE_MONGODB_URI": URI}, {"stream": "node_fills"}, file)[0] == (
        f"stream (from --stream) would replace what tells 2 [[sources]] apart ({file}: [[sources]] 1, stream): "
        "remove one of the two."
    )
    one = write(tmp_path / "1.toml", '[[sources]]\nroot = "/data"\nstream = "node_trades"\n')
    (source,) = load({"stream": "node_fills", "root": "/data"}, FINE, one).settings.sources
    assert (source.stream, source.root) == ("node_fills", Path("/data"))


def test_a_root_that_leads_to_another_stream(tmp_path: Path) -> None:
    """Root and stream that contradict each other: a problem, for the whole stream would end in the rejects."""
    given = {"root": "/data/node_trades/hourly", "stream": "node_fills"}
    (sentence,) = problems({**HOME, "TAILRACE_MONGODB_URI": URI}, given)
    assert sentence == (
        'root = "/data/node_trades/hourly" (from --root) leads to the stream node_trades, and stream = node_fills '
        "(from --stream) is set: make them agree."
    )
    (source,) = load({"root": "/data/node_trades", "stream": "node_trades"}, FINE, None).settings.sources
    assert source.stream == "node_trades"


def test_sources_in_each_others_way(tmp_path: Path) -> None:
    """One name for two writers, one set of files twice, and two meanings of one collection: a sentence each."""
    file = write(
        tmp_path / "t.toml",
        'root = "/data"\nstream = "node_trades"\n[[sources]]\n[[sources]]\nclustered = true\n'
        '[[sources]]\nsource = "b"\nidentity = "content"\n',
    )
    both = "write to hyperliquid.node_trades"
    same = "and read the same files (node_trades of /data): remove one of the two."
    assert problems({**HOME, "TAILRACE_MONGODB_URI": URI}, None, file) == [
        f"[[sources]] 1 and [[sources]] 2 {both} but differ in clustered: false and true; set it to one value.",
        (
            f"[[sources]] 1 and [[sources]] 2 {both} under one name: set source in one of them to a name other than "
            '"node_trades".'
        ),
        f"[[sources]] 1 and [[sources]] 3 {both} but differ in identity: position and content; set it to one value.",
        f"[[sources]] 1 and [[sources]] 3 {both} {same}",
        f"[[sources]] 2 and [[sources]] 3 {both} but differ in identity: position and content; set it to one value.",
        f"[[sources]] 2 and [[sources]] 3 {both} but differ in clustered: true and false; set it to one value.",
        f"[[sources]] 2 and [[sources]] 3 {both} {same}",
    ]


def test_the_stream_from_the_path(tmp_path: Path) -> None:
    """A stream's directory, its hourly, a link to either, and one that is not there yet but has a known name."""
    (tmp_path / "data" / "odd_stream" / "hourly").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data" / "odd_stream")
    (tmp_path / "node_fills").symlink_to(tmp_path / "data" / "odd_stream" / "hourly")
    roots = {
        tmp_path / "data" / "odd_stream": "odd_stream",
        tmp_path / "data" / "odd_stream" / "hourly": "odd_stream",
        tmp_path / "link": "odd_stream",
        tmp_path / "node_fills": "node_fills",
        Path("/nowhere/node_trades_by_block"): "node_trades_by_block",
        Path("/nowhere/misc_events_streaming/hourly/"): "misc_events_streaming",
        Path("/nowhere/unheard_of/hourly"): "unheard_of",
    }
    for root, stream in roots.items():
        (source,) = loaded({**FINE, "TAILRACE_ROOT": str(root)}).settings.sources
        assert (source.root, source.stream) == (root, stream)


def test_a_root_that_tells_no_stream(tmp_path: Path) -> None:
    """Each sentence says what was seen there and that `stream` is to be set; with it, the same roots are fine."""
    data = tmp_path / "data"
    (data / "node_trades").mkdir(parents=True)
    (data / "strange" / "hourly").mkdir(parents=True)
    (data / "logs").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    no_name = "and its name is not a stream's; set stream, too."
    sentences = {
        data: "is a data directory; set stream, too, to one of those in it: node_trades or strange.",
        tmp_path / "empty": f"holds no stream yet, {no_name}",
        tmp_path / "later": f"does not exist yet, {no_name}",
        tmp_path / "file": "is not a directory.",
    }
    for root, sentence in sentences.items():
        environ = {**FINE, "TAILRACE_ROOT": str(root)}
        assert problems(environ) == [f'root = "{root}" (from TAILRACE_ROOT) {sentence}']
        assert loaded({**environ, "TAILRACE_STREAM": "strange"}).settings.sources[0].stream == "strange"


def test_a_day_folder_is_no_root(tmp_path: Path) -> None:
    """The sentence names the root to set."""
    root = tmp_path / "strange" / "hourly" / "20250310"
    sentence = f"lies within an hourly folder; set root to {tmp_path / 'strange'}."
    assert problems({**FINE, "TAILRACE_ROOT": str(root)}) == [f'root = "{root}" (from TAILRACE_ROOT) {sentence}']


def test_source_tables_under_the_singular(tmp_path: Path) -> None:
    """`[[source]]` is told apart from the setting `source`, in one sentence and nothing more."""
    file = tmp_path / "tailrace.toml"
    file.write_text('[[source]]\nstream = "node_trades"\nroot = "/data"\n')
    assert problems({**HOME, "TAILRACE_MONGODB_URI": URI}, config=str(file)) == [
        f"{file}: [[source]] is not a table of a source: write [[sources]]."
    ]


def test_what_must_be_set() -> None:
    """Only what the command requires; a command that needs no collection gets no source."""
    assert problems(HOME) == [
        (
            "mongodb_uri is not set: set TAILRACE_MONGODB_URI (or mongodb_uri in the file, or mongodb_uri_file) to the "
            "server's connection string, or to embedded for a private mongod."
        ),
        (
            "root is not set: set --root, TAILRACE_ROOT or root in the file to the node's data directory, or to a "
            "stream's directory in it."
        ),
    ]
    assert problems(HOME, require=frozenset(("collection",))) == [
        "collection is not set: set collection, or stream or root, which tell its default."
    ]
    assert problems({}, require=frozenset()) == [
        (
            "state_dir is not set, and none of STATE_DIRECTORY, XDG_STATE_HOME and HOME tells a place: "
            "set --state-dir or TAILRACE_STATE_DIR."
        )
    ]
    empty = load({}, HOME, None, require=frozenset()).settings
    assert empty.sources == ()
    with pytest.raises(SettingsError, match=r"^mongodb_uri is not set$"):
        _ = empty.connection_string
    (source,) = load({"collection": "x"}, HOME, None, require=frozenset(("collection",))).settings.sources
    assert (source.collection, source.root) == ("x", None)
    with pytest.raises(SettingsError, match=r"^root is not set$"):
        _ = source.directory


def test_a_table_without_a_root(tmp_path: Path) -> None:
    """The sentence names the table."""
    file = write(tmp_path / "t.toml", '[[sources]]\nroot = "/d/node_trades"\n[[sources]]\nstream = "node_fills"\n')
    assert problems({**HOME, "TAILRACE_MONGODB_URI": URI}, None, file) == [
        "[[sources]] 2, root is not set: set it there, or above the first [[sources]] for all of them."
    ]


def test_unknown_keys(tmp_path: Path) -> None:
    """With the nearest known name; a key in the wrong place is told where it belongs."""
    file = write(
        tmp_path / "t.toml",
        'max-worker = 5\nqqq = 1\n[[sources]]\nstreem = "x"\nwrite_timeout = "1s"\nroot = "/d/node_trades"\n',
    )
    assert problems({**HOME, "TAILRACE_MONGODB_URI": URI}, None, file) == [
        f"{file}: max-worker is not a known key: did you mean max_workers?",
        f"{file}: qqq is not a known key; `tailrace run --help` lists all there are.",
        f"{file}: [[sources]] 1, streem is not a known key: did you mean stream?",
        f"{file}: [[sources]] 1, write_timeout is not a key of a source: write it above the first [[sources]].",
    ]


def test_a_misspelt_variable() -> None:
    """Never ignored, though environments are full of names."""
    assert problems({**FINE, "TAILRACE_MONGO_URI": "mongodb://u:hunter2@h/"}) == [
        "TAILRACE_MONGO_URI is not a known variable: did you mean TAILRACE_MONGODB_URI?"
    ]
    assert problems({**FINE, "TAILRACE_CONFG": ""}) == [
        "TAILRACE_CONFG is not a known variable: did you mean TAILRACE_CONFIG?"
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b'root = "/x"\nstream = x\n', "{}, line 2, column 10: not TOML: invalid value."),
        (b'root = "/x', "{}, line 1, column 11: not TOML: unterminated string."),
        (b'root = "\xff"', "{}, line 1: not UTF-8."),
        (b"[sources]\n", "{}: sources must be tables: write [[sources]] above the keys of each."),
    ],
)
def test_a_file_that_is_no_toml(tmp_path: Path, text: bytes, sentence: str) -> None:
    """One sentence with file, line and column."""
    file = tmp_path / "t.toml"
    file.write_bytes(text)
    assert problems(FINE, None, str(file)) == [sentence.format(file)]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The sentence says who named it."""
    file = tmp_path / "t.toml"
    why = "cannot be read: No such file or directory."
    assert problems({**FINE, "TAILRACE_CONFIG": str(file)}) == [
        f"The configuration file {file} (from TAILRACE_CONFIG) {why}"
    ]
    assert problems(FINE, None, str(file)) == [f"The configuration file {file} (from --config) {why}"]


def test_all_problems_at_once(tmp_path: Path) -> None:
    """File, environment and flags in one go, each once though several sources inherit it."""
    file = write(
        tmp_path / "t.toml",
        'numbers = "flot"\nnonsense = 1\n[[sources]]\nstream = "node_trades"\n[[sources]]\nstream = "node_fills"\n',
    )
    environ = {**HOME, "TAILRACE_ROOT": "/data", "TAILRACE_MAX_WORKERS": "0", "TAILRACE_MONGODB_URI": "localhost"}
    schemes = "mongodb:// or mongodb+srv://, or be the word embedded"
    assert problems(environ, {"poll_interval": "5"}, file) == [
        f"{file}: nonsense is not a known key; `tailrace run --help` lists all there are.",
        f"mongodb_uri (from TAILRACE_MONGODB_URI) must begin with {schemes}.",
        'poll_interval = "5" (from --poll-interval) needs a unit, such as 500ms, 30s or 5m; 10ms to 1m is allowed.',
        'max_workers = "0" (from TAILRACE_MAX_WORKERS) must be a whole number from 1 to 64.',
        f'numbers = "flot" (from {file}: numbers) must be decimal, double or string.',
    ]


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old release's folder, removed under a `run` that was started in it: only what is relative to it is a problem,
    and said to be one."""
    gone = tmp_path / "release-41"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    config = write(tmp_path / "tailrace.toml", 'poll_interval = "2s"\nstate_dir = "state"\n')
    settings = loaded(config=config).settings
    assert (settings.poll_interval, settings.state_dir) == (2.0, tmp_path / "state")
    why = "is relative to the working directory, which was removed: give the whole path"
    assert problems(flags={"state_dir": "here"}) == [f'state_dir = "here" (from --state-dir) {why}.']
    assert problems(config="tailrace.toml") == [f"The configuration file tailrace.toml (from --config) {why}."]
