"""Measures in the formats that Prometheus reads: its text format, or OpenMetrics where that is accepted."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from s3shim.measures import Kind, Measure

_OPENMETRICS = "application/openmetrics-text"


def exposition(measures: Iterable[Measure], accept: str) -> tuple[bytes, str]:
    """Return the text and its content type, for a scraper that sent ``accept``."""
    collected = _Collected([_family(measure) for measure in measures if measure.samples])
    # Parameters are left out: the library fails for a version that is no number.
    types = {part.partition(";")[0].strip() for part in accept.split(",")}
    encode, content_type = choose_encoder(_OPENMETRICS if _OPENMETRICS in types else "")
    return encode(collected), content_type


class _Collected(Collector):
    """What the encoders take for a registry."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return the families."""
        return self._families


def _family(measure: Measure) -> Metric:
    samples = sorted(measure.samples.items())
    if measure.kind is Kind.HISTOGRAM:
        return _histogram(measure, samples)
    family: CounterMetricFamily | GaugeMetricFamily
    if measure.kind is Kind.COUNTER:
        family = CounterMetricFamily(measure.name, measure.help, labels=measure.labels)
    else:
        family = GaugeMetricFamily(measure.name, measure.help, labels=measure.labels)
    for labels, (value,) in samples:
        family.add_metric(labels, value)
    return family


def _histogram(measure: Measure, samples: list[tuple[tuple[str, ...], list[float]]]) -> Metric:
    family = HistogramMetricFamily(measure.name, measure.help, labels=measure.labels)
    names = [*map(str, measure.bounds), "+Inf"]
    for labels, numbers in samples:
        *counts, total = numbers
        family.add_metric(labels, list(zip(names, accumulate(counts), strict=True)), total)
    return family
