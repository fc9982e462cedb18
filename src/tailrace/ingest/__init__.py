"""From hourly files to MongoDB.

    files/    1  a tree -> what appeared, and chunks of whole lines       discovery, watch, tailer, reading
    lives/    2  which life a file is; which file is read next            choice, entrance, roster, follower
    codec/    3  chunk -> documents and rejects; pure                     codec, document, faults
    mongo/    4  documents and rejects -> Outcome; the ledger             writer, settling, proof, rejects, ledger
    state/    5  settled spans -> the offset it is safe to resume at      tracker, checkpoints

    books.py     what is written down of lives, in the ledger and in the local state
    workers.py   how much is in flight          stats.py   what was done, in plain counters
    feeder.py    the loop: choose a file, read a span, put it in flight, settle it
    rests.py     what `--once` does about bytes after the last newline
    pipeline.py  wires 1 to 5 for one source    instance.py  wires sources, state directory and server
    starting.py  the tree is found and listed   measuring.py where a source stands: lag, live, balance
    wiring.py    what the settings of a source say to each of these

The numbered stages never import one another; they exchange the values of `tailrace.model`.
"""
