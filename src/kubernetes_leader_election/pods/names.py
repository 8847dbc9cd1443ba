"""The name of this process's own pod, or why it can leave no note."""

from __future__ import annotations

import os
from collections.abc import Mapping

from kubernetes_leader_election.left_note import is_pod_name
from kubernetes_leader_election.text import quoted
from kubernetes_leader_election.values import Value

__all__ = ["NoNote", "pod_name"]


class NoNote(Value):
    """No note can be left here, and why, in words that end a sentence."""

    why: str


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
    if is_pod_name(name):
        return name
    source = "POD_NAME" if told else "the name of the host"
    return NoNote(why=f"{source} is {quoted(name)}, which is no name of a pod")
