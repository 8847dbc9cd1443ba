"""What a deletion must obey: preconditions, finalizers, propagation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubernetes_leader_election.testing.lease_server.api.resources import Resource
from kubernetes_leader_election.testing.lease_server.http.statuses import ApiError
from kubernetes_leader_election.testing.lease_server.kubectl.go_time import (
    write_seconds,
)
from kubernetes_leader_election.testing.lease_server.storage.store import Stored

__all__ = [
    "DeleteOptions",
    "check_preconditions",
    "deletion_finalizers",
    "marked",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """What a deletion asks for."""

    now: datetime
    uid: str | None = None
    resource_version: str | None = None
    propagation: str | None = None
    grace: int | None = None
    """Seconds, for what is given some; None: not said."""
    dry_run: bool = False


def check_preconditions(
    resource: Resource, name: str, existing: Stored, options: DeleteOptions
) -> None:
    """
    Let a deletion pass whose conditions hold.

    Raises:
        ApiError: 409.
    """
    checks = (
        ("UID", options.uid, existing.uid, "deleted and then recreated"),
        (
            "ResourceVersion",
            options.resource_version,
            existing.document["metadata"]["resourceVersion"],
            "modified",
        ),
    )
    for what, asked, found, event in checks:
        if asked is not None and asked != found:
            why = (
                f"the {what} in the precondition ({asked}) does not match the {what} "
                f"in record ({found}). The object might have been {event}"
            )
            kind = f"{resource.kind}.{resource.group}" if resource.group else ""
            about = kind or resource.kind
            message = f'Operation cannot be fulfilled on {about} "{name}": {why}'
            details = {"name": name, "group": resource.group, "kind": resource.kind}
            raise ApiError(409, "Conflict", message, details)


def deletion_finalizers(present: list[str], propagation: str | None) -> list[str]:
    """Return the finalizers an object has while its deletion waits."""
    collector = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}
    if propagation is None:
        return present
    kept = [one for one in present if one not in collector.values()]
    if propagation in collector:
        kept.append(collector[propagation])
    return kept


def marked(
    metadata: dict[str, Any], finalizers: list[str], now: datetime
) -> dict[str, Any]:
    """Return a copy of the metadata that says: to be deleted."""
    copy: dict[str, Any] = {}
    for key, value in metadata.items():
        copy[key] = value
        if key == "creationTimestamp":
            copy.setdefault(
                "deletionTimestamp",
                metadata.get("deletionTimestamp", write_seconds(now)),
            )
            copy["deletionGracePeriodSeconds"] = metadata.get(
                "deletionGracePeriodSeconds", 0
            )
    if finalizers:
        copy["finalizers"] = finalizers
    if "deletionTimestamp" not in metadata and metadata.get("generation", 0) > 0:
        copy["generation"] = metadata["generation"] + 1
    return copy
