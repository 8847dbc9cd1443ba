import asyncio
import contextlib
import logging

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricsData,
    PeriodicExportingMetricReader,
)

from kubernetes_leader_election import Elector, Term
from kubernetes_leader_election.observability.metrics import Metrics
from kubernetes_leader_election.observability.opentelemetry import export

logging.basicConfig(level=logging.INFO, format="%(message)s")


def as_lines(data: MetricsData) -> str:  # of one metric, for this page
    return "".join(
        f"{metric.name} {point.value:.0f}\n"
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if metric.name.endswith("_leader")
    )


# In production: the OTLP exporter, and its default interval of a minute.
exporter = ConsoleMetricExporter(formatter=as_lines)
reader = PeriodicExportingMetricReader(exporter, export_interval_millis=500)
provider = MeterProvider(metric_readers=[reader])

elector = Elector(lease_name="shop")
metrics = Metrics()
metrics.watch(elector)
export(metrics, provider.get_meter("shop"))


async def work(term: Term) -> None:
    print("works", flush=True)
    await asyncio.Event().wait()


with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it quietly
    asyncio.run(elector.run(work))
