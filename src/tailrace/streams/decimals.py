"""Decimal texts as IEEE 754 decimal128, with exactly the digits written.

`Decimal128(text)` of the driver would round silently past 34 digits and accept `NaN`, `+1`, `1e5` and
full-width digits; here the form is checked and the 16 bytes are computed. Layout (BSON: decimal128 is the
BID encoding, little endian): bit 127 the sign, bits 113..126 exponent + 6176, bits 0..112 the digits as one integer.
"""

from __future__ import annotations

import re
from struct import Struct

FORM = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?")
"""A decimal text, matched whole. `[0-9]`, not `\\d`: other scripts have digits too."""

DIGIT_LIMIT = 34
"""Digits that decimal128 holds; counted as written, leading zeros included."""

_BIAS = 6176
_pack = Struct("<QQ").pack
_POSITIVE = tuple((_BIAS - scale) << 49 for scale in range(DIGIT_LIMIT))
_NEGATIVE = tuple(high | 1 << 63 for high in _POSITIVE)
_WORD = 19  # so many digits always fit the low 64 bits


def digits_of(text: str) -> int | None:
    """How many digits a decimal text has; None: it is none."""
    match = FORM.fullmatch(text)
    return len(match[1]) + len(match[2] or "") if match else None


def decimal128(text: str) -> bytes:
    """The 16 bytes of a decimal text. Raises ValueError for another form or over 34 digits.

    No regular expression: this runs four times a trade.
    """
    whole, point, fraction = text.partition(".")
    high = _POSITIVE
    if whole[:1] == "-":
        whole = whole[1:]
        high = _NEGATIVE
    digits = whole + fraction
    if not (digits.isdecimal() and digits.isascii() and whole and (fraction or not point)):
        raise ValueError("not a decimal")
    if len(digits) <= _WORD:
        return _pack(int(digits), high[len(fraction)])
    if len(digits) > DIGIT_LIMIT:
        raise ValueError("more digits than decimal128 holds")
    return (int(digits) | high[len(fraction)] << 64).to_bytes(16, "little")
