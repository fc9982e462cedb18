"""When the event of a document was: for lag, never for identity or order."""

from __future__ import annotations

from datetime import UTC

from bson import decode
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError

_OPTIONS: CodecOptions[dict[str, object]] = CodecOptions(
    tz_aware=True, tzinfo=UTC, datetime_conversion=DatetimeConversion.DATETIME_MS
)


def event_seconds(document: bytes, field: str) -> float | None:
    """Epoch seconds of the date in `field`, to the millisecond; None where there is none. About 10 us."""
    try:
        value = decode(document, _OPTIONS).get(field)
    except BSONError:
        return None
    return int(value) / 1000 if isinstance(value, DatetimeMS) else None
