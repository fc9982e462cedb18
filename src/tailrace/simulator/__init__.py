"""A node's files without a node: real-shaped trades and fills, written the way a node writes them.

    plan.py      what to write: stream, framing, rate, clock, limits; checked once
    market.py    who trades what with whom: a seeded market -> trades of a block
    chain.py     the simulated clock: blocks, their times and how much happens in each
    entries.py   a trade -> its JSON, as node_trades or node_fills
    faults.py    lines and entries that must be rejected, each for exactly one reason
    lines.py     a block -> lines, in one of the three framings, with bad ones in between
    manifest.py  what was written, counted here and never by what reads it
    output.py    an hour file's buffer: lines -> writes that tear them
    node.py      lines -> hour files, by the simulated clock

What is written is a function of the plan: the same plan gives the same bytes, in the same files, torn at the same
places. Only `Node.run` looks at a clock (the monotonic one), to write no faster than the rate.
"""

from tailrace.simulator.lines import fill_lines, trade_lines
from tailrace.simulator.manifest import BadLine, FileRecord, Manifest
from tailrace.simulator.node import Live, Node
from tailrace.simulator.output import Step
from tailrace.simulator.plan import FAMILIES, Plan

__all__ = [
    "FAMILIES",
    "BadLine",
    "FileRecord",
    "Live",
    "Manifest",
    "Node",
    "Plan",
    "Step",
    "fill_lines",
    "trade_lines",
]
