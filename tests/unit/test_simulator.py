"""The simulator: what it writes has the shape and the odd statistics of the real stream, and is accounted for."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tailrace.errors import RuntimeFailure, UsageError
from tailrace.model import Framing, Reason
from tailrace.simulator import Manifest, Node, Plan, Step, fill_lines, trade_lines
from tailrace.simulator.entries import decimal
from tailrace.simulator.faults import FAULTS
from tailrace.simulator.plan import parse_start

SAMPLES = Path(__file__).parents[3] / "shared" / "data"
SAMPLE = 50_000
ZERO_HASH = "0x" + "0" * 64
SYSTEM_USER = "0x" + "f" * 40

TRADE_FIELDS = ["coin", "side", "time", "px", "sz", "hash", "trade_dir_override", "side_info"]
SIDE_FIELDS = ["user", "start_pos", "oid", "twap_id", "cloid"]
FILL_REQUIRED = {
    "coin", "px", "sz", "side", "time", "startPosition", "dir", "closedPnl", "hash", "oid", "crossed", "fee", "tid",
    "feeToken",
}  # fmt: skip
FILL_OPTIONAL = {"cloid", "twapId", "builder", "builderFee", "deployerFee", "liquidation"}

DECIMAL = re.compile(r"-?[0-9]+\.[0-9]+", re.ASCII)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}", re.ASCII)
HASH = re.compile(r"0x[0-9a-f]{64}", re.ASCII)
USER = re.compile(r"0x[0-9a-f]{40}", re.ASCII)
CLOID = re.compile(r"0x[0-9a-f]{32}", re.ASCII)

Json = dict[str, Any]


@cache
def trades() -> list[Json]:
    return [json.loads(line) for line in trade_lines(7, SAMPLE)]


@cache
def trade_blocks() -> list[Json]:
    return [json.loads(line) for line in trade_lines(7, SAMPLE, framing=Framing.BY_BLOCK)]


@cache
def fill_blocks() -> list[Json]:
    return [json.loads(line) for line in fill_lines(7, SAMPLE, framing=Framing.BY_BLOCK)]


@cache
def fills() -> list[tuple[str, Json]]:
    return [(user, fill) for block in fill_blocks() for user, fill in block["events"]]


def plan(root: Path, **changes: Any) -> Plan:
    """Thin and fast: hours of the node's clock in a few thousand entries."""
    return replace(Plan(root=root, rate=2_800, speed=14_000, hours=5, seed=3), **changes)


def written(node: Node) -> tuple[list[Step], dict[Path, bytes]]:
    """All steps of a node and the files they make, without a clock or a disk."""
    steps = list(node.steps())
    files: dict[Path, list[bytes]] = {}
    for step in steps:
        files.setdefault(step.path, []).append(step.data)
    return steps, {path: b"".join(parts) for path, parts in files.items()}


@cache
def a_minute() -> tuple[list[Step], Manifest]:
    """A minute at the target rate with few bad lines, as in the demo."""
    node = Node(Plan(root=Path("nowhere"), rate=2_800, duration=60, bad=0.00005))
    return [replace(step, data=b"") for step in node.steps()], node.manifest()


def nanoseconds(text: str) -> int:
    seconds, _, fraction = text.partition(".")
    return int(datetime.fromisoformat(seconds).replace(tzinfo=UTC).timestamp()) * 10**9 + int(fraction)


def share(count: int, of: int = SAMPLE) -> float:
    return count / of


# Shape: every line is what domain and the real files say.


def test_a_trade_has_the_fields_of_a_real_one_in_their_order() -> None:
    """node_trades: fields, their order and their form, in every one of the sample."""
    noted = 0
    for trade in trades():
        names = list(trade)
        noted += names != TRADE_FIELDS
        assert names in (TRADE_FIELDS, [*TRADE_FIELDS, "note"])
        assert trade["side"] in ("A", "B")
        assert TIME.fullmatch(trade["time"])
        assert DECIMAL.fullmatch(trade["px"])
        assert DECIMAL.fullmatch(trade["sz"])
        assert float(trade["px"]) > 0
        assert float(trade["sz"]) > 0
        assert HASH.fullmatch(trade["hash"])
        buyer, seller = trade["side_info"]
        for side in (buyer, seller):
            assert list(side) == SIDE_FIELDS
            assert USER.fullmatch(side["user"])
            assert DECIMAL.fullmatch(side["start_pos"])
            assert 7e10 < side["oid"] < 5.7e11
            assert side["twap_id"] is None or isinstance(side["twap_id"], int)
            assert side["cloid"] is None or CLOID.fullmatch(side["cloid"])
        assert buyer["user"] != seller["user"]
    assert 0 < share(noted) < 0.002


