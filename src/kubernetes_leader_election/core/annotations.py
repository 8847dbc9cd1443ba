"""
Annotations on the Lease: the token that its holder notes, and what people ask for.

The token is the version that the acquiring write returned (G3), so that write cannot
hold it, and later ones hide it. A renewal writes the whole object anyway: the note goes
along and costs no request. It is for people alone: no elector decides anything by it,
since whoever may write annotations may write this one.

People ask for a step-down, or name a successor. Electors of this package honour both,
others do not know them. Whoever may write annotations on the Lease could depose the
leader anyway.

Each names its term by the acquire time on the wire, so that it never reaches a later
term, and one that another library kept is not taken for its own.

Two more are written and read by electors alone, with ``crash_takeover``: where the proof
of the holder's end would be found (:mod:`.pod_notes`), and the challenge of a candidate
that has it. Both name the one record that they are about, by its holder and both times,
so that nothing kept, copied or undone ever counts for another record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kubernetes_leader_election.core.messages import LeaseObject
from kubernetes_leader_election.core.record import (
    LeaseRecord,
    Snapshot,
    format_time,
    read_version,
)

TOKEN: Final = "kubernetes-leader-election/fencing-token"  # noqa: S105 - no secret
"""Value: the token, a blank, and the ``acquireTime`` of the term that it is for."""


def with_token(
    lease: Mapping[str, Any], *, token: int | None, acquire_time: int
) -> Mapping[str, Any]:
    """Note the token of a term; the same object where it is noted, or cannot be."""
    metadata = lease.get("metadata")
    if token is None or not isinstance(metadata, dict):
        return lease
    annotations = metadata.get("annotations")
    if annotations is None:
        annotations = {}
    note = f"{token} {format_time(acquire_time)}"
    if not isinstance(annotations, dict) or annotations.get(TOKEN) == note:
        return lease
    annotations = {**annotations, TOKEN: note}
    return {**lease, "metadata": {**metadata, "annotations": annotations}}


def noted_token(snapshot: Snapshot) -> int | None:
    """Return the token that the holder noted for its present term; None: it did not."""
    note, record = snapshot.annotations.get(TOKEN), snapshot.record
    if not isinstance(note, str) or record.is_free:
        return None
    token, _, term = note.partition(" ")
    if not isinstance(record.acquire_time, int):
        return None
    if term != format_time(record.acquire_time):
        return None
    noted, version = read_version(token), snapshot.version
    if noted is None or (version is not None and noted > version):
        return None  # later than the Lease itself: whoever wrote that made it up
    return noted


STEP_DOWN: Final = "kubernetes-leader-election/step-down"
"""Value: the ``acquireTime`` of the term that is asked to end."""
SUCCESSOR: Final = "kubernetes-leader-election/successor"
"""Value: the identity that goes first when the Lease becomes free."""
POD: Final = "kubernetes-leader-election/pod"
"""Value: where the proof of its holder's end would be found, and for which record."""
CHALLENGE: Final = "kubernetes-leader-election/challenge"
"""Value: the record whose holder is asked whether it lives: it answers by renewing."""
OF_CRASHES: Final = (POD, CHALLENGE)
"""Those of a take-over after a crash: each is about one record, and outlives none."""


def asks_to_step_down(snapshot: Snapshot, acquire_time: int) -> bool:
    """Return whether the holder of the term begun at ``acquire_time`` is asked to go."""
    asked = snapshot.annotations.get(STEP_DOWN)
    return asked is not None and asked == format_time(acquire_time)


def names_another(snapshot: Snapshot, identity: str) -> bool:
    """Return whether somebody else was named to go first when the Lease is free."""
    successor = snapshot.annotations.get(SUCCESSOR)
    return isinstance(successor, str) and successor not in ("", identity)


def name_of(record: LeaseRecord) -> str | None:
    """Return a record as an annotation names it; None: it is none that we wrote."""
    acquired, renewed = record.acquire_time, record.renew_time
    if record.is_free or not isinstance(acquired, int) or not isinstance(renewed, int):
        return None
    # The identity last: it may hold whatever a Lease takes, blanks as well.
    times = f"{format_time(acquired)} {format_time(renewed)}"
    return f"{times} {record.holder_identity}"


def challenged(snapshot: Snapshot) -> LeaseObject:
    """Return the Lease with the question to its holder whether it lives."""
    value = f"1 {name_of(snapshot.record)}"
    return annotated(snapshot.lease, CHALLENGE, value)


def is_challenged(snapshot: Snapshot) -> bool:
    """Return whether the holder of this very record is asked whether it lives."""
    asked, record = snapshot.annotations.get(CHALLENGE), name_of(snapshot.record)
    return record is not None and isinstance(asked, str) and asked == f"1 {record}"


def annotated(lease: LeaseObject, name: str, value: str) -> LeaseObject:
    """Return the Lease with an annotation; the same object where it can have none."""
    metadata = lease.get("metadata")
    if not isinstance(metadata, dict):
        return lease
    annotations = metadata.get("annotations")
    if annotations is None:
        annotations = {}
    if not isinstance(annotations, dict):
        return lease
    return {
        **lease,
        "metadata": {**metadata, "annotations": {**annotations, name: value}},
    }


def without(lease: Mapping[str, Any], *wishes: str) -> Mapping[str, Any]:
    """Return the Lease without these wishes; the same object where it has none."""
    metadata = lease.get("metadata")
    if not isinstance(metadata, dict):
        return lease
    annotations = metadata.get("annotations")
    if not isinstance(annotations, dict) or not any(w in annotations for w in wishes):
        return lease
    kept = {k: v for k, v in annotations.items() if k not in wishes}
    return {**lease, "metadata": {**metadata, "annotations": kept}}
