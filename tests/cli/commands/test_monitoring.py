"""What `manifests` adds: a Role that looks, alerts, a dashboard, a folder for kustomize."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml

from kubernetes_leader_election.observability.metrics import Metrics
from kubernetes_leader_election.testing import LeaseServer
from kubernetes_leader_election.testing.lease_server import User

ROOT = Path(__file__).parents[3]
SHOWN = ROOT / "deploy" / "monitoring" / "billing.yaml"
"""Written by the command that stands in its first line, with REWRITE_DOCS=1."""
COMMAND = ("manifests", "billing", "-n", "shop", "--rbac-only", "--monitoring")


def documents(result):
    """Give the documents of an answer."""
    assert result.exit_code == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def kinds(result):
    """Give kind and name of each document."""
    return [(one["kind"], one["metadata"]["name"]) for one in documents(result)]


def test_monitoring_is_as_the_folder_deploy_shows_it(call):
    """Whoever changes an alert sees it there; the real promtool tests that file."""
    text = call(*COMMAND).stdout
    watched = text[text.index("---\napiVersion: v1\nkind: Service\n") + 4 :]
    told = f"# kle {' '.join(COMMAND)}\n{watched}"
    if os.environ.get("REWRITE_DOCS"):
        SHOWN.write_text(told)
    assert SHOWN.read_text() == told


def test_alerts_name_metrics_and_labels_that_there_are(call):
    """An alert on a metric of another name never comes."""
    kinds = re.findall(r"^# TYPE (\S+) (\S+)", Metrics().text(), re.MULTILINE)
    names = {name for name, _ in kinds}
    for name, kind in kinds:
        if kind == "histogram":
            names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    text = call(*COMMAND).stdout
    named = set(re.findall(r"leader_election_[a-z_]+", text))
    assert len(named) >= 7
    assert named <= names


def test_alerts_are_those_of_one_lease_in_one_namespace(call):
    """Another team's Lease of the same name wakes nobody here."""
    (rules,) = (d for d in documents(call(*COMMAND)) if d["kind"] == "PrometheusRule")
    (group,) = rules["spec"]["groups"]
    for rule in group["rules"]:
        series = re.findall(r"leader_election_\w+(\{[^}]*\}|)", rule["expr"])
        assert series
        assert all('namespace="shop", lease="billing"' in one for one in series)
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"warning", "critical"}
    assert len({rule["alert"] for rule in group["rules"]}) == len(group["rules"]) == 7


def test_alerts_go_by_the_times_of_the_election(call):
    """Two lease durations without a leader; a drain, and a minute and a half more."""
    words = (*COMMAND, "--lease-duration-sec", "120", "--renew-interval-ms", "20000")
    found = documents(call(*words, "--grace-sec", "300"))
    (rules,) = (d for d in found if d["kind"] == "PrometheusRule")
    lasts = {r["alert"]: r["for"] for g in rules["spec"]["groups"] for r in g["rules"]}
    assert lasts["LeaderElectionNobodyLeads"] == "240s"
    assert lasts["LeaderElectionNoReplicas"] == "240s"
    assert lasts["LeaderElectionWorkDoesNotStop"] == "390s"


