"""What ``doctor`` knows of a take-over after a crash: can this pod's end be proved?"""

from __future__ import annotations

from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.cli.observe.access_review import missing_verbs
from kubernetes_leader_election.cli.observe.findings import Check
from kubernetes_leader_election.cli.rights import pods_rule
from kubernetes_leader_election.credentials.service_account import pod_namespace
from kubernetes_leader_election.pods.own_note import why_no_note


def look_for_proof(target: cluster.Target) -> Check:
    """Say whether --crash-takeover would gain anything here; nothing is written."""
    why = why_no_note(pod_namespace())
    if why is not None:
        return _check(f"no note can be left here: {why}")
    missing = missing_verbs(target, pods_rule())
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
