"""docs/configuration.md is what the table of settings says."""

import re
from pathlib import Path

from tailrace.config import KEYS, load
from tailrace.config.document import page
from tailrace.model import Identity, StartAt

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_up_to_date() -> None:
    """`python -m tailrace.config.document > docs/configuration.md` would change nothing."""
    assert PAGE.read_text() == page()


def test_the_page_names_every_setting() -> None:
    """Key, flag and variable of each, with its default."""
    text = PAGE.read_text()
    for key in KEYS.values():
        assert f"| `{key.name}` | " in text
        assert f"`{key.variable}`" in text
        assert f"`{key.flag}" in text
        assert key.default in text


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    """The TOML block, with only the path of its secret changed, loads and means what its comments say."""
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    secret = tmp_path / "mongodb-uri"
    secret.write_text("mongodb://u:p@h/\n")
    secret.chmod(0o600)
    assert "/etc/tailrace/mongodb-uri" in block
    file = tmp_path / "tailrace.toml"
    file.write_text(block.replace("/etc/tailrace/mongodb-uri", str(secret)))
    loaded = load({}, {"HOME": "/home/u"}, str(file))
    trades, fills = loaded.settings.sources
    assert (trades.source, trades.namespace) == ("node_trades", "hyperliquid.node_trades")
    assert (fills.source, fills.namespace) == ("tokyo-1", "hyperliquid.fills")
    assert trades.root == fills.root == Path("/home/hluser/hl/data")
    assert trades.identity is fills.identity is Identity.CONTENT
    assert (trades.start_at, fills.start_at) == (StartAt.BEGINNING, StartAt.END)
    assert loaded.settings.write_timeout == 20.0
    assert loaded.warnings == []
