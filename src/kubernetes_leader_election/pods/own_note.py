"""The note of this process, with the pod that it is in: what a Lease says of it."""

from __future__ import annotations

from collections.abc import Mapping

from kubernetes_leader_election.left_note import LeftNote, is_label
from kubernetes_leader_election.pods import note_file, termination
from kubernetes_leader_election.pods.names import NoNote, pod_name
from kubernetes_leader_election.pods.note_file import NoteFile
from kubernetes_leader_election.values import Value

__all__ = ["OwnNote", "leave_own_note", "why_no_note"]


class OwnNote(Value):
    """The note that this process has left, and where it is."""

    note: LeftNote
    file: NoteFile


def leave_own_note(
    namespace: str | None, environ: Mapping[str, str] | None = None
) -> OwnNote | NoNote:
    """
    Return the note of this process, which the first call leaves.

    Blocks for a write of a few bytes on the node's disk.

    Args:
        namespace: of the pod; None: it is not known.
        environ: the variables; those of the process unless given.

    """
    missing = _pod(namespace, environ)
    if isinstance(missing, NoNote):
        return missing
    file = note_file.note_of_process()
    if isinstance(file, NoNote):
        return file
    space, pod = missing
    note = LeftNote(
        namespace=space,
        pod=pod,
        uid=file.file.pod_uid,
        container=file.file.container,
        nonce=file.nonce,
    )
    return OwnNote(note=note, file=file)


def why_no_note(
    namespace: str | None, environ: Mapping[str, str] | None = None
) -> str | None:
    """Say why no note can be left here, without leaving one; None when it can."""
    for found in (termination.termination_file(), _pod(namespace, environ)):
        if isinstance(found, NoNote):
            return found.why
    return None


def _pod(
    namespace: str | None, environ: Mapping[str, str] | None
) -> tuple[str, str] | NoNote:
    if namespace is None or not is_label(namespace):
        return NoNote(why="the pod's namespace is not known: no service account")
    pod = pod_name(environ)
    return pod if isinstance(pod, NoNote) else (namespace, pod)
