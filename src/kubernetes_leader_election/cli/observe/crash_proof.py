"""What ``doctor`` knows of a take-over after a crash: can this pod's end be proved?"""

from __future__ import annotations

from typing import Any

from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.cli.observe.findings import Check
from kubernetes_leader_election.cli.rights import pods_rule
from kubernetes_leader_election.credentials.service_account import pod_namespace
from kubernetes_leader_election.kube_api.results import Answered
from kubernetes_leader_election.pods.own_note import why_no_note


def look_for_proof(target: cluster.Target) -> Check:
    """Say whether --crash-takeover would gain anything here; nothing is written."""
    why = why_no_note(pod_namespace())
    if why is not None:
        return _check(f"no note can be left here: {why}")
    missing = [verb for verb in pods_rule()["verbs"] if not _may(target, verb)]
    if missing:
        return _check(
            f"a note can be left here, and not proved: {', '.join(missing)} on pods in "
            f"{target.namespace} is missing",
            fix="For --crash-takeover, add to the Role: "
            f'- {{apiGroups: [""], resources: [pods], verbs: [{", ".join(missing)}]}}',
        )
    return Check(
        name="crash",
        verdict="PASS",
        text="the end of this container can be proved, as --crash-takeover needs it",
    )


def _check(text: str, fix: str = "") -> Check:
    text += ";\nafter a crash others wait for the whole lease duration"
    return Check(name="crash", verdict="INFO", text=text, fix=fix)


def _may(target: cluster.Target, verb: str) -> bool:
    """Return whether this account may do that with the pods of the namespace."""
    review: dict[str, Any] = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "version": "v1",
                "resource": "pods",
                "namespace": target.namespace,
                "verb": verb,
            }
        },
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = target.client.request("POST", path, call=cluster.call(), body=review)
    status = answer.body.get("status") if isinstance(answer, Answered) else None
    return isinstance(status, dict) and status.get("allowed") is True
