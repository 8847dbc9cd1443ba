"""``kle manifests``: YAML that a cluster takes, with no right too many or too few."""

from __future__ import annotations

import json

import pytest
import yaml

from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.results import NotFound, Refused
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import LeaseServer
from kubernetes_leader_election.testing.lease_server import User
from tests.node_page import eventually

KINDS = [
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "Deployment",
    "PodDisruptionBudget",
]


def documents(result) -> dict[str, dict]:
    """Parse the YAML; give the documents by kind."""
    assert result.exit_code == 0, result.stderr
    return {one["kind"]: one for one in yaml.safe_load_all(result.stdout)}


def test_manifests_print_five_documents_in_the_order_to_apply(call):
    """An account, its rights, and what runs the replicas."""
    result = call("manifests", "billing")
    assert [one["kind"] for one in yaml.safe_load_all(result.stdout)] == KINDS


def test_manifests_limit_rights_to_four_verbs_on_one_name(call):
    """The Role has one rule, for get, create, update and watch on the Lease's name."""
    role = documents(call("manifests", "billing", "--lease-name", "b"))["Role"]
    assert role["rules"] == [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["b"],
            "verbs": ["get", "create", "update", "watch"],
        }
    ]


@pytest.mark.parametrize("words", [["--for", "run"], ["--", "celery", "beat"], []])
def test_manifests_give_pods_longer_than_their_work_takes_to_stop(call, words):
    """Two spread replicas with probes, their own name, and a longer grace period."""
    times = ("--drain-sec", "40", "--pre-stop-sec", "5", "--request-timeout-sec", "2")
    found = documents(call("manifests", "billing", *times, *words))
    assert found["Deployment"]["spec"]["replicas"] == 2
    pod = found["Deployment"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 40 + 3 * 2 + 1 + 5
    assert (
        pod["topologySpreadConstraints"][0]["topologyKey"] == "kubernetes.io/hostname"
    )
    (container,) = pod["containers"]
    assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}
    assert container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert found["PodDisruptionBudget"]["spec"]["minAvailable"] == 1


def test_manifests_ask_for_no_more_than_the_level_restricted_allows(call):
    """Pod Security: not root, no more rights, no capability, a filter for calls."""
    found = documents(call("manifests", "billing"))
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"] == {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_manifests_say_what_a_program_has_to_give_its_elector(call):
    """Nothing: where its elector finds name and namespace is said, for the library."""
    told = call("manifests", "billing", "-n", "shop").stdout
    assert "The elector finds its name in POD_NAME" in told
    told = call("manifests", "billing", "--", "true").stdout
    assert "The elector finds" not in told


def test_manifests_start_the_command_under_run(call):
    """With COMMAND the container's command is `run` with the pod's name and the drain."""
    words = ("--preset", "steady", "--", "celery", "-A", "app", "beat")
    found = documents(call("manifests", "beat", *words))
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    command = container["command"]
    assert command[:3] == ["kubernetes-leader-election", "run", "beat"]
    assert command[command.index("--") + 1 :] == ["celery", "-A", "app", "beat"]
    assert "--identity=$(POD_NAME)" in command
    # By IPv6, too: that is how the probes of an IPv6 cluster come.
    assert "--http=:8080" in command
    assert {"--grace-sec=20", "--preset=steady"} <= set(command)
    assert "lifecycle" not in container


@pytest.mark.parametrize(
    "variable",
    ["KLE_MANIFESTS_DRAIN_SEC", "KLE_MANIFESTS_GRACE_SEC", "KLE_DRAIN_SEC"],
)
def test_manifests_take_the_grace_by_its_earlier_name(call, variable):
    """An option that has two names has their variables, too."""
    found = documents(call("manifests", "beat", "--", "beat", **{variable: "41"}))
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert "--grace-sec=41" in container["command"]


