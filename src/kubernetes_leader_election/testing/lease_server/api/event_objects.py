"""
What is special about Events (core v1): empty parts, their namespace, their selectors.

Kept until somebody deletes them: a real server forgets each after an hour. The same
objects as `events.k8s.io/v1`, which this server does not serve.
"""

from __future__ import annotations

from typing import Any

from kubernetes_leader_election.testing.lease_server.http.statuses import FieldError

__all__ = ["SELECTABLE", "fill_in", "findings", "selected"]

_EMPTY: dict[str, Any] = {
    "involvedObject": {},
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
    "eventTime": None,
    "reportingComponent": "",
    "reportingInstance": "",
}
"""What an Event shows where nothing was sent."""
SELECTABLE = frozenset(
    {
        *(
            f"involvedObject.{key}"
            for key in (
                "kind",
                "namespace",
                "name",
                "uid",
                "apiVersion",
                "resourceVersion",
                "fieldPath",
            )
        ),
        "reason",
        "reportingComponent",
        "source",
        "type",
    }
)
"""What Events can be chosen by, beside their own name and namespace."""


def fill_in(document: dict[str, Any]) -> None:
    """Write what a server writes where nothing was sent."""
    for key, value in _EMPTY.items():
        document.setdefault(key, value)


def findings(document: dict[str, Any]) -> list[FieldError]:
    """Judge an Event that is created: it is in the namespace of what it is about."""
    about = document["involvedObject"].get("namespace", "")
    own = document["metadata"]["namespace"]
    if about == own or (not about and own == "default"):
        return []
    text = "does not match event.namespace"
    return [FieldError.invalid("involvedObject.namespace", about, text)]


def selected(document: dict[str, Any], field: str) -> str:
    """Return the text of a field that Events are chosen by."""
    part, _, key = field.partition(".")
    if field == "source":
        # As a server does: what a newer client wrote stands in for it.
        return str(
            document["source"].get("component") or document["reportingComponent"]
        )
    value = document.get(part, "")
    return str(value.get(key, "") if key else value)
