"""The demo's own account, its queries' text, and its refusals: everything of it that needs no server."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from tailrace.commands import demo
from tailrace.commands.demo_account import Account, Counts, settle_accounts
from tailrace.commands.demo_queries import candle_pipeline, shell, stages
from tailrace.errors import ConfigurationError, Exit, UsageError
from tailrace.simulator import Manifest
from tailrace.simulator.manifest import FileRecord

FIRST, SECOND = 1_741_640_400, 1_741_644_000  # two hours

WRITTEN = Manifest(
    stream="node_trades",
    framing="bare",
    seed=0,
    complete=True,
    files=[
        FileRecord(path="21", hour=FIRST, entries=100, bad={"json": 2, "empty": 1}),
        FileRecord(path="22", hour=SECOND, entries=50),
    ],
)
KEPT = {(FIRST, "json"): 2, (FIRST, "empty"): 1}


def account(
    stored: tuple[int, int] = (97, 50),
    distinct: tuple[int, int] | None = None,
    kept: dict[tuple[int, str], int] | None = None,
    *,
    missing: int = 0,
    extra: int = 0,
) -> Account:
    counts = Counts(
        stored=dict(zip((FIRST, SECOND), stored, strict=True)),
        distinct=dict(zip((FIRST, SECOND), distinct or stored, strict=True)),
        kept=KEPT if kept is None else kept,
    )
    return settle_accounts(WRITTEN, counts, missing=missing, extra=extra)


def test_all_is_well() -> None:
    """Everything stored or kept aside, once: balanced, and the sentence of the result in its promised form."""
    done = account()
    assert done.balanced
    assert done.sentence() == "wrote 150 = stored 147 + kept aside 3; missing 0, doubled 0"
    assert list(done.kept.items()) == [("json", 2), ("empty", 1)]


@pytest.mark.parametrize(
    ("wrong", "missing", "doubled"),
    [
        (account(stored=(96, 50)), 1, 0),
        (account(stored=(98, 50), distinct=(97, 50)), 0, 1),
        (account(stored=(96, 51)), 1, 1),  # a loss and a surplus never cancel out
        (account(stored=(97, 50), distinct=(96, 50)), 1, 1),  # one trade lost, another one stored twice
        (account(kept={(FIRST, "json"): 2}), 1, 0),
        (account(kept={(FIRST, "json"): 3}), 1, 1),  # kept aside for a wrong reason
        (account(kept={**KEPT, (SECOND, "type"): 1}, stored=(97, 49)), 1, 1),  # a good entry was kept aside
        (account(missing=4), 4, 0),
        (account(extra=2), 0, 2),
    ],
)
def test_nothing_wrong_is_balanced(wrong: Account, missing: int, doubled: int) -> None:
    """Each way to lose or double something is counted, also where the sums alone would agree."""
    assert not wrong.balanced
    assert (wrong.missing, wrong.doubled) == (missing, doubled)
    assert wrong.sentence().endswith(f"missing {missing}, doubled {doubled}")


def test_a_sum_that_does_not_add_up_is_not_shown_as_one() -> None:
    """No equals sign between what is not equal."""
    assert account(stored=(96, 50)).sentence() == "wrote 150 != stored 146 + kept aside 3; missing 1, doubled 0"


def test_queries_are_shown_as_mongosh_takes_them() -> None:
    """Bare keys where they are names, quoted ones else, dates as ISODate, long stages over several lines."""
    assert shell({"coin": "BTC", "side_info.user": None, "$in": 1}) == '{coin: "BTC", "side_info.user": null, $in: 1}'
    text = stages(candle_pipeline("@107", datetime(2025, 3, 10, 23, 55)))  # noqa: DTZ001  as the driver gives it: UTC
    assert '{$match: {coin: "@107", time: {$gte: ISODate("2025-03-10T23:55:00Z")}}},' in text
    assert '_id: {$dateTrunc: {date: "$time", unit: "minute"}}' in text
    assert text.count("{") == text.count("}")
    assert max(map(len, text.splitlines())) <= 78


def test_without_a_mongod_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing on PATH and no wheel: configuration (78), what to do, and nothing made."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tailrace.embedded._WHEEL", "tailrace_no_such_wheel")
    with pytest.raises(ConfigurationError, match=r"tailrace\[embedded\]") as refused:
        demo.demo(keep=tmp_path / "kept")
    assert refused.value.exit_code == Exit.CONFIGURATION
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "kept").exists()


def test_a_folder_with_something_in_it_is_not_touched(tmp_path: Path) -> None:
    """`--keep` into a folder in use would mix two accounts: refused (2)."""
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UsageError, match="not empty"), demo._place(tmp_path):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]
