"""Records of Leases and clocks, for tests that give both to a tracker."""

from __future__ import annotations

from kubernetes_leader_election.core.record import Snapshot, read_snapshot
from kubernetes_leader_election.core.timing import Now

T0 = "2026-01-01T00:00:00.000000Z"


def at(seconds: float) -> Now:
    """Give the clocks at a moment."""
    return Now(seconds + 50.0, seconds, int(seconds * 1_000_000))


def lease(
    version: int,
    holder: str = "ada",
    *,
    acquired: int = 0,
    renewed: int = 0,
    duration: int = 10,
    annotations: dict[str, str] | None = None,
    manager: str | None = "kubernetes-leader-election",
) -> Snapshot:
    """Give a snapshot of a Lease."""
    metadata = {
        "name": "x",
        "uid": "u",
        "resourceVersion": str(version),
        "annotations": annotations or {},
    }
    if manager is not None:
        metadata["managedFields"] = [
            {"manager": "kubectl", "fieldsV1": {"f:metadata": {}}},
            {"manager": manager, "fieldsV1": {"f:spec": {"f:renewTime": {}}}},
        ]
    return read_snapshot(
        {
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": duration,
                "acquireTime": f"2026-01-01T00:00:{acquired:02d}.000000Z",
                "renewTime": f"2026-01-01T00:00:{renewed:02d}.000000Z",
                "leaseTransitions": 1 if holder == "ada" else 2,
            },
        }
    )
