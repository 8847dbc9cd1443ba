"""The metrics of elections for OpenTelemetry (extra ``otel``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from kubernetes_leader_election.observability.metrics import (
    BUCKETS,
    GAP,
    GAP_MEANING,
)

if TYPE_CHECKING:
    from kubernetes_leader_election.observability.metrics import Metrics


def export(metrics: Metrics, meter: Meter) -> None:
    """
    Show ``metrics`` by observable instruments of ``meter``.

    .. code-block:: python

        metrics = Metrics()
        metrics.watch(elector)
        export(metrics, opentelemetry.metrics.get_meter("my-application"))
    """
    for family in metrics.families():
        make = (
            meter.create_observable_counter
            if family.kind == "counter"
            else meter.create_observable_gauge
        )
        make(family.name, [_reader(metrics, family.name)], description=family.meaning)
    gaps = meter.create_histogram(
        GAP,
        unit="s",
        description=GAP_MEANING,
        explicit_bucket_boundaries_advisory=BUCKETS,
    )
    metrics.on_gap(lambda gap, labels: gaps.record(gap, dict(labels)))


def _reader(
    metrics: Metrics, name: str
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def read(_options: CallbackOptions) -> list[Observation]:
        return [
            Observation(value, dict(labels))
            for family in metrics.families()
            if family.name == name
            for labels, value in family.samples
        ]

    return read
