"""Figures for people."""

import pytest

from tailrace.words import duration_words, size_words


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (9_803_897, "9.8 MB"),
        (99_960_000, "100 MB"),
        (6e9, "6.0 GB"),
        (5e15, "5000 TB"),
    ],
)
def test_size_words(size: float, words: str) -> None:
    """Three figures and the unit that fits; the largest unit takes what is left."""
    assert size_words(size) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "40 ms"), (8, "8 s"), (99, "99 s"), (120, "2 min"), (12_600, "3.5 h"), (172_800, "2 days")],
)
def test_duration_words(seconds: float, words: str) -> None:
    """The unit a person would choose."""
    assert duration_words(seconds) == words