def test_manifests_refuse_a_grace_without_an_end(call):
    """A pod is killed some time: nobody could say when it has released its Lease."""
    result = call("manifests", "billing", "--grace-sec", "none")
    assert result.exit_code == 2
    assert "--grace-sec none has no end" in result.stderr


def test_manifests_rights_suffice_for_an_election_and_nothing_else(call):
    """On a server with RBAC the account leads its Lease and may touch no other."""
    result = call("manifests", "billing", "--rbac-only")
    account = "system:serviceaccount:default:billing"
    with LeaseServer(
        users=[User(account, token="t0ken")], manifests=result.stdout
    ) as server:
        with Elector(
            lease_name="billing", server=server.url, token="t0ken", auto_close=False
        ) as elector:
            assert elector.wait_until_leading(timeout=30).fencing_token
        client = LeaseClient(explicit(server=server.url, token="t0ken"))
        here = client.get("default", "billing", call=Call(deadline=boottime() + 30))
        there = client.get("default", "other", call=Call(deadline=boottime() + 30))
        client.close()
    assert not isinstance(here, Refused | NotFound)
    assert isinstance(there, Refused)
    assert there.error.status == 403


def test_manifests_come_as_a_list_in_json(call):
    """JSON is one List, which kubectl applies as well."""
    found = json.loads(call("manifests", "billing", "-o", "json").stdout)
    assert found["kind"] == "List"
    assert [one["kind"] for one in found["items"]] == KINDS


@pytest.mark.parametrize(
    "words",
    [
        ["Billing"],
        ["billing", "--namespace", "a_b"],
        ["x" * 64],
        ["billing", "--for", "library", "--", "sleep"],
    ],
    ids=["capitals", "odd namespace", "too long", "a command for the library"],
)
def test_manifests_refuse_what_a_cluster_would_refuse(call, words):
    """Bad names end with one line and exit code 2."""
    result = call("manifests", *words)
    assert result.exit_code == 2
    assert "Error:" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("image", ["", "  ", "a b"])
def test_manifests_refuse_what_is_no_image(call, image):
    """The API server would refuse the pods only, where nobody looks."""
    result = call("manifests", "billing", "--image", image)
    assert result.exit_code == 2
    assert "Give one as in registry.example/app:1.0" in result.stderr


@pytest.mark.parametrize(
    ("words", "port"),
    [
        (["--", "celery", "beat"], 8080),
        (["--port", "9000", "--", "celery", "beat"], 9000),
        (["--port", "9000"], 9000),
        ([], None),
    ],
    ids=["run", "run elsewhere", "a program that answers", "the library alone"],
)
def test_manifests_have_probes_only_where_somebody_answers(call, words, port):
    """The library serves no HTTP: pods with probes would be killed again and again."""
    found = documents(call("manifests", "billing", *words))
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    if port is None:
        assert not {"ports", "livenessProbe", "readinessProbe"} & set(container)
    else:
        assert container["ports"] == [{"name": "health", "containerPort": port}]
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_manifests_lead_the_library_to_the_namespace_of_the_role(call, monkeypatch):
    """An elector contends in `default` unless told: there the account has no right."""
    found = documents(call("manifests", "billing", "-n", "shop"))
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    fields = {
        one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"]
        for one in container["env"]
    }
    assert fields["KLE_NAMESPACE"] == "metadata.namespace"
    monkeypatch.setenv("KLE_NAMESPACE", found["Role"]["metadata"]["namespace"])
    assert Elector(lease_name="billing").namespace == "shop"


@pytest.mark.parametrize("name", ["ba.ing", "Billing", "x" * 64])
def test_manifests_blame_the_name_that_is_wrong(call, name):
    """NAME goes into a label; nobody gave a --namespace."""
    result = call("manifests", name)
    assert result.exit_code == 2
    assert f"NAME {name!r}" in result.stderr
    assert "namespace" not in result.stderr


