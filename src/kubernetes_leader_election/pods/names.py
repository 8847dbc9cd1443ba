"""The names of one container of one pod, checked before they go into a path or a URL."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from kubernetes_leader_election.text import quoted
from kubernetes_leader_election.values import Value, hidden

__all__ = ["LeftNote", "NoNote", "is_label", "is_uid", "pod_name", "problem_of"]

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_NONCE = re.compile(r"[0-9a-f]{32}", re.ASCII)
_LONGEST_POD_NAME = 253


class NoNote(Value):
    """No note can be left here, and why, in words that end a sentence."""

    why: str


class LeftNote(Value):
    """Where a note was left: one process of one container of one pod."""

    namespace: str
    pod: str
    uid: str
    """Of the pod."""
    container: str
    nonce: str = hidden()
    """128 bits as hexadecimal digits, which stand in the container's termination file."""


def is_label(name: object) -> bool:
    """Return whether ``name`` is a DNS label, as namespaces and containers have it."""
    return isinstance(name, str) and _LABEL.fullmatch(name) is not None


def is_uid(uid: object) -> bool:
    """Return whether ``uid`` is one that an API server gives: a UUID in small letters."""
    return isinstance(uid, str) and _UID.fullmatch(uid) is not None


def problem_of(note: LeftNote) -> str | None:
    """
    Say why the pod of a note cannot be asked for; None when it can.

    Others may have written the note: its names go into a URL, so each must be a DNS
    label (a pod's name: one or more of them, with dots).
    """
    if not is_label(note.namespace):
        return "its namespace is no name of a namespace"
    if not _is_pod_name(note.pod):
        return "its pod is no name of a pod"
    if not is_label(note.container):
        return "its container is no name of a container"
    if not is_uid(note.uid):
        return "its uid is none of a pod"
    if not isinstance(note.nonce, str) or not _NONCE.fullmatch(note.nonce):
        return "its nonce is none"
    return None


def pod_name(
    environ: Mapping[str, str] | None = None, hostname: str | None = None
) -> str | NoNote:
    """
    Return the name of this pod: POD_NAME, or else the name of the host.

    Args:
        environ: the variables; those of the process unless given.
        hostname: the name of the host; asked of the system unless given.

    """
    variables = os.environ if environ is None else environ
    told = variables.get("POD_NAME", "")
    name = told or (os.uname().nodename if hostname is None else hostname)
    if _is_pod_name(name):
        return name
    source = "POD_NAME" if told else "the name of the host"
    return NoNote(why=f"{source} is {quoted(name)}, which is no name of a pod")


def _is_pod_name(name: object) -> bool:
    return (
        isinstance(name, str)
        and len(name) <= _LONGEST_POD_NAME
        and all(is_label(part) for part in name.split("."))
    )
