"""`tailrace` below whose files a disk hangs, as a dead network mount does: `python hanging.py FOLDER ARGUMENTS`.

Each look at a path in FOLDER is said on standard error, and does not return. That it hangs in the kernel, and nothing
can end it there, is not to be had in a test.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

LOOKS = ("lstat", "stat", "scandir", "listdir", "statvfs", "access", "open", "mkdir")


def hangs_below(folder: str, look: Callable[..., Any]) -> Callable[..., Any]:
    def looked(path: Any = ".", *more: Any, **options: Any) -> Any:
        name = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if name == folder or name.startswith(folder + "/"):
            print(f"{look.__name__} {name} hangs", file=sys.stderr, flush=True)
            time.sleep(3600)
        return look(path, *more, **options)

    return looked


if __name__ == "__main__":
    for name in LOOKS:
        setattr(os, name, hangs_below(sys.argv[1], getattr(os, name)))
    from tailrace.cli import main

    sys.argv[1:2] = []
    main()
