"""What ``doctor`` knows of what a leader tells others: may it, and is the slice its own?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.cli.observe.access_review import missing_verbs
from kubernetes_leader_election.cli.observe.findings import Check
from kubernetes_leader_election.cli.rights import events_rule, slice_rule
from kubernetes_leader_election.credentials import is_in_cluster
from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.kube_api.results import Answered, NotFound
from kubernetes_leader_election.kube_api.slices import SliceClient
from kubernetes_leader_election.publish.leader_slice import (
    Foreign,
    Leader,
    Place,
    judge,
)
from kubernetes_leader_election.publish.own_address import VARIABLE, own_address
from kubernetes_leader_election.settings.options import Settings


def look(target: cluster.Target, settings: Settings) -> Iterator[Check]:
    """Say what --leader-endpoints and --kubernetes-events lack here; nothing is written."""
    if settings.leader_endpoints is not None:
        yield from _slice(target, settings)
    if settings.kubernetes_events:
        yield _rights(target, "events", events_rule(), "Events", "--kubernetes-events")


def _slice(target: cluster.Target, settings: Settings) -> Iterator[Check]:
    endpoints = settings.leader_endpoints
    assert endpoints is not None  # noqa: S101 - for the type checker
    name, rule = "endpoints", slice_rule(endpoints.service)
    what = f"EndpointSlice {target.namespace}/{endpoints.service}"
    rights = _rights(target, name, rule, what, "--leader-endpoints")
    yield rights
    address = ""
    if is_in_cluster() or os.environ.get(VARIABLE):
        try:
            address = own_address()
        except ConfigurationError as error:
            yield Check(name=name, verdict="FAIL", text=str(error))
            return
    if rights.verdict != "PASS":
        return
    found = SliceClient(target.client, target.namespace, endpoints.service).get(
        call=cluster.call()
    )
    if isinstance(found, NotFound):
        text = f"there is no {what} yet: the first leader creates it"
        yield Check(name=name, verdict="INFO", text=text)
    elif not isinstance(found, Answered):
        yield Check(name=name, verdict="WARN", text=str(found.error))
    else:
        yield _state(found.body, target.namespace, settings, address)


def _state(found: Any, namespace: str, settings: Settings, address: str) -> Check:
    """Judge the slice as a leader here would; ``address`` may be empty outside a pod."""
    endpoints = settings.leader_endpoints
    assert endpoints is not None  # noqa: S101 - for the type checker
    place = Place(
        namespace=namespace,
        service=endpoints.service,
        ports=endpoints.slice_ports,
        lease=settings.lease_name,
    )
    ipv6 = found.get("addressType") == "IPv6"
    leader = Leader(
        identity="",
        address=address or ("fd00::1" if ipv6 else "192.0.2.1"),
        pod=None,
        lease_uid="",
        token=None,
    )
    judged = judge(found, place, leader)
    if isinstance(judged, Foreign):
        return Check(name="endpoints", verdict="FAIL", text=judged.why)
    return Check(
        name="endpoints", verdict="PASS", text=f"{place} is kept for this election"
    )


def _rights(
    target: cluster.Target, name: str, rule: dict[str, Any], what: str, option: str
) -> Check:
    missing = missing_verbs(target, rule)
    if not missing:
        text = f"{', '.join(rule['verbs'])} on {what}, as {option} needs it"
        return Check(name=name, verdict="PASS", text=text)
    names = rule.get("resourceNames")
    only = f"resourceNames: [{names[0]}], " if names else ""
    group = rule["apiGroups"][0] or '""'
    return Check(
        name=name,
        verdict="WARN",
        text=f"missing on {what}: {', '.join(missing)};\nthe election goes on without "
        f"{option}",
        fix=f"Add to the Role: - {{apiGroups: [{group}], resources: "
        f"[{rule['resources'][0]}], {only}verbs: [{', '.join(rule['verbs'])}]}}",
    )
