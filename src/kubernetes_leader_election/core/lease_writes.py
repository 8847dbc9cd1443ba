"""
What is written: the whole Lease of an acquire, a renewal and a release.

Everything that others wrote is kept, but for annotations that are about one term and
would outlive it: wishes that were granted, and the note of a token that is no more.
"""

from __future__ import annotations

from kubernetes_leader_election.core import annotations as notes
from kubernetes_leader_election.core import record as rec
from kubernetes_leader_election.core.messages import LeaseObject
from kubernetes_leader_election.core.record import Snapshot, Stamp
from kubernetes_leader_election.core.term import Term
from kubernetes_leader_election.core.timing import ElectionSettings


def acquiring(
    snapshot: Snapshot | None, stamp: Stamp, settings: ElectionSettings
) -> LeaseObject:
    """Return the Lease that begins a term; ``snapshot`` None: it is created."""
    duration = settings.lease_duration
    if snapshot is None:
        return rec.created(
            name=settings.lease_name,
            namespace=settings.namespace,
            stamp=stamp,
            duration=duration,
        )
    return notes.without(
        rec.acquired(snapshot, stamp=stamp, duration=duration),
        notes.STEP_DOWN,
        notes.SUCCESSOR,
        notes.TOKEN,
    )


def renewing(
    snapshot: Snapshot, stamp: Stamp, term: Term, settings: ElectionSettings
) -> LeaseObject:
    """Return the Lease that goes on with a term, with a note of its token for people."""
    lease = rec.renewed(snapshot, stamp=stamp, duration=settings.lease_duration)
    return notes.with_token(lease, token=term.token, acquire_time=stamp.acquire_time)


def releasing(snapshot: Snapshot, stamp: Stamp) -> LeaseObject:
    """Return the Lease that is free at once; a successor that was named stays named."""
    return notes.without(
        rec.released(snapshot, stamp=stamp), notes.STEP_DOWN, notes.TOKEN
    )
