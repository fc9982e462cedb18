"""The native codec is the reference, byte for byte: documents, rejects with reasons and details, places, checksum.

On sound and changed values, on odd texts and numbers, on the simulator's lines, and on real files where they are. The
target `native` of `make fuzz` does the same on mutated bytes, and `test_fuzz_targets` runs it. TAILRACE_TEST_SEED
repeats a run.
"""

from __future__ import annotations

import json
import os
import re
from itertools import product
from pathlib import Path
from random import Random, SystemRandom

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from tests.fuzz.mutate import apply, drawn
from tests.fuzz.targets.codec import SCRAPS, SUBJECTS, Subject
from tests.property.test_codec_properties import BLOCK, DATA, FILL, TRADE, VALUES
from tests.support.codecs import equal, left, needs_native
from tests.unit.test_blocks import of as blocks_of

from tailrace.model import Framing, Identity, Numbers
from tailrace.simulator import fill_lines, trade_lines
from tailrace.streams import FAMILIES, stream_of

pytestmark = needs_native

SEED = int(os.environ.get("TAILRACE_TEST_SEED") or SystemRandom().randrange(1 << 32))
SAMPLES = sorted((Path(__file__).parents[3] / "shared" / "data").glob("*.jsonl"))
STREAMS = sorted({(family, framing) for family, framing, _, _ in SUBJECTS})
UNTYPED: Subject = ("misc_events", Framing.BARE, Identity.POSITION, Numbers.DECIMAL)


def subjects(family: str, framing: Framing) -> list[Subject]:
    """Every identity and numbers that the stream can have."""
    identities = list(Identity) if family in FAMILIES else [Identity.POSITION]
    return [(family, framing, identity, numbers) for identity, numbers in product(identities, Numbers)]


@pytest.mark.parametrize(("family", "framing"), STREAMS)
def test_on_whatever_a_line_may_hold(family: str, framing: Framing) -> None:
    """The data of the codec's own laws, for every identity and numbers."""
    print(f"TAILRACE_TEST_SEED={SEED}")

    @seed(SEED)
    @settings(deadline=None, max_examples=120, database=None, suppress_health_check=list(HealthCheck))
    @given(data=DATA)
    def the_same(data: bytes) -> None:
        for subject in subjects(family, framing):
            equal(subject, data)

    the_same()


# Escapes as they are written, among them broken ones; and whatever else may stand between quotes.
ESCAPES = st.one_of(
    st.sampled_from(["\\" + char for char in '"\\/bfnrtux0 ']),
    st.integers(0, 0xFFFF).map(lambda code: f"\\u{code:04x}"),
    st.integers(0xD800, 0xDFFF).map(lambda code: f"\\u{code:04X}"),
)
TEXTS = st.lists(st.one_of(ESCAPES, st.characters(codec="utf-8", exclude_characters='"\\'), st.text("ab", max_size=20)))
NUMBERS = st.one_of(
    st.from_regex(r"-?[0-9]{1,22}(\.[0-9]{0,25})?([eE][-+]?[0-9]{0,3})?", fullmatch=True),
    st.floats(allow_nan=False).map(repr),
    st.integers(-(1 << 65), 1 << 65).map(str),
)
BLANKS = st.sampled_from(["", "", "", " ", "\t", "\r", " \t\r "])


@settings(deadline=None, max_examples=1000)
@given(name=TEXTS.map("".join), text=TEXTS.map("".join), number=NUMBERS, blanks=st.tuples(*[BLANKS] * 6))
def test_on_odd_names_texts_numbers_and_blanks(name: str, text: str, number: str, blanks: tuple[str, ...]) -> None:
    """Each as a member that no schema knows, in a line that a fast parser may take or leave."""
    a, b, c, d, e, f = blanks
    member = f'{a}"{name}"{b}:{c}"{text}"{d},{e}"n":{number}{f}'
    for line in (f"{{{member}}}", f'{{"o":{{{member}}},"l":[{number}{b},{c}"{text}"]}}{d}'):
        equal(UNTYPED, line.encode("utf-8", "surrogatepass") + b"\n{}")


TIME = r'"[0-2][0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,10})?Z?"'
KNOWN = st.one_of(
    TEXTS.map(lambda parts: '"' + "".join(parts) + '"'),
    NUMBERS,
    NUMBERS.map(lambda number: f'"{number}"'),
    st.from_regex(r'"-?[0-9]{1,36}(\.[0-9]{0,36})?"', fullmatch=True),
    st.from_regex(TIME, fullmatch=True),
    VALUES.map(json.dumps),
)  # fmt: skip


@settings(deadline=None, max_examples=1000)
@given(data=st.data(), value=KNOWN, content=st.sampled_from(Identity), numbers=st.sampled_from(Numbers))
def test_on_any_value_of_a_known_field(data: st.DataObject, value: str, content: Identity, numbers: Numbers) -> None:
    """In its place in a trade, a side, a fill or a wrapper, the rest being sound."""
    trade, fill, block = dict(TRADE), [FILL[0], dict(FILL[1])], dict(BLOCK)
    place = data.draw(st.sampled_from(["trade", "side", "fill", "user", "block"]))
    mark = "\x00mark"
    if place == "trade":
        trade[data.draw(st.sampled_from(list(TRADE)))] = mark
    elif place == "side":
        side = dict(TRADE["side_info"][1])
        side[data.draw(st.sampled_from(list(side)))] = mark
        trade["side_info"] = [TRADE["side_info"][0], side]
    elif place == "fill":
        fill[1][data.draw(st.sampled_from(list(FILL[1])))] = mark
    elif place == "user":
        fill[0] = mark
    else:
        block[data.draw(st.sampled_from(list(BLOCK)))] = mark

    def written(entry: object) -> bytes:
        return json.dumps(entry).replace(json.dumps(mark), value).encode("utf-8", "surrogatepass")

    equal(("node_trades", Framing.BARE, content, numbers), written(trade))
    equal(("node_fills", Framing.BARE, content, numbers), written(fill))
    equal(("node_trades", Framing.BY_BLOCK, content, numbers), written(block | {"events": [trade, TRADE]}))
    equal(("node_fills", Framing.STREAMING, content, numbers), written({"events": [FILL, fill]} | block))


