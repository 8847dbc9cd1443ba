"""The rules of RBAC that an election needs, to prove a crash too, and of who only looks."""

from __future__ import annotations

from typing import Any

from kubernetes_leader_election.rights import (
    ADDRESSING,
    ELECTION,
    PROVING,
    READING,
    TELLING,
)


def role_rule(lease_name: str) -> dict[str, Any]:
    """Return the one rule an election needs: four verbs on one name (rule 6)."""
    return {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": [lease_name],
        "verbs": list(ELECTION),
    }


def viewer_rule(lease_name: str) -> dict[str, Any]:
    """Return the one rule of a person who looks at an election, and changes nothing."""
    return {**role_rule(lease_name), "verbs": list(READING)}


def pods_rule() -> dict[str, Any]:
    """Return the rule that --crash-takeover needs: their names change, so of all pods."""
    return {"apiGroups": [""], "resources": ["pods"], "verbs": list(PROVING)}


def slice_rule(service: str) -> dict[str, Any]:
    """Return the rule that --leader-endpoints needs: on the one slice of that name."""
    return {
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
        "resourceNames": [service],
        "verbs": list(ADDRESSING),
    }


def events_rule() -> dict[str, Any]:
    """Return the rule that --kubernetes-events needs: each Event has a name of its own."""
    return {"apiGroups": [""], "resources": ["events"], "verbs": list(TELLING)}
