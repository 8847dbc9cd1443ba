"""
What goes into the core and what comes out of it.

Requests are orders to whoever drives the core; every one but :class:`AbandonRequest`
is answered by at most one response with the same ``request_id`` (a watch by many
:class:`WatchEvent` and one :class:`WatchEnded`). Responses are facts. Words of the
application come in the same way. Events are in the past tense, and are those of
:mod:`..events`: the object that the core makes is the one that a handler gets.

A driver never repeats, delays or drops a response on purpose, and never sends a
request whose ``deadline`` has passed or which was abandoned: it answers such a one
with :class:`RequestFailed` (outcome "not done"), or not at all when abandoned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubernetes_leader_election.errors import LeaderElectionError, LeaseApiError
from kubernetes_leader_election.events import ErrorOccurred as ErrorOccurred
from kubernetes_leader_election.events import LeaderChanged as LeaderChanged
from kubernetes_leader_election.events import LeadershipAcquired as LeadershipAcquired
from kubernetes_leader_election.events import LeadershipLost as LeadershipLost
from kubernetes_leader_election.events import LeaseRenewed as LeaseRenewed
from kubernetes_leader_election.left_note import LeftNote
from kubernetes_leader_election.values import Value

LeaseObject = Mapping[str, Any]
"""A Lease as JSON has it. Never changed in place by anybody: share it freely."""


class PodNote(LeftNote):
    """
    Where the proof of a process's end would be found: in the status of its pod.

    What each field may be is checked where a note is read from a Lease
    (:mod:`.pod_notes`): its names are safe in a URL.
    """

    crash_challenge: float = 1.0
    """Seconds that the leader asks to be given for an answer to a challenge."""


# Requests ---------------------------------------------------------------------


class GetLease(Value):
    """Read the Lease with quorum (no resourceVersion). Idempotent."""

    request_id: int
    deadline: float
    """CLOCK_BOOTTIME seconds after which the core gives the request up."""


class CreateLease(Value):
    """Create the Lease by a PUT without resourceVersion and uid (rule 6)."""

    request_id: int
    deadline: float
    lease: LeaseObject


class UpdateLease(Value):
    """Replace the Lease by a PUT that carries resourceVersion and uid (G5)."""

    request_id: int
    deadline: float
    lease: LeaseObject


class WatchLease(Value):
    """Watch the one Lease from just after ``resource_version``, with bookmarks."""

    request_id: int
    resource_version: str


class AbandonRequest(Value):
    """Drop a request or watch: nothing that it still brings is wanted."""

    request_id: int


class SeekProof(Value):
    """
    Watch the pod of a note for the proof that the process which left it has ended.

    It begins with the pod as it is, and goes on until it is abandoned or answered by
    :class:`ProofRefuted` or :class:`ProofUnreadable`. What is no proof, or none yet, is
    not answered.
    """

    request_id: int
    note: PodNote


Request = GetLease | CreateLease | UpdateLease | WatchLease | SeekProof | AbandonRequest


# Responses --------------------------------------------------------------------


class LeaseFetched(Value):
    """Answer :class:`GetLease` with the Lease as it is."""

    request_id: int
    lease: LeaseObject


class LeaseNotFound(Value):
    """Answer :class:`GetLease`: no such Lease (never: no such namespace)."""

    request_id: int


class LeaseWritten(Value):
    """Answer a write: it was applied, and this is the Lease now."""

    request_id: int
    lease: LeaseObject


class WriteConflict(Value):
    """
    Answer a write: the Lease is not what the write was based on.

    409 Conflict or AlreadyExists, 404 of the Lease on an update, and 422 "must be
    specified for an update" for a :class:`CreateLease`. Who answers may not be who
    applied, so this proves nothing about our own write (rule 10).
    """

    request_id: int
    message: str = ""


class OutcomeUnknown(Value):
    """Answer any request: timeout, disconnect, 5xx, unreadable body."""

    request_id: int
    error: LeaseApiError


class RequestFailed(Value):
    """
    Answer any request: it was refused, or never sent.

    401, 403, 408, 429, 400, 422, namespace missing; not sent is what an ``error``
    says that has no status, and the outcome "not done". Who refused a write need not be
    who applied it, so a stamp that is seen outweighs this (rule 10).
    ``error.retry_after`` is honoured, but never past the renew deadline, nor for
    longer than 30 s or D.
    """

    request_id: int
    error: LeaseApiError


class WatchEvent(Value):
    """Bring one event of a watch, as it came (ADDED, MODIFIED, DELETED, ...)."""

    request_id: int
    type: str
    object: LeaseObject


class WatchEnded(Value):
    """
    Say that a watch is over; ``error`` is None for a clean end.

    ``error.status`` 403 means that watching is not permitted, 410 that its
    resourceVersion is too old (both also when they come inside a 200 stream).
    """

    request_id: int
    error: LeaseApiError | None = None


class ProofSeen(Value):
    """Answer :class:`SeekProof`: the container that left the note has ended."""

    request_id: int
    why: str
    """What the pod's status says, as a clause for people."""