def test_what_is_scraped_is_what_the_pods_serve(call):
    """By the port's name, through a Service that has replicas which are not ready, too."""
    words = ("manifests", "billing", "--monitoring", "--", "celery", "beat")
    found = {one["kind"]: one for one in documents(call(*words))}
    pod = found["Deployment"]["spec"]["template"]
    (port,) = pod["spec"]["containers"][0]["ports"]
    service = found["Service"]["spec"]
    assert service["ports"][0]["targetPort"] == port["name"]
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    monitor = found["ServiceMonitor"]["spec"]
    labels = monitor["selector"]["matchLabels"]
    assert labels.items() <= found["Service"]["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] == service["ports"][0]["name"]
    assert endpoint["honorLabels"], "else the namespace would be that of the scrape"


def test_dashboard_is_one_that_grafana_reads(call):
    """JSON; panels that do not overlap; it begins with this Lease."""
    (found,) = (d for d in documents(call(*COMMAND)) if d["kind"] == "ConfigMap")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    (text,) = found["data"].values()
    board = json.loads(text)
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert variables["lease"]["current"]["value"] == "billing"
    assert variables["namespace"]["current"]["value"] == "shop"
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_dashboard_shows_for_how_long_nobody_led_and_why(call):
    """The average of what the histogram has, for this Lease alone, in seconds."""
    (found,) = (d for d in documents(call(*COMMAND)) if d["kind"] == "ConfigMap")
    (text,) = found["data"].values()
    (panel,) = (
        panel
        for panel in json.loads(text)["panels"]
        if "leader_election_gap_seconds_sum" in panel["targets"][0]["expr"]
    )
    assert panel["fieldConfig"]["defaults"]["unit"] == "s"
    target = panel["targets"][0]
    series = re.findall(r"(leader_election_\w+)\{([^}]*)\}", target["expr"])
    assert [name.rpartition("_")[2] for name, _ in series] == ["sum", "count"]
    assert {labels for _, labels in series} == {
        'namespace="$namespace", lease="$lease"'
    }
    assert target["expr"].count("sum by (why)") == 2
    assert target["legendFormat"] == "{{why}}"


def test_monitoring_needs_somebody_who_answers(call):
    """A scrape of a port that nobody serves is an alert that nobody understands."""
    result = call("manifests", "billing", "--monitoring")
    assert result.exit_code == 2
    assert "--monitoring needs --port" in result.stderr
    assert call("manifests", "billing", "--monitoring", "--port", "80").exit_code == 0


def test_viewer_may_look_and_nothing_else(call, tmp_path):
    """On a server with RBAC: status and watch work, step-down does not."""
    text = call("manifests", "billing", "--rbac-only", "--viewer").stdout
    assert "kle status, kle watch" in text
    found = [one for one in yaml.safe_load_all(text) if one["kind"] == "Role"]
    assert [one["metadata"]["name"] for one in found] == ["billing", "billing-viewer"]
    assert found[1]["rules"][0]["verbs"] == ["get", "list", "watch"]
    bound = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "on-call", "namespace": "default"},
        "subjects": [{"kind": "User", "name": "ada"}],
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": "billing-viewer",
        },
    }
    token = tmp_path / "token"
    token.write_text("t0ken")
    with LeaseServer(
        users=[User("ada", token="t0ken")],
        manifests=f"{text}\n---\n{json.dumps(bound)}",
    ) as server:
        words = ("billing", "--server", server.url, "--token-file", token)
        assert call("status", *words, "--observe-sec", "0").exit_code == 1, (
            "no Lease yet"
        )
        watched = call("watch", *words, "--for-sec", "0.3")
        assert (watched.exit_code, "not permitted" in watched.stdout) == (0, False)
        asked = [r for r in server.requests if "/namespaces/default/leases" in r.path]
        assert {r.verb for r in asked} >= {"get", "watch"}
        assert {r.verb for r in asked if r.status == 403} <= {"list"}, "of all others"
        other = call("status", "mail", *words[1:], "--observe-sec", "0")
        assert other.exit_code == 3


def test_kustomize_writes_a_folder(call, tmp_path):
    """A file for each document, and the list of them; the same call again is no trouble."""
    folder = tmp_path / "deploy" / "billing"
    words = ("manifests", "billing", "-n", "shop", "--port", "8080", "--viewer")
    for _ in range(2):
        result = call(*words, "--monitoring", "--kustomize", folder)
        assert result.exit_code == 0, result.stderr
        assert f"kubectl apply -k {folder}" in result.stderr
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert listed["namespace"] == "shop"
    assert sorted(listed["resources"]) == sorted(
        path.name for path in folder.iterdir() if path.name != "kustomization.yaml"
    )
    found = [yaml.safe_load((folder / x).read_text()) for x in listed["resources"]]
    printed = documents(call(*words, "--monitoring"))
    assert found == printed
    assert {"role-billing.yaml", "role-billing-viewer.yaml"} <= set(listed["resources"])


def test_kustomize_keeps_what_somebody_has_edited(call, tmp_path):
    """Nothing is written then, not even the other files."""
    (tmp_path / "deployment.yaml").write_text("mine")
    result = call("manifests", "billing", "--kustomize", tmp_path)
    assert result.exit_code == 2
    assert "deployment.yaml with another content, which is kept" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["deployment.yaml"]
    assert (tmp_path / "deployment.yaml").read_text() == "mine"


@pytest.mark.parametrize("words", [("-o", "json")])
def test_kustomize_is_yaml(call, tmp_path, words):
    """One List of JSON is no folder."""
    result = call("manifests", "billing", "--kustomize", tmp_path / "x", *words)
    assert result.exit_code == 2
    assert "leave out -o json" in result.stderr
    assert not (tmp_path / "x").exists()
