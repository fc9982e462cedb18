"""The specification of `SettledPrefix`, as laws over any interleaving of reading and settling.

The model is the obvious one: every span with a mark, settled or not, and a walk from the front.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.ingest.state.tracker import SettledPrefix

_LAWFUL = settings(deadline=None, max_examples=150)


@dataclass
class ModelSpan:
    start: int
    end: int
    settled: bool = False


class Model:
    """All spans ever added; O(n) in everything, obviously right."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.spans: list[ModelSpan] = []

    @property
    def read(self) -> int:
        return self.spans[-1].end if self.spans else self.start

    @property
    def unsettled(self) -> list[ModelSpan]:
        return [span for span in self.spans if not span.settled]

    @property
    def settled(self) -> int:
        return self.unsettled[0].start if self.unsettled else self.read


def check_laws(prefix: SettledPrefix, model: Model, before: int) -> None:
    assert prefix.settled >= before, "never moves back"
    assert all(span.start >= prefix.settled for span in model.unsettled), "never passes an unsettled span"
    assert prefix.settled == model.settled, "reaches as far as it may"
    assert prefix.read == model.read
    assert model.start <= prefix.settled <= prefix.read
    assert prefix.in_flight == len(model.unsettled)
    assert prefix.bytes_in_flight == sum(span.end - span.start for span in model.unsettled)


# A positive number reads a span of that many bytes; another one settles an unsettled span, chosen by it.
Steps = st.lists(st.one_of(st.integers(1, 70_000), st.integers(-20, 0)), max_size=80)


@_LAWFUL
@given(start=st.integers(0, 1 << 40), steps=Steps)
def test_the_settled_prefix_under_any_interleaving(start: int, steps: list[int]) -> None:
    """Never back, never past an unsettled span, as far as it may go, and equal to the end when all is settled."""
    prefix, model = SettledPrefix(start), Model(start)
    for step in steps:
        before = prefix.settled
        if step > 0:
            span = ModelSpan(model.read, model.read + step)
            model.spans.append(span)
            prefix.add(span.start, span.end)
        elif unsettled := model.unsettled:
            span = unsettled[step % len(unsettled)]
            span.settled = True
            assert prefix.settle(span.start, span.end) == model.settled
        check_laws(prefix, model, before)

    for span in reversed(model.unsettled):
        prefix.settle(span.start, span.end)
    assert prefix.settled == prefix.read == model.read, "equals the end when all is settled"
    assert (prefix.in_flight, prefix.bytes_in_flight) == (0, 0)


@_LAWFUL
@given(steps=Steps, wrong_start=st.integers(0, 300), wrong_end=st.integers(0, 300))
def test_a_refused_call_changes_nothing(steps: list[int], wrong_start: int, wrong_end: int) -> None:
    """Any add that is not the next bytes, any settle of a span not in flight: ValueError, and the laws still hold."""
    prefix, model = SettledPrefix(0), Model(0)
    for step in steps:
        if step > 0:
            span = ModelSpan(model.read, model.read + step % 8 + 1)  # short spans: wrong edges land on and in them
            model.spans.append(span)
            prefix.add(span.start, span.end)
        elif unsettled := model.unsettled:
            span = unsettled[step % len(unsettled)]
            span.settled = True
            prefix.settle(span.start, span.end)

    before = prefix.settled
    if wrong_start != model.read or wrong_end <= wrong_start:
        with pytest.raises(ValueError, match=r"gap|overlaps|empty"):
            prefix.add(wrong_start, wrong_end)
    if (wrong_start, wrong_end) not in {(span.start, span.end) for span in model.unsettled}:
        with pytest.raises(ValueError, match="not in flight"):
            prefix.settle(wrong_start, wrong_end)
    check_laws(prefix, model, before)
