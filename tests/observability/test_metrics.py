"""Tests of the metrics, of their text, and of the adapters."""

import math
import re
from pathlib import Path

import prometheus_client
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client.parser import text_string_to_metric_families

from kubernetes_leader_election import events
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.leadership import Role
from kubernetes_leader_election.observability.metrics import BUCKETS, Metrics
from kubernetes_leader_election.observability.opentelemetry import export
from kubernetes_leader_election.observability.prometheus import ElectionCollector
from tests.observability.fakes import FakeElector


@pytest.fixture(name="elector")
def _elector():
    """Give an elector."""
    return FakeElector()


@pytest.fixture(name="metrics")
def _metrics(elector):
    """Give metrics that watch the elector."""
    metrics = Metrics()
    metrics.watch(elector)
    return metrics


def read(metrics):
    """Read the text with the parser of prometheus-client."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.text())
        for sample in family.samples
    }


WHO = (("identity", "a"), ("lease", "billing"), ("namespace", "shop"))


def test_gauges_are_asked_when_they_are_read(metrics, elector):
    """G1, rule 15: what a scrape shows was true at the instant of the scrape."""
    assert read(metrics)["leader_election_leader", *WHO] == 0
    elector.role, elector.left, elector.transitions = Role.LEADER, 12.5, 3
    found = read(metrics)
    assert found["leader_election_leader", *WHO] == 1
    assert found["leader_election_remaining_seconds", *WHO] == 12.5
    assert found["leader_election_lease_transitions", *WHO] == 3
    assert found["leader_election_master_status", ("name", "billing")] == 1
    roles = {
        dict(key[1:])["role"]: value
        for key, value in found.items()
        if key[0] == "leader_election_role"
    }
    assert roles == {str(role): float(role is Role.LEADER) for role in Role}


def test_counters_count_events(metrics, elector):
    """Every event is counted once, losses by reason, errors by kind."""
    elector.live()
    found = read(metrics)
    assert found["leader_election_terms_acquired_total", *WHO] == 1
    assert found["leader_election_renewals_total", *WHO] == 2
    assert found["leader_election_leader_changes_total", *WHO] == 1
    reason, error = ("reason", "renew_deadline"), ("error", "LeaseApiError")
    assert found["leader_election_terms_lost_total", *WHO, reason] == 1
    assert found["leader_election_errors_total", *sorted((*WHO, error))] == 1


GAPS = "leader_election_gap_seconds"


def take_over(elector, gap_sec, why):
    """Let an elector acquire."""
    elector.tell(
        events.LeadershipAcquired, term=2, token_if_any=9, gap_sec=gap_sec, why=why
    )


def test_gaps_are_a_histogram_by_reason(metrics, elector):
    """Each take-over whose gap was seen is counted, in every bucket that holds it."""
    take_over(elector, 0.031, "release")
    take_over(elector, 0.5, "release")
    take_over(elector, 400.0, "outage")
    take_over(elector, None, "expiry")
    take_over(elector, None, None)
    found = read(metrics)

    def value(suffix, why, **more):
        labels = sorted((*WHO, ("why", why), *more.items()))
        return found.get((GAPS + suffix, *labels))

    assert value("_bucket", "release", le="0.05") == 1
    assert value("_bucket", "release", le="0.25") == 1
    assert value("_bucket", "release", le="0.5") == 2
    assert value("_bucket", "release", le="+Inf") == value("_count", "release") == 2
    assert value("_sum", "release") == pytest.approx(0.531)
    assert value("_bucket", "outage", le="300.0") == 0
    assert value("_bucket", "outage", le="+Inf") == value("_count", "outage") == 1
    assert value("_count", "expiry") is None


def test_assumed_leadership_has_no_end(metrics, elector):
    """Off-cluster the remaining time is infinite, and readable."""
    elector.left = math.inf
    assert read(metrics)["leader_election_remaining_seconds", *WHO] == math.inf


def test_labels_are_escaped():
    """Fault 51: no text in a label can forge a metric."""
    metrics = Metrics()
    odd = 'a"} 1\n\\evil'
    metrics.watch(FakeElector(identity=odd))
    identities = {dict(key[1:]).get("identity") for key in read(metrics)}
    assert identities == {odd, None}


def test_several_electors_are_told_apart(metrics):
    """Two electors of one process have their own values; one Lease has one status."""
    second = FakeElector(identity="b")
    second.role = Role.LEADER
    metrics.watch(second)
    found = read(metrics)
    assert found["leader_election_leader", *WHO] == 0
    assert found["leader_election_leader", ("identity", "b"), *WHO[1:]] == 1
    assert found["leader_election_master_status", ("name", "billing")] == 1


def test_forgotten_elector_is_counted_no_more(metrics, elector):
    """forget() takes the handlers off and the values away."""
    metrics.forget(elector)
    metrics.forget(elector)
    elector.live()
    assert read(metrics) == {}
    assert all(elector.handlers.count(name) == 0 for name in events.EVENTS)


def test_prometheus_client_shows_the_same(metrics, elector):
    """The adapter for prometheus-client gives what our own text gives."""
    elector.live()
    take_over(elector, 1.25, "proof")
    registry = prometheus_client.CollectorRegistry()
    registry.register(ElectionCollector(metrics))
    shown = prometheus_client.generate_latest(registry).decode()
    again = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
    }
    assert again == read(metrics)


def test_opentelemetry_shows_the_same(metrics, elector):
    """The adapter for OpenTelemetry gives the same names and values."""
    elector.live()
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    export(metrics, provider.get_meter("test"))
    (resource,) = reader.get_metrics_data().resource_metrics
    (scope,) = resource.scope_metrics
    shown = {
        (metric.name, *sorted(point.attributes.items())): point.value
        for metric in scope.metrics
        for point in metric.data.data_points
    }
    assert shown == {
        (key[0].removesuffix("_total"), *key[1:]): value
        for key, value in read(metrics).items()
    }
    take_over(elector, 1.25, "proof")
    (resource,) = reader.get_metrics_data().resource_metrics
    (gaps,) = (m for m in resource.scope_metrics[0].metrics if m.name == GAPS)
    (point,) = gaps.data.data_points
    assert (point.count, point.sum) == (1, 1.25)
    assert point.explicit_bounds == BUCKETS
    assert dict(point.attributes) == dict((*WHO, ("why", "proof")))
    provider.shutdown()


def test_page_for_the_one_on_call_names_metrics_that_there_are(metrics, elector):
    """Whoever copies an alert from the page must not wait for a metric in vain."""
    page = Path(__file__).parents[2] / "docs" / "on-call.md"
    named = re.findall(r"`[^`]*(leader_election_\w+)[^`]*`", page.read_text())
    elector.live()
    elector.tell(events.ErrorOccurred, error=LeaseApiError("no"))
    take_over(elector, 1.25, "proof")
    assert len(named) >= 5
    assert set(named) <= {name for name, *_ in read(metrics)}


def test_alerts_for_the_one_on_call_hold_for_each_lease_and_without_a_replica(metrics):
    """Leases of one name in two namespaces are two; a sum of nothing is no 0."""
    page = (Path(__file__).parents[2] / "docs" / "on-call.md").read_text()
    labels = {label for _, *pairs in read(metrics) for label, _ in pairs}
    (grouped,) = re.findall(r"sum by \((.*?)\) \(leader_election_leader\)", page)
    assert set(grouped.split(", ")) == {"namespace", "lease"} <= labels
    (absent,) = re.findall(r"absent\(leader_election_leader\{(.*?)\}\)", page)
    assert set(re.findall(r"(\w+)=", absent)) == {"namespace", "lease"}
    assert "`AGE` is the age of the Lease object" in page
