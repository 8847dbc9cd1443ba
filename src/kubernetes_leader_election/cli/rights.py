"""The one rule of RBAC that an election needs."""

from __future__ import annotations

from typing import Any

from kubernetes_leader_election.rights import ELECTION


def role_rule(lease_name: str) -> dict[str, Any]:
    """Return the one rule an election needs: four verbs on one name (rule 6)."""
    return {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": [lease_name],
        "verbs": list(ELECTION),
    }