def test_a_fill_has_the_fields_of_a_real_one() -> None:
    """node_fills: required fields always, optional ones sometimes, decimals as strings, time in milliseconds."""
    seen: Counter[str] = Counter()
    for user, fill in fills():
        assert USER.fullmatch(user)
        assert FILL_REQUIRED <= set(fill) <= FILL_REQUIRED | FILL_OPTIONAL | {"note"}
        seen.update(list(fill))
        assert isinstance(fill["time"], int)
        assert 1.7e12 < fill["time"] < 1.8e12
        assert isinstance(fill["crossed"], bool)
        for name in ("px", "sz", "startPosition", "closedPnl", "fee", "builderFee", "deployerFee"):
            assert DECIMAL.fullmatch(fill.get(name, "0.0")), (name, fill)
        if "liquidation" in fill:
            assert list(fill["liquidation"]) == ["liquidatedUser", "markPx", "method"]
    for name in FILL_OPTIONAL:
        assert 0 < seen[name] < SAMPLE, name
    assert 0 < seen["note"] < SAMPLE * 0.002


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real samples are not here")
def test_fields_are_in_the_order_of_the_real_samples() -> None:
    """Real trades and fills, with no optional field that ours lack, have their fields in the order of ours."""
    real = [json.loads(line) for line in (SAMPLES / "node_trades.jsonl").read_text().splitlines()]
    assert {tuple(trade) for trade in real} <= {tuple(trade) for trade in trades()}
    blocks = [json.loads(line) for line in (SAMPLES / "node_fills_by_block.jsonl").read_text().splitlines()]
    orders = {tuple(fill) for block in blocks for _, fill in block["events"]}
    assert orders
    assert orders <= {tuple(fill) for _, fill in fills()}
    assert {tuple(block) for block in blocks} == {tuple(block) for block in fill_blocks()}


