"""Lines -> hour files, the way a node writes them: by its own clock, buffered, torn in mid-line.

    framed(plan) --> Output buffers --> Step (the bytes of one write, and when) --> Node.run: os.write

The file a line goes to follows the node's clock, never the entry's time, so every hour file begins with a block of the
hour before. When the hour turns, the next file appears, empty, while the last line of the old one is still torn; the
rest follows one write later, before or after the new file's first bytes.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from tailrace.errors import RuntimeFailure, UsageError
from tailrace.simulator.chain import NS
from tailrace.simulator.lines import framed
from tailrace.simulator.manifest import BAD_LINES_KEPT, BadLine, FileRecord, Manifest
from tailrace.simulator.output import Output, Step
from tailrace.simulator.plan import Plan

TICK = 0.02
"""Seconds: writes due within one tick go out together; a shorter sleep costs more than it shows."""

LONGEST_PAUSE = 15
"""Times the mean, between two writes (seen: mean 190 ms, up to 2.9 s)."""


@dataclass(slots=True)
class Live:
    """Where a run stands; written by its thread, readable from any other. Counts whole lines on disk."""

    path: Path | None = None
    lines: int = 0
    entries: int = 0
    bad: int = 0
    bytes: int = 0
    writes: int = 0
    torn: int = 0
    rollovers: int = 0
    behind: float = 0.0  # seconds behind the pace: more than a moment means that this machine is too slow for the rate


class Node:
    """Writes a plan's files. `steps` decides what is written, `run` does it at the plan's pace. Use once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.live = Live()
        self._rng = Random(f"{plan.seed} node")
        self._records: list[FileRecord] = []
        self._bad_lines: list[BadLine] = []
        self._stopping = False
        self._complete = False

    def stop(self) -> None:
        """No more blocks: `steps` completes what is torn and ends. From any thread."""
        self._stopping = True

    def manifest(self) -> Manifest:
        """The account, final once `steps` has ended."""
        plan = self.plan
        return Manifest(
            stream=plan.stream,
            framing=plan.framing.name.lower(),
            seed=plan.seed,
            complete=self._complete,
            files=self._records,
            bad_lines=self._bad_lines,
        )

    def run(self, stop: threading.Event | None = None) -> Manifest:
        """Writes until a limit of the plan is reached or `stop` is set; every line begun is then completed.

        Raises UsageError when the root cannot be written at the start, RuntimeFailure when it cannot later.
        """
        stop = stop or threading.Event()
        _prepare(self.plan.directory)
        begun = time.monotonic()
        files: dict[Path, int] = {}
        try:
            for step in self.steps():
                if self.plan.rate is not None:
                    self._wait(begun + step.at - time.monotonic(), stop)
                if stop.is_set():
                    self.stop()
                self._write(step, files)
        except OSError as error:
            raise RuntimeFailure(f"the simulated node cannot write below {self.plan.directory}: {error}") from error
        finally:
            for descriptor in files.values():
                os.close(descriptor)
        return self.manifest()

    def steps(self) -> Iterator[Step]:
        """The writes in order. Waits for nothing and writes nothing; whoever takes a step makes it true, in order."""
        plan = self.plan
        old: Output | None = None  # the last hour's file while its last line is torn
        new: Output | None = None
        at = flush_at = 0.0
        for block, lines in framed(plan):
            at = (block.local_ns / NS - plan.start) / plan.speed
            hour = block.local_ns // NS // 3600 * 3600
            if new is not None and hour == new.record.hour and flush_at < at and plan.buffer:
                # The buffer's timer comes before the next block.
                yield from self._flush(old, new, flush_at)
                old, flush_at = None, flush_at + self._pause()
            if new is None or hour != new.record.hour:
                yield from self._leave(old, new, at)
                old, new = new, self._open(hour)
                yield Step(at=at, path=new.path, data=b"\n" if new.record.mended else b"")
            self._note(new.add(lines, block.time_ns))
            if at >= flush_at or self._stopping:
                yield from self._flush(old, new, at)
                old, flush_at = None, at + self._pause()
            if self._stopping:
                break
        else:
            self._complete = True
        for output in (old, new):
            if output is not None:
                yield output.write(at, last=True)

    def _leave(self, old: Output | None, new: Output | None, at: float) -> Iterator[Step]:
        """The hour turns before the next flush: what waits for `new` goes out but for the end of its last line."""
        if old is not None:
            yield old.write(at, last=True)
        if new is not None and new.waiting:
            yield new.write_torn(at, self._rng, share=1.0) if self.plan.buffer else new.write(at)

    def _flush(self, old: Output | None, new: Output, at: float) -> Iterator[Step]:
        """One round of writes: the old hour's rest, if there is one, before or after the new hour's lines."""
        first = self._rng.random() < 0.5
        if old is not None and first:
            yield old.write(at, last=True)
        if new.waiting:
            yield new.write_torn(at, self._rng) if self.plan.buffer else new.write(at)
        if old is not None and not first:
            yield old.write(at, last=True)

    def _pause(self) -> float:
        """Seconds to the next flush, at the plan's pace."""
        mean = self.plan.buffer
        return min(self._rng.expovariate(1 / mean), mean * LONGEST_PAUSE) if mean else 0.0

    def _open(self, hour: int) -> Output:
        moment = datetime.fromtimestamp(hour, UTC)
        path = self.plan.directory / f"{moment:%Y%m%d}" / str(moment.hour)
        start, mended = _found(path)
        record = FileRecord(path=str(path), hour=hour, start=start, mended=mended)
        self._records.append(record)
        return Output(path, record)

    def _note(self, places: list[BadLine]) -> None:
        if places:
            self._bad_lines += places[: BAD_LINES_KEPT - len(self._bad_lines)]

    def _wait(self, delay: float, stop: threading.Event) -> None:
        self.live.behind = max(0.0, -delay)
        if delay > TICK:
            stop.wait(delay)

    def _write(self, step: Step, files: dict[Path, int]) -> None:
        live = self.live
        descriptor = files.get(step.path)
        if descriptor is None:
            step.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = files[step.path] = os.open(step.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            live.rollovers += live.path is not None
            live.path = step.path
        rest = memoryview(step.data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if step.last:
            os.close(files.pop(step.path))
        live.writes += bool(step.data)
        live.torn += step.torn
        live.bytes += len(step.data)
        live.lines += step.lines
        live.entries += step.entries
        live.bad += step.bad


def _prepare(directory: Path) -> None:
    """Raises UsageError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the root cannot be written: {error.filename}: {error.strerror}") from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise UsageError(f"the root cannot be written: {directory}: permission denied")


def _found(path: Path) -> tuple[int, bool]:
    """Where our bytes will begin in a file, and whether a newline must first complete what others left torn."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size == 0:
                return 0, False
            file.seek(size - 1)
            mended = file.read(1) != b"\n"
    except FileNotFoundError:
        return 0, False
    return size + mended, mended
