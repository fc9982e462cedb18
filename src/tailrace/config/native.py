"""Whether the native codec can be had here: the setting `codec` depends on it, and `ingest.codec.native` uses it.

It is a distribution of its own, `tailrace-native` (the folder `native/`), and may be missing or of another version.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

INTERFACE = 3
"""What tailrace and the crate say to each other; `tailrace_native.INTERFACE` must be the same."""


class NotAvailable(Exception):
    """The native codec cannot be used. Its text says why, and is part of a sentence."""


@cache
def native_module() -> Any:
    """The module of the crate, of our interface. Raises NotAvailable; whatever is wrong with it ends there."""
    try:
        module = importlib.import_module("tailrace_native")
    except ModuleNotFoundError as error:
        if error.name == "tailrace_native":
            raise NotAvailable("tailrace-native is not installed") from None
        raise NotAvailable(f"tailrace-native cannot be loaded ({error})") from None
    except Exception as error:  # noqa: BLE001  a library of another machine, a broken file: the Python codec is there
        raise NotAvailable(f"tailrace-native cannot be loaded ({error})") from None
    found = getattr(module, "INTERFACE", None)
    if found != INTERFACE:
        raise NotAvailable(f"the installed tailrace-native is of another version (interface {found}, not {INTERFACE})")
    return module


def why_no_native_codec() -> str | None:
    """Why not, as part of a sentence; None when it is there."""
    try:
        native_module()
    except NotAvailable as error:
        return str(error)
    return None
