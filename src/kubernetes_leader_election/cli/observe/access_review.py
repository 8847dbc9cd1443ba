"""Ask the server what this account may do."""

from __future__ import annotations

from typing import Any

from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.kube_api.results import Answered

_PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def missing_verbs(target: cluster.Target, rule: dict[str, Any]) -> list[str]:
    """Return the verbs of a rule of RBAC that this account lacks in the namespace."""
    return [verb for verb in rule["verbs"] if not _may(target, rule, verb)]


def _may(target: cluster.Target, rule: dict[str, Any], verb: str) -> bool:
    names = rule.get("resourceNames")
    review: dict[str, Any] = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "group": rule["apiGroups"][0],
                "version": "v1",
                "resource": rule["resources"][0],
                "namespace": target.namespace,
                **({"name": names[0]} if names else {}),
                "verb": verb,
            }
        },
    }
    answer = target.client.request("POST", _PATH, call=cluster.call(), body=review)
    status = answer.body.get("status") if isinstance(answer, Answered) else None
    return isinstance(status, dict) and status.get("allowed") is True
