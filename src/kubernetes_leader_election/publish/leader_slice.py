"""
The EndpointSlice that leads a Service to the leader: what is written, what is left alone.

Pure functions. A slice is ours if its labels say that this package manages it and its
annotation names our Lease; everything else of that name belongs to somebody else, and is
never overwritten. Of a slice that is ours nothing is changed but its endpoints and ports,
and the labels and annotations below.

No former leader's write takes the place of a later one's. Each write is made in this
order: the slice is read, then the elector looks whether it still leads, then the write
goes out, conditional on what was read. A later leader can have written only after that
look (G1), so after that read, and then the condition does not hold. The term that is
noted in the slice is a second lock on the same door: of two leaders by mistake, as where
a clock ran wronger than it may, the later one's address stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kubernetes_leader_election.text import printable, quoted
from kubernetes_leader_election.values import Value

__all__ = [
    "Foreign",
    "Leader",
    "Ours",
    "Place",
    "judge",
    "patch_of",
    "slice_of",
    "without_leader",
]

SERVICE_LABEL: Final = "kubernetes.io/service-name"
"""By which kube-proxy and others find the slices of a Service."""
MANAGER_LABEL: Final = "endpointslice.kubernetes.io/managed-by"
"""By which the controllers of Kubernetes leave slices of others alone."""
MANAGER: Final = "kubernetes-leader-election"
LEASE: Final = "kubernetes-leader-election/lease"
"""Value: the name of the Lease whose leader the slice leads to, in the same namespace."""
HOLDER: Final = "kubernetes-leader-election/holder"
"""Value: the identity of that leader, for people."""
TERM: Final = "kubernetes-leader-election/term"
"""Value: the uid of the Lease, a blank, and the fencing token of the term."""


class Place(Value):
    """Which slice it is, and what never changes of it while an elector lives."""

    namespace: str
    service: str
    """The name of the Service, and of the slice."""
    ports: Sequence[Mapping[str, Any]]
    lease: str
    """The name of the Lease, which is in the same namespace."""

    def __str__(self) -> str:
        return f"EndpointSlice {self.namespace}/{self.service}"


class Leader(Value):
    """Who leads, and where it is."""

    identity: str
    address: str
    """Checked, as :mod:`ipaddress` writes it."""
    pod: str | None
    """The name of its pod, in the namespace of the slice; None: not known."""
    lease_uid: str
    """Of the Lease; empty where it is not known."""
    token: int | None
    """The fencing token of its term; None: there is none to compare."""

    @property
    def address_type(self) -> str:
        """How the API calls the kind of its address."""
        return "IPv6" if ":" in self.address else "IPv4"

    @property
    def term(self) -> str:
        """What is noted of its term."""
        return f"{self.lease_uid} {'' if self.token is None else self.token}"


class Ours(Value):
    """The slice may be written."""

    version: str
    """Its resourceVersion, on which the write is conditional."""
    is_current: bool
    """Whether it is already as it should be."""
    is_own: bool
    """Whether what stands in it was written for this very term."""


class Foreign(Value):
    """The slice is left alone, and why: a sentence for people."""

    why: str


def judge(found: Mapping[str, Any], place: Place, leader: Leader) -> Ours | Foreign:
    """
    Return what may be done with the slice that was found. Never raises.

    Whatever stands in it is data that anybody may have written.
    """
    metadata = _mapping(found.get("metadata"))
    labels = _mapping(metadata.get("labels"))
    notes = _mapping(metadata.get("annotations"))
    manager, lease = labels.get(MANAGER_LABEL), notes.get(LEASE)
    if manager != MANAGER:
        by = f"managed by {_said(manager)}" if manager else "made by somebody else"
        return Foreign(why=f"{place} is there already, {by}. {_ADVICE}")
    if lease != place.lease:
        of = (
            f"leads to the leader of Lease {_said(lease)}"
            if lease
            else "names no Lease"
        )
        return Foreign(why=f"{place} {of}, not of {place.lease}. {_ADVICE}")
    if found.get("addressType") != leader.address_type:
        return Foreign(
            why=f"{place} is of type {_said(found.get('addressType'))}, which cannot be "
            f"changed, and this pod's address {leader.address} is {leader.address_type}. "
            f"Delete that slice: the leader then makes it anew."
        )
    if metadata.get("deletionTimestamp") is not None:
        return Foreign(
            why=f"{place} is being deleted, and a finalizer holds it: see "
            "its metadata.finalizers for whose."
        )
    if _is_later(notes.get(TERM), leader):
        return Foreign(
            why=f"{place} has the address of a later term ({_said(notes.get(TERM))}) "
            f"than this one's ({leader.term}). It is left alone. Delete it if no such "
            f"term ever was: the leader then makes it anew."
        )
    wanted = slice_of(place, leader)
    return Ours(
        version=str(metadata.get("resourceVersion") or ""),
        is_current=(
            _shown(found.get("endpoints")) == _shown(wanted["endpoints"])
            and _shown(found.get("ports")) == _shown(wanted["ports"])
            and _holds(labels, wanted["metadata"]["labels"])
            and _holds(notes, wanted["metadata"]["annotations"])
        ),
        is_own=notes.get(TERM) == leader.term and notes.get(HOLDER) == leader.identity,
    )


def slice_of(place: Place, leader: Leader) -> dict[str, Any]:
    """Return the whole slice, to be created."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": place.service,
            "namespace": place.namespace,
            "labels": {SERVICE_LABEL: place.service, MANAGER_LABEL: MANAGER},
            "annotations": {
                LEASE: place.lease,
                HOLDER: leader.identity,
                TERM: leader.term,
            },
        },
        "addressType": leader.address_type,
        "endpoints": [_endpoint(place, leader)],
        "ports": [dict(port) for port in place.ports],
    }


