"""Everything at once, in short (`python -m tests.faults.mixed` is the long form)."""

from __future__ import annotations

from pathlib import Path

from tests.support.mixed import Mixed, MixedOptions
from tests.support.under_load import random_from_seed


def test_all_who_count_say_the_same(tmp_path: Path) -> None:
    """A node at full rate, reloads, a mongod that is killed and one that hangs, hours rolling over: the account
    balances at every look, the lag is soon small again, and metrics, `/status`, `tailrace status`, the dashboard,
    MongoDB and the files agree at the end."""
    seed = random_from_seed().randrange(1 << 32)
    result = Mixed(tmp_path, MixedOptions(seconds=15.0, seed=seed, hour=4.0, reload_every=2.5)).run()
    assert result.complaints == []
    assert len(result.tables) == 10, "one who counts was not asked"
    assert result.tables["/metrics"]["entries"] > 35_000
    assert result.tables["/metrics"]["rejected"] > 0
    assert {fault.what for fault in result.faults} >= {"mongod killed with -9 and started", "mongod frozen"}
    assert result.reloads >= 3
    assert result.rollovers >= 3
    assert result.scrapes >= 12
