"""One JSON object of another process, read leniently: what is absent, or not of its type, is unknown.

An older or a newer instance lacks fields or has more; another program says anything. So nothing here raises, text comes
out without what a terminal would obey, and a number is finite and can be shown.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from tailrace.errors import one_line
from tailrace.words import duration_words, size_words

UNKNOWN = "-"

_LARGEST = 10**21  # beyond any counter of ours (2**64), below what turns a column into a page
_LONGEST = 2000  # characters of one text
_LAST_MOMENT = 253_402_300_799  # 9999-12-31, in seconds


def number(value: object) -> float | None:
    """An int stays one. None for what is no number, is not finite, or is absurd."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if abs(value) < _LARGEST and (isinstance(value, int) or math.isfinite(value)) else None


def in_ascii(content: object) -> object:
    """The same with escapes in place of what a terminal without UTF-8 cannot show."""
    if isinstance(content, str):
        return content.encode("ascii", "backslashreplace").decode()
    if isinstance(content, dict):
        return {in_ascii(key): in_ascii(value) for key, value in content.items()}
    return [in_ascii(value) for value in content] if isinstance(content, list) else content


class Fields:
    """Of anything that is no object: empty."""

    __slots__ = ("_content",)

    def __init__(self, content: object) -> None:
        self._content: dict[str, object] = content if isinstance(content, dict) else {}

    def __bool__(self) -> bool:
        return bool(self._content)

    def number(self, name: str) -> float | None:
        return number(self._content.get(name))

    def amount(self, name: str) -> float:
        """0 when it is unknown: for sums and comparisons, never to be shown."""
        return self.number(name) or 0

    def flag(self, name: str) -> bool | None:
        value = self._content.get(name)
        return value if isinstance(value, bool) else None

    def text(self, name: str) -> str:
        """Printable, on one line; empty when it is unknown."""
        return _printable(self._content.get(name))

    def texts(self, name: str) -> list[str]:
        return [text for text in map(_printable, self._list(name)) if text]

    def numbers(self, name: str) -> list[float | None]:
        return [number(value) for value in self._list(name)]

    def at(self, name: str) -> Fields:
        return Fields(self._content.get(name))

    def all(self, name: str) -> list[Fields]:
        return [Fields(value) for value in self._list(name)]

    def counts(self, name: str) -> dict[str, float]:
        """The members of the object of that name that are numbers above 0, the largest first."""
        inner = self._content.get(name)
        found = {_printable(key): number(value) for key, value in inner.items()} if isinstance(inner, dict) else {}
        above = {key: value for key, value in found.items() if value is not None and value > 0}
        return dict(sorted(above.items(), key=lambda item: -item[1]))

    def _list(self, name: str) -> list[object]:
        value = self._content.get(name)
        return value if isinstance(value, list) else []


def _printable(value: object) -> str:
    return one_line(value[:_LONGEST]) if isinstance(value, str) else ""


# -- as words, UNKNOWN for None --------------------------------------------------------------------------------------


def count_words(value: float | None) -> str:
    return UNKNOWN if value is None else f"{round(value):,}"


def number_of(value: float | None, one: str, many: str = "") -> str:
    """`1 hour`, `2 hours`, `- hours`."""
    return f"{count_words(value)} {one if value == 1 else many or f'{one}s'}"


def bytes_words(value: float | None) -> str:
    return UNKNOWN if value is None else size_words(value)


def seconds_words(value: float | None) -> str:
    return UNKNOWN if value is None else duration_words(max(0.0, value))


def milliseconds_words(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.1f} ms" if value < 100 else f"{value:,.0f} ms"


def moment_of(value: float | None) -> datetime | None:
    """Of epoch seconds; None for what no calendar has."""
    return datetime.fromtimestamp(value, UTC) if value is not None and 0 <= value <= _LAST_MOMENT else None


def moment_words(value: float | None) -> str:
    moment = moment_of(value)
    return UNKNOWN if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def hour_words(value: float | None) -> str:
    """`20250310/9`, as the node names its files."""
    moment = moment_of(value)
    return UNKNOWN if moment is None else f"{moment:%Y%m%d}/{moment.hour}"


def breakdown(counts: dict[str, float]) -> str:
    """` (2 json, 1 utf8)`, or nothing."""
    return f" ({', '.join(f'{count_words(count)} {name}' for name, count in counts.items())})" if counts else ""