def patch_of(place: Place, leader: Leader) -> dict[str, Any]:
    """Return what is merged into a slice that is ours: one write moves the address."""
    whole = slice_of(place, leader)
    kept = {key: whole["metadata"][key] for key in ("labels", "annotations")}
    return {"metadata": kept, "endpoints": whole["endpoints"], "ports": whole["ports"]}


def without_leader() -> dict[str, Any]:
    """Return what is merged into it where nobody is left to lead: an empty list."""
    return {"endpoints": []}


def _endpoint(place: Place, leader: Leader) -> dict[str, Any]:
    endpoint: dict[str, Any] = {
        "addresses": [leader.address],
        "conditions": {"ready": True},
    }
    if leader.pod is not None:
        endpoint["targetRef"] = {
            "kind": "Pod",
            "namespace": place.namespace,
            "name": leader.pod,
        }
    return endpoint


_ADVICE: Final = (
    "It is left alone. Delete it if nothing needs it, or name another Service in "
    "leader_endpoints=."
)


def _is_later(noted: object, leader: Leader) -> bool:
    """Return whether a later term of this very Lease is noted; unreadable ones are none."""
    uid, _, token = noted.partition(" ") if isinstance(noted, str) else ("", "", "")
    if leader.token is None or not uid or uid != leader.lease_uid:
        return False
    digits = token.isascii() and token.isdigit() and len(token) <= _LONGEST_TOKEN
    return digits and int(token) > leader.token


_LONGEST_TOKEN: Final = 20
"""Digits of the largest resourceVersion there can be."""


def _shown(parts: object) -> list[Any]:
    """Return endpoints or ports as far as we write them."""
    found = parts if isinstance(parts, list) else []
    return [
        {key: value for key, value in one.items() if value not in ({}, None)}
        if isinstance(one, dict)
        else one
        for one in found
    ]


def _holds(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(found.get(key) == value for key, value in wanted.items())


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _said(value: object) -> str:
    """Return what somebody wrote, fit for a log line."""
    return quoted(printable(value)) if isinstance(value, str) else "no text"
