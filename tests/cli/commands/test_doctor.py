"""``kle doctor``: finds what is wrong, and says how to put it right."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from kubernetes_leader_election.cli.observe import pod_period
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.kube_api.call import Call
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.results import Answered
from kubernetes_leader_election.settings import resolve_settings
from kubernetes_leader_election.testing import LeaseServer
from kubernetes_leader_election.testing.faults import Answer, Delay, Fault
from kubernetes_leader_election.testing.lease_server import User
from tests.cli.observe.leases import write_lease


def checks(result) -> dict[str, list[dict]]:
    """Give the checks of a JSON answer by their name."""
    found: dict[str, list[dict]] = {}
    for check in json.loads(result.stdout)["checks"]:
        assert "\n" not in check["text"], "for a line of a log, or a table"
        found.setdefault(check["check"], []).append(check)
    return found


def test_doctor_passes_where_all_is_well(call, server, kubeconfig):
    """A reachable server, all rights and a free Lease: PASS and exit code 0."""
    write_lease(server, "well", holder="")
    result = call("doctor", "well", "--kubeconfig", kubeconfig)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "PASS"
    for name in ("credentials", "server", "latency", "rights", "clock", "timings"):
        assert f"  {name} " in result.stdout
    assert "p99" in result.stdout


def test_doctor_prints_the_yaml_for_missing_rights(call, tmp_path):
    """What is missing comes as a Role and a binding; applied, the doctor passes."""
    account = "system:serviceaccount:shop:billing"
    with LeaseServer(users=[User(account, token="t0ken")]) as server:
        config = tmp_path / "kubeconfig"
        server.kubeconfig(account, path=config)
        words = ("doctor", "billing", "--kubeconfig", config, "-o", "json")
        first = call(*words)
        (rights,) = checks(first)["rights"]
        role, binding = yaml.safe_load_all(rights["fix"].partition("\n")[2])
        server.set_roles(account, role)
        second = call(*words)
    assert first.exit_code == 1
    assert "get, create, update, watch" in rights["text"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "billing", "namespace": "shop"}
    ]
    assert checks(second)["rights"][0]["verdict"] == "PASS"


def test_doctor_only_warns_where_watching_alone_is_missing(call, tmp_path):
    """Without the watch an elector polls: WARN, exit code 5."""
    rule = {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "create", "update"],
    }
    role = {"kind": "Role", "metadata": {"namespace": "default"}, "rules": [rule]}
    user = User("u", token="t", roles=(role,))
    with LeaseServer(users=[user]) as server:
        server.kubeconfig("u", path=tmp_path / "kubeconfig")
        result = call("doctor", "x", "--kubeconfig", tmp_path / "kubeconfig")
    assert result.exit_code == 5
    assert "electors poll instead" in result.stdout
    assert result.stdout.splitlines()[-1] == "WARN"


@pytest.mark.slow
def test_doctor_looks_at_tls(call, tmp_path):
    """The version and the certificate's days are told; a wrong CA fails."""
    with LeaseServer(tls=True) as server, LeaseServer(tls=True) as other:
        good, bad = tmp_path / "good", tmp_path / "bad"
        text = server.kubeconfig(path=good)
        theirs = yaml.safe_load(other.kubeconfig())["clusters"][0]["cluster"]
        config = yaml.safe_load(text)
        config["clusters"][0]["cluster"]["certificate-authority-data"] = theirs[
            "certificate-authority-data"
        ]
        bad.write_text(json.dumps(config))
        passed = call("doctor", "x", "--kubeconfig", good, "-o", "json")
        failed = call("doctor", "x", "--kubeconfig", bad, "-o", "json")
    assert "TLSv1.3" in checks(passed)["tls"][0]["text"]
    assert checks(failed)["tls"][0]["verdict"] == "FAIL"
    assert failed.exit_code == 1


