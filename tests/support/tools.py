"""Programs that tests need beside Python: Debian packages that `.ci/run` installs."""

from __future__ import annotations

import os
import shutil

import pytest


def program(*names: str, package: str) -> str:
    """The path of the first of `names` that is installed. Skips the test where none is, except in CI: there it fails,
    for a test that is never run holds nothing."""
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return path
    sentence = f"{names[0]} is not installed (Debian package {package})"
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)