def numbered(shape: str, number: str) -> tuple[str, bool]:
    """A wrapped line, and whether its block number counts if it is an integer of 64 bits."""
    wrapper = json.dumps(BLOCK | {"block_number": "@", "events": [TRADE]}).replace('"@"', number)
    trade, bad = json.dumps(TRADE), json.dumps(TRADE | {"px": 5})
    match shape:
        case "sound":
            return wrapper, True
        case "no entries":
            return wrapper.replace(trade, " "), True
        case "reversed":
            whole = {"events": [TRADE]} | BLOCK | {"block_number": "@"}
            return json.dumps(whole).replace('"@"', number), True
        case "a bad entry":
            return wrapper.replace(trade, f"{trade},{bad},{trade}"), True
        case "only a bad entry":
            return wrapper.replace(trade, bad), True
        case "doubled":
            return wrapper.replace('"block_number"', '"block_number": 77777, "block_number"'), True
        case "escaped":
            return wrapper.replace('"block_number"', '"block\\u005fnumber"'), True
        case "a bad wrapper":
            return wrapper.replace('"local_time"', '"other_time"'), True
        case "no array":
            return wrapper.replace(f"[{trade}]", "5"), True
        case "torn":
            return wrapper[:-1], False
        case "blank":
            return " ", False
        case _:
            return json.dumps([json.loads(trade), 5]), False


SHAPES = ["sound"] * 6 + ["no entries", "reversed", "a bad entry", "only a bad entry", "doubled", "escaped"]
SHAPES += ["a bad wrapper", "no array", "torn", "blank", "an array"]
NEAR = st.integers(100, 112).map(str)
FAR = st.one_of(st.integers(-(1 << 64), 1 << 64).map(str), st.sampled_from(["-0", "1.0", "1e2", '"105"', "true", "01"]))
EDGES = st.sampled_from([str(edge + step) for edge in (-(1 << 63), 1 << 63) for step in (-1, 0, 1)] + ["9" * 400])


@settings(deadline=None, max_examples=600)
@given(
    lines=st.lists(st.tuples(st.sampled_from(SHAPES), st.one_of(NEAR, NEAR, NEAR, FAR, EDGES)), max_size=12),
    content=st.sampled_from(Identity),
)
def test_on_block_numbers(lines: list[tuple[str, str]], content: Identity) -> None:
    """Lines that the crate takes and lines that it leaves, in any mixture: the numbers of both in the order of the
    lines, and what is missing between them is what an account by hand says."""
    texts, expected = [], list[int]()
    for shape, number in lines:
        text, counts = numbered(shape, number)
        texts.append(text)
        if counts and re.fullmatch(r"-?(0|[1-9][0-9]*)", number) and -(1 << 63) <= int(number) < 1 << 63:
            expected.append(int(number))
    made = equal(("node_trades", Framing.BY_BLOCK, content, Numbers.DECIMAL), "\n".join(texts).encode())
    assert made.blocks == (blocks_of(*expected) if expected else None)
    assert equal(("node_trades", Framing.BARE, content, Numbers.DECIMAL), "\n".join(texts).encode()).blocks is None


@pytest.mark.parametrize("stream", [stream for stream in STREAMS if stream[0] in FAMILIES])
def test_on_simulated_lines(stream: tuple[str, Framing]) -> None:
    """Of both families in every framing. None of the clean ones is left to the reference: the crate was asked."""
    family, framing = stream
    make = fill_lines if family == "node_fills" else trade_lines
    clean = b"".join(make(SEED, 400, framing=framing))
    marred = b"".join(make(SEED, 200, framing=framing, bad=0.3))
    for subject in subjects(family, framing):
        made = equal(subject, clean)
        assert made.documents
        assert (left(subject, clean), made.rejects) == (0, [])
        assert equal(subject, marred, base=1 << 39).rejects
        assert left(subject, marred) > 0


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_on_real_files(path: Path) -> None:
    """None of their lines is left to the reference; then the same files, mutated."""
    data = path.read_bytes()
    family, framing = stream_of(path.stem)
    chosen = subjects(family, framing)
    for subject in chosen:
        made = equal(subject, data)
        assert made.documents
        assert left(subject, data) == 0
        assert (made.blocks is not None) is framing.wrapped
        assert made.blocks is None or made.blocks.missing == 0, "a node leaves no number out"
    print(f"TAILRACE_TEST_SEED={SEED}")
    rng = Random(SEED)
    lines = [line for line in data.splitlines(keepends=True) if len(line) < 20_000]
    for _ in range(300 if lines else 0):  # the one sample of a single huge line is not mutated
        chunk = b"".join(rng.choices(lines, k=3))
        chunk = apply(chunk, [drawn(rng, SCRAPS) for _ in range(rng.choice((1, 1, 2, 4)))])
        equal(rng.choice(chosen), chunk)


def test_the_real_files_are_here() -> None:
    """Or this says so, instead of nothing."""
    if not SAMPLES:
        pytest.skip("the real samples are not here")
    assert len(SAMPLES) >= 5