@pytest.mark.slow
def test_doctor_holds_latency_against_the_request_timeout(call, server, kubeconfig):
    """Answers that take longer than half of the timeout warn, and longer ones fail."""
    server.faults.add(Fault(Delay(0.02), verb="get", name="slow", times=None))
    words = ("--kubeconfig", kubeconfig, "-o", "json", "--renew-interval-ms", "100")
    warned = call("doctor", "slow", *words, "--request-timeout-sec", "0.04")
    failed = call("doctor", "slow", *words, "--request-timeout-sec", "0.01")
    assert checks(warned)["latency"][0]["verdict"] in {"WARN", "FAIL"}
    assert checks(failed)["latency"][0]["verdict"] == "FAIL"


DENIED = 'admission webhook "owners.example" denied the request: no owner'


@pytest.mark.parametrize("there", [True, False], ids=["update", "create"])
def test_doctor_tries_a_write_and_names_the_policy_that_refuses_it(
    call, server, kubeconfig, there
):
    """A right is not enough: admission is asked as well, and nothing is stored."""
    name = "tried-by-an-update" if there else "tried-by-a-creation"
    if there:
        write_lease(server, name, holder="a", duration=20)
    before = server.revision
    server.faults.add(Fault(Answer(403, message=DENIED), verb="update", times=None))
    failed = call("doctor", name, "--kubeconfig", kubeconfig, "-o", "json")
    assert failed.exit_code == 1
    found = checks(failed)
    assert found["rights"][0]["verdict"] == "PASS"
    assert found["writes"][0]["verdict"] == "FAIL"
    assert f"403 {DENIED}" in found["writes"][0]["text"]
    assert 'admission webhook "owners.example" refuses it' in found["writes"][0]["text"]
    server.faults.clear()
    passed = call("doctor", name, "--kubeconfig", kubeconfig, "-o", "json")
    (writes,) = checks(passed)["writes"]
    assert writes["verdict"] == "PASS"
    assert ("update" in writes["text"].partition(";")[0]) == there
    assert "creation" in writes["text"].partition(";")[0]
    assert server.revision == before, "nothing was stored"


def test_doctor_holds_the_time_of_a_write_against_the_request_timeout(
    call, server, kubeconfig
):
    """A webhook that takes its time on each write: FAIL, and what would do."""
    server.faults.add(Fault(Delay(0.3), verb="update", times=None))
    words = ("--kubeconfig", kubeconfig, "-o", "json", "--renew-interval-ms", "500")
    result = call("doctor", "slow", *words, "--request-timeout-sec", "0.25")
    (writes,) = checks(result)["writes"]
    assert writes["verdict"] == "FAIL"
    assert "the request timeout is 250 ms" in writes["text"]
    assert "--preset steady" in writes["fix"]


def test_doctor_that_may_create_one_lease_only_says_what_it_did_not_try(call, tmp_path):
    """Rule 6: a Role that names the Lease lets nobody POST; an update is tried."""
    role = {
        "kind": "Role",
        "metadata": {"namespace": "default"},
        "rules": [
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "resourceNames": ["mine"],
                "verbs": ["get", "create", "update", "watch"],
            }
        ],
    }
    with LeaseServer(users=[User("u", token="t", roles=(role,))]) as server:
        # Who sets the stage sends no token, and may do the same.
        server.add_user("system:anonymous", roles=(role,))
        write_lease(server, "mine", holder="")
        server.kubeconfig("u", path=tmp_path / "kubeconfig")
        words = ("--kubeconfig", tmp_path / "kubeconfig", "-o", "json")
        (writes,) = checks(call("doctor", "mine", *words))["writes"]
    assert writes["verdict"] == "PASS"
    assert "a creation cannot be tried" in writes["text"]


