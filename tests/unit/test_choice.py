"""Which life a file is: decided by its bytes."""

from dataclasses import replace

from tailrace import identity
from tailrace.ingest.lives.choice import Known, NextLife, choose_life, merge
from tailrace.model import Life, Offset, Totals

HEAD = b'{"coin":"BTC"}'


def life(number: int = 0, head: bytes = HEAD, salt: int = 0) -> Life:
    print_ = identity.fingerprint(source="a", family="node_trades", life=number, salt=salt, head=head)
    return Life(
        source="a",
        family="node_trades",
        path="/r/20250310/9",
        hour=1741597200,
        number=number,
        salt=salt,
        fingerprint=print_,
        start=Offset(0),
    )


def known(number: int = 0, *, offset: int = 100, guard: bytes = b"g", head: bytes = HEAD, salt: int = 0) -> Known:
    return Known(life=life(number, head, salt), offset=Offset(offset), guard=guard, counts=Totals())


def choose(entries: list[Known], matching: bool) -> Known | NextLife:
    return choose_life(entries, source="a", family="node_trades", head=HEAD, matches=lambda _o, _g: matching)


def test_an_unknown_head_is_the_first_life() -> None:
    """A file whose head no life of this hour has begins life 0 and replaces nothing."""
    assert choose([known(head=b"another")], True) == NextLife(0, None)


def test_the_same_bytes_go_on_with_the_same_life() -> None:
    """Equal head and equal bytes before the offset: the same life, also one with a salt."""
    entry = known(salt=3)
    assert choose([entry], True) is entry


def test_other_bytes_under_an_equal_head_are_the_next_life() -> None:
    """An equal head with other bytes before the offset was rewritten: the next number, naming what it replaced."""
    entry = known(4)
    assert choose([entry], False) == NextLife(5, entry)


def test_the_latest_of_several_lives_counts() -> None:
    """Of lives with an equal head only the one with the greatest number can still be in the file."""
    entries = [known(0), known(2), known(1)]
    assert choose(entries, True) is entries[1]
    asked: list[int] = []

    def matches(offset: int, guard: bytes) -> bool:
        asked.append(offset)
        return True

    choose_life([known(0, offset=5), known(1, offset=7)], source="a", family="node_trades", head=HEAD, matches=matches)
    assert asked == [7]


def test_merge_forgets_what_the_ledger_does_not_know_and_takes_the_greater_offset() -> None:
    """The ledger says which lives exist and where they start; the local state may only be further on."""
    ledger = [known(0, offset=50), known(1, offset=80)]
    ledger[0] = replace(ledger[0], life=replace(ledger[0].life, start=Offset(10)))
    local = [known(0, offset=70), known(1, offset=60), known(2, offset=99)]
    merged = {entry.life.number: entry for entry in merge(local, ledger)}
    assert sorted(merged) == [0, 1]
    assert (merged[0].offset, merged[0].life.start) == (70, 10)
    assert merged[1].offset == 80


def test_merge_never_trusts_an_equal_prefix_with_another_fingerprint() -> None:
    """24 bits collide: a local row under the same prefix but of another life is not that life's offset."""
    ledger = known(0, offset=5)
    impostor = replace(
        ledger, offset=Offset(500), life=replace(ledger.life, fingerprint=ledger.life.fingerprint[:3] + b"x" * 29)
    )
    assert merge([impostor], [ledger]) == [ledger]


def test_merge_keeps_the_local_guard_where_both_stand_at_one_offset() -> None:
    """A life that never had progress recorded has no guard in the ledger: with the local one a rewrite is noticed."""
    local, ledger = known(offset=50, guard=b"local"), known(offset=50, guard=b"")
    assert merge([local], [ledger]) == [local]
