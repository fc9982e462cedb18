"""The script that most people would write: json.loads line by line, insert_many of a thousand. Run as a module.

It has no position, no proof and no rejects; decimals stay strings, times too. Its clock begins when it is connected.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

from pymongo import MongoClient, WriteConcern

BATCH = 1_000


def main(file: str, uri: str, database: str, collection: str) -> None:
    with MongoClient[dict[str, Any]](uri) as client, Path(file).open(encoding="utf-8") as lines:
        concern = WriteConcern(w="majority", j=True)
        into = client[database].get_collection(collection, write_concern=concern)
        client.admin.command("ping")
        begun, used = time.perf_counter(), time.process_time()
        while batch := [json.loads(line) for line in islice(lines, BATCH)]:
            into.insert_many(batch, ordered=False)
        found = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - used}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