@pytest.mark.parametrize(
    ("lease", "says"),
    [
        ({"duration": None}, "no duration"),
        ({"duration": 3600}, "nobody leads for so long"),
        ({"duration": 7}, "do all replicas have the same?"),
        ({"duration": 20, "renewTime": None}, "renewTime is missing"),
        ({"duration": 20, "leaseTransitions": None}, "not counted"),
        ({"duration": 20, "written": "2099-01-01T00:00:00.000000Z"}, "ahead"),
        ({"duration": 20, "holder": "a\nb"}, "cannot be shown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_doctor_names_oddities_of_the_lease(call, server, kubeconfig, lease, says):
    """What is unusual about a Lease is told in plain words, as a warning."""
    write_lease(server, "odd", **lease)
    result = call("doctor", "odd", "--kubeconfig", kubeconfig)
    assert result.exit_code == 5, result.output
    assert says in result.stdout


def pod(period, *hooks):
    """Give the `spec` of a pod whose containers have these preStop hooks."""
    containers = [{"lifecycle": {"preStop": hook}} for hook in hooks] or [{}]
    return {"terminationGracePeriodSeconds": period, "containers": containers}


@pytest.mark.parametrize(
    ("spec", "grace", "verdict", "says"),
    [
        (pod(29), 20, "PASS", "29 s to end, and 29 s are needed: 20 s of grace"),
        (pod(28), 20, "WARN", "Set terminationGracePeriodSeconds to 29 at least"),
        (pod(30, {"sleep": {"seconds": 5}}), 20, "WARN", "to 34 at least"),
        (pod(34, {"sleep": {"seconds": 5}}), 20, "PASS", "5 s of the preStop hook"),
        (pod(60, {"exec": {"command": ["x"]}}), 20, "INFO", "comes on top"),
        (pod(60), None, "WARN", "grace_sec has no end"),
        ({"containers": [{}]}, 20, "PASS", "30 s to end"),
    ],
)
def test_doctor_holds_the_grace_period_of_the_pod_against_the_grace(
    spec, grace, verdict, says
):
    """Grace, release, a second and the preStop hook have to fit into it."""
    found = pod_period.judge(spec, resolve_settings(grace_sec=grace))
    assert found.verdict == verdict
    assert says in f"{found.text} {found.fix}"


def test_doctor_says_what_a_pod_needs_that_it_cannot_look_at(call, server, kubeconfig):
    """Outside a pod, and where the account may not read it, the number is told."""
    result = call("doctor", "x", "--kubeconfig", kubeconfig, "-o", "json")
    (check,) = checks(result)["pod"]
    assert check["verdict"] == "INFO"
    assert "terminationGracePeriodSeconds has to be 29 at least" in check["text"]


def test_doctor_asks_for_its_own_pod(server, monkeypatch):
    """By the name in POD_NAME, else that of the host."""
    monkeypatch.setenv("POD_NAME", "billing-0")
    asked = []
    client = SimpleNamespace(
        credentials=SimpleNamespace(namespace="shop"),
        request=lambda verb, path, call: (
            asked.append((verb, path)) or Answered(body={"spec": pod(28)})
        ),
    )
    target = SimpleNamespace(client=client, namespace="other")
    found = pod_period.look_at_pod(target, resolve_settings())
    assert found.verdict == "WARN"
    assert asked == [("GET", "/api/v1/namespaces/shop/pods/billing-0")]


def test_doctor_fails_without_a_server(call, tmp_path: Path):
    """A server that is not there is one failed check, not a crash."""
    with LeaseServer() as server:
        server.kubeconfig(path=tmp_path / "kubeconfig")
    result = call("doctor", "x", "--kubeconfig", tmp_path / "kubeconfig")
    assert result.exit_code == 1
    assert "nothing listens" in result.stdout
    assert result.stdout.splitlines()[-1] == "FAIL"


def test_doctor_fails_without_credentials_and_still_judges_the_times(call, tmp_path):
    """No kubeconfig at all: FAIL, with what does not need one."""
    result = call("doctor", "x", HOME=str(tmp_path), KUBECONFIG="")
    assert result.exit_code == 1
    assert "  timings " in result.stdout


def test_doctor_refuses_times_that_cannot_work(call, kubeconfig):
    """Unsafe times end with the arithmetic and exit code 2 before anything is asked."""
    result = call(
        "doctor",
        "x",
        "--kubeconfig",
        kubeconfig,
        "--lease-duration-sec",
        "10",
        "--renew-deadline-sec",
        "10",
    )
    assert result.exit_code == 2
    assert "--renew-deadline-sec" in result.stderr


def test_doctor_warns_of_times_that_survive_hardly_any_outage(call, kubeconfig):
    """They are safe, and lose a leader in each hiccup: WARN, with what leaves room."""
    words = ("doctor", "x", "--kubeconfig", kubeconfig, "-o", "json")
    (warned,) = checks(call(*words, "--stop-budget-sec", "30"))["timings"]
    assert warned["verdict"] == "WARN"
    assert "each API outage of 727 ms" in warned["fix"]
    assert "--stop-budget-sec, leaves room" in warned["fix"]
    # Bounds to the safe side; what the rule of safety compares, as it is.
    (passed,) = checks(call(*words, "--preset", "fast"))["timings"]
    assert (passed["verdict"], passed["fix"]) == ("PASS", None)
    assert "at most 5.9 s" in passed["text"]
    assert "outages below 1.8 s" in passed["text"]
    assert "stopped 4.545 s after a renewal, others start 4.545 s" in passed["text"]


def test_doctor_names_options_as_they_are_given(call, kubeconfig):
    """Errors are the library's; whoever reads them here has a command line."""
    words = ("doctor", "x", "-n", "nowhere", "--kubeconfig", kubeconfig, "-o", "json")
    (failed,) = checks(call(*words))["writes"]
    assert "Namespace nowhere does not exist" in failed["text"]
    assert "with --namespace=" in failed["text"]


def test_doctor_says_which_lease_may_have_been_meant(call, server, kubeconfig):
    """None of that name is no trouble; one that is nearly called so may be."""
    write_lease(server, "nightly-billing")
    words = ("doctor", "--kubeconfig", kubeconfig, "-o", "json")
    (lease,) = checks(call(*words, "nightly-biling"))["lease"]
    assert (
        "the first leader creates it. Did you mean 'nightly-billing'?" in lease["text"]
    )
    (lease,) = checks(call(*words, "nightly-billing", "-n", "kube-system"))["lease"]
    assert "one in the namespace 'default': try -n default" in lease["text"]


ANNOUNCED = ("--leader-endpoints=billing-leader:9000", "--kubernetes-events")


def test_doctor_says_nothing_of_what_nobody_asks_for(call, server, kubeconfig):
    """Rights that nobody needs are not missed."""
    result = call("doctor", "well", "--kubeconfig", kubeconfig, "-o", "json")
    assert not {"endpoints", "events"} & set(checks(result))


def test_doctor_misses_the_rights_to_tell_others(call, tmp_path):
    """Warned of, with the rule: the election goes on without them."""
    rule = {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "create", "update", "watch"],
    }
    role = {"kind": "Role", "metadata": {"namespace": "default"}, "rules": [rule]}
    with LeaseServer(users=[User("u", token="t", roles=(role,))]) as server:
        server.kubeconfig("u", path=tmp_path / "kubeconfig")
        words = ("--kubeconfig", tmp_path / "kubeconfig", "-o", "json")
        result = call("doctor", "x", *ANNOUNCED, *words)
    assert result.exit_code == 5
    found = checks(result)
    (endpoints,), (events,) = found["endpoints"], found["events"]
    assert endpoints["verdict"] == events["verdict"] == "WARN"
    assert "missing on EndpointSlice default/billing-leader: get" in endpoints["text"]
    assert (
        "resourceNames: [billing-leader], verbs: [get, create, patch]"
        in (endpoints["fix"])
    )
    assert 'apiGroups: [""], resources: [events], verbs: [create]' in events["fix"]


def test_doctor_knows_whose_slice_it_is(call, server, kubeconfig):
    """Missing: the leader makes it. Somebody else's: it is left alone, which fails."""
    words = ("doctor", "x", *ANNOUNCED, "--kubeconfig", kubeconfig, "-o", "json")
    missing = checks(call(*words))["endpoints"][1]
    assert missing["verdict"] == "INFO"
    client = LeaseClient(explicit(server=server.url))
    theirs = {"metadata": {"name": "billing-leader"}, "addressType": "IPv4"}
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    made = client.request("POST", path, call=Call(), body=theirs)
    assert isinstance(made, Answered)
    result = call(*words)
    assert result.exit_code == 1
    failed = checks(result)["endpoints"][1]
    assert failed["verdict"] == "FAIL"
    assert "made by somebody else" in failed["text"]
    assert "--leader-endpoints=" in failed["text"]
    client.request("DELETE", f"{path}/billing-leader", call=Call())
    client.close()
