"""
What is special about pods: their status, and the grace of their deletion.

A pod is kept as it was sent, with its containers named; nothing else of its spec is
judged or filled in, and nobody runs it: that is what a kubelet does, a real one or
:class:`~kubernetes_leader_election.testing.Kubelet`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from kubernetes_leader_election.testing.lease_server.api.deletion import DeleteOptions
from kubernetes_leader_election.testing.lease_server.http.statuses import FieldError
from kubernetes_leader_election.testing.lease_server.kubectl.go_time import (
    write_seconds,
)

__all__ = [
    "first_status",
    "keep_other_parts",
    "spec_findings",
    "with_grace",
]

_OVER = frozenset({"Failed", "Succeeded"})


def first_status(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the status of a new pod, whatever was sent as one."""
    asks = any(
        isinstance(one, dict) and one.get("resources")
        for one in spec.get("containers") or ()
    )
    return {"phase": "Pending", "qosClass": "Burstable" if asks else "BestEffort"}


def keep_other_parts(
    updated: dict[str, Any], old: dict[str, Any], *, status: bool
) -> None:
    """Restore what a write of the pod, or one of its status alone, cannot change."""
    if not status:
        updated["status"] = old["status"]
        return
    updated["spec"] = old["spec"]
    owners = old["metadata"].get("ownerReferences")
    metadata = {k: v for k, v in updated["metadata"].items() if k != "ownerReferences"}
    updated["metadata"] = metadata | ({"ownerReferences": owners} if owners else {})
    given = updated.get("status")
    given = given if isinstance(given, dict) else {}
    quality = given.get("qosClass") or old["status"].get("qosClass")
    updated["status"] = given | ({"qosClass": quality} if quality else {})


def spec_findings(spec: Any) -> list[FieldError]:
    """Judge what a pod cannot be without."""
    containers = spec.get("containers") if isinstance(spec, dict) else None
    if not isinstance(containers, list) or not containers:
        return [FieldError.required("spec.containers", "")]
    return [
        FieldError.required(f"spec.containers[{index}].{key}", "")
        for index, one in enumerate(containers)
        for key in ("name", "image")
        if not (isinstance(one, dict) and one.get(key))
    ]


def with_grace(document: dict[str, Any], options: DeleteOptions) -> dict[str, Any]:
    """
    Return the pod's metadata as a deletion leaves it, as far as grace is concerned.

    A deletionGracePeriodSeconds of 0 says that nobody has to be waited for.
    """
    metadata: dict[str, Any] = document["metadata"]
    held = metadata.get("deletionGracePeriodSeconds")
    began = metadata.get("deletionTimestamp")
    if began is None:
        period = _first_period(document, options.grace)
        generation = {"generation": metadata.get("generation", 0) + 1}
        ends = options.now + timedelta(seconds=period)
        return {**metadata, **generation, **_deletion(ends, period)}
    if not held or options.grace is None:
        return metadata
    # A grace that was given can be shortened, never made longer.
    period = 1 if options.grace < 0 else options.grace
    if period >= held:
        return metadata
    ends = datetime.fromisoformat(began) - timedelta(seconds=held - period)
    if ends < options.now:
        ends, period = options.now, min(period, 1)
    return {**metadata, **_deletion(ends, period)}


def _first_period(document: dict[str, Any], asked: int | None) -> int:
    spec, status = document.get("spec") or {}, document.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in _OVER:
        return 0
    period = asked
    if period is None:
        given = spec.get("terminationGracePeriodSeconds")
        period = given if isinstance(given, int) else 30
    return 1 if period < 0 else period


def _deletion(ends: datetime, period: int) -> dict[str, Any]:
    return {
        "deletionTimestamp": write_seconds(ends),
        "deletionGracePeriodSeconds": period,
    }
