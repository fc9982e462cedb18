"""The pure rules of `verify` beyond the lines of a file: counts, gaps, hours, values, columns."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64, ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.commands.verify_view import columns_that_fit
from tailrace.commands.verify_words import total_line
from tailrace.model import Identity
from tailrace.verify.hours import missing_hours, range_name
from tailrace.verify.patience import Patience
from tailrace.verify.report import FileReport, LifeReport, LifeState, Unexplained, VerifyReport, all_proven
from tailrace.verify.selection import Scope
from tailrace.verify.strangers import gaps, merged
from tailrace.verify.tally import Tally, conclude
from tailrace.verify.values import WIDTH, shortened, values_of

DAY = 1741564800  # 2025-03-10
H = 3600


def a_life() -> LifeReport:
    return LifeReport(path="/d/20250310/9", hour=DAY, prefix=bytes(7), number=0)


def concluded(recorded: Tally, found: Tally, *, stray: int = 0, wrapped: bool = False) -> LifeReport:
    life = a_life()
    conclude(life, recorded, found, stray=stray, wrapped=wrapped, known=True)
    return life


@given(
    documents=st.integers(0, 30),
    rejects=st.integers(0, 30),
    deleted=st.integers(0, 30),
    replayed=st.integers(0, 30),
    dropped=st.integers(0, 30),
    added=st.integers(0, 30),
)
def test_what_one_kind_of_damage_does_to_the_counts(
    documents: int, rejects: int, deleted: int, replayed: int, dropped: int, added: int
) -> None:
    """Replays alone are never a difference; after any replay a loss alone is counted exactly, and so is an addition
    as long as no reject is gone. Whatever happens together, a whole agreement means that nothing is missing in sum."""
    recorded = Tally(documents, rejects, 1)
    deleted, replayed = min(deleted, documents), min(replayed, rejects)
    dropped = min(dropped, rejects - replayed)
    quiet = concluded(recorded, Tally(documents + replayed, rejects - replayed, None if replayed else 1))
    assert (quiet.state, quiet.missing, quiet.extra, quiet.replayed) == (LifeState.AGREES, 0, 0, replayed)
    lost = concluded(recorded, Tally(documents + replayed - deleted, rejects - replayed - dropped, None))
    assert (lost.missing, lost.extra) == (deleted + dropped, 0)
    more = concluded(recorded, Tally(documents + added, rejects, None))
    assert (more.missing, more.extra) == (0, added)
    both = concluded(recorded, Tally(documents + replayed - deleted + added, rejects - replayed - dropped, None))
    assert both.missing - both.extra == deleted + dropped - added


def test_a_checksum_counts_only_where_the_numbers_agree() -> None:
    """Other bytes under the same numbers; unknown on either side it says nothing."""
    assert concluded(Tally(5, 1, 7), Tally(5, 1, 7)).changed is False
    other = concluded(Tally(5, 1, 7), Tally(5, 1, 8))
    assert (other.state, other.changed) == (LifeState.DIFFERS, True)
    for recorded, found in ((Tally(5, 1, None), Tally(5, 1, 8)), (Tally(5, 1, 7), Tally(5, 1, None))):
        life = concluded(recorded, found)
        assert (life.state, life.changed) == (LifeState.AGREES, None)
    assert concluded(Tally(5, 1, 7), Tally(4, 1, 8)).changed is None
    assert concluded(Tally(5, 1, 7), Tally(5, 2, 7)).state is LifeState.AGREES


def test_a_replayed_line_of_blocks_may_become_many_documents() -> None:
    """Under wrapped framing, and only while a reject is gone."""
    assert concluded(Tally(5, 1, 7), Tally(9, 0, None), wrapped=True).state is LifeState.AGREES
    assert concluded(Tally(5, 1, 7), Tally(9, 0, None)).extra == 3
    assert concluded(Tally(5, 1, 7), Tally(9, 1, None), wrapped=True).extra == 4
    assert concluded(Tally(5, 1, 7), Tally(4, 0, None), wrapped=True).missing == 2


def test_documents_where_none_can_be_are_too_many() -> None:
    """Before the start, or behind a finished end; whatever the rest says."""
    life = concluded(Tally(5, 1, 7), Tally(5, 1, 7), stray=2)
    assert (life.state, life.extra, life.documents) == (LifeState.DIFFERS, 2, 7)
    life = a_life()
    conclude(life, Tally(), Tally(), stray=0, wrapped=False, known=False)
    assert (life.state, bool(life.detail)) == (LifeState.UNJUDGED, True)


@settings(max_examples=200)
@given(
    lives=st.sets(st.tuples(st.integers(0, 20), st.integers(0, 3))),
    spans=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), max_size=4),
    probe=st.tuples(st.integers(0, 25), st.integers(0, 4), st.sampled_from([0, 1, (1 << 40) - 1])),
)
def test_an_id_lies_in_a_gap_or_in_a_life(
    lives: set[tuple[int, int]], spans: list[tuple[int, int]], probe: tuple[int, int, int]
) -> None:
    """Within the spans every id is in exactly one of them; outside in none. Gaps ascend and do not touch."""
    prefixes = sorted(hour.to_bytes(4, "big") + number.to_bytes(3, "big") for hour, number in lives)
    whole = [(begin, begin + size) for begin, size in spans]
    found = list(gaps(prefixes, whole))
    assert all(low <= high for low, high in found)
    assert all(a[1] < b[0] for a, b in pairwise(found))
    second, number, place = probe
    key = second << 64 | number << 40 | place
    inside = any(begin <= second < end for begin, end in whole)
    in_life = (second, number) in lives
    assert any(low <= key <= high for low, high in found) is (inside and not in_life)


def test_everything_is_one_gap_without_a_life() -> None:
    """From the first ObjectId to the last."""
    assert list(gaps([], [(0, 1 << 32)])) == [(0, (1 << 96) - 1)]
    assert merged([(5, 7), (1, 3), (3, 4), (6, 9)]) == [(1, 4), (5, 9)]


def test_hours_between_the_known_ones() -> None:
    """Joined to ranges, those that are wanted only; before the first and after the last nothing is missing."""
    known = {DAY, DAY + 3 * H, DAY + 4 * H, DAY + 6 * H}
    assert missing_hours(known, lambda _: True) == [(DAY + H, DAY + 3 * H), (DAY + 5 * H, DAY + 6 * H)]
    assert missing_hours(known, lambda hour: hour == DAY + 2 * H) == [(DAY + 2 * H, DAY + 3 * H)]
    assert missing_hours({DAY}, lambda _: True) == missing_hours((), lambda _: True) == []
    assert range_name(DAY + H, DAY + 3 * H) == "20250310/1 to 20250310/2 (2 hours)"
    assert range_name(DAY - H, DAY) == "20250309/23"


def test_a_scope_selects_hours_of_the_ledger_as_it_selects_files() -> None:
    """By day, hour, path and time; a path says nothing of an hour that has no file."""
    day, path = "/x/hourly/20250310", "/x/hourly/20250310/9"
    assert Scope().holds(DAY, path)
    assert Scope(words=("20250310/9",)).holds(DAY + 9 * H, path)
    assert not Scope(words=("20250310/8",)).holds(DAY + 9 * H, path)
    assert Scope(words=(f"{path}.gz",)).holds(DAY + 9 * H, path)
    assert Scope(words=(day,)).holds(DAY + 9 * H, path)
    assert not Scope(words=(day,)).holds_hour(DAY + 9 * H)
    assert not Scope(words=("20250310",), since=DAY + 10 * H).holds(DAY + 9 * H, path)
    assert list(Scope(words=(path,)).spans([DAY])) == [(DAY, DAY + H)]
    assert list(Scope(since=DAY).spans([])) == [(DAY, 1 << 32)]


def document(**fields: Any) -> bytes:
    return bson.encode({"_id": ObjectId(bytes(12)), **fields})


@pytest.mark.parametrize(
    ("ours", "stored", "shown"),
    [
        (Decimal128("0.1003"), Decimal128("0.1004"), ("0.1003", "0.1004")),
        (Decimal128("1.10"), Decimal128("1.1"), ("1.10", "1.1")),
        (1, Int64(1), ("int32 1", "int64 1")),
        ("1", 1, ('string "1"', "int32 1")),
        ("a\x1b[31m\u202e", None, ('string "a\\u001b[31m\\u202e"', "null")),
        ([{"a": Decimal128("1")}], [{"a": Decimal128("2")}], ('[{"a":"1"}]', '[{"a":"2"}]')),
        (True, False, ("true", "false")),
        (
            datetime(2025, 3, 10, tzinfo=UTC),
            datetime(2025, 3, 10, 0, 0, 0, 1000, tzinfo=UTC),
            ("2025-03-10T00:00:00.000Z", "2025-03-10T00:00:00.001Z"),
        ),
        (b"\0", b"\1", ("b'\\x00'", "b'\\x01'")),
    ],
)
def test_both_values_are_shown_on_one_line(ours: Any, stored: Any, shown: tuple[str, str]) -> None:
    """As they were written, with their types where they read alike, and nothing that a terminal obeys."""
    assert values_of("x", document(x=ours), document(y=1, x=stored)) == shown
    assert values_of("x", document(x=1), document(y=1)) == ("int32 1", "(no such field)")


@given(st.text(alphabet="ab", max_size=200), st.text(alphabet="ab", max_size=200))
def test_long_values_are_cut_around_their_difference(one: str, other: str) -> None:
    """Never longer than a line holds, and never cut to the same text."""
    first, second = shortened(one, other)
    assert max(len(first), len(second)) <= WIDTH
    assert (first == second) is (one == other)


def test_patience_is_not_wasted_where_nobody_writes() -> None:
    """One more look without a wait, for who ended between our look and the question; with a writer it waits."""

    async def looks(live: bool) -> list[bool]:
        patience = Patience(looks=3, pause=0.0)

        async def answer() -> bool:
            return live

        patience.only_while(answer)
        return [await patience.again() for _ in range(4)]

    assert asyncio.run(looks(live=False)) == [True, False, False, False]
    assert asyncio.run(looks(live=True)) == [True, True, True, False]


def test_a_narrow_terminal_leaves_out_what_others_say_as_well() -> None:
    """First lines, then entries: what is wrong is always there."""
    row = ("20250310/10.gz", "1,234,567", "1,234,567", "1,234,567", "0", "0", "0", "0", "not ingested")
    assert columns_that_fit([row], 120) == list(range(9))
    assert columns_that_fit([row], 90) == [0, 2, 3, 4, 5, 6, 7, 8]
    assert columns_that_fit([row], 80) == [0, 3, 4, 5, 6, 7, 8]
    assert columns_that_fit([row], 20) == [0, 3, 5, 6, 7, 8]


def report(*lives: LifeState, files: int = 1, named: bool = False, unexplained: int = 0) -> VerifyReport:
    result = VerifyReport(source="s", namespace="d.c", identity=Identity.POSITION, deep=True, named=named)
    result.files = [FileReport(path="/d/20250310/9", hour=DAY) for _ in range(files)]
    for state in lives:
        life = a_life()
        life.state = state
        result.lives.append(life)
    result.unexplained = Unexplained(documents=unexplained)
    return result


@pytest.mark.parametrize(
    ("reports", "proven", "words"),
    [
        ([report()], True, "extra 0: proven"),
        ([report(LifeState.AGREES)], True, "1 hour without a file: 1 agrees with the ledger: proven"),
        ([report(LifeState.UNJUDGED, LifeState.AGREES)], True, "1 agrees with the ledger, 1 cannot be judged: proven"),
        ([report(LifeState.DIFFERS)], False, "1 differs from it: NOT proven (1 hour without a file)"),
        ([report(unexplained=2)], False, "unexplained 2: NOT proven (unexplained documents)"),
        ([report(files=0)], False, "nothing was verified"),
        ([report(LifeState.AGREES, files=0)], False, "1 agrees with the ledger: nothing was verified"),
        (
            [report(LifeState.AGREES, files=0, named=True)],
            True,
            "agrees with the ledger, no file was there to prove it",
        ),
        ([report(LifeState.UNJUDGED, files=0, named=True)], False, "1 cannot be judged: nothing was verified"),
        ([report(), report(files=0)], True, "proven"),
        ([report(), report(LifeState.AGREES, files=0)], False, "NOT proven (a source without any file)"),
    ],
)
def test_the_last_line_and_the_exit_code_say_the_same(reports: list[VerifyReport], proven: bool, words: str) -> None:
    """What agrees with the ledger leaves the rest proven; nothing at all is never a proof."""
    assert all_proven(reports) is proven
    assert total_line(reports).endswith(words)
