"""`tailrace simulate`: writes a realistic node's files at a given rate. Nothing but arguments and what is shown."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tailrace.config.units import format_duration, parse_duration
from tailrace.errors import RuntimeFailure, UsageError
from tailrace.model import Framing
from tailrace.simulator import Manifest, Node, Plan
from tailrace.simulator.plan import parse_start
from tailrace.streams import stream_of

REPORT_EVERY = 5.0  # seconds between two lines of progress where there is no terminal
REFRESH_EVERY = 0.5  # and on one

_FRAMINGS = {framing.name.lower(): framing for framing in Framing}


def simulate(
    root: Annotated[
        Path, typer.Option(help="Data directory to write to; made if it is not there.", show_default=False)
    ],
    stream: Annotated[
        str, typer.Option(help="node_trades or node_fills; a directory name like node_fills_by_block names both.")
    ] = "node_trades",
    framing: Annotated[str | None, typer.Option(help="bare, by_block or streaming.", show_default="bare")] = None,
    rate: Annotated[str, typer.Option(help="Entries a second, or max: as fast as it goes.")] = "2800",
    speed: Annotated[float, typer.Option(help="Seconds of the node's clock per second of yours.")] = 1.0,
    start: Annotated[str, typer.Option(help="The node's clock at the beginning, UTC.")] = "2025-03-10T21:30:00Z",
    entries: Annotated[int | None, typer.Option(help="Stop after this many entries.", show_default=False)] = None,
    duration: Annotated[
        str | None, typer.Option(help="Stop after this long at the given rate, like 60s.", show_default=False)
    ] = None,
    hours: Annotated[
        float | None, typer.Option(help="Stop after so many hours of the node's clock.", show_default=False)
    ] = None,
    bad: Annotated[float, typer.Option(help="Share of entries that must be rejected, like 0.00005.")] = 0.0,
    seed: Annotated[int, typer.Option(help="The same seed and options write the same bytes.")] = 0,
    buffer: Annotated[
        str, typer.Option(help="Mean wait of the output buffer; 0 writes whole lines, block by block.")
    ] = "50ms",
    manifest: Annotated[
        Path | None, typer.Option(help="Write down here, at the end, what was written, as JSON.", show_default=False)
    ] = None,
) -> None:
    """Write a realistic node's files at a given rate, until a limit is reached or Ctrl-C."""
    family, named = stream_of(stream)
    plan = Plan(
        root=root.absolute(),
        stream=family,
        framing=_framing(framing, named),
        rate=_rate(rate),
        speed=speed,
        start=parse_start(start),
        entries=entries,
        duration=_duration("duration", duration),
        hours=hours,
        bad=bad,
        seed=seed,
        buffer=_duration("buffer", buffer) or 0.0,
    )
    if manifest is not None and (manifest.is_dir() or not manifest.absolute().parent.is_dir()):
        raise UsageError(f"manifest {manifest} is not a file in a directory that exists")
    written = _run(Node(plan), Console(highlight=False, soft_wrap=True))
    if manifest is not None:
        try:
            written.save(manifest)
        except OSError as error:
            raise RuntimeFailure(f"the manifest cannot be written to {manifest}: {error.strerror}") from error


def _run(node: Node, console: Console) -> Manifest:
    """Runs the node in a thread of its own, so that a signal finds this one free; shows how it goes."""
    stop = threading.Event()

    def stop_once(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second one ends the process at once
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    begun = time.monotonic()
    console.print(_intention(node.plan))
    before = {number: signal.signal(number, stop_once) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="simulator") as pool:
            running = pool.submit(node.run, stop)
            _show(node, running, console, begun)
            written = running.result()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    console.print(_result(written, time.monotonic() - begun))
    return written


def _show(node: Node, running: Future[Manifest], console: Console, begun: float) -> None:
    if not console.is_terminal:
        while not wait([running], REPORT_EVERY).done:
            console.print(_progress(node, begun))
        return
    with console.status("") as status:
        while not wait([running], REFRESH_EVERY).done:
            status.update(_progress(node, begun))


def _intention(plan: Plan) -> str:
    pace = "as fast as it goes" if plan.rate is None else f"{plan.rate:,.0f} entries/s"
    clock = "" if plan.speed == 1 else f", clock x {plan.speed:g}"
    limits = [
        "" if plan.entries is None else f"{plan.entries:,} entries",
        "" if plan.duration is None else format_duration(plan.duration),
        "" if plan.hours is None else f"{plan.hours:g} hours of the node",
    ]
    until = " or ".join(filter(None, limits))
    return f"writing {plan.directory} at {pace}{clock}, {'for ' + until if until else 'until stopped'}"


def _progress(node: Node, begun: float) -> str:
    live = node.live
    place = "/".join(live.path.parts[-2:]) if live.path else "-"
    behind = f", {live.behind:.1f} s behind" if live.behind > 1 else ""
    rate = live.entries / max(time.monotonic() - begun, 1e-3)
    return f"{live.entries:,} entries, {rate:,.0f}/s, {live.bytes / 1e6:,.1f} MB, file {place}{behind}"


def _result(written: Manifest, seconds: float) -> str:
    bad = sum(written.bad.values())
    return (
        f"wrote {written.entries:,} entries ({written.good:,} good, {bad:,} bad) in {written.lines:,} lines, "
        f"{written.bytes / 1e6:,.1f} MB, {len(written.files)} files, {seconds:,.1f} s"
    )


def _framing(text: str | None, named: Framing) -> Framing:
    if text is None:
        return named
    framing = _FRAMINGS.get(text)
    if framing is None:
        raise UsageError(f"framing {text!r} is unknown; it is one of {', '.join(_FRAMINGS)}")
    if named not in (Framing.BARE, framing):
        raise UsageError(f"framing {text!r} contradicts the stream's name, which ends in {named.value!r}")
    return framing


def _rate(text: str) -> float | None:
    if text in ("max", "0"):
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"rate {text!r} is neither a number of entries a second nor max") from None


def _duration(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError:
        raise UsageError(f"{name} {text!r} is not a time with a unit, like 50ms, 60s or 5m") from None