class ProofRefuted(Value):
    """
    Answer :class:`SeekProof`, and end it: this note will never be proved.

    The pod is gone, another one has its name, or it is of a kind that proves nothing.
    """

    request_id: int
    why: str
    """The same as a clause for people."""


class ProofUnreadable(Value):
    """
    Answer :class:`SeekProof`, and end it: the pod cannot be watched now.

    ``error`` is None for a clean end, after which it may be ordered again at once;
    ``error.status`` 403 means that watching is not permitted.
    """

    request_id: int
    error: LeaseApiError | None = None


Response = (
    LeaseFetched
    | LeaseNotFound
    | LeaseWritten
    | WriteConflict
    | OutcomeUnknown
    | RequestFailed
    | WatchEvent
    | WatchEnded
    | ProofSeen
    | ProofRefuted
    | ProofUnreadable
)


# Words of the application -----------------------------------------------------


class StartAsked(Value):
    """Begin to take part (from STOPPED only)."""


class StopAsked(Value):
    """Stop taking part: drain, release, end in STOPPED. Idempotent."""


class StepDownAsked(Value):
    """
    Drain and release, then stay out until another led or time is over.

    ``stay_out`` in seconds, None for one lease duration. Without a term in
    progress it only starts the staying out.
    """

    stay_out: float | None = None


class WorkFailure(Value):
    """What became of work that failed, and is to be tried again, here or elsewhere."""

    stay_out: float
    """Seconds not to contend, whoever leads meanwhile."""
    detail: str
    """What went wrong, in a few words for people."""


class EndAsked(Value):
    """Say that the work of the numbered term ended or failed: end the term."""

    term: int
    failure: WorkFailure | None = None
    detail: str = ""
    """How work ended that did not fail, in a few words for people; empty: as any does."""


class WorkEnded(Value):
    """
    Say that nothing of the numbered term's work runs any more, handlers included.

    Said once for every term, after its :class:`LeadershipLost`. Before it, nothing
    is released and no new term is sought (G5).
    """

    term: int


class LossSeen(Value):
    """
    Say that the application saw by a clock that the numbered term is over.

    A clock-based loss latches (rule 14): whatever the clocks show since, it ends.
    """

    term: int


class LivenessReported(Value):
    """Say whether the application is alive: only then is a Lease sought or renewed."""

    alive: bool


class OwnNote(Value):
    """
    Say where the proof of this process's own end would be found; None: nowhere.

    Said once it was left there, before the first acquire, and again with None as soon
    as it is no longer found there: whoever drives the core looks before each input that
    may order a renewal. It ends no term: renewals go on without a note.
    """

    note: PodNote | None


class DriverFailed(Value):
    """Report an unexpected exception of the driver: terms end, contending resumes."""

    error: LeaderElectionError


Command = (
    StartAsked
    | StopAsked
    | StepDownAsked
    | EndAsked
    | WorkEnded
    | LossSeen
    | LivenessReported
    | OwnNote
    | DriverFailed
)

Message = Response | Command


# Events -----------------------------------------------------------------------

Event = (
    LeadershipAcquired | LeadershipLost | LeaseRenewed | LeaderChanged | ErrorOccurred
)
"""Those that handlers get, see :mod:`..events`: made here, and changed by nobody."""
