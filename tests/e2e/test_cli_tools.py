"""The commands that show and steer elections, on the real control plane."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from controlplane import binaries
from controlplane.access import Cluster, lease_path
from tests.cli.observe.leases import run_electors

from kubernetes_leader_election.sync import Elector

pytestmark = pytest.mark.e2e

KLE = Path(sys.executable).parent / "kle"
DEPLOY = sorted((Path(__file__).parents[2] / "deploy").glob("*.yaml"))


def kle(*words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command line; its exit code is not checked."""
    return subprocess.run(
        [KLE, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={**os.environ, **environ},
    )


def electors(
    cluster: Cluster, namespace: str, lease: str, *names: str
) -> contextlib.AbstractContextManager[list[Elector]]:
    """Run electors on the real server; the first one leads when the block begins."""
    return run_electors(
        *names,
        lease_name=lease,
        namespace=namespace,
        server=cluster.server_url,
        token=cluster.token("admin"),
        ca_file=str(cluster.ca_file),
        renew_interval_ms=500,
        lease_duration_sec=3,
        request_timeout_sec=0.7,
    )


@contextlib.contextmanager
def clientgo(cluster: Cluster, namespace: str, program: Path) -> Iterator[None]:
    """Let a client-go program lead the Lease `rivals`."""
    command = [
        program,
        f"-kubeconfig={cluster.kubeconfig('admin')}",
        f"-namespace={namespace}",
        "-lease=rivals",
        "-id=go",
        "-lease-duration=3s",
        "-renew-deadline=2s",
        "-retry-period=500ms",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as rival:
        watchdog = threading.Timer(90, rival.kill)
        watchdog.start()
        try:
            for line in rival.stdout:
                if json.loads(line)["event"] == "started-leading":
                    break
            # Its later lines fill the pipe slowly: there is room for minutes.
            yield
        finally:
            watchdog.cancel()
            rival.terminate()
            rival.communicate()


def test_manifests_are_taken_by_a_real_server(
    control_plane: Cluster, namespace: str
) -> None:
    """Everything that is printed, for library and run, is created on a kube-apiserver."""
    for name, words in (("lib", []), ("wrapped", ["--", "celery", "-A", "a", "beat"])):
        printed = kle("manifests", name, "-n", namespace, *words)
        assert printed.returncode == 0
        done = control_plane.kubectl("create", "-f", "-", text=printed.stdout)
        assert done.returncode == 0, done.stderr
        kinds = {one["kind"] for one in yaml.safe_load_all(printed.stdout)}
        assert len(kinds) == len(done.stdout.splitlines()) == 5


@pytest.mark.parametrize("path", DEPLOY, ids=lambda path: path.stem)
def test_file_of_the_deploy_folder_is_taken_by_a_real_server(
    control_plane: Cluster, path: Path
) -> None:
    """What the documentation shows is created as it stands, the flow schema too."""
    made = control_plane.kubectl("create", f"-f={path}")
    try:
        assert made.returncode == 0, made.stderr
        if path.stem == "flow-schema":
            # The API server's own controller says whether its priority level exists.
            judged = control_plane.kubectl(
                "wait",
                "--for=condition=Dangling=False",
                "--timeout=60s",
                "flowschema/billing-leader-election",
            )
            assert judged.returncode == 0, judged.stderr
    finally:
        control_plane.kubectl("delete", f"-f={path}")


def test_manifests_give_a_real_account_what_an_election_needs(
    control_plane: Cluster, namespace: str
) -> None:
    """The service account leads its Lease, sees all of it, and may touch no other."""
    control_plane.grant(kle("manifests", "beat", "-n", namespace, "--rbac-only").stdout)
    account = f"system:serviceaccount:{namespace}:beat"
    control_plane.service_account_token("beat", namespace=namespace)
    for verb in ("get", "create", "update", "watch"):
        control_plane.wait_allowed(account, verb, namespace=namespace, name="beat")
    token = control_plane.service_account_token("beat", namespace=namespace)
    with Elector(
        lease_name="beat",
        namespace=namespace,
        server=control_plane.server_url,
        token=token,
        ca_file=str(control_plane.ca_file),
        auto_close=False,
    ) as elector:
        assert elector.wait_until_leading(timeout=30).fencing_token
        other = kle(
            "status",
            "other",
            "-n",
            namespace,
            KLE_SERVER=control_plane.server_url,
            KLE_CA_FILE=str(control_plane.ca_file),
        )
    assert other.returncode == 3  # anonymous, and refused in one line
    assert "forbidden" in other.stderr
    assert "Traceback" not in other.stderr


def test_doctor_passes_on_a_real_server(control_plane: Cluster, namespace: str) -> None:
    """An administrator's doctor passes; the short-lived certificate may be warned of."""
    config = control_plane.kubeconfig()
    result = kle("doctor", "x", "-n", namespace, "--kubeconfig", config, "-o", "json")
    checks = {one["check"]: one for one in json.loads(result.stdout)["checks"]}
    assert "TLSv1" in checks["tls"]["text"]
    assert checks.pop("tls")["verdict"] in {"PASS", "WARN"}
    assert "version v1." in checks["server"]["text"]
    assert {one["verdict"] for one in checks.values()} <= {"PASS", "INFO"}
    assert result.returncode in {0, 5}


def test_doctor_prints_yaml_that_a_real_server_takes(
    control_plane: Cluster, namespace: str
) -> None:
    """What a powerless user lacks is printed; applied, the rights are there."""
    config = control_plane.kubeconfig("alice")
    words = ("doctor", "x", "-n", namespace, "--kubeconfig", config, "-o", "json")
    checks = json.loads(kle(*words).stdout)["checks"]
    (rights,) = [one for one in checks if one["check"] == "rights"]
    assert rights["verdict"] == "FAIL"
    control_plane.grant(rights["fix"].partition("\n")[2])
    name = control_plane.subject("alice")["name"]
    for verb in ("get", "create", "update", "watch"):
        control_plane.wait_allowed(name, verb, namespace=namespace, name="x")
    assert json.loads(kle(*words).stdout)["verdict"] in {"PASS", "WARN"}


def test_status_watch_and_step_down_on_a_real_server(
    control_plane: Cluster, namespace: str
) -> None:
    """The leader is seen to renew, moved, and the watch tells how long nobody led."""
    config = control_plane.kubeconfig(namespace=namespace)
    with (
        electors(control_plane, namespace, "moved", "ada", "bob", "cyd"),
        subprocess.Popen(
            [KLE, "watch", "moved", "--kubeconfig", config, "-o", "json"],
            stdout=subprocess.PIPE,
            text=True,
        ) as watching,
    ):
        watchdog = threading.Timer(90, watching.kill)
        watchdog.start()
        assert json.loads(watching.stdout.readline())["change"] == "held"
        shown = kle("status", "moved", "--kubeconfig", config, "-o", "json")
        found = json.loads(shown.stdout)
        assert (found["state"], found["holder"]) == ("leads", "ada")
        assert found["holder_kind"] == "this package"
        moved = kle("transfer", "moved", "--to", "cyd", "--kubeconfig", config)
        assert moved.returncode == 0, moved.stderr
        assert "'cyd' leads now" in moved.stdout
        changes = []
        while not changes or changes[-1]["change"] != "acquired":
            changes.append(json.loads(watching.stdout.readline()))
        watching.terminate()
        watchdog.cancel()
    assert changes[-1]["holder"] == "cyd"
    assert changes[-1]["token"] > 0
    assert 0 < changes[-1]["nobody_led_sec"] < 5
    assert "released" in [one["change"] for one in changes]
    assert "asked to step down" in [one["change"] for one in changes]


def test_asking_client_go_is_refused_and_said(
    control_plane: Cluster, namespace: str, clientgo_elector: Path
) -> None:
    """A client-go holder is recognised: status says so, step-down writes nothing."""
    config = control_plane.kubeconfig(namespace=namespace)
    with clientgo(control_plane, namespace, clientgo_elector):
        shown = kle("status", "rivals", "--kubeconfig", config, "-o", "json")
        asked = kle("step-down", "rivals", "--kubeconfig", config)
        lease = control_plane.request("GET", lease_path(namespace, "rivals")).json()
    found = json.loads(shown.stdout)
    assert (found["state"], found["can_be_asked"]) == ("leads", False)
    assert asked.returncode == 1
    assert "cannot be asked" in asked.stderr
    assert "annotations" not in lease["metadata"]


def test_release_frees_an_expired_lease_on_a_real_server(
    control_plane: Cluster, namespace: str
) -> None:
    """Observed to have expired, it is freed; `status` then says that nobody leads."""
    config = control_plane.kubeconfig(namespace=namespace)
    moment = "2026-01-01T00:00:00.000000Z"
    spec = {
        "holderIdentity": "dead",
        "leaseDurationSeconds": 1,
        "acquireTime": moment,
        "renewTime": moment,
    }
    metadata = {"name": "stale", "namespace": namespace}
    created = control_plane.request(
        "POST", lease_path(namespace), {"metadata": metadata, "spec": spec}
    )
    assert created.status == 201
    result = kle("release", "stale", "--force", "--yes", "--kubeconfig", config)
    assert result.returncode == 0, result.stderr
    assert kle("status", "stale", "--kubeconfig", config).returncode == 1


def test_kubectl_finds_its_plugin(
    control_plane: Cluster, namespace: str, tmp_path: Path
) -> None:
    """`kubectl leader` is this command line, with help in its own name."""
    found = subprocess.run(
        [control_plane._kubectl, "leader", "status", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"HOME": str(tmp_path), "PATH": f"{KLE.parent}:/usr/bin:/bin"},
    )
    assert found.stdout.startswith("Usage: kubectl leader status")


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "lines"])
def test_demo_keeps_every_promise(*, terminal: bool) -> None:
    """The story is told to its end, on a terminal and in lines, within 90 s."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [KLE, "demo"],
        stdout=follower if terminal else subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "110", "LINES": "40"},
    )
    os.close(follower)
    watchdog = threading.Timer(90, process.kill)
    watchdog.start()
    shown = b""
    if terminal:
        with contextlib.suppress(OSError):  # Linux: the other end is closed
            while piece := os.read(leader, 65536):
                shown += piece
    else:
        shown = process.stdout.read()
        process.stdout.close()
    os.close(leader)
    code = process.wait()
    watchdog.cancel()
    text = shown.decode()
    assert code == 0, text[-3000:]
    assert "instants with two leaders: 0 of " in text
    assert ("\x1b[" in text) is terminal
    assert ("Every promise was kept." in text) is terminal


def test_leases_of_all_namespaces_are_shown_by_name_and_label(
    control_plane: Cluster, namespace: str
) -> None:
    """-A and -l as kubectl has them: one list, one watch, the server's own selectors."""
    config = control_plane.kubeconfig("admin")
    other = control_plane.namespace("other")
    with (
        electors(control_plane, namespace, "billing", "ada"),
        electors(control_plane, other, "billing", "eve"),
    ):
        control_plane.kubectl("label", "lease/billing", "-n", other, "team=other")
        words = ("-A", "--kubeconfig", config, "status", "-o", "json")
        found = {
            (one["namespace"], one["lease"]): one["state"]
            for one in json.loads(kle(*words).stdout)
        }
        assert found[namespace, "billing"] == found[other, "billing"] == "leads"
        labelled = json.loads(kle(*words, "-l", "team=other").stdout)
        assert [one["namespace"] for one in labelled] == [other]
        missing = kle("status", "billing", "--kubeconfig", config, "--observe-sec", "0")
        assert "There is one in the namespaces" in missing.stdout


