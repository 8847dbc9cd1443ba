"""Electors on a real kube-apiserver, when others lay hands on the Lease or on rights."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from controlplane.access import Cluster, lease_path
from controlplane.processes import wait_until
from electors.candidates import QUICK, Setting
from electors.fleet import PATIENCE, Fleet, leads_since

from kubernetes_leader_election.core.annotations import TOKEN

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

VERBS = ["get", "create", "update", "watch"]


@pytest.fixture
def setting(control_plane: Cluster, namespace: str) -> Setting:
    """Give what all candidates share; alice may do just what an election needs."""
    control_plane.allow("alice", VERBS, namespace=namespace, name="election")
    return Setting(kubeconfig=control_plane.kubeconfig("alice"), namespace=namespace)


def kubectl(cluster: Cluster, setting: Setting, *arguments: str) -> None:
    """Run kubectl on the namespace of the election; it must succeed."""
    done = cluster.kubectl(f"--namespace={setting.namespace}", *arguments)
    assert done.returncode == 0, done.stderr


def test_leader_leaves_at_once_when_kubectl_deletes_the_lease(
    fleet: Fleet,
    setting: Setting,
    control_plane: Cluster,
    tell: Callable[[str], None],
) -> None:
    """
    A deleted Lease is lost at once, and created by who led, while all others wait.

    fault 36, rule 4, G1 in practice: the old leader knows before anybody creates a new
    one. It has to wait as well where a renewal was answered before the watch told it.
    """
    fleet.pair(partial(fleet.start, setting))
    gaps = []
    for _ in range(3):
        leader = fleet.wait_leader()
        fleet.wait_renewals(leader, 1)
        deleted = time.monotonic()
        kubectl(control_plane, setting, "delete", "lease", "election")
        reason = fleet.wait_noted(leader, "lost", after=deleted)
        assert reason == "deleted"
        next_one = fleet.wait_leader(after=deleted)
        gaps.append(leads_since(next_one)[0] - deleted)
    assert min(gaps) < QUICK.duration * 0.8, gaps
    instants = fleet.check().instants
    shown = ", ".join(f"{gap:.3f}" for gap in gaps)
    tell(f"3 x kubectl delete: next leader after {shown} s, 0 of {instants} instants")


def test_leader_goes_on_when_kubectl_edits_labels_and_unknown_fields(
    fleet: Fleet, setting: Setting, control_plane: Cluster
) -> None:
    """Metadata is nobody's business: the term goes on, and keeps what others wrote."""
    leader, other = fleet.pair(partial(fleet.start, setting))
    kubectl(control_plane, setting, "label", "lease", "election", "team=blue")
    kubectl(control_plane, setting, "annotate", "lease", "election", "note=kept")
    fleet.wait_renewals(leader, 3)
    path = lease_path(setting.namespace, "election")
    metadata = control_plane.request("GET", path).json()["metadata"]
    assert metadata["labels"] == {"team": "blue"}
    assert metadata["annotations"].pop("note") == "kept"
    assert set(metadata["annotations"]) == {TOKEN}, "what the leader itself notes"
    assert leader.happened("lost") == []
    assert other.happened("acquired") == []
    fleet.check()


def test_term_outlives_a_label_written_every_tenth_of_a_second(
    fleet: Fleet, setting: Setting, control_plane: Cluster
) -> None:
    """Somebody who touches labels all the time blocks neither renewal nor fail-over."""
    leader, _other = fleet.pair(partial(fleet.start, setting))
    path = lease_path(setting.namespace, "election")
    headers = {"Content-Type": "application/merge-patch+json"}

    def touch(number: int) -> None:
        body = {"metadata": {"labels": {"touched": str(number)}}}
        control_plane.request("PATCH", path, body, headers=headers)
        time.sleep(0.1)

    for number in range(50):
        touch(number)
    assert leader.happened("lost") == []
    killed = time.monotonic()
    leader.kill()
    while fleet.leader() is None and time.monotonic() < killed + PATIENCE:
        touch(int(time.monotonic() * 1000))
    assert fleet.wait_leader(after=killed) is not leader
    fleet.check()


def test_leader_leaves_at_once_when_kubectl_gives_the_lease_to_another_holder(
    fleet: Fleet,
    setting: Setting,
    control_plane: Cluster,
    tell: Callable[[str], None],
) -> None:
    """The new holder's name ends the term, and is respected for its duration."""
    fleet.pair(partial(fleet.start, setting))
    patch = json.dumps({"spec": {"holderIdentity": "somebody-else"}})
    for _ in range(3):
        leader = fleet.wait_leader()
        fleet.wait_renewals(leader, 1)
        given = time.monotonic()
        kubectl(
            *(control_plane, setting, "patch", "lease", "election"),
            *("--type=merge", "-p", patch),
        )
        fleet.wait_noted(leader, "lost", after=given)
        next_one = fleet.wait_leader(after=given)
        assert leads_since(next_one)[0] - given > QUICK.duration * 0.8
    tell(f"3 x given away, 0 of {fleet.check().instants} instants")


