"""What a fuzz target is: bytes in, an exception when a promise does not hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
"""`<target>/<anything>`: inputs that were found once and mended, replayed by CI for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`check` takes any bytes at all and raises (mostly AssertionError) when a promise of the product is broken.

    `seeds`: inputs to mutate, synthetic. `scraps`: what mutations put in; splices of other seeds come on top.
    """

    name: str
    check: Callable[[bytes], None]
    seeds: Sequence[bytes]
    scraps: Sequence[bytes]

    @property
    def kept(self) -> list[Path]:
        """The files of the corpus of this target."""
        return sorted(path for path in (CORPUS / self.name).glob("*") if path.is_file())
