"""The metrics of elections for prometheus-client (extra ``prometheus``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from kubernetes_leader_election.observability.metrics import GAP, GAP_MEANING

if TYPE_CHECKING:
    from kubernetes_leader_election.observability.metrics import Metrics


class ElectionCollector(Collector):
    """
    Show :class:`~.metrics.Metrics` to a registry of prometheus-client.

    .. code-block:: python

        metrics = Metrics()
        metrics.watch(elector)
        prometheus_client.REGISTRY.register(ElectionCollector(metrics))
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(
        self,
    ) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        """Yield every metric with its values at this instant."""
        for family in self._metrics.families():
            names = [name for name, _ in family.samples[0][0]] if family.samples else []
            make = (
                CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            )
            shown = make(family.name, family.meaning, labels=names)
            for labels, value in family.samples:
                shown.add_metric([text for _, text in labels], value)
            yield shown
        gaps = list(self._metrics.gaps())
        names = [name for name, _ in gaps[0].labels] if gaps else []
        told = HistogramMetricFamily(GAP, GAP_MEANING, labels=names)
        for gap in gaps:
            told.add_metric([text for _, text in gap.labels], gap.buckets(), gap.total)
        yield told
