"""Objects as clients for humans want them: tables, or metadata without the rest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kubernetes_leader_election.testing.lease_server.api.resources import (
    LEASES,
    Resource,
)
from kubernetes_leader_election.testing.lease_server.http.exchange import Conversion

__all__ = ["converted", "converted_list"]


def _column(name: str, description: str, form: str = "") -> dict[str, Any]:
    return {
        "name": name,
        "type": "string",
        "format": form,
        "description": description,
        "priority": 0,
    }


_NAME = _column("Name", "Name must be unique within a namespace.", "name")
_AGE = _column("Age", "Time since the object was created.")
_LEASE_COLUMNS = [_NAME, _column("Holder", "Who holds the Lease."), _AGE]
_NAMESPACE_COLUMNS = [_NAME, _column("Status", "The phase of the namespace."), _AGE]


def converted(
    resource: Resource,
    document: dict[str, Any],
    conversion: Conversion,
    include: str = "Metadata",
    *,
    headed: bool = True,
) -> dict[str, Any]:
    """Return one object as the client asked; ``include`` is for the rows of tables."""
    if conversion.kind.startswith("PartialObjectMetadata"):
        return _partial(document, conversion.version)
    metadata = {"resourceVersion": document["metadata"].get("resourceVersion", "")}
    rows = [_row(resource, document, conversion.version, include)]
    return _table(resource, metadata, rows, conversion.version, headed=headed)


def converted_list(
    resource: Resource,
    documents: list[dict[str, Any]],
    metadata: dict[str, Any],
    conversion: Conversion,
    include: str = "Metadata",
) -> dict[str, Any]:
    """Return a list as the client asked."""
    version = conversion.version
    if conversion.kind.startswith("PartialObjectMetadata"):
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"meta.k8s.io/{version}",
            "metadata": metadata,
            "items": [_partial(document, version) for document in documents],
        }
    rows = [_row(resource, document, version, include) for document in documents]
    return _table(resource, metadata, rows, version, headed=True)


def _partial(document: dict[str, Any], version: str) -> dict[str, Any]:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": document["metadata"],
    }


def _table(
    resource: Resource,
    metadata: dict[str, Any],
    rows: list[dict[str, Any]],
    version: str,
    *,
    headed: bool,
) -> dict[str, Any]:
    columns = _LEASE_COLUMNS if resource is LEASES else _NAMESPACE_COLUMNS
    if resource.kept:
        columns = [_NAME, _AGE]
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": columns if headed else None,
        "rows": rows,
    }


def _row(
    resource: Resource, document: dict[str, Any], version: str, include: str
) -> dict[str, Any]:
    metadata = document["metadata"]
    if resource.kept:
        second = []
    elif resource is LEASES:
        second = [document["spec"].get("holderIdentity", "")]
    else:
        second = [document["status"].get("phase", "")]
    cells = [metadata.get("name", ""), *second, _age(metadata)]
    row: dict[str, Any] = {"cells": cells, "object": None}
    if include == "Object":
        row["object"] = document
    elif include != "None":
        row["object"] = _partial(document, version)
    return row


def _age(metadata: dict[str, Any]) -> str:
    created = metadata.get("creationTimestamp")
    if not created:
        return "<unknown>"
    moment = datetime.fromisoformat(created)
    seconds = int((datetime.now(UTC) - moment).total_seconds())
    return human_duration(max(0, seconds))


def human_duration(seconds: int) -> str:
    """Write a duration as kubectl shows ages, such as 90s, 5m30s or 3d4h."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        rest = seconds % 60
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        rest = minutes % 60
        return f"{hours}h{rest}m" if rest else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        rest = hours % 24
        return f"{days}d{rest}h" if rest else f"{days}d"
    if days < 730:
        return f"{days}d"
    years, rest = divmod(days, 365)
    return f"{years}y{rest}d" if years < 8 and rest else f"{years}y"
