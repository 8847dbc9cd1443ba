"""Leases of all namespaces, and those with labels: -A and -l, as kubectl has them."""

from __future__ import annotations

import json

import pytest

from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.results import Ok
from kubernetes_leader_election.testing import LeaseServer
from kubernetes_leader_election.testing.lease_server import User
from tests.cli.watching import Watching

ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: look, namespace: default}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: look, namespace: default}
subjects: [{kind: User, name: ada}]
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: look}
"""


def write(server, namespace, name, holder="ada", **labels):
    """Write a Lease that nobody renews."""
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 3600},
    }
    before = server.lease(name, namespace)
    if before is not None:
        lease["metadata"] = before["metadata"]
    client = LeaseClient(explicit(server=server.url))
    result = client.replace(namespace, name, lease, call=Call(deadline=boottime() + 30))
    client.close()
    assert isinstance(result, Ok), result


@pytest.fixture(name="server", scope="module")
def _server():
    """Give a server with three Leases in two namespaces, two of them called billing."""
    with LeaseServer(namespaces=["default", "shop"]) as server:
        write(server, "default", "billing", app="shop", tier="test")
        write(server, "shop", "billing", holder="eve", app="shop")
        write(server, "shop", "mail", app="mail")
        yield server


def status(call, server, *words):
    """Give what `status -o json` says, without waiting for anything."""
    words = ("status", "--server", server.url, "--observe-sec", "0", *words)
    return call(*words, "-o", "json")


def found(result):
    """Give namespace and name of each Lease."""
    assert result.exit_code == 0, result.stderr
    return [(one["namespace"], one["lease"]) for one in json.loads(result.stdout)]


def test_status_shows_all_namespaces(call, server):
    """Two Leases of one name are two."""
    everywhere = [("default", "billing"), ("shop", "billing"), ("shop", "mail")]
    assert found(status(call, server, "-A")) == everywhere
    assert found(status(call, server, "-n", "shop")) == everywhere[1:]


def test_status_table_has_a_column_for_the_namespace(call, server):
    """Only with -A: the head says it else."""
    words = ("status", "--server", server.url, "--observe-sec", "0")
    lines = call(*words, "-A").stdout.splitlines()
    assert lines[0] == f"Leases of all namespaces at {server.url}"
    assert lines[1].split()[:3] == ["NAMESPACE", "LEASE", "STATE"]
    assert lines[3].split()[:4] == ["shop", "billing", "held", "eve"]
    lines = call(*words, "-n", "shop", "-l", "app=mail").stdout.splitlines()
    assert lines[0].startswith("Leases with app=mail of namespace shop")
    assert [line.split()[0] for line in lines[1:]] == ["LEASE", "mail"]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=shop", [("default", "billing"), ("shop", "billing")]),
        ("app=shop,tier!=test", [("shop", "billing")]),
        ("app in (mail, post)", [("shop", "mail")]),
        ("app=none", []),
    ],
)
def test_status_chooses_by_labels(call, server, selector, names):
    """The server reads the selector: what it understands, this does."""
    assert found(status(call, server, "-A", "-l", selector)) == names


def test_selector_that_is_none_is_refused_by_the_server(call, server):
    """With its words, and no traceback."""
    result = status(call, server, "-l", "app in (")
    assert result.exit_code == 3
    assert "400" in result.stderr


@pytest.mark.parametrize("command", ["status", "watch"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-A", "billing"), "name it with -n"),
        (("-l", "a=b", "billing"), "leave it out where they are named"),
        (("-A", "-n", "shop"), "leave out -n"),
    ],
)
def test_what_contradicts_itself_is_refused(call, server, command, words, said):
    """As kubectl does, with what to do."""
    result = call(command, "--server", server.url, *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_variable_with_a_namespace_does_not_contradict_all_of_them(call, server):
    """KLE_NAMESPACE is set for good in a shell; -A is typed now."""
    words = ("status", "--server", server.url, "--observe-sec", "0", "-A", "-o", "json")
    assert len(found(call(*words, KLE_NAMESPACE="shop"))) == 3


def test_options_may_stand_before_the_command(call, server):
    """`kubectl leader -A -l app=mail status`."""
    words = ("-A", "-l", "app=mail", "--server", server.url, "status")
    result = call(*words, "--observe-sec", "0", "-o", "json")
    assert found(result) == [("shop", "mail")]


def test_watch_follows_all_namespaces(server):
    """One list and one watch for all; each change says where it was."""
    before = len(server.requests)
    with Watching("-A", "-l", "app==mail", "--server", server.url) as watching:
        watching.wait_for("held")
        write(server, "shop", "mail", "bob")
        watching.wait_for("acquired")
    write(server, "shop", "mail", "ada")
    told = [(one["namespace"], one["lease"], one["holder"]) for one in watching.changes]
    assert told == [
        ("shop", "mail", "ada"),
        ("shop", "mail", "bob"),
    ]
    # Nobody else writes the selector so: what the test before asked may come so late.
    asked = [one for one in list(server.requests)[before:] if "%3D%3D" in one.query]
    assert [(one.verb, one.namespace) for one in asked] == [
        ("list", ""),
        ("watch", ""),
    ]


def test_missing_right_names_a_cluster_role(call, tmp_path):
    """A Role gives no right to look everywhere, and the advice must not be one."""
    token = tmp_path / "token"
    token.write_text("t0ken")
    with LeaseServer(users=[User("ada", token="t0ken")], manifests=ROLE) as server:
        words = ("--server", server.url, "--token-file", token, "--observe-sec", "0")
        result = call("status", "-A", *words)
        assert call("status", *words).exit_code == 0
    assert result.exit_code == 3
    assert "Add this rule to a ClusterRole that is bound to ada:" in result.stderr
    assert "Leases in all namespaces" in result.stderr


def test_lease_of_another_namespace_is_named(call, server):
    """The first hour's mistake: the program elects in another namespace."""
    words = ("--server", server.url, "--observe-sec", "0")
    result = call("status", "mail", *words)
    assert result.exit_code == 1
    assert "There is one in the namespace 'shop': try -n shop." in result.stdout
    result = call("status", "mial", "-n", "shop", *words)
    assert "Did you mean 'mail'?" in result.stdout