def test_a_trade_line_is_as_long_as_a_real_one() -> None:
    """457 to 541 bytes (domain: Volume), but for the few with an object or an unknown field in them."""
    sizes = sorted(len(line) - 1 for line in trade_lines(7, SAMPLE))
    assert sizes[0] >= 440
    assert sizes[SAMPLE * 99 // 100] <= 545
    assert 470 <= sum(sizes) / SAMPLE <= 510


# Statistics: what is odd about the real stream, each present and none absurd.


def test_sweeps_share_hash_and_aggressor() -> None:
    """Trades of one non-zero hash are one sweep: one coin, time, side and aggressor, different resting orders."""
    sweeps: dict[str, list[Json]] = {}
    for trade in trades():
        if trade["hash"] != ZERO_HASH:
            sweeps.setdefault(trade["hash"], []).append(trade)
    longer = [sweep for sweep in sweeps.values() if len(sweep) > 1]
    assert 0.1 < len(longer) / len(sweeps) < 0.6
    assert max(len(sweep) for sweep in longer) >= 20
    for sweep in longer:
        taker = 0 if sweep[0]["side"] == "B" else 1
        assert len({(t["coin"], t["time"], t["side"], t["side_info"][taker]["oid"]) for t in sweep}) == 1
        assert len({t["side_info"][1 - taker]["oid"] for t in sweep}) == len(sweep)


def test_positions_move_with_trades() -> None:
    """A user's next start_pos in a perpetual is the last one plus what was bought, minus what was sold."""
    positions: dict[tuple[str, str], float] = {}
    moved = 0
    for trade in trades():
        if trade["coin"] != "BTC":
            continue
        for side, sign in zip(trade["side_info"], (1, -1), strict=True):
            key = (trade["coin"], side["user"])
            start = float(side["start_pos"])
            moved += key in positions
            assert start == pytest.approx(positions.get(key, start), abs=1e-6)
            positions[key] = start + sign * float(trade["sz"])
    assert moved > 1_000


def test_zero_hashes_are_twaps() -> None:
    """The zero hash comes with a twap_id and only there; a TWAP is in many trades; only takers have one."""
    twaps: Counter[int] = Counter()
    for trade in trades():
        ids = [side["twap_id"] for side in trade["side_info"] if side["twap_id"] is not None]
        assert (trade["hash"] == ZERO_HASH) == (len(ids) == 1)
        twaps.update(ids)
    assert 0.01 < share(sum(twaps.values())) < 0.1
    assert twaps.most_common(1)[0][1] > 20


def test_hashes_hold_the_block_number() -> None:
    """Bytes 11-14 of a hash are the number of its block; blocks count up by one."""
    blocks = trade_blocks()
    assert [b["block_number"] - a["block_number"] for a, b in pairwise(blocks)] == [1] * (len(blocks) - 1)
    hashes = [(b["block_number"], t["hash"]) for b in blocks for t in b["events"] if t["hash"] != ZERO_HASH]
    assert len(hashes) > SAMPLE * 0.9
    assert all(int(digest[2:][22:30], 16) == number for number, digest in hashes)


def test_overrides_and_the_system_user() -> None:
    """All forms of trade_dir_override, the object too, are there but rare; so is the system user."""
    seen = Counter("object" if isinstance(t["trade_dir_override"], dict) else t["trade_dir_override"] for t in trades())
    assert set(seen) == {"Na", "LiquidatedMarket", "NetChildVaultPositions", "object"}
    assert share(seen["Na"]) > 0.85
    assert seen["object"] > 5
    assert seen["NetChildVaultPositions"] > 5
    system = sum(SYSTEM_USER in (side["user"] for side in t["side_info"]) for t in trades())
    assert 0 < share(system) < 0.02


def test_coins_of_all_forms() -> None:
    """Perpetuals, thousands, spot by number and by name, other venues, outcomes; liquid ones most."""
    seen = Counter(trade["coin"] for trade in trades())
    assert {"BTC", "kPEPE", "@107", "PURR/USDC", "xyz:TSLA", "#1890"} <= set(seen)
    assert seen.most_common(1)[0][0] in ("BTC", "ETH", "SOL", "HYPE", "kPEPE", "XRP")
    assert 0.1 < share(seen.most_common(1)[0][1]) < 0.5


def test_numbers_have_noise_signs_and_tiny_values() -> None:
    """start_pos carries float noise (spot) and signs (perpetuals); prices down to 1e-5 have no exponent."""
    starts = [side["start_pos"] for trade in trades() for side in trade["side_info"]]
    noisy = sum(len(text.replace(".", "").lstrip("-0")) >= 16 for text in starts)
    assert 0.002 < noisy / len(starts) < 0.2
    assert 0.2 < sum(text.startswith("-") for text in starts) / len(starts) < 0.6
    assert any(float(trade["px"]) < 1e-4 for trade in trades())
    assert any(float(trade["px"]) > 50_000 for trade in trades())
    assert any(0 < abs(float(text)) < 1e-3 for text in starts)


def test_decimal_never_has_an_exponent() -> None:
    """The texts are plain decimals with a point, also where Python writes an exponent or the digits run out."""
    assert [decimal(value) for value in (15, 0.0000145105, 1e-17, 1107212.2156400001, -2.5e-7)] == [
        "15.0", "0.0000145105", "0.0", "1107212.2156400001", "-0.00000025",
    ]  # fmt: skip


def test_cloids_are_there_or_null() -> None:
    """Both are common, and many fill only the lower half of the 16 bytes."""
    cloids = [side["cloid"] for trade in trades() for side in trade["side_info"]]
    given = [cloid for cloid in cloids if cloid is not None]
    assert 0.3 < len(given) / len(cloids) < 0.7
    assert 0.05 < sum(cloid.startswith("0x" + "0" * 16) for cloid in given) / len(given) < 0.5


def test_orders_rest_over_several_trades() -> None:
    """A resting order is filled in parts: its oid comes again, with the same user and cloid."""
    orders: dict[int, set[tuple[str, str | None]]] = {}
    times: dict[int, set[str]] = {}
    for trade in trades():
        for side in trade["side_info"]:
            orders.setdefault(side["oid"], set()).add((side["user"], side["cloid"]))
            times.setdefault(side["oid"], set()).add(trade["time"])
    assert all(len(faces) == 1 for faces in orders.values())
    assert sum(len(at) > 1 for at in times.values()) > 1_000


@pytest.mark.parametrize("rate", [100.0, 2_800.0, 20_000.0])
def test_trade_keys_are_unique(rate: float) -> None:
    """(time, coin, buyer oid, seller oid) identifies a trade, at any density."""
    keys = set()
    for line in trade_lines(11, SAMPLE, rate=rate):
        trade = json.loads(line)
        buyer, seller = trade["side_info"]
        keys.add((trade["time"], trade["coin"], buyer["oid"], seller["oid"]))
    assert len(keys) == SAMPLE


def test_fill_keys_are_unique_and_fills_come_in_pairs() -> None:
    """A trade is two fills with one tid, sides B and A, one of them crossed; dust is one oid for hundreds."""
    keys = {(f["time"], f["coin"], f["tid"], user, f["oid"], f["side"]) for user, f in fills()}
    assert len(keys) == SAMPLE
    pairs: dict[int, list[Json]] = {}
    dust: dict[int, set[str]] = {}
    for user, fill in fills():
        if fill["tid"] == 0:
            assert fill["dir"] == "Spot Dust Conversion"
            dust.setdefault(fill["oid"], set()).add(user)
        else:
            pairs.setdefault(fill["tid"], []).append(fill)
    assert dust
    assert all(100 <= len(users) <= 300 for users in dust.values())
    for both in list(pairs.values())[:-1]:  # the count may end between the two of the last
        assert [fill["side"] for fill in both] == ["B", "A"]
        assert sorted(fill["crossed"] for fill in both) == [False, True]
        assert len({(f["coin"], f["px"], f["sz"], f["time"], f["hash"]) for f in both}) == 1


def test_fees_can_be_negative_and_directions_follow_positions() -> None:
    """Rebates are negative fees; perpetuals open and close, spot is bought and sold, liquidations say so."""
    fees = [float(fill["fee"]) for _, fill in fills()]
    assert 0.05 < share(sum(fee < 0 for fee in fees)) < 0.6
    directions = {fill["dir"] for _, fill in fills()}
    assert {"Open Long", "Close Long", "Open Short", "Close Short", "Long > Short", "Buy", "Sell"} <= directions
    assert any(direction.startswith("Liquidated") for direction in directions)
    assert {fill["feeToken"] for _, fill in fills()} > {"USDC", "HYPE"}


def test_blocks_come_about_every_80_ms_with_a_heavy_tail() -> None:
    """66 to 100 ms apart, some empty, one with over 1,000 events; local time is later and never goes back."""
    blocks = trade_blocks()
    times = [nanoseconds(block["block_time"]) for block in blocks]
    local = [nanoseconds(block["local_time"]) for block in blocks]
    assert all(66e6 <= b - a <= 100e6 for a, b in pairwise(times))
    assert all(b > a for a, b in pairwise(local))
    assert all(0.1e9 < late - at < 0.6e9 for at, late in zip(times, local, strict=True))
    sizes = [len(block["events"]) for block in blocks]
    assert 0.05 < sizes.count(0) / len(sizes) < 0.4
    assert max(sizes) > 1_000
    # At the real market's thickness too, where the mean is three or four.
    thin = [len(json.loads(line)["events"]) for line in trade_lines(7, SAMPLE, framing=Framing.BY_BLOCK, rate=40)]
    assert sum(size <= 10 for size in thin) / len(thin) > 0.8
    assert max(thin) > 1_000


def test_the_rate_is_held_in_the_long_run() -> None:
    """A minute at 2,800 a second is 168,000 entries, within two per cent, storms and all."""
    steps, manifest = a_minute()
    assert abs(manifest.entries / 168_000 - 1) < 0.02
    half = sum(step.entries for step in steps if step.at < 30)
    assert abs(half / 84_000 - 1) < 0.05


def test_unknown_fields_hold_multi_byte_text() -> None:
    """Now and then a field nobody announced, in characters of several bytes."""
    notes = [line for line in trade_lines(7, SAMPLE) if b'"note"' in line]
    assert 0 < share(len(notes)) < 0.002
    assert any(not line.isascii() for line in notes)


# Framings.


def test_all_framings_hold_the_same_entries() -> None:
    """By block and streaming wrap the entries of bare; streaming has one a line and no empty block."""
    bare = trades()[:5_000]
    by_block = [entry for block in trade_blocks() for entry in block["events"]][:5_000]
    streaming = [json.loads(line) for line in trade_lines(7, 5_000, framing=Framing.STREAMING)]
    assert all(len(line["events"]) == 1 for line in streaming)
    assert bare == by_block == [line["events"][0] for line in streaming]
    first = [line["local_time"] for line in streaming if line["block_number"] == streaming[0]["block_number"]]
    assert len(first) > 1
    assert first == sorted(set(first))


# Determinism.


@pytest.mark.parametrize("stream", ["node_trades", "node_fills"])
@pytest.mark.parametrize("framing", list(Framing))
def test_the_same_plan_writes_the_same_bytes_at_the_same_places(stream: str, framing: Framing) -> None:
    """Equal plans give equal writes, torn ones too; another seed gives others."""
    the_plan = plan(Path("nowhere"), stream=stream, framing=framing, bad=0.001)
    first, second = Node(the_plan), Node(the_plan)
    assert list(first.steps()) == list(second.steps())
    assert first.manifest() == second.manifest()
    assert first.manifest().entries > 1_000
    assert written(Node(replace(the_plan, seed=4)))[1] != written(Node(the_plan))[1]


def test_pace_and_buffer_do_not_change_what_the_files_hold() -> None:
    """The buffer decides where writes end, not what is written."""
    torn = written(Node(plan(Path("nowhere"))))
    whole = written(Node(plan(Path("nowhere"), buffer=0.0)))
    assert torn[1] == whole[1]
    assert torn[0] != whole[0]


# Bad lines.


@pytest.mark.parametrize("stream", ["node_trades", "node_fills"])
@pytest.mark.parametrize("framing", list(Framing))
def test_bad_entries_are_where_the_manifest_says_and_nowhere_else(stream: str, framing: Framing) -> None:
    """Each place holds its fault; every other line parses; the counts are exact; every kind occurs."""
    node = Node(plan(Path("nowhere"), stream=stream, framing=framing, bad=0.01))
    _, files = written(node)
    manifest = node.manifest()
    assert {bad.kind for bad in manifest.bad_lines} == {fault.kind for fault in FAULTS}
    assert manifest.bad == Counter(str(bad.reason) for bad in manifest.bad_lines)
    assert 0.005 < sum(manifest.bad.values()) / manifest.entries < 0.02
    places = {(bad.path, bad.line): bad for bad in manifest.bad_lines}
    indexes = {(bad.path, bad.line, bad.index) for bad in manifest.bad_lines}
    good = 0
    for path, content in files.items():
        offset = 0
        for number, line in enumerate(content.splitlines(keepends=True)):
            bad = places.get((str(path), number))
            if bad is not None:
                assert bad.offset == offset
            offset += len(line)
            if bad is not None and bad.kind in WHOLE:
                assert WHOLE[bad.kind](line), (bad, line)
                continue
            parsed = json.loads(line)
            for index, entry in enumerate(parsed["events"] if framing.wrapped else [parsed]):
                is_bad = (str(path), number, index) in indexes
                assert is_bad == (faulty(entry) is not None), (bad, entry)
                good += not is_bad
    assert good == manifest.good


def _not_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return line.isascii() or bool(line.decode())
    return False


def _not_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return True
    return False


WHOLE: dict[str, Callable[[bytes], bool]] = {
    "bad_json": _not_json,
    "blank": lambda line: not line.strip(),
    "bad_utf8": _not_utf8,
    "deep": lambda line: b"[" * 101 in line,
    "nul_filled": lambda line: set(line) == {0, 10},
}


def faulty(entry: Any) -> Reason | None:
    """What is wrong with an entry that is JSON: written anew here, from the design's list."""
    fields = entry[1] if isinstance(entry, list) else entry
    is_fill = isinstance(entry, list)
    required = {"coin", "px", "sz", "time", "hash"}
    if not required <= set(fields):
        return Reason.MISSING
    orders = [fields] if is_fill else fields["side_info"]
    if not all(isinstance(fields[name], str) for name in ("coin", "px", "sz")):
        return Reason.TYPE
    if not all(isinstance(order["oid"], int) for order in orders):
        return Reason.TYPE
    if any(order["oid"] >= 1 << 63 for order in orders) or len(fields["px"].replace(".", "")) > 34:
        return Reason.RANGE
    if any("\0" in name for name in fields):
        return Reason.KEY
    if "_id" in fields or any(name.endswith("_ns") for name in fields):
        return Reason.RESERVED_FIELD
    return None


@pytest.mark.parametrize("framing", list(Framing))
def test_a_fault_in_an_entry_is_the_one_the_manifest_names(framing: Framing) -> None:
    """The reason that the manifest expects is the one that the entry gives, judged independently."""
    node = Node(plan(Path("nowhere"), framing=framing, bad=0.05))
    _, files = written(node)
    lines = {str(path): content.splitlines() for path, content in files.items()}
    judged: Counter[Reason] = Counter()
    for bad in node.manifest().bad_lines:
        if bad.kind in WHOLE:
            continue
        parsed = json.loads(lines[bad.path][bad.line])
        entry = parsed["events"][bad.index] if framing.wrapped else parsed
        assert faulty(entry) == bad.reason
        judged[Reason(bad.reason)] += 1
    assert set(judged) == {Reason.MISSING, Reason.TYPE, Reason.RANGE, Reason.KEY, Reason.RESERVED_FIELD}


def test_few_bad_lines_are_of_different_kinds() -> None:
    """Nine bad lines in 168,000 are of nine kinds: no kind comes twice before each came once."""
    kinds = [bad.kind for bad in a_minute()[1].bad_lines]
    assert 2 <= len(kinds) <= len(FAULTS)
    assert len(set(kinds)) == len(kinds)


# Files.


def test_the_hour_and_the_day_roll_over() -> None:
    """Five hours from 21:30 are six files: UTC, no leading zero, no extension, over midnight."""
    node = Node(plan(Path("data")))
    _, files = written(node)
    directory = Path("data/node_trades/hourly")
    names = ["20250310/21", "20250310/22", "20250310/23", "20250311/0", "20250311/1", "20250311/2"]
    assert list(files) == [directory / name for name in names]
    hours = [file.hour for file in node.manifest().files]
    assert hours == [1_741_640_400 + 3600 * index for index in range(6)]
    for framing in Framing:
        fill_node = Node(plan(Path("data"), stream="node_fills", framing=framing))
        assert {path.parts[1] for path in written(fill_node)[1]} == {f"node_fills{framing.value}"}


@pytest.mark.parametrize(("speed", "hours"), [(1.0, 0.01), (300.0, 0.1), (14_000.0, 5.0)])
def test_an_hour_begins_with_a_block_of_the_hour_before(speed: float, hours: float) -> None:
    """The file follows the node's clock: its first block is from before the hour, at any density."""
    before_ten = 1_741_643_990  # 21:59:50
    node = Node(plan(Path("nowhere"), framing=Framing.BY_BLOCK, start=before_ten, speed=speed, hours=hours))
    _, files = written(node)
    assert len(files) > 1
    for record in node.manifest().files[1:]:
        first = json.loads(files[Path(record.path)].split(b"\n", 1)[0])
        assert nanoseconds(first["block_time"]) < record.hour * 10**9 <= nanoseconds(first["local_time"])
        assert record.first_event is not None


def test_writes_are_torn_and_completed_later() -> None:
    """Most writes end in mid-line; some lack only the newline, some split a character; all is complete at the end."""
    node = Node(Plan(root=Path("nowhere"), rate=2_800, entries=50_000))
    steps, files = written(node)
    torn = [step for step in steps if step.torn]
    assert 0.3 < len(torn) / len(steps) < 0.95
    assert all(not step.data.endswith(b"\n") for step in torn)
    assert any(step.data.endswith(b"]}") for step in torn)
    assert any(_not_utf8(step.data) for step in torn)
    assert all(content.endswith(b"\n") for content in files.values())
    assert sum(step.entries for step in steps) == 50_000


def test_a_buffer_of_nothing_writes_whole_lines() -> None:
    """As with --disable-output-file-buffering: a write a block, never torn."""
    steps, _ = written(Node(plan(Path("nowhere"), buffer=0.0)))
    assert len(steps) > 500
    assert not any(step.torn for step in steps)


def test_the_next_file_appears_while_the_last_line_of_the_old_one_is_torn() -> None:
    """At each turn of the hour: old file torn, new file empty, then the rest, before or after the new one's lines."""
    steps, _ = written(Node(plan(Path("nowhere"), hours=48)))
    made = [index for index, step in enumerate(steps) if index and step.path not in {s.path for s in steps[:index]}]
    assert len(made) >= 47
    rest_first = 0
    torn_turns = 0
    for index in made:
        assert steps[index].data == b""
        if steps[index - 1].torn:
            torn_turns += 1
            rest_first += steps[index + 1].path == steps[index - 1].path
            assert {steps[index + 1].path, steps[index + 2].path} == {steps[index].path, steps[index - 1].path}
    assert torn_turns > 40
    assert 5 < rest_first < torn_turns - 5


def test_limits() -> None:
    """Entries are exact; the clock's limits end the run before their time; the first limit reached ends it."""
    node = Node(Plan(root=Path("nowhere"), entries=12_345, bad=0.01))
    written(node)
    assert node.manifest().entries == 12_345
    assert node.manifest().complete
    node = Node(plan(Path("nowhere"), hours=5, duration=100.0))
    steps, _ = written(node)
    assert 0.99 < steps[-1].at * 14_000 / (5 * 3600) <= 1
    node = Node(plan(Path("nowhere"), hours=100, duration=0.9))
    steps, _ = written(node)
    assert 0.85 < steps[-1].at <= 0.9
    assert len(node.manifest().files) == 4


# On disk.


def count(manifest: Manifest) -> None:
    """The manifest against the files, counted anew."""
    for record in manifest.files:
        content = Path(record.path).read_bytes()[record.start :]
        assert len(content) == record.bytes
        assert content.count(b"\n") == record.lines
        assert record.entries == record.good + sum(record.bad.values())


@pytest.mark.parametrize("framing", list(Framing))
def test_run_writes_what_steps_say_and_the_manifest_agrees(tmp_path: Path, framing: Framing) -> None:
    """Files on disk are those of `steps`; bytes, lines, entries and events of each agree with the manifest."""
    the_plan = plan(tmp_path, rate=None, speed=14_000, framing=framing, bad=0.001)
    node = Node(the_plan)
    manifest = node.run()
    count(manifest)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == written(Node(the_plan))[1]
    live = node.live
    assert (live.entries, live.lines, live.bytes) == (manifest.entries, manifest.lines, manifest.bytes)
    assert live.bad == sum(manifest.bad.values()) > 0
    assert live.rollovers == len(manifest.files) - 1
    assert live.torn > 10
    for record in manifest.files:
        lines = [
            line for line in Path(record.path).read_bytes().splitlines() if not bad_in(manifest, record.path, line)
        ]
        times = [nanoseconds(trade["time"]) for line in lines for trade in good_trades(line, framing)]
        assert (record.first_event, record.last_event) == (times[0], times[-1])


def bad_in(manifest: Manifest, path: str, line: bytes) -> bool:
    """A line that does not parse, or is bare and bad."""
    try:
        json.loads(line)
    except ValueError:
        return True
    return b'"deep"' in line


def good_trades(line: bytes, framing: Framing) -> list[Json]:
    parsed = json.loads(line)
    return [entry for entry in (parsed["events"] if framing.wrapped else [parsed]) if faulty(entry) is None]


def test_a_manifest_survives_its_file(tmp_path: Path) -> None:
    """Saved and read again it is equal; its totals are in the file for whoever has no Python."""
    manifest = Node(plan(tmp_path, rate=None, bad=0.01)).run()
    manifest.save(tmp_path / "manifest.json")
    text = (tmp_path / "manifest.json").read_text()
    assert Manifest.from_json(text) == manifest
    totals = json.loads(text)["totals"]
    assert totals["entries"] == manifest.entries == totals["good"] + sum(totals["bad"].values())


def test_stop_completes_the_torn_line(tmp_path: Path) -> None:
    """Stopped in the middle of an endless run: whole lines only, and a manifest of just what is there."""
    node = Node(Plan(root=tmp_path, rate=2_800, speed=1, buffer=0.02))
    stop = threading.Event()
    result: list[Manifest] = []
    thread = threading.Thread(target=lambda: result.append(node.run(stop)))
    thread.start()
    while node.live.torn < 3 and thread.is_alive():
        thread.join(0.01)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    (manifest,) = result
    assert not manifest.complete
    assert manifest.entries > 0
    count(manifest)
    assert all(Path(record.path).read_bytes().endswith(b"\n") for record in manifest.files)


def test_the_pace_is_that_of_the_plan(tmp_path: Path) -> None:
    """Half a second at the given rate takes half a second, not less."""
    node = Node(Plan(root=tmp_path, rate=1_000, duration=0.5))
    begun = datetime.now(UTC)
    node.run()
    assert 0.4 < (datetime.now(UTC) - begun).total_seconds() < 5


def test_a_second_run_appends_and_mends_a_torn_line(tmp_path: Path) -> None:
    """A file that is there is appended to; a torn line in it gets its newline first, and is not ours to count."""
    first = Node(plan(tmp_path, rate=None, hours=0.25)).run()
    path = Path(first.files[0].path)
    with path.open("ab") as file:
        file.write(b'{"coin":"BT')
    second = Node(plan(tmp_path, rate=None, hours=0.25)).run()
    record = second.files[0]
    assert record.mended
    assert record.start == first.files[0].bytes + len(b'{"coin":"BT\n')
    content = path.read_bytes()
    assert content[record.start :] == content[: first.files[0].bytes]
    count(second)


# Refusals.


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stream": "node_books"}, "node_trades, node_fills"),
        ({"rate": -1.0}, "rate"),
        ({"speed": 0.0}, "speed"),
        ({"speed": float("nan")}, "speed"),
        ({"entries": 0}, "entries"),
        ({"duration": -3.0}, "duration"),
        ({"hours": float("inf")}, "hours"),
        ({"bad": 1.0}, "bad"),
        ({"buffer": -1.0}, "buffer"),
        ({"start": 0}, "start"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(changes: dict[str, Any], says: str) -> None:
    """One sentence that names the option."""
    with pytest.raises(UsageError, match=says):
        Plan(root=Path("nowhere"), **changes)


def test_start_is_read_as_utc() -> None:
    """With Z, with an offset or without a zone; anything else is refused."""
    assert parse_start("2025-03-10T21:30:00Z") == parse_start("2025-03-10T21:30:00") == 1_741_642_200
    assert parse_start("2025-03-10T22:30:00+01:00") == 1_741_642_200
    with pytest.raises(UsageError, match="yesterday"):
        parse_start("yesterday")


def test_a_root_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A file in the way of the root is a usage error; one in the way of a day's folder a failure at run time."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="root"):
        Node(plan(tmp_path / "file")).run()
    directory = tmp_path / "node_trades" / "hourly"
    directory.mkdir(parents=True)
    (directory / "20250311").write_text("")
    with pytest.raises(RuntimeFailure, match="20250311"):
        Node(plan(tmp_path, rate=None)).run()
