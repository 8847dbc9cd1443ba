"""What the server says about itself: groups, resources, version, metrics."""

from __future__ import annotations

import platform
from collections import Counter
from typing import Any, Final

from kubernetes_leader_election.testing.lease_server.api.resources import (
    KEPT,
    LEASES,
    NAMESPACES,
    Resource,
)

__all__ = ["VERSION", "documents", "metrics"]

VERSION: Final = "v1.37.2"
"""The Kubernetes version whose behaviour this server has."""

_ALL_VERBS: Final = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
]


def _group(name: str) -> dict[str, Any]:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _served(resource: Resource, verbs: list[str]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": verbs,
    }
    if resource.short_names:
        document["shortNames"] = list(resource.short_names)
    return document


def _resources(group_version: str, served: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "kind": "APIResourceList",
        **({"apiVersion": "v1"} if "/" in group_version else {}),
        "groupVersion": group_version,
        "resources": served,
    }


REVIEWS = tuple(
    Resource(
        group=group,
        version="v1",
        plural=f"{kind.lower()}s",
        kind=kind,
        namespaced=False,
    )
    for group, kind in (
        ("authorization.k8s.io", "SelfSubjectAccessReview"),
        ("authentication.k8s.io", "SelfSubjectReview"),
    )
)
GROUPS = (
    "coordination.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    *sorted({one.group for one in KEPT if one.group}),
)


def documents(address: str) -> dict[str, dict[str, Any]]:
    """Return every document of discovery by its path; ``address`` is host and port."""
    groups = [_group(name) for name in GROUPS]
    found: dict[str, dict[str, Any]] = {
        "/api": {
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [
                {"clientCIDR": "0.0.0.0/0", "serverAddress": address}
            ],
        },
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
        "/api/v1": _resources(
            "v1",
            [
                _served(NAMESPACES, [one for one in _ALL_VERBS if "coll" not in one]),
                *_kept("v1"),
            ],
        ),
        LEASES.root: _resources(LEASES.api_version, [_served(LEASES, _ALL_VERBS)]),
        "/version": version(),
    }
    for resource in KEPT:
        if resource.group:
            found[resource.root] = _resources(
                resource.api_version, _kept(resource.api_version)
            )
    for review in REVIEWS:
        found[review.root] = _resources(
            review.api_version, [_served(review, ["create"])]
        )
    for group in groups:
        path = f"/apis/{group['name']}"
        found[path] = {"kind": "APIGroup", "apiVersion": "v1", **group}
    return found


def _kept(group_version: str) -> list[dict[str, Any]]:
    kept = [one for one in KEPT if one.api_version == group_version]
    return [
        *(_served(one, _ALL_VERBS) for one in kept),
        *(_status_of(one) for one in kept if one.status),
    ]


def _status_of(resource: Resource) -> dict[str, Any]:
    return {
        "name": f"{resource.plural}/status",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": ["get", "patch", "update"],
    }


def version() -> dict[str, str]:
    """Say which version this is, and that it is the embedded one."""
    major, minor, _ = VERSION.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"{VERSION}+embedded",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": f"Python {platform.python_version()}",
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }


def metrics(totals: Counter[tuple[str, str, int]], watches: int) -> str:
    """Write the counts of requests as Prometheus reads them."""
    lines = [
        "# HELP apiserver_request_total [STABLE] Requests by verb and HTTP status.",
        "# TYPE apiserver_request_total counter",
    ]
    by_verb: Counter[tuple[str, int]] = Counter()
    for (_, verb, status), count in totals.items():
        by_verb[verb.upper(), status] += count
    lines += [
        f'apiserver_request_total{{code="{status}",verb="{verb}"}} {count}'
        for (verb, status), count in sorted(by_verb.items())
    ]
    lines += [
        "# HELP apiserver_longrunning_requests [STABLE] Open watches.",
        "# TYPE apiserver_longrunning_requests gauge",
        f'apiserver_longrunning_requests{{verb="WATCH"}} {watches}',
    ]
    return "\n".join(lines) + "\n"
