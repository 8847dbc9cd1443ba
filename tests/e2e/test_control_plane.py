"""The control plane the end-to-end tests stand on does what they rely on."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from controlplane import binaries
from controlplane.access import Cluster, lease_path
from controlplane.control_plane import ControlPlane
from controlplane.external import ExternalCluster
from controlplane.processes import wait_until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def own() -> Iterator[ControlPlane]:
    """Start one pair for the tests below that freeze and restart it."""
    with ControlPlane() as started:
        yield started


def lease(name: str, holder: str, **metadata: str) -> dict[str, Any]:
    """Return a Lease as it is sent."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, **metadata},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15},
    }


def exists(pid: int) -> bool:
    """Say whether a process of that id runs, and is no zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def active_namespaces(server: Cluster) -> set[str]:
    """Return the namespaces that are not being deleted."""
    answer = server.request("GET", "/api/v1/namespaces")
    return {
        each["metadata"]["name"]
        for each in answer.json()["items"]
        if each["status"]["phase"] == "Active"
    }


def test_server_tells_the_version_that_go_mod_names(
    own: ControlPlane,
) -> None:
    """It says to be the release that was built, not an unknown development build."""
    answer = own.request("GET", "/version", user=None)

    assert binaries.kubernetes_version() == answer.json()["gitVersion"]


def test_admin_creates_reads_and_replaces_a_lease(
    control_plane: Cluster, namespace: str
) -> None:
    """A Lease is created, read and replaced with a token."""
    path = lease_path(namespace, "p")

    created = control_plane.request("PUT", path, lease("p", "a"))
    read = control_plane.request("GET", path)
    version = read.json()["metadata"]["resourceVersion"]
    again = control_plane.request("PUT", path, lease("p", "b", resourceVersion=version))
    stale = control_plane.request("PUT", path, lease("p", "c", resourceVersion=version))

    assert created.status == http.client.CREATED
    assert read.json()["spec"]["holderIdentity"] == "a"
    assert (again.status, again.json()["spec"]["holderIdentity"]) == (200, "b")
    assert (stale.status, stale.json()["reason"]) == (409, "Conflict")


def test_user_may_do_nothing_until_allowed_and_after_revocation(
    control_plane: Cluster, namespace: str
) -> None:
    """RBAC is in force: rights come with a binding on one name and go with it."""
    path = lease_path(namespace, "p")
    other = lease_path(namespace, "q")

    assert control_plane.request("GET", path, user="alice").status == 403
    revoke = control_plane.allow(
        "alice", ["get", "create", "update"], namespace=namespace, name="p"
    )
    created = control_plane.request("PUT", path, lease("p", "a"), user="alice")
    denied = control_plane.request("PUT", other, lease("q", "a"), user="alice")
    assert (created.status, denied.status) == (201, 403)
    assert control_plane.request("GET", path, user="bob").status == 403
    revoke()
    assert control_plane.request("GET", path, user="alice").status == 403


def test_bad_token_is_unauthorised(control_plane: Cluster) -> None:
    """A token nobody was given is refused with 401."""
    answer = control_plane.request(
        "GET", lease_path("default"), headers={"Authorization": "Bearer wrong"}
    )

    assert (answer.status, answer.json()["reason"]) == (401, "Unauthorized")


def test_grant_takes_any_rbac_manifest(control_plane: Cluster, namespace: str) -> None:
    """Manifests as users write them are applied, also a second time."""
    subject = json.dumps(control_plane.subject("carol"))
    manifests = textwrap.dedent(
        f"""
        apiVersion: rbac.authorization.k8s.io/v1
        kind: Role
        metadata: {{name: election}}
        rules:
          - apiGroups: [coordination.k8s.io]
            resources: [leases]
            verbs: [list]
        ---
        apiVersion: rbac.authorization.k8s.io/v1
        kind: RoleBinding
        metadata: {{name: election}}
        roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: election}}
        subjects: [{subject}]
        """
    )

    for _ in range(2):
        control_plane.grant(manifests, namespace=namespace)
    control_plane.wait_allowed("carol", "list", namespace=namespace)

    answer = control_plane.request("GET", lease_path(namespace), user="carol")
    assert answer.status == 200


def test_service_account_token_is_a_user_like_any_other(
    control_plane: Cluster, namespace: str
) -> None:
    """A service account has a token, an identity, and no rights."""
    token = control_plane.service_account_token("robot", namespace=namespace)

    answer = control_plane.request(
        "GET",
        lease_path(namespace, "p"),
        headers={"Authorization": f"Bearer {token}"},
    )

    assert answer.status == 403
    assert f"system:serviceaccount:{namespace}:robot" in answer.json()["message"]


def test_kubectl_works_with_a_users_kubeconfig(
    control_plane: Cluster, namespace: str
) -> None:
    """The real kubectl applies and reads a Lease, and shows an RBAC refusal."""
    text = json.dumps(lease("p", "somebody"))

    applied = control_plane.kubectl("apply", f"-n{namespace}", "-f-", text=text)
    shown = control_plane.kubectl("get", "leases", f"-n{namespace}")
    refused = control_plane.kubectl("get", "leases", f"-n{namespace}", user="nobody")

    assert applied.returncode == 0, applied.stderr
    assert "somebody" in shown.stdout
    assert (refused.returncode, "Forbidden" in refused.stderr) == (1, True)


def test_write_hangs_while_etcd_is_frozen(
    own: ControlPlane,
) -> None:
    """A frozen etcd holds a write up; after the thaw writes are answered again."""
    namespace = own.namespace()
    path = lease_path(namespace, "p")
    with own.etcd.frozen(), pytest.raises(TimeoutError):
        own.request("PUT", path, lease("p", "a"), timeout=1)

    # Whether the write landed whose client went away is anybody's guess.
    assert own.request("GET", path).status in {200, 404}
    later = own.request("PUT", lease_path(namespace, "q"), lease("q", "a"))
    assert later.status == 201


def test_frozen_api_server_answers_nobody(own: ControlPlane) -> None:
    """A frozen API server accepts connections in the kernel and says nothing."""
    with own.apiserver.frozen(), pytest.raises(TimeoutError):
        own.request("GET", "/version", timeout=1)

    assert own.request("GET", "/version").status == 200


def test_lease_survives_restarts_of_both(own: ControlPlane) -> None:
    """Killed and started again, each comes back on its port with its data."""
    namespace = own.namespace()
    path = lease_path(namespace, "p")
    before = own.request("PUT", path, lease("p", "a")).json()
    url = own.server_url

    own.apiserver.kill()
    with pytest.raises(ConnectionError):
        own.request("GET", path)
    own.restart_apiserver()
    own.restart_etcd()

    assert url == own.server_url
    assert before == own.request("GET", path).json()


def test_restored_backup_turns_the_resource_version_back(
    own: ControlPlane,
) -> None:
    """After a restore the Lease is as it was, and so is the server's counter."""
    namespace = own.namespace()
    path = lease_path(namespace, "p")
    before = own.request("PUT", path, lease("p", "a")).json()
    backup = own.backup()
    version = before["metadata"]["resourceVersion"]
    body = lease("p", "b", resourceVersion=version)
    after = own.request("PUT", path, body).json()

    own.restore(backup)

    assert int(after["metadata"]["resourceVersion"]) > int(version)
    assert before == own.request("GET", path).json()


