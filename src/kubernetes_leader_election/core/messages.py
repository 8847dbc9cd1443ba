"""
What goes into the core and what comes out of it.

Requests are orders to whoever drives the core; every one but :class:`AbandonRequest`
is answered by at most one response with the same ``request_id`` (a watch by many
:class:`WatchEvent` and one :class:`WatchEnded`). Responses are facts. Words of the
application come in the same way. Events are in the past tense, and each has one
reader: the driver, which hands them on.

A driver never repeats, delays or drops a response on purpose, and never sends a
request whose ``deadline`` has passed or which was abandoned: it answers such a one
with :class:`RequestFailed` (outcome "not done"), or not at all when abandoned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kubernetes_leader_election.errors import LeaderElectionError, LeaseApiError

LeaseObject = Mapping[str, Any]
"""A Lease as JSON has it. Never changed in place by anybody: share it freely."""

LossReason = Literal[
    "another_holder",  # the record names somebody else, or was rewritten
    "renew_deadline",  # no write was known to be applied in time (by any clock)
    "deleted",  # the Lease is gone, or is another object of the same name
    "stopped",  # stop() or a signal
    "stepped_down",  # step_down(), or asked for through the Lease
    "work_ended",  # the work of the term returned or raised
    "failed",  # an unexpected exception in the engine
]


# Requests ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class GetLease:
    """Read the Lease with quorum (no resourceVersion). Idempotent."""

    request_id: int
    deadline: float
    """CLOCK_BOOTTIME seconds after which the core gives the request up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateLease:
    """Create the Lease by a PUT without resourceVersion and uid (rule 6)."""

    request_id: int
    deadline: float
    lease: LeaseObject


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateLease:
    """Replace the Lease by a PUT that carries resourceVersion and uid (G5)."""

    request_id: int
    deadline: float
    lease: LeaseObject


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchLease:
    """Watch the one Lease from just after ``resource_version``, with bookmarks."""

    request_id: int
    resource_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonRequest:
    """Drop a request or watch: nothing that it still brings is wanted."""

    request_id: int


Request = GetLease | CreateLease | UpdateLease | WatchLease | AbandonRequest


# Responses --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseFetched:
    """Answer :class:`GetLease` with the Lease as it is."""

    request_id: int
    lease: LeaseObject


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseNotFound:
    """Answer :class:`GetLease`: no such Lease (never: no such namespace)."""

    request_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseWritten:
    """Answer a write: it was applied, and this is the Lease now."""

    request_id: int
    lease: LeaseObject


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteConflict:
    """
    Answer a write: the Lease is not what the write was based on.

    409 Conflict or AlreadyExists, 404 of the Lease on an update, and 422 "must be
    specified for an update" for a :class:`CreateLease`. Who answers may not be who
    applied, so this proves nothing about our own write (rule 10).
    """

    request_id: int
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeUnknown:
    """Answer any request: timeout, disconnect, 5xx, unreadable body."""

    request_id: int
    error: LeaseApiError


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailed:
    """
    Answer any request: it was certainly not applied.

    Not sent, 401, 403, 429, 400, 422, namespace missing. ``error.retry_after`` is
    honoured, but never past the renew deadline.
    """

    request_id: int
    error: LeaseApiError


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """Bring one event of a watch, as it came (ADDED, MODIFIED, DELETED, ...)."""

    request_id: int
    type: str
    object: LeaseObject


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEnded:
    """
    Say that a watch is over; ``error`` is None for a clean end.

    ``error.status`` 403 means that watching is not permitted, 410 that its
    resourceVersion is too old (both also when they come inside a 200 stream).
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
)


# Words of the application -----------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAsked:
    """Begin to take part (from STOPPED only)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAsked:
    """Stop taking part: drain, release, end in STOPPED. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDownAsked:
    """
    Drain and release, then stay out until another led or time is over.

    ``stay_out`` in seconds, None for one lease duration. Without a term in
    progress it only starts the staying out.
    """

    stay_out: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndAsked:
    """Say that the work of the numbered term returned or raised: end the term."""

    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkEnded:
    """
    Say that nothing of the numbered term's work runs any more, handlers included.

    Said once for every term, after its :class:`LeadershipLost`. Before it, nothing
    is released and no new term is sought (G5).
    """

    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSeen:
    """
    Say that the application saw by a clock that the numbered term is over.

    A clock-based loss latches (rule 14): whatever the clocks show since, it ends.
    """

    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LivenessReported:
    """Say whether the application is alive: only then is a Lease sought or renewed."""

    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverFailed:
    """Report an unexpected exception of the driver: terms end, contending resumes."""

    error: LeaderElectionError


Word = (
    StartAsked
    | StopAsked
    | StepDownAsked
    | EndAsked
    | WorkEnded
    | LossSeen
    | LivenessReported
    | DriverFailed
)

Message = Response | Word


# Events -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadershipAcquired:
    """A term began. Exactly one a term, before its loss (G4)."""

    term: int
    """Counts this elector's terms from 1."""
    token: int | None
    """The fencing token (G3): the resourceVersion of the acquiring write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadershipLost:
    """Belief in a term ended, for the reason named. Exactly one a term (G4)."""

    term: int
    reason: LossReason
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRenewed:
    """A renewal is known to be applied."""

    term: int
    renew_time: int
    """Microseconds since 1970, UTC: the stamp that was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderChanged:
    """The record names another holder than the last one seen (None: nobody)."""

    holder_identity: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorOccurred:
    """Something failed and is tried again; for people to read."""

    error: LeaderElectionError


Event = (
    LeadershipAcquired | LeadershipLost | LeaseRenewed | LeaderChanged | ErrorOccurred
)
