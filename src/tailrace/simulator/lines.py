"""A block -> lines, in one of the three framings, with bad entries and lines strewn in (domain: Framing).

Bare: one entry a line. By block: one line a block, empty ones too. Streaming: one line an entry (seen: 500 of 500),
all with their block's fields, microseconds apart; nothing for an empty block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log
from pathlib import Path
from random import Random
from typing import NamedTuple

from tailrace.model import Framing
from tailrace.simulator.chain import NS, Block, Chain, iso
from tailrace.simulator.entries import Entries, FillEntries, TradeEntries
from tailrace.simulator.faults import Fault, FaultBag
from tailrace.simulator.market import Market
from tailrace.simulator.plan import Plan


class Line(NamedTuple):
    """One line with its newline. `entries` counts bad ones; `bad`: (index in the line, fault) of each."""

    data: bytes
    entries: int
    bad: tuple[tuple[int, Fault], ...] = ()


@dataclass(frozen=True, slots=True)
class _Bad:
    text: str  # of the entry: damaged, or still whole when the line will be
    fault: Fault


class Framer:
    """Frames blocks. `bad` is the share of bad ones among all entries, in the long run."""

    def __init__(self, framing: Framing, bad: float, rng: Random) -> None:
        self._framing = framing
        self._rng = rng
        self._faults = FaultBag(rng)
        self._bad = bad
        self._good_left = self._gap()

    def frame(self, block: Block, entries: list[str], room: int | None = None) -> list[Line]:
        """Lines of a block, at most `room` entries in all, bad ones included."""
        items = self._strewn(entries)[:room]
        if self._framing is Framing.BARE:
            return [
                Line((item + "\n").encode(), 1)
                if isinstance(item, str)
                else self._bad_line(item, (item.text + "\n").encode())
                for item in items
            ]
        if self._framing is Framing.STREAMING:
            return self._streaming(block, items)
        return self._by_block(block, items)

    def _streaming(self, block: Block, items: list[str | _Bad]) -> list[Line]:
        spacing = min(11_000, 40_000_000 // max(1, len(items)))
        lines = []
        for index, item in enumerate(items):
            local_ns = block.local_ns + index * spacing
            if isinstance(item, str):
                lines.append(Line(_wrapped(block, local_ns, [item]), 1))
            else:
                lines.append(self._bad_line(item, _wrapped(block, local_ns, [item.text])))
        return lines

    def _by_block(self, block: Block, items: list[str | _Bad]) -> list[Line]:
        """The block's line, then the lines that are bad as a whole (they are not the block's)."""
        events: list[str] = []
        bad: list[tuple[int, Fault]] = []
        whole: list[Line] = []
        for item in items:
            if isinstance(item, str):
                events.append(item)
            elif item.fault.line is None:
                bad.append((len(events), item.fault))
                events.append(item.text)
            else:
                whole.append(self._bad_line(item, _wrapped(block, block.local_ns, [item.text])))
        return [Line(_wrapped(block, block.local_ns, events), len(events), tuple(bad)), *whole]

    def _bad_line(self, item: _Bad, data: bytes) -> Line:
        if item.fault.line is not None:
            data = item.fault.line(self._rng, data.removesuffix(b"\n")) + b"\n"
        return Line(data, 1, ((0, item.fault),))

    def _strewn(self, entries: list[str]) -> list[str | _Bad]:
        """The entries with bad ones in between; as they are in nearly every block."""
        if self._good_left >= len(entries):
            self._good_left -= len(entries)
            return list(entries)
        items: list[str | _Bad] = []
        for entry in entries:
            while self._good_left == 0:
                fault = self._faults.draw()
                items.append(_Bad(fault.entry(self._rng, entry) if fault.entry else entry, fault))
                self._good_left = self._gap()
            items.append(entry)
            self._good_left -= 1
        return items

    def _gap(self) -> int:
        """Good entries before the next bad one: geometric."""
        if self._bad == 0:
            return 1 << 62
        return int(log(1 - self._rng.random()) / log(1 - self._bad))


def framed(plan: Plan) -> Iterator[tuple[Block, list[Line]]]:
    """All blocks of a plan with their lines, up to its limits. Pure: only `seed` and the plan decide."""
    # One generator each, so that the market is the same in every framing and with every share of bad lines.
    market = Market(_rng(plan, "market"), plan.start)
    chain = Chain(plan, _rng(plan, "chain"), market)
    render: Entries = (FillEntries if plan.stream == "node_fills" else TradeEntries)(
        _rng(plan, "entries"), market.users
    )
    framer = Framer(plan.framing, plan.bad, _rng(plan, "faults"))
    limit = plan.clock_limit
    end_ns = None if limit is None else plan.start * NS + int(limit * NS)
    room = plan.entries
    for block in chain.blocks():
        if (end_ns is not None and block.local_ns >= end_ns) or room == 0:
            return
        lines = framer.frame(block, render.render(block), room)
        if room is not None:
            room -= sum(line.entries for line in lines)
        yield block, lines


def trade_lines(
    seed: int, count: int, *, framing: Framing = Framing.BARE, bad: float = 0.0, rate: float = 2_800.0
) -> Iterator[bytes]:
    """Lines of node_trades, newline included, with exactly `count` entries (bad ones included)."""
    return _lines(Plan(root=Path(), entries=count, framing=framing, bad=bad, rate=rate, seed=seed))


def fill_lines(
    seed: int, count: int, *, framing: Framing = Framing.BARE, bad: float = 0.0, rate: float = 2_800.0
) -> Iterator[bytes]:
    """Lines of node_fills, newline included, with exactly `count` entries (bad ones included)."""
    return _lines(Plan(root=Path(), stream="node_fills", entries=count, framing=framing, bad=bad, rate=rate, seed=seed))


def _lines(plan: Plan) -> Iterator[bytes]:
    for _, lines in framed(plan):
        for line in lines:
            yield line.data


def _wrapped(block: Block, local_ns: int, events: list[str]) -> bytes:
    """A line around events, newline included."""
    text = (
        f'{{"local_time":"{iso(local_ns)}","block_time":"{iso(block.time_ns)}","block_number":{block.number},'
        f'"events":[{",".join(events)}]}}\n'
    )
    return text.encode()


def _rng(plan: Plan, part: str) -> Random:
    return Random(f"{plan.seed} {part}")
