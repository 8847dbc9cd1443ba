"""The schema of a Lease, for kubectl's validation of what it sends."""

from __future__ import annotations

from typing import Any, Final

from kubernetes_leader_election.testing.lease_server.api.resources import KEPT
from kubernetes_leader_election.testing.lease_server.http import statuses
from kubernetes_leader_election.testing.lease_server.http.exchange import (
    Prepared,
    Reply,
)

__all__ = ["prepare"]


def prepare(path: str) -> Prepared:
    """Answer a path under ``/openapi``."""
    if path == "/openapi/v3":
        document = _index()
    else:
        found = _documents().get(path.removeprefix("/openapi/v3/"))
        if found is None:
            raise statuses.unknown_path()
        document = found
    body = statuses.encode(document)
    return Prepared(lambda: Reply(200, body))


def _index() -> dict[str, Any]:
    return {
        "paths": {
            name: {"serverRelativeURL": f"/openapi/v3/{name}?hash=embedded"}
            for name in _documents()
        }
    }


_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}
_INT = {"type": "integer", "format": "int32"}
_MAP = {"type": "object", "additionalProperties": {"type": "string", "default": ""}}
_PREFIX = "io.k8s"


_META_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        **dict.fromkeys(
            ("name", "generateName", "namespace", "selfLink", "uid"), _TEXT
        ),
        "resourceVersion": _TEXT,
        "generation": {"type": "integer", "format": "int64"},
        "creationTimestamp": _TIME,
        "deletionTimestamp": _TIME,
        "deletionGracePeriodSeconds": {"type": "integer", "format": "int64"},
        "labels": _MAP,
        "annotations": _MAP,
        "finalizers": {
            "type": "array",
            "items": _TEXT,
            "x-kubernetes-list-type": "set",
            "x-kubernetes-patch-strategy": "merge",
        },
        "ownerReferences": {
            "type": "array",
            "items": {"type": "object"},
            "x-kubernetes-list-map-keys": ["uid"],
            "x-kubernetes-list-type": "map",
            "x-kubernetes-patch-merge-key": "uid",
            "x-kubernetes-patch-strategy": "merge",
        },
        "managedFields": {"type": "array", "items": {"type": "object"}},
    },
}
_LEASE_SPEC: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "holderIdentity": _TEXT,
        "leaseDurationSeconds": _INT,
        "acquireTime": _TIME,
        "renewTime": _TIME,
        "leaseTransitions": _INT,
        "strategy": _TEXT,
        "preferredHolder": _TEXT,
    },
}


def _object(group: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "apiVersion": _TEXT,
            "kind": _TEXT,
            "metadata": {
                "allOf": [{"$ref": "#/components/schemas/" + _META}],
                "default": {},
            },
            "spec": spec,
        },
        "x-kubernetes-group-version-kind": [
            {"group": group, "kind": kind, "version": "v1"}
        ],
    }


_META = f"{_PREFIX}.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def _path(group: str, kind: str, name: str) -> dict[str, Any]:
    about = {"group": group, "kind": kind, "version": "v1"}
    schema = {"$ref": f"#/components/schemas/{name}"}
    content = {"application/json": {"schema": schema}}
    answer = {"200": {"description": "OK", "content": content}}
    query = [
        {"name": one, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for one in ("dryRun", "fieldManager", "fieldValidation")
    ]
    return {
        method: {
            "responses": answer,
            "parameters": query,
            "x-kubernetes-action": method,
            "x-kubernetes-group-version-kind": about,
        }
        for method in ("get", "put", "patch")
    }


def _documents() -> dict[str, dict[str, Any]]:
    group = "coordination.k8s.io"
    leases = f"/apis/{group}/v1/namespaces/{{namespace}}/leases/{{name}}"
    spaces = "/api/v1/namespaces/{name}"
    space = {"type": "object"}
    documents = {
        f"apis/{group}/v1": _document(
            leases, group, "coordination", "Lease", _LEASE_SPEC
        ),
        "api/v1": _document(spaces, "", "core", "Namespace", space),
    }
    for one in KEPT:
        path = f"{one.root}/namespaces/{{namespace}}/{one.plural}/{{name}}"
        package = one.group.partition(".")[0] or "core"
        made = _document(path, one.group, package, one.kind, space)
        there = documents.setdefault(one.root.removeprefix("/"), made)
        there["paths"].update(made["paths"])
        there["components"]["schemas"].update(made["components"]["schemas"])
    return documents


def _document(
    path: str, group: str, package: str, kind: str, spec: dict[str, Any]
) -> dict[str, Any]:
    name = f"{_PREFIX}.api.{package}.v1.{kind}"
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "embedded"},
        "paths": {path: _path(group, kind, name)},
        "components": {
            "schemas": {name: _object(group, kind, spec), _META: _META_SCHEMA}
        },
    }