def test_rotated_authority_is_needed_at_once(own: ControlPlane, tmp_path: Path) -> None:
    """After the rotation only those who know the new authority get through."""
    old = tmp_path / "old.crt"
    old.write_bytes(own.ca_file.read_bytes())

    own.rotate_authority()

    assert own.request("GET", "/version").status == 200
    connection = http.client.HTTPSConnection(
        "127.0.0.1",
        own.port,
        timeout=5,
        context=ssl.create_default_context(cafile=str(old)),
    )
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("GET", "/version")
    connection.close()


def test_compaction_moves_on_to_the_present_revision(
    own: ControlPlane,
) -> None:
    """Etcd compacts up to a revision no older than the last write."""
    namespace = own.namespace()
    path = lease_path(namespace, "p")
    written = own.request("PUT", path, lease("p", "a")).json()

    assert own.compact() >= int(written["metadata"]["resourceVersion"])
    assert own.request("GET", path).status == 200


def test_two_control_planes_do_not_meet(
    start_control_plane: Callable[..., ControlPlane],
) -> None:
    """Two pairs of one process have ports, data and tokens of their own."""
    one = start_control_plane()
    two = start_control_plane(users={"dora": ["a-group"]})

    one.request("PUT", lease_path("default", "p"), lease("p", "a"))

    assert two.request("GET", lease_path("default", "p")).status == 404
    assert two.request("GET", lease_path("default"), user="dora").status == 403
    foreign = {"Authorization": f"Bearer {one.token('admin')}"}
    assert two.request("GET", "/api", headers=foreign).status == 401