def test_takeover_after_a_crash_has_its_rule_and_its_option(call):
    """On for `run`, which says that all work is in its container; else only when asked."""
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "watch"]}
    for given, ruled, asked in (
        (["--", "beat"], True, True),
        (["--no-crash-takeover", "--", "beat"], False, False),
        ([], False, False),
        (["--crash-takeover"], True, False),
    ):
        kinds = documents(call("manifests", "billing", *given))
        assert (pods in kinds["Role"]["rules"]) is ruled
        (container,) = kinds["Deployment"]["spec"]["template"]["spec"]["containers"]
        assert ("--crash-takeover" in container.get("command", [])) is asked


SLICE_RULE = {
    "apiGroups": ["discovery.k8s.io"],
    "resources": ["endpointslices"],
    "resourceNames": ["billing-leader"],
    "verbs": ["get", "create", "patch"],
}
EVENTS_RULE = {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}


def test_service_of_the_leader_has_all_that_it_needs(call):
    """The Service without selector, the rule with its one name, the variable, the flag."""
    option = "--leader-endpoints=billing-leader:http=9000,grpc=9001"
    kinds = documents(call("manifests", "billing", "-n", "shop", option, "--", "beat"))
    assert kinds["Service"]["metadata"] == {
        "name": "billing-leader",
        "namespace": "shop",
    }
    spec = kinds["Service"]["spec"]
    assert "selector" not in spec
    assert [(p["name"], p["port"], p["targetPort"]) for p in spec["ports"]] == [
        ("http", 9000, 9000),
        ("grpc", 9001, 9001),
    ]
    assert SLICE_RULE in kinds["Role"]["rules"]
    assert EVENTS_RULE not in kinds["Role"]["rules"]
    (container,) = kinds["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert option in container["command"]
    fields = {
        one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"]
        for one in container["env"]
    }
    assert fields["POD_IP"] == "status.podIP"


def test_events_have_their_rule(call):
    """And nothing else."""
    kinds = documents(call("manifests", "billing", "--kubernetes-events", "--", "beat"))
    assert EVENTS_RULE in kinds["Role"]["rules"]
    assert SLICE_RULE not in kinds["Role"]["rules"]
    assert "Service" not in kinds
    (container,) = kinds["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert "--kubernetes-events" in container["command"]


def test_library_is_told_what_the_program_has_to_say(call):
    """For the library it is the program that asks for it."""
    given = ("--leader-endpoints=billing-leader:9000", "--kubernetes-events")
    text = call("manifests", "billing", *given).stdout
    said = 'leader_endpoints="billing-leader:9000", kubernetes_events=True'
    assert f"#     Elector(..., {said})" in text
    assert "POD_IP" in text


def test_nothing_of_it_is_there_unasked(call):
    """No right that nobody needs."""
    text = call("manifests", "billing", "--", "beat").stdout
    for word in ("endpointslices", "events", "POD_IP", "Service\n"):
        assert word not in text


def test_endpoints_that_are_none_are_refused(call):
    """With one that works, in the words of the command line."""
    result = call("manifests", "billing", "--leader-endpoints=billing-leader")
    assert result.exit_code == 2
    assert "--leader-endpoints='billing-leader:8080'" in result.stderr


def test_rights_of_the_manifests_are_enough_to_be_reached(call, monkeypatch):
    """With the Role as it is printed, the slice and the Events are written."""
    given = ("--leader-endpoints=billing-leader:9000", "--kubernetes-events")
    role = documents(call("manifests", "billing", "-n", "shop", *given))["Role"]
    monkeypatch.setenv("POD_IP", "10.1.2.3")
    user = User("u", token="t", roles=(role,))
    with LeaseServer(users=[user], namespaces=["shop"]) as server:
        elector = Elector(
            lease_name="billing",
            namespace="shop",
            credentials=explicit(server=server.url, token="t"),
            auto_close=False,
            leader_endpoints="billing-leader:9000",
            kubernetes_events=True,
        )
        with elector:
            elector.wait_until_leading(timeout=30)
            eventually(lambda: server.endpoint_slice("billing-leader", "shop"))
            eventually(lambda: server.events("shop"))