def test_viewer_of_the_manifests_may_look_as_whom_as_names(
    control_plane: Cluster, namespace: str
) -> None:
    """--as is impersonation: the rights are those of the account, no more."""
    printed = kle("manifests", "look", "-n", namespace, "--rbac-only", "--viewer")
    control_plane.grant(printed.stdout)
    account = f"system:serviceaccount:{namespace}:default"
    words = ("status", "look", "-n", namespace, "--observe-sec", "0", "--as", account)
    config = control_plane.kubeconfig("admin")
    refused = kle(*words, "--kubeconfig", config)
    assert refused.returncode == 3
    assert account in refused.stderr
    bound = control_plane.kubectl(
        *("create", "rolebinding", "looks", "-n", namespace, "--role=look-viewer"),
        f"--serviceaccount={namespace}:default",
    )
    assert bound.returncode == 0, bound.stderr
    control_plane.wait_allowed(account, "get", namespace=namespace, name="look")
    assert kle(*words, "--kubeconfig", config).returncode == 1, "there is none"
    with electors(control_plane, namespace, "look", "ada"):
        assert kle(*words, "--kubeconfig", config).returncode == 0
        steered = kle("step-down", *words[1:4], *words[-2:], "--kubeconfig", config)
    assert steered.returncode == 3
    assert 'The verb "update" is missing' in steered.stderr


