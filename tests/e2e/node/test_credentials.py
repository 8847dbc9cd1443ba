"""The token that a pod is given: replaced under the program, and taken away."""

from __future__ import annotations

import base64
import json
import secrets
import time

import pytest

from node.workloads import deploy, manifests, pair

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

HOME = "/var/run/secrets/kubernetes.io/serviceaccount"


def replace(space, pod, token):
    """
    Replace the token of a pod as the kubelet does.

    A new folder beside the old one, a new link, and the link renamed over `..data`: a
    reader sees the old file or the new one.
    """
    uid = space.node.get(space.path("pods", pod))["metadata"]["uid"]
    volumes = space.node.folder / "kubelet" / "pods" / uid / "volumes"
    script = """
        cd "$1"/kubernetes.io~projected/kube-api-access-*
        fresh="..$(date +%s).$2"
        cp -a "$(readlink ..data)" "$fresh"
        cat > "$fresh/token"
        ln -s "$fresh" ..data_tmp
        mv -T ..data_tmp ..data
    """
    name = secrets.token_hex(4)
    space.node.inside.must("sh", "-ec", script, "sh", volumes, name, text=token)


def fresh_token(space):
    """Return a new token of the pods' account."""
    path = f"{space.path('serviceaccounts', 'billing')}/token"
    answer = space.node.request("POST", path, {"spec": {"expirationSeconds": 3600}})
    assert answer.status == 201, answer.body
    return answer.json()["status"]["token"]


def renewals(space, life, count, *, after):
    """Wait until a leader has renewed so often after an instant."""
    space.node.wait(
        lambda: (
            space.lives()
            and sum(line.instant > after for line in life.noted("renewed")) >= count
        ),
        f"{life.name} renews",
    )


def test_token_that_is_replaced_is_read_again(space):
    """
    Fault 33: a good token, a bad one, and a good one again, under a leader's feet.

    A bad one is refused by the server with 401: the leader reads the file again and
    goes on within its term, or contends again; it never works beside another.
    """
    leader, _ = pair(space, preset="client-go")
    replace(space, leader.pod, fresh_token(space))
    renewals(space, leader, 2, after=time.monotonic())
    assert len(space.runs()) == 1
    replaced = time.monotonic()
    replace(space, leader.pod, "no.such.token")
    error = space.wait_noted("error", pod=leader.pod, after=replaced)
    assert "401" in error.detail
    mended = time.monotonic()
    replace(space, leader.pod, fresh_token(space))
    space.wait_leader()
    pods = "delete", "pod", "--wait=false"
    others = [name for name in space.pods() if name != leader.pod]
    space.kubectl(*pods, *others)  # the one whose token was bad has to lead, or again
    space.node.wait(
        lambda: (
            any(
                life.pod == leader.pod and line.instant > mended
                for life in space.lives()
                for line in life.noted("renewed")
            )
            or space.lease()["holderIdentity"] not in others
        ),
        "somebody renews with a new token",
    )
    assert space.overlaps() == 0


def test_rights_that_are_taken_away_end_the_term_and_come_back(space, measured):
    """Fault 34: without its RoleBinding the leader stops in time; with it, one leads."""
    leader, _ = pair(space, preset="fast")
    taken = time.monotonic()
    space.kubectl("delete", "rolebinding", "billing")
    space.wait_noted("lost", after=taken)
    measured(
        "rights taken away: worked on for (preset fast)", leader.runs[-1][1] - taken
    )
    (binding,) = (x for x in manifests(space) if x["kind"] == "RoleBinding")
    given = time.monotonic()
    space.apply(json.dumps(binding))
    space.wait_leader(after=given)
    assert space.overlaps() == 0


def test_tokens_of_a_deleted_account_are_refused(space, measured):
    """
    Fault 66: the ServiceAccount is deleted, and every token of it with it.

    The leader stops in time. A new account of that name means new tokens, which the
    kubelet mounts into new pods: after a rollout one leads.
    """
    leader, _ = pair(space, preset="fast")
    deleted = time.monotonic()
    space.kubectl("delete", "serviceaccount", "billing")
    lost = space.wait_noted("lost", after=deleted)
    measured(
        "ServiceAccount deleted: worked on for (preset fast)", lost.instant - deleted
    )
    assert any("401" in line.detail for line in leader.noted("error"))
    deploy(space, preset="fast")
    began = time.monotonic()
    space.kubectl("rollout", "restart", "deployment/billing")
    space.wait_leader(after=began)
    assert space.overlaps() == 0


@pytest.mark.nightly
@pytest.mark.timeout(1500)
def test_token_that_the_kubelet_rotates_costs_nothing(space):
    """Fault 33: the real thing, after 80 % of 600 s, the shortest life of a token."""

    def short(pod):
        pod["automountServiceAccountToken"] = False
        token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}
        authority = {
            "name": "kube-root-ca.crt",
            "items": [{"key": "ca.crt", "path": "ca.crt"}],
        }
        field = {"fieldRef": {"fieldPath": "metadata.namespace"}, "path": "namespace"}
        sources = [token, {"configMap": authority}, {"downwardAPI": {"items": [field]}}]
        pod["volumes"] = [{"name": "account", "projected": {"sources": sources}}]
        mounts = [{"name": "account", "mountPath": HOME}]
        pod["containers"][0]["volumeMounts"] = mounts

    leader, _ = pair(space, change=short)

    def issued():
        words = ("exec", leader.pod, "--", "cat", f"{HOME}/token")
        claims = space.kubectl(*words).split(".")[1]
        return json.loads(base64.urlsafe_b64decode(claims + "=="))["iat"]

    first = issued()
    space.node.wait(lambda: issued() != first, "the token is rotated", within=900)
    # Half an interval is left of the old token: three renewals are beyond its end.
    space.node.wait(
        lambda: time.monotonic() > leader.runs[0][0] + 640, "it is old", within=300
    )
    renewals(space, leader, 3, after=time.monotonic())
    assert len(space.runs()) == 1
    assert not leader.noted("error")
