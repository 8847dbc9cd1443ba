"""
The note of a leader that runs in a pod: where the proof of its end would be found.

A leader leaves a random nonce where only the kubelet reports it, and only when its
container has ended. This note, an annotation on its Lease, says whose report that is,
and what the nonce would be. It names the record that it was written with, by the holder
and both times: whoever keeps annotations and writes another record has no note (a
library that renews under the same identity keeps even the acquire time).

What stands in an annotation is data: anything that is not exactly a note of this
version, for this record, is none.
"""

from __future__ import annotations

import re
from typing import Final

from kubernetes_leader_election.core.annotations import POD, annotated, name_of
from kubernetes_leader_election.core.messages import LeaseObject, PodNote
from kubernetes_leader_election.core.record import Snapshot, read_record
from kubernetes_leader_election.left_note import LABEL, NONCE, POD_NAME, UID

VERSION: Final = 1
"""Of the annotation's format; another one is no note to this version."""
LONGEST: Final = 2048
"""Characters at most of what is looked at."""
LONGEST_CHALLENGE: Final = 600_000
"""Milliseconds at most: nobody waits longer for an answer than for an expiry."""

_FIELDS: Final = (
    rf"({LABEL}) ({POD_NAME}) ({UID}) ({LABEL}) ({NONCE}) ([1-9][0-9]{{0,5}})"
)
"""Names that are safe in a URL, the nonce, and the challenge in milliseconds."""
_is_fields: Final = re.compile(_FIELDS, re.ASCII).fullmatch
# The name of the record is compared as a whole, so nothing of it is taken apart here.
_NOTE: Final = re.compile(rf"{VERSION} {_FIELDS} (.+)", re.ASCII | re.DOTALL).fullmatch


def with_note(lease: LeaseObject, note: PodNote) -> LeaseObject:
    """
    Return the Lease with a note for the record that stands in it.

    The same object where it cannot have one.
    """
    fields, record = _words(note), name_of(read_record(lease))
    if record is None or not _is_fields(fields):
        return lease
    return annotated(lease, POD, f"{VERSION} {fields} {record}")


def note_of(snapshot: Snapshot) -> PodNote | None:
    """Return the note that the holder left with this very record; None: it left none."""
    text = snapshot.annotations.get(POD)
    if not isinstance(text, str) or len(text) > LONGEST:
        return None
    found = _NOTE(text)
    if found is None:
        return None
    namespace, pod, uid, container, nonce, challenge, record = found.groups()
    if record != name_of(snapshot.record) or int(challenge) > LONGEST_CHALLENGE:
        return None
    return PodNote(
        namespace=namespace,
        pod=pod,
        uid=uid,
        container=container,
        nonce=nonce,
        crash_challenge=int(challenge) / 1000,
    )


def _words(note: PodNote) -> str:
    milliseconds = max(1, round(note.crash_challenge * 1000))
    return (
        f"{note.namespace} {note.pod} {note.uid} {note.container} {note.nonce} "
        f"{milliseconds}"
    )
