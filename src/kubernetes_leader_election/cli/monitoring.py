"""
What watches an election: alerts, what Prometheus scrapes, and a dashboard.

For the operator of Prometheus (PrometheusRule, ServiceMonitor) and for Grafana, whose
side-car loads dashboards from ConfigMaps with the label ``grafana_dashboard``. Each
alert is one of the page "On call"; each is of one Lease in one namespace, and there is
one for the case that nobody is there to say anything.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from kubernetes_leader_election.values import Value

SCRAPED_EVERY: Final = 60
"""Seconds between two scrapes of one replica at most, as far as these alerts know."""
LEAST_PATIENCE: Final = 90
"""Seconds that something lasts before an alert: more than one scrape, and the next late."""
LOOK_BACK: Final = "15m"
"""For how long a loss counts."""
GROUP: Final = "monitoring.coreos.com/v1"


class Watched(Value):
    """The election that is watched, and the times that its alerts go by."""

    name: str
    """Of the Deployment, and the label of its pods."""
    namespace: str
    lease: str
    lease_duration: float
    """Seconds."""
    request_timeout: float
    """Seconds."""
    grace: float
    """Seconds that work may take to end in a planned stop."""

    @property
    def labels(self) -> str:
        """Return the matchers of this Lease."""
        return f'namespace="{self.namespace}", lease="{self.lease}"'

    @property
    def patience(self) -> str:
        """Return for how long nobody may lead: two lease durations."""
        return f"{max(LEAST_PATIENCE, math.ceil(2 * self.lease_duration))}s"

    @property
    def drains(self) -> str:
        """Return for how long work may drain."""
        return f"{math.ceil(self.grace) + LEAST_PATIENCE}s"


def documents(watched: Watched) -> list[dict[str, Any]]:
    """Return the documents, in the order to apply them."""
    metadata = {"name": watched.name, "namespace": watched.namespace}
    labels = {"app.kubernetes.io/name": watched.name}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                **metadata,
                "name": f"{watched.name}-health",
                "labels": labels,
            },
            "spec": {
                "clusterIP": "None",
                "publishNotReadyAddresses": True,
                "selector": labels,
                "ports": [{"name": "health", "port": 80, "targetPort": "health"}],
            },
        },
        {
            "apiVersion": GROUP,
            "kind": "ServiceMonitor",
            "metadata": {**metadata, "labels": labels},
            "spec": {
                "selector": {"matchLabels": labels},
                "endpoints": [
                    {"port": "health", "path": "/metrics", "honorLabels": True}
                ],
            },
        },
        {
            "apiVersion": GROUP,
            "kind": "PrometheusRule",
            "metadata": {**metadata, "labels": labels},
            "spec": {
                "groups": [
                    {
                        "name": f"leader-election-{watched.name}",
                        "rules": rules(watched),
                    }
                ]
            },
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                **metadata,
                "name": f"{watched.name}-leader-election-dashboard",
                "labels": {**labels, "grafana_dashboard": "1"},
            },
            "data": {
                f"leader-election-{watched.name}.json": json.dumps(
                    dashboard(watched), indent=2
                )
                + "\n"
            },
        },
    ]


def rules(watched: Watched) -> list[dict[str, Any]]:
    """Return the alerts on one Lease."""
    of = watched.labels
    by = "by (namespace, lease)"
    lost = f'leader_election_terms_lost_total{{{of}, reason="renew_deadline"}}'
    short = watched.request_timeout
    return [
        _alert(
            "LeaderElectionNobodyLeads",
            f"sum {by} (leader_election_leader{{{of}}}) == 0",
            "critical",
            watched.patience,
            "Nobody leads {{ $labels.namespace }}/{{ $labels.lease }}",
            "No replica has been the leader for two lease durations. `kle status` says "
            "who holds the Lease, `kle doctor` what hinders the candidates.",
        ),
        _alert(
            "LeaderElectionNoReplicas",
            f"absent(leader_election_leader{{{of}}})",
            "critical",
            watched.patience,
            "No replica of {{ $labels.namespace }}/{{ $labels.lease }} reports",
            "There are no pods, or nobody scrapes them: nothing says whether anybody "
            "leads.",
        ),
        _alert(
            "LeaderElectionTwoLeaders",
            f"sum {by} (leader_election_leader{{{of}}}) > 1",
            "critical",
            f"{2 * SCRAPED_EVERY}s",
            "More than one leader of {{ $labels.namespace }}/{{ $labels.lease }}",
            "Scrapes are not taken at one instant, but this lasts. Compare the fencing "
            "tokens before you believe it, and stop the leader with the lower one.",
        ),
        _alert(
            "LeaderElectionLosesItsLease",
            # What has just come into being has no increase, so it is told apart.
            f"sum {by} (({lost} - {lost} offset {LOOK_BACK} > 0) or "
            f"({lost} unless {lost} offset {LOOK_BACK})) > 0",
            "warning",
            "0s",
            "The leader of {{ $labels.namespace }}/{{ $labels.lease }} lost its Lease",
            "No renewal got through in time: the API server, the network, or a process "
            "that stood still. If it happens again, choose longer times: `kle timings`.",
        ),
        _alert(
            "LeaderElectionShortOfTime",
            f"max {by} (leader_election_remaining_seconds{{{of}}} "
            f"and leader_election_leader{{{of}}} == 1) < {short:g}",
            "warning",
            f"{LEAST_PATIENCE}s",
            "Renewals of {{ $labels.namespace }}/{{ $labels.lease }} take too long",
            "The leader holds its Lease for less than one request takes: it will lose "
            "it next.",
        ),
        _alert(
            "LeaderElectionWorkDoesNotStop",
            f'max {by} (leader_election_role{{{of}, role="draining"}}) == 1',
            "warning",
            watched.drains,
            "Work of {{ $labels.namespace }}/{{ $labels.lease }} does not stop",
            "A term is over and its work goes on, so the Lease is not released. The "
            "log names what is still running.",
        ),
        _alert(
            "LeaderElectionErrorsEverywhere",
            f"min {by} (sum by (namespace, lease, identity) "
            f"(increase(leader_election_errors_total{{{of}}}[5m]))) > 0",
            "warning",
            "5m",
            "All replicas of {{ $labels.namespace }}/{{ $labels.lease }} meet errors",
            "Rights, certificates, or the API server: the log of any replica says which.",
        ),
    ]


def _alert(
    name: str, expression: str, severity: str, lasts: str, summary: str, about: str
) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": lasts,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": about},
    }


def dashboard(watched: Watched) -> dict[str, Any]:
    """Return a dashboard of Grafana, for any Lease, that begins with this one."""
    of = 'namespace="$namespace", lease="$lease"'
    panels = [
        _panel("Leaders", f"sum(leader_election_leader{{{of}}})", "stat", 4),
        _panel(
            "Who leads",
            f"max by (identity) (leader_election_leader{{{of}}})",
            "state-timeline",
            20,
            "{{identity}}",
        ),
        _panel(
            "For how long the Lease is held",
            f"leader_election_remaining_seconds{{{of}}} "
            f"and leader_election_leader{{{of}}} == 1",
            "timeseries",
            12,
            "{{identity}}",
            unit="s",
        ),
        _panel(
            "Renewals a minute",
            f"sum by (identity) (rate(leader_election_renewals_total{{{of}}}[5m])) * 60",
            "timeseries",
            12,
            "{{identity}}",
        ),
        _panel(
            "Terms that ended, by reason",
            "sum by (reason) (increase("
            f"leader_election_terms_lost_total{{{of}}}[$__rate_interval]))",
            "timeseries",
            12,
            "{{reason}}",
        ),
        _panel(
            "Errors, by kind",
            "sum by (error) (increase("
            f"leader_election_errors_total{{{of}}}[$__rate_interval]))",
            "timeseries",
            12,
            "{{error}}",
        ),
        _panel(
            "Work that drains",
            f'leader_election_role{{{of}, role="draining"}}',
            "timeseries",
            12,
            "{{identity}}",
        ),
        _panel(
            "How often the Lease changed hands",
            f"max(leader_election_lease_transitions{{{of}}})",
            "timeseries",
            12,
        ),
        _panel(
            "For how long nobody led before a take-over, on average, by reason",
            # As a whole: what has just come into being has no increase.
            f"sum by (why) (leader_election_gap_seconds_sum{{{of}}}) "
            f"/ sum by (why) (leader_election_gap_seconds_count{{{of}}})",
            "timeseries",
            12,
            "{{why}}",
            unit="s",
        ),
        _panel(
            "Take-overs, by the reason why nobody led",
            f"sum by (why) (leader_election_gap_seconds_count{{{of}}})",
            "timeseries",
            12,
            "{{why}}",
        ),
    ]
    _lay_out(panels)
    return {
        "title": "Leader election",
        "uid": f"leader-election-{watched.name}"[:40],
        "schemaVersion": 39,
        "tags": ["leader-election"],
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "type": "datasource", "query": "prometheus"},
                _variable("namespace", "leader_election_leader", watched.namespace),
                _variable(
                    "lease",
                    'leader_election_leader{namespace="$namespace"}',
                    watched.lease,
                ),
            ]
        },
        "panels": panels,
    }


def _panel(
    title: str,
    expression: str,
    kind: str,
    width: int,
    legend: str = "",
    *,
    unit: str = "short",
) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "$source"}
    return {
        "title": title,
        "type": kind,
        "datasource": source,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "gridPos": {"h": 8, "w": width, "x": 0, "y": 0},
        "targets": [
            {
                "datasource": source,
                "expr": expression,
                "legendFormat": legend,
                "refId": "A",
            }
        ],
    }


def _lay_out(panels: list[dict[str, Any]]) -> None:
    """Number the panels and put them into rows of 24 columns."""
    x = y = 0
    for number, panel in enumerate(panels, 1):
        place = panel["gridPos"]
        if x + place["w"] > 24:
            x, y = 0, y + place["h"]
        panel["id"], place["x"], place["y"] = number, x, y
        x += place["w"]


def _variable(name: str, series: str, first: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "$source"},
        "query": f"label_values({series}, {name})",
        "current": {"text": first, "value": first},
        "refresh": 2,
    }
