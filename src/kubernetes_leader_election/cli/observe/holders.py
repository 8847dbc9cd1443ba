"""
Who holds a Lease: an elector of this package, or of another library?

The server notes down which client wrote each field of the Lease (managedFields); its
name is the client's User-Agent. Where that is switched off, what the libraries leave
behind in the spec is a hint, no more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kubernetes_leader_election.core.record import Snapshot

OURS: Final = "kubernetes-leader-election"
"""The User-Agent of this package's electors."""
_UUID: Final = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_CLIENT_GO_IDENTITY: Final = re.compile(rf".*_{_UUID}")
_NODE_AGENTS: Final = ("node-fetch", "unknown", "javascript-client", "node")
_PYTHON_AGENTS: Final = ("OpenAPI-Generator", "kubernetes_asyncio", "python-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What is known of the program behind a Lease."""

    kind: str
    """A short name for a table."""
    honours_wishes: bool | None
    """Whether it can be asked to step down; None: it may or may not."""
    because: str
    """What tells so, in words."""


def recognise(snapshot: Snapshot) -> Holder | None:
    """Tell who holds the Lease; None if nobody does."""
    record = snapshot.record
    if record.is_free:
        return None
    manager = renewing_manager(snapshot.lease)
    if manager == OURS:
        return Holder(
            kind="this package",
            honours_wishes=True,
            because="the server notes this package as the writer of its renewals",
        )
    kind = _kind(manager, snapshot)
    if manager is not None:
        return Holder(
            kind=kind or manager,
            honours_wishes=False,
            because=f"the server notes {manager!r} as the writer of its renewals",
        )
    if kind is None:
        return Holder(
            kind="unknown",
            honours_wishes=None,
            because="the Lease does not say who writes it",
        )
    return Holder(
        kind=f"{kind}?",
        honours_wishes=None,
        because="its fields look so; the Lease does not say who writes it",
    )


def renewing_manager(lease: Mapping[str, Any]) -> str | None:
    """Return the client that wrote renewTime last, as the server noted it."""
    metadata = lease.get("metadata")
    entries = metadata.get("managedFields") if isinstance(metadata, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        fields = entry.get("fieldsV1") if isinstance(entry, dict) else None
        spec = fields.get("f:spec") if isinstance(fields, dict) else None
        if isinstance(spec, dict) and "f:renewTime" in spec:
            manager = entry.get("manager")
            return manager if isinstance(manager, str) and manager else None
    return None


def _kind(manager: str | None, snapshot: Snapshot) -> str | None:
    record = snapshot.record
    if _CLIENT_GO_IDENTITY.fullmatch(record.holder_identity):
        return "client-go"
    if manager is not None and manager.startswith(_PYTHON_AGENTS):
        return "a Python client"
    # The Node package misspells the duration when it creates the Lease.
    if record.lease_duration is None or manager in _NODE_AGENTS:
        return "the Node package"
    return None