def test_leader_leaves_when_kubectl_edits_its_times(
    fleet: Fleet, setting: Setting, control_plane: Cluster
) -> None:
    """A record that is not the one we wrote is not ours (fault 37, rule 5)."""
    leader, _other = fleet.pair(partial(fleet.start, setting))
    edited = time.monotonic()
    spec = {"renewTime": "2020-01-01T00:00:00.000000Z", "acquireTime": None}
    kubectl(
        *(control_plane, setting, "patch", "lease", "election", "--type=merge"),
        *("-p", json.dumps({"spec": spec})),
    )
    fleet.wait_noted(leader, "lost", after=edited)
    fleet.wait_leader(after=edited)
    fleet.check()


def test_election_goes_on_when_rights_are_taken_away_and_given_back(
    fleet: Fleet,
    namespace: str,
    control_plane: Cluster,
    tell: Callable[[str], None],
) -> None:
    """
    Without rights nobody leads for longer than L, and nobody gives up for good.

    fault 34, G2, G8.
    """
    revoke = control_plane.allow("bob", VERBS, namespace=namespace, name="election")
    setting = Setting(kubeconfig=control_plane.kubeconfig("bob"), namespace=namespace)
    leader, other = fleet.pair(partial(fleet.start, setting))
    for _ in range(2):
        leader = fleet.wait_leader()
        fleet.wait_renewals(leader, 1)
        taken = time.monotonic()
        revoke()
        fleet.wait_noted(leader, "lost", after=taken)
        fleet.wait_no_leader()
        assert "forbidden" in fleet.wait_noted(leader, "error", after=taken).lower()
        # That nobody leads later on has no event to wait for: one duration is watched,
        # after which a candidate that ignored the 403 would have taken over.
        time.sleep(QUICK.duration)
        assert fleet.leader() is None
        given = time.monotonic()
        revoke = control_plane.allow("bob", VERBS, namespace=namespace, name="election")
        fleet.wait_leader(after=given, within=90)
    assert leader.alive
    assert other.alive
    tell(f"2 x rights taken and given, 0 of {fleet.check().instants} instants")


def test_leader_keeps_its_term_when_its_token_is_rotated(
    fleet: Fleet, namespace: str, control_plane: Cluster, tmp_path: Path
) -> None:
    """
    A new token in the file is used before, and when, the old one is refused.

    fault 33, G8: the account is made anew, so that its old tokens are worth nothing.
    """
    account = "rotating"
    tokens = tmp_path / "token"

    def new_token() -> str:
        return control_plane.service_account_token(account, namespace=namespace)

    old = new_token()
    tokens.write_text(old)
    control_plane.grant(binding(namespace, account), namespace=namespace)
    user = f"system:serviceaccount:{namespace}:{account}"
    config = control_plane.kubeconfig("alice", token_file=tokens)
    wait_until(
        lambda: allowed(control_plane, user, namespace), within=20, what="the rights"
    )
    leader, _other = fleet.pair(
        partial(fleet.start, Setting(kubeconfig=config, namespace=namespace))
    )
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}"
    for _ in range(2):
        assert control_plane.request("DELETE", path).status == 200
        fresh = tmp_path / "fresh"
        fresh.write_text(new_token())
        fresh.rename(tokens)
        bearer = {"Authorization": f"Bearer {old}"}
        lease = lease_path(namespace, "election")

        def refused(bearer: dict[str, str] = bearer, lease: str = lease) -> bool:
            answer = control_plane.request("GET", lease, user=None, headers=bearer)
            return answer.status == 401

        # The server remembers a good token for some seconds.
        wait_until(refused, within=60, what="the old token is refused")
        old = tokens.read_text()
        fleet.wait_renewals(leader, 2)
    assert leader.happened("lost") == []
    fleet.check()


def binding(namespace: str, account: str) -> str:
    """Return the manifests that let an account take part."""
    return f"""
kind: Role
metadata: {{name: elector}}
rules:
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [election]
  verbs: [get, create, update, watch]
---
kind: RoleBinding
metadata: {{name: elector}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: elector}}
subjects:
- {{kind: ServiceAccount, name: {account}, namespace: {namespace}}}
"""


def allowed(cluster: Cluster, user: str, namespace: str) -> bool:
    """Say whether a user may update the Lease."""
    attributes = {
        "verb": "update",
        "group": "coordination.k8s.io",
        "resource": "leases",
        "namespace": namespace,
        "name": "election",
    }
    review = {"spec": {"user": user, "resourceAttributes": attributes}}
    answer = cluster.request(
        "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review
    )
    return bool(answer.json()["status"].get("allowed"))


def test_namespace_that_is_being_deleted_is_not_a_free_lease(
    fleet: Fleet, setting: Setting, control_plane: Cluster
) -> None:
    """
    In a terminating namespace the leader goes on; once its Lease is gone nobody leads.

    fault 35, rule 4: creating is forbidden there, and that is not a free Lease.
    """
    leader, other = fleet.pair(partial(fleet.start, setting))
    path = f"/api/v1/namespaces/{setting.namespace}"
    assert control_plane.request("DELETE", path).status == 200
    fleet.wait_renewals(leader, 3)
    assert leader.happened("lost") == []
    gone = time.monotonic()
    lease = lease_path(setting.namespace, "election")
    assert control_plane.request("DELETE", lease).status == 200
    fleet.wait_noted(leader, "lost", after=gone)
    problem = fleet.wait_noted(other, "error", after=gone)
    assert "terminat" in problem, problem
    assert fleet.leader() is None
    assert all(candidate.alive for candidate in fleet.candidates)
    fleet.check()