def test_folder_for_kustomize_is_taken_by_kubectl(
    control_plane: Cluster, namespace: str, tmp_path: Path
) -> None:
    """`kubectl create -k` makes all of it; with monitoring, kustomize reads it."""
    folder, watched = tmp_path / "plain", tmp_path / "watched"
    words = ("manifests", "kust", "-n", namespace, "--port", "8080", "--viewer")
    assert kle(*words, "--kustomize", folder).returncode == 0
    made = control_plane.kubectl("create", "-k", str(folder))
    assert made.returncode == 0, made.stderr
    assert len(made.stdout.splitlines()) == 6
    assert kle(*words, "--monitoring", "--kustomize", watched).returncode == 0
    read = control_plane.kubectl("kustomize", str(watched))
    assert read.returncode == 0, read.stderr
    kinds = [one["kind"] for one in yaml.safe_load_all(read.stdout)]
    assert {"PrometheusRule", "ServiceMonitor", "ConfigMap", "Service"} <= set(kinds)


def test_kubectl_completes_its_plugin(
    control_plane: Cluster, namespace: str, tmp_path: Path
) -> None:
    """By the program that it looks for on PATH: commands, and Leases of the server."""
    with electors(control_plane, namespace, "tab-one", "ada"):
        for words, wanted in (
            (("sta",), "status"),
            (("-n", namespace, "status", "tab-"), "tab-one"),
        ):
            done = subprocess.run(
                [
                    binaries.find(("kubectl",))["kubectl"],
                    "__complete",
                    "leader",
                    *words,
                ],
                capture_output=True,
                text=True,
                check=True,
                env={
                    **os.environ,
                    "PATH": f"{KLE.parent}:{os.environ['PATH']}",
                    "KUBECONFIG": str(control_plane.kubeconfig("admin")),
                },
            )
            proposed = [line.partition("\t")[0] for line in done.stdout.splitlines()]
            assert proposed == [wanted, ":4"], done.stderr
