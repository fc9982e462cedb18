"""What a metric is, and the short ways to declare one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from tailrace.ops.seen import Histogram, Stats
from tailrace.ops.status import Moment, SourceMoment

SOURCE = ("source", "collection")
"""Labels of what is counted for each source."""


class Kind(StrEnum):
    """A counter only grows, from 0 with the process; its name ends in `_total`. A gauge goes up and down. A histogram
    counts values by size."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


Samples = Iterable[tuple[tuple[str, ...], float | Histogram]]
"""Values of the labels, in the order of `Metric.labels`, and the value: a `Histogram` for one of that kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`help` is one sentence for an operator."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    read: Callable[[Moment], Samples]


def of_sources(kind: Kind, name: str, help_: str, value: Callable[[Stats], float]) -> Metric:
    def read(moment: Moment) -> Samples:
        return [(labels_of(each), value(each.stats)) for each in moment.sources]

    return Metric(name=name, kind=kind, labels=SOURCE, help=help_, read=read)


def labels_of(source: SourceMoment) -> tuple[str, str]:
    return source.source, source.collection


def counter(name: str, help_: str, value: Callable[[Stats], float]) -> Metric:
    return of_sources(Kind.COUNTER, name, help_, value)


def gauge(name: str, help_: str, value: Callable[[Stats], float]) -> Metric:
    return of_sources(Kind.GAUGE, name, help_, value)


def of_process(name: str, help_: str, value: Callable[[Moment], float]) -> Metric:
    return Metric(name=name, kind=Kind.GAUGE, labels=(), help=help_, read=lambda moment: [((), value(moment))])


def histogram(name: str, help_: str, value: Callable[[Stats], Histogram]) -> Metric:
    def read(moment: Moment) -> Samples:
        return [(labels_of(each), value(each.stats)) for each in moment.sources]

    return Metric(name=name, kind=Kind.HISTOGRAM, labels=SOURCE, help=help_, read=read)