def test_nothing_is_left_after_close() -> None:
    """All three processes are gone and the folder is removed; also if frozen."""
    with ControlPlane() as control_plane:
        pids = control_plane.pids
        assert [exists(pid) for pid in pids] == [True, True, True]
        control_plane.etcd.freeze()

    assert [exists(pid) for pid in pids] == [False, False, False]
    assert not control_plane.folder.exists()


def test_nothing_is_left_when_the_test_run_is_killed() -> None:
    """A SIGKILL of the process that started them takes servers and files along."""
    program = textwrap.dedent(
        f"""
        import json, sys, threading, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from controlplane.control_plane import ControlPlane
        control_plane = ControlPlane()
        # From a thread that ends: it must not take the servers along.
        starter = threading.Thread(target=control_plane.start)
        starter.start()
        starter.join()
        print(json.dumps([control_plane.pids, str(control_plane.folder)]), flush=True)
        time.sleep(600)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        pids, folder = json.loads(run.stdout.readline())
        assert all(exists(pid) for pid in pids)
        os.kill(run.pid, signal.SIGKILL)

    wait_until(
        lambda: not any(exists(pid) for pid in pids), within=10, what="servers gone"
    )
    wait_until(lambda: not Path(folder).exists(), within=10, what="folder gone")


def test_server_that_cannot_start_says_why() -> None:
    """A flag the server does not know ends the start, with the log as the reason."""
    control_plane = ControlPlane(apiserver_flags=["--no-such-flag"])
    pids: list[int] = []

    def start() -> None:
        with control_plane:
            pytest.fail("it started")

    with pytest.raises(RuntimeError, match="no-such-flag"):
        start()
    pids = control_plane.pids
    assert not any(exists(pid) for pid in pids)


def test_external_cluster_is_used_and_left_clean(
    own: ControlPlane,
) -> None:
    """By a kubeconfig, another's cluster serves the same tests and is cleaned up."""
    before = active_namespaces(own)
    owner = own.kubeconfig("admin")
    kubectl = binaries.find(["kubectl"])["kubectl"]
    with ExternalCluster(owner, kubectl=kubectl) as cluster:
        namespace = cluster.namespace()
        path = lease_path(namespace, "p")
        assert cluster.request("GET", path, user="alice").status == 403
        cluster.allow("alice", ["create", "update"], namespace=namespace, name="p")
        created = cluster.request("PUT", path, lease("p", "a"), user="alice")
        assert created.status == 201

    assert active_namespaces(own) == before


def test_clientgo_elector_leads_works_and_releases(
    control_plane: Cluster, namespace: str, clientgo_elector: Path
) -> None:
    """The rival leads, reports work with its instants, and releases at SIGTERM."""
    command = [
        str(clientgo_elector),
        f"-kubeconfig={control_plane.kubeconfig('admin')}",
        f"-namespace={namespace}",
        "-lease=rivals",
        "-id=go",
        "-lease-duration=3s",
        "-renew-deadline=2s",
        "-retry-period=500ms",
    ]
    before = time.monotonic_ns()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as rival:
        assert rival.stdout is not None
        lines: list[dict[str, Any]] = []
        watchdog = threading.Timer(60, rival.kill)
        watchdog.start()
        for text in rival.stdout:
            lines.append(json.loads(text))
            if [each["event"] for each in lines].count("work") == 5:
                rival.terminate()
        watchdog.cancel()
    after = time.monotonic_ns()

    events = [each["event"] for each in lines]
    assert rival.returncode == 0
    assert (events[0], events[-1]) == ("contending", "stopped")
    assert {"new-leader", "started-leading", "work", "stopped-leading"} < set(events)
    assert all(each["identity"] == "go" for each in lines)
    work = [each["monotonic"] for each in lines if each["event"] == "work"]
    assert sorted(work) == work
    assert before < work[0] < work[-1] < after
    spec = control_plane.request("GET", lease_path(namespace, "rivals")).json()["spec"]
    assert spec["holderIdentity"] == ""
