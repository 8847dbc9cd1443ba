"""
Events on a Lease, as `kubectl describe lease` shows them.

Core v1 Events: those that it asks for, by the name, namespace, kind and uid of what it
describes. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from kubernetes_leader_election.text import printable
from kubernetes_leader_election.values import Value

__all__ = ["LONGEST_MESSAGE", "Happening", "Reason", "event_of"]

Reason = Literal[
    "BecameLeader",  # a term began
    "TookOver",  # a term began after the holder's end was proved
    "GaveUpLeadership",  # a term ended as somebody wanted
    "LostLeadership",  # a term ended as nobody wanted
    "WorkDoesNotStop",  # work of a term goes on though it is over
]
_WARNINGS: Final = frozenset[Reason]({"LostLeadership", "WorkDoesNotStop"})
COMPONENT: Final = "kubernetes-leader-election"
LONGEST_MESSAGE: Final = 1000
"""Characters: a server refuses a note of more than 1,024."""
_LONGEST_NAME: Final = 200
"""Characters of the Lease's name in that of an Event, which may have 253 in all."""
_LONGEST_INSTANCE: Final = 128
"""Characters that a server takes for who reports."""


class Happening(Value):
    """What is told."""

    reason: Reason
    message: str
    lease: str
    namespace: str
    lease_uid: str
    """Of the Lease; empty where it is not known: `kubectl describe` then shows nothing."""
    identity: str
    """Who tells it."""
    at: datetime
    """When it happened, by the wall clock; aware, UTC."""


def event_of(happening: Happening, *, suffix: str) -> Mapping[str, Any]:
    """
    Return the Event to be created.

    Args:
        happening: what happened.
        suffix: makes its name one of a kind, so that it is created once however often
            that is tried.

    """
    moment = happening.at.isoformat("T", "seconds").replace("+00:00", "Z")
    instance = printable(happening.identity, longest=_LONGEST_INSTANCE)
    stem = happening.lease[:_LONGEST_NAME].rstrip("-.")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{stem}.{suffix}", "namespace": happening.namespace},
        "involvedObject": {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "namespace": happening.namespace,
            "name": happening.lease,
            "uid": happening.lease_uid,
        },
        "type": "Warning" if happening.reason in _WARNINGS else "Normal",
        "reason": happening.reason,
        "message": printable(happening.message, longest=LONGEST_MESSAGE),
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": instance,
    }
