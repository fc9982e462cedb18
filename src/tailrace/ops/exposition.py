"""`/metrics`: the declared metrics in the formats of Prometheus."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from tailrace.ops.metric import Kind, Metric
from tailrace.ops.metrics import METRICS
from tailrace.ops.status import Moment


class _Declared(Collector):
    """The declared metrics with the values of the moment of the scrape."""

    def __init__(self, moment: Callable[[], Moment]) -> None:
        self._moment = moment

    def collect(self) -> Iterator[Family]:
        moment = self._moment()  # one for all metrics: they add up
        return (_family(metric, moment) for metric in METRICS)


Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


def _family(metric: Metric, moment: Moment) -> Family:
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, value in metric.read(moment):
            if not isinstance(value, float | int):
                buckets = [(_bound(bound), float(count)) for bound, count in value.cumulative()]
                histogram.add_metric(labels, buckets, value.total)
        return histogram
    make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = make(metric.name, metric.help, labels=metric.labels)
    for labels, value in metric.read(moment):
        if isinstance(value, float | int):
            family.add_metric(labels, float(value))
    return family


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else repr(bound)


class Process(ProcessCollector):
    """The usual `process_*`. `process_start_time_seconds` stays what it was at first, whatever becomes of the clock.

    HAZARD: the library takes the machine's start from /proc/stat and shows nothing at all without it. It is not there
    with `ProcSubset=pid`, as in deploy/systemd. The kernel's clock that counts from that start is there always.
    """

    def _boot_time(self) -> float:
        if sys.platform != "linux":
            raise OSError("there is no /proc")  # for the library: nothing is to be shown
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


class Exposition:
    """What `/metrics` answers. A registry of its own: nothing is shared with the process that embeds us."""

    def __init__(self, moment: Callable[[], Moment]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Declared(moment))
        Process(registry=self.registry)

    def render(self, accept: str) -> tuple[str, bytes]:
        """(content type, body) in the format that the header Accept asks for: Prometheus text, or OpenMetrics."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)
