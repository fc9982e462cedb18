"""Ctrl-C ends a command with one sentence and exit 130, at every moment."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from tailrace.commands.common import interruptible
from tailrace.errors import Interrupted

_INTERRUPTED_WHILE_IMPORTING = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "tailrace.cli":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Finder())
sys.argv = ["tailrace", "verify"]
from tailrace.__main__ import main
main()
"""


async def swallowing(times: int) -> str:
    """Interrupts itself, then swallows as many cancellations, as the driver may (Python 3.11), and ends as if well."""
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(times):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue
    return "all is well"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("times", [1, 3])
def test_an_interruption_that_is_swallowed_is_no_result(times: int) -> None:
    """However often a cancellation is lost: interrupted, and never what the command would have said."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        interruptible(swallowing(times))
    assert signal.getsignal(signal.SIGINT) is before


def test_results_and_errors_pass() -> None:
    """Without an interruption nothing is different, also where the result is None."""

    async def fail() -> None:
        raise LookupError("as it was raised")

    assert interruptible(asyncio.sleep(0, "done")) == "done"
    assert interruptible(asyncio.sleep(0)) is None
    with pytest.raises(LookupError, match="as it was raised"):
        interruptible(fail())


def test_interrupted_before_the_command_begins() -> None:
    """While Python still imports: one sentence, exit 130, no traceback."""
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED_WHILE_IMPORTING], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "tailrace: interrupted\n")
