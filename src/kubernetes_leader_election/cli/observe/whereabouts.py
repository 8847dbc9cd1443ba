"""Why a Lease is not there: another name, another namespace, or none of the two."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.cli.observe.lease_watcher import Leases, list_all
from kubernetes_leader_election.kube_api.results import Answered
from kubernetes_leader_election.text import printable, quoted

NAMESPACES: Final = "/api/v1/namespaces"
EVERYWHERE: Final = "/apis/coordination.k8s.io/v1/leases"
MOST_NAMED: Final = 5
"""Namespaces that are named where a Lease of that name is in another one."""


def namespace_exists(target: cluster.Target) -> bool | None:
    """Ask whether the namespace is there; None where the server does not tell us."""
    path = f"{NAMESPACES}/{quote(target.namespace, safe='')}"
    answer = target.client.request("GET", path, call=cluster.call())
    if isinstance(answer, Answered):
        return True
    return False if answer.error.status == 404 else None


def about_namespace(target: cluster.Target, exists: bool | None) -> str:  # noqa: FBT001 - an answer, not a switch
    """Say in a sentence that the namespace is not there, or cannot be asked for."""
    name = quoted(target.namespace)
    if exists:
        return ""
    if exists is None:
        return f"Whether there is a namespace {name} is not known: no right to read it."
    answer = target.client.request("GET", NAMESPACES, call=cluster.call())
    items = answer.body.get("items") if isinstance(answer, Answered) else None
    known = [
        str(item["metadata"]["name"])
        for item in (items if isinstance(items, list) else [])
    ]
    return f"There is no namespace {name}.{_close_to(target.namespace, known)}"


def about_missing(target: cluster.Target, lease: str) -> str:
    """Say in a sentence why there may be no such Lease; empty where nothing tells."""
    exists = namespace_exists(target)
    if exists is False:
        return about_namespace(target, exists)
    if elsewhere := _elsewhere(target, lease):
        one = len(elsewhere) == 1
        where = "namespace" if one else "namespaces"
        names = ", ".join(quoted(name) for name in elsewhere)
        first = printable(elsewhere[0])
        return f"There is one in the {where} {names}: try -n {first}."
    found = list_all(target, cluster.call())
    known = found.snapshots if isinstance(found, Leases) else ()
    return _close_to(lease, known).strip()


def _elsewhere(target: cluster.Target, lease: str) -> list[str]:
    """Return namespaces with a Lease of that name, as far as we may look there."""
    name = quote(f"metadata.name={lease}", safe="")
    path = f"{EVERYWHERE}?fieldSelector={name}&limit={MOST_NAMED}"
    answer = target.client.request("GET", path, call=cluster.call())
    items = answer.body.get("items") if isinstance(answer, Answered) else None
    metadata = [item.get("metadata") for item in items or () if isinstance(item, dict)]
    return [str(m["namespace"]) for m in metadata if m and m.get("name") == lease]


def _close_to(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {quoted(close[0])}?" if close else ""
