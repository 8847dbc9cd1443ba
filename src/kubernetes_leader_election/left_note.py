"""
The note that one process of one container of one pod leaves, and the names in it.

Others may have written what is read of it, and its names go into paths and URLs: what
each may be is said here alone, for whoever reads a Lease, a pod or a file.
"""

from __future__ import annotations

import re
from typing import Final

from kubernetes_leader_election.values import Value, hidden

LABEL: Final = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
"""A DNS label, as the names of namespaces and containers are."""
POD_NAME: Final = rf"(?=[-.a-z0-9]{{1,253}}(?![-.a-z0-9])){LABEL}(?:\.{LABEL})*"
"""The name of a pod: one or more of them, with dots."""
UID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
"""As an API server gives them: a UUID in small letters."""
NONCE: Final = r"[0-9a-f]{32}"
"""128 bits as hexadecimal digits."""


class LeftNote(Value):
    """Where a note was left: one process of one container of one pod."""

    namespace: str
    pod: str
    """The pod's name."""
    uid: str
    """Of the pod."""
    container: str
    nonce: str = hidden()
    """128 bits as hexadecimal digits, which stand in the container's termination file."""


def is_label(name: object) -> bool:
    """Return whether ``name`` is a DNS label, as namespaces and containers have it."""
    return _matches(LABEL, name)


def is_pod_name(name: object) -> bool:
    """Return whether ``name`` is one that a pod can have."""
    return _matches(POD_NAME, name)


def is_uid(uid: object) -> bool:
    """Return whether ``uid`` is one that an API server gives."""
    return _matches(UID, uid)


def problem_of(note: LeftNote) -> str | None:
    """Say why the pod of a note cannot be asked for; None when it can."""
    if not is_label(note.namespace):
        return "its namespace is no name of a namespace"
    if not is_pod_name(note.pod):
        return "its pod is no name of a pod"
    if not is_label(note.container):
        return "its container is no name of a container"
    if not is_uid(note.uid):
        return "its uid is none of a pod"
    if not _matches(NONCE, note.nonce):
        return "its nonce is none"
    return None


def _matches(pattern: str, text: object) -> bool:
    if not isinstance(text, str):
        return False
    return re.fullmatch(pattern, text, re.ASCII) is not None
