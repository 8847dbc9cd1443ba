"""An unmodified kubectl works against the embedded server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from kubernetes_leader_election.cli.main import cli
from kubernetes_leader_election.testing import LeaseServer, User

pytestmark = pytest.mark.slow

LEASE = """\
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata:
  name: payments
  labels: {app: payments}
spec:
  holderIdentity: HOLDER
  leaseDurationSeconds: 20
  renewTime: "2024-05-06T07:08:09.000000Z"
"""

ROLE = """
kind: Role
metadata: {namespace: default}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get]}
"""


def find_kubectl() -> str | None:
    """Look where one may be: a variable, the cache of the control plane, the PATH."""
    for variable in ("TEST_ASSET_KUBECTL", "KUBECTL"):
        if os.environ.get(variable):
            return os.environ[variable]
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cache = Path(home, "kubernetes-leader-election", "controlplane")
    built = sorted(cache.glob("kubectl-*/kubectl"))
    return str(built[-1]) if built else shutil.which("kubectl")


@pytest.fixture(scope="module")
def server():
    """Give a server with TLS, which kubectl needs to send a token."""
    users = [User("alice", token="alice-token", roles=(ROLE,))]
    with LeaseServer(tls=True, users=users) as one:
        yield one


@pytest.fixture
def kubectl(server, tmp_path):
    """Give a function that runs kubectl as a user."""
    program = find_kubectl()
    if program is None:
        pytest.skip("no kubectl: none in TEST_ASSET_KUBECTL, the cache, or the PATH")

    def run(*arguments, user="admin", text=None, fails=False, environment=None):
        config = tmp_path / f"{user}.config"
        server.kubeconfig(user, path=config)
        known = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "KUBECONFIG": str(config),
            **(environment or {}),
        }
        done = subprocess.run(  # noqa: S603  # the program under test
            [program, *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=known,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout

    return run


@pytest.fixture
def payments(kubectl, server):
    """Give a Lease made by kubectl, and delete it after the test."""
    kubectl("apply", "-f", "-", text=LEASE.replace("HOLDER", "a"))
    yield
    if server.lease("payments") is not None:
        kubectl("delete", "lease", "payments")


def test_kubectl_gets(kubectl, payments):
    """``get`` shows a table, ``-o json`` an object, ``-A`` all namespaces."""
    table = kubectl("get", "leases").splitlines()
    assert table[0].split() == ["NAME", "HOLDER", "AGE"]
    assert table[1].split()[:2] == ["payments", "a"]
    spec = json.loads(kubectl("get", "lease", "payments", "-o", "json"))["spec"]
    assert spec["leaseDurationSeconds"] == 20
    assert "default" in kubectl("get", "leases", "-A")
    assert "payments" in kubectl("get", "leases", "-l", "app=payments")


def test_kubectl_describes(kubectl, payments):
    """``describe`` shows the spec and that there are no events."""
    text = kubectl("describe", "lease", "payments")
    assert "Holder Identity:" in text
    assert "Events:" in text


def test_kubectl_applies(kubectl, payments, server):
    """``apply`` patches, with validation on."""
    kubectl("apply", "-f", "-", text=LEASE.replace("HOLDER", "b"))
    assert server.lease("payments")["spec"]["holderIdentity"] == "b"


def test_kubectl_validates(kubectl, payments):
    """``apply`` refuses an unknown field, before or at the server."""
    bad = LEASE.replace("holderIdentity: HOLDER", "bogus: x")
    assert "bogus" in kubectl("apply", "-f", "-", text=bad, fails=True)


def test_kubectl_applies_on_the_server(kubectl, payments, server):
    """``apply --server-side`` meets conflicts and can force its way."""
    text = LEASE.replace("HOLDER", "c")
    words = "apply", "--server-side", "--field-manager=me", "-f", "-"
    refusal = kubectl(*words, text=text, fails=True)
    assert "conflict" in refusal
    kubectl(*words, "--force-conflicts", text=text)
    assert server.lease("payments")["spec"]["holderIdentity"] == "c"


def test_kubectl_goes_over_to_applying_on_the_server(kubectl, payments, server):
    """What a plain ``apply`` wrote is taken over, and its note follows."""
    kubectl("apply", "-f", "-", text=LEASE.replace("HOLDER", "b"))
    text = LEASE.replace("HOLDER", "c")
    kubectl("apply", "--server-side", "-f", "-", text=text)
    found = server.lease("payments")
    assert found["spec"]["holderIdentity"] == "c"
    noted = found["metadata"]["annotations"][
        "kubectl.kubernetes.io/last-applied-configuration"
    ]
    assert '"holderIdentity":"c"' in noted
    kubectl("apply", "-f", "-", text=LEASE.replace("HOLDER", "d"))
    assert server.lease("payments")["spec"]["holderIdentity"] == "d"


def test_kubectl_applies_all_that_a_program_needs(kubectl):
    """``kle manifests`` prints five kinds; each is created, changed, shown, deleted."""
    text = CliRunner().invoke(cli, ["manifests", "billing"]).stdout
    assert "deployment.apps/billing created" in kubectl("apply", "-f", "-", text=text)
    again = kubectl("apply", "-f", "-", text=text)
    assert "deployment.apps/billing unchanged" in again
    text = text.replace("replicas: 2", "replicas: 3")
    assert "deployment.apps/billing configured" in kubectl(
        "apply", "-f", "-", text=text
    )
    kubectl("apply", "--server-side", "-f", "-", text=text)
    shown = kubectl("get", "deploy,sa,role,rolebinding,pdb")
    assert shown.count("billing") == 5
    path = "jsonpath={.spec.replicas} {.spec.template.spec.containers[*].name}"
    assert kubectl("get", "deploy", "billing", "-o", path).startswith("3 main")
    assert kubectl("delete", "-f", "-", text=text).count("deleted") == 5


def test_kubectl_edits(kubectl, payments, server):
    """``edit`` sends what the editor made of it."""
    editor = {
        "KUBE_EDITOR": "sed -i s/leaseDurationSeconds:.20/leaseDurationSeconds:\\ 30/"
    }
    kubectl("edit", "lease", "payments", environment=editor)
    assert server.lease("payments")["spec"]["leaseDurationSeconds"] == 30


def test_kubectl_patches_and_labels(kubectl, payments, server):
    """``patch`` in three languages, ``label`` and ``annotate``."""
    patches = {
        "merge": '{"spec":{"leaseTransitions":1}}',
        "strategic": '{"spec":{"leaseTransitions":2}}',
        "json": '[{"op":"replace","path":"/spec/leaseTransitions","value":3}]',
    }
    for number, (kind, patch) in enumerate(patches.items(), start=1):
        kubectl("patch", "lease", "payments", "--type", kind, "-p", patch)
        assert server.lease("payments")["spec"]["leaseTransitions"] == number
    kubectl("label", "lease", "payments", "tier=front")
    kubectl("annotate", "lease", "payments", "note=hello")
    metadata = server.lease("payments")["metadata"]
    assert metadata["labels"] == {"app": "payments", "tier": "front"}
    assert metadata["annotations"]["note"] == "hello"


def test_kubectl_waits(kubectl, payments):
    """``wait`` sees a condition that holds."""
    condition = "--for=jsonpath={.spec.holderIdentity}=a"
    assert "met" in kubectl("wait", "lease/payments", condition, "--timeout=10s")


def test_kubectl_creates_replaces_and_deletes(kubectl, server):
    """``create``, ``replace`` and ``delete`` until it is gone."""
    kubectl("create", "-f", "-", text=LEASE.replace("HOLDER", "a"))
    kubectl("replace", "-f", "-", text=LEASE.replace("HOLDER", "d"))
    assert server.lease("payments")["spec"]["holderIdentity"] == "d"
    assert "deleted" in kubectl("delete", "lease", "payments")
    assert server.lease("payments") is None


def test_kubectl_watches(kubectl, payments, server):
    """``get -w`` prints a line for each change."""
    name = "payments"
    condition = "--for=jsonpath={.spec.leaseTransitions}=9"
    patch = '{"spec":{"leaseTransitions":9}}'
    kubectl("patch", "lease", name, "--type", "merge", "-p", patch)
    # A wait is a list and a watch with an end; get -w has none to wait for.
    kubectl("wait", f"lease/{name}", condition, "--timeout=10s")
    program = find_kubectl()
    config = Path(os.environ.get("TMPDIR", "/tmp"), f"kle-watch-{os.getpid()}")
    server.kubeconfig("admin", path=config)
    environment = {**os.environ, "KUBECONFIG": str(config)}
    command = [program, "get", "lease", name, "-w", "--no-headers"]
    with subprocess.Popen(  # noqa: S603  # the program under test
        command, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout.readline().split()[:2] == [name, "a"]
        patch = '{"spec":{"holderIdentity":"z"}}'
        kubectl("patch", "lease", name, "--type", "merge", "-p", patch)
        assert process.stdout.readline().split()[:2] == [name, "z"]
        process.kill()
    config.unlink()


def test_kubectl_knows_what_it_may(kubectl, payments):
    """``auth can-i`` and a refusal say the same."""
    assert kubectl("auth", "can-i", "get", "leases", user="alice").strip() == "yes"
    kubectl("auth", "can-i", "delete", "leases", user="alice", fails=True)
    refusal = kubectl("delete", "lease", "payments", user="alice", fails=True)
    assert 'User "alice" cannot delete resource "leases"' in refusal


def test_kubectl_handles_namespaces(kubectl, server):
    """``create namespace`` writes protobuf, and is understood."""
    kubectl("create", "namespace", "jobs")
    assert "Active" in kubectl("get", "namespace", "jobs")
    kubectl("delete", "namespace", "jobs", "--wait=false")
    assert "Terminating" in kubectl("get", "namespace", "jobs")
    server.remove_namespace("jobs")


def test_kubectl_explains(kubectl):
    """``explain`` and ``api-resources`` find Leases."""
    assert "holderIdentity" in kubectl("explain", "lease.spec")
    assert "leases" in kubectl("api-resources")
