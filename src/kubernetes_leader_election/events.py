"""
The events of an elector: their names, what they carry, and why terms end.

Per term there is exactly one ``leadership_acquired`` and then exactly one
``leadership_lost`` (G4). Handlers always hear of the loss, and of the acquisition
unless the Lease is lost before their turn comes (G2).

The core makes them, and everything above passes on the very object, so a field that is
added here has to be filled there and reaches the handlers. Two are made above it: errors
from before there is a core, by the front, and what a core that failed can tell no more,
its error and the loss of its term, by the engine's driver. What belongs to an event and
only the front knows, such as the work that has to wait for its handlers, travels beside
it: see :class:`~.lifecycle.event_queue.QueuedEvent`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Final, Literal, TypedDict

from kubernetes_leader_election.errors import (
    LeaderElectionError,
    NoFencingTokenError,
)
from kubernetes_leader_election.values import Value

__all__ = [
    "EVENTS",
    "PLANNED",
    "REASONS",
    "ElectorEvent",
    "ErrorOccurred",
    "GapReason",
    "Handler",
    "LeaderChanged",
    "LeadershipAcquired",
    "LeadershipLost",
    "LeaseRenewed",
    "LossReason",
]

LossReason = Literal[
    "another_holder",  # the record names somebody else, or was rewritten
    "renew_deadline",  # no write was known to be applied in time (by any clock)
    "deleted",  # the Lease is gone, or is another object of the same name
    "stopped",  # stop() or a signal
    "stepped_down",  # step_down(), or asked for through the Lease
    "work_ended",  # the scopes of the term have ended
    "work_failed",  # the work of run() or background() raised an error
    "failed",  # an unexpected exception in the engine
]
PLANNED: Final = frozenset[LossReason](
    {"stopped", "stepped_down", "work_ended", "work_failed"}
)
"""Reasons that somebody asked for: such a loss is no trouble."""
REASONS: Final[Mapping[LossReason, str]] = MappingProxyType(
    {
        "another_holder": "another holder has the Lease",
        "renew_deadline": "the renew deadline passed",
        "deleted": "the Lease was deleted or replaced",
        "stopped": "it was stopped",
        "stepped_down": "it stepped down",
        "work_ended": "its work ended",
        "work_failed": "its work failed",
        "failed": "the election itself failed",
    }
)
"""What each reason means, in words for people."""


GapReason = Literal[
    "release",  # the holder released the Lease
    "deletion",  # somebody deleted the Lease
    "expiry",  # the holder renewed it no more, and its duration was waited for
    "proof",  # the same, but the holder's end was proved (crash_takeover)
    "outage",  # requests failed when it could be taken over already
]


class EVENTS(StrEnum):
    """The names of the events, as members and as plain text."""

    LEADERSHIP_ACQUIRED = "leadership_acquired"
    """A term began. Node package: LEADERSHIP_ACQUIRED."""
    LEADERSHIP_LOST = "leadership_lost"
    """A term ended, for whatever reason. Node package: LEADERSHIP_LOST."""
    LEASE_RENEWED = "lease_renewed"
    """This elector, leading, renewed its Lease. Node package: LEASE_RENEWED."""
    LEADER_CHANGED = "leader_changed"
    """The Lease names another holder, or none: also while this elector waits."""
    ERROR = "error"
    """Something failed and is tried again."""


class Origin(TypedDict):
    """The fields that every event has."""

    lease: str
    namespace: str
    identity: str


class _Payload(Value):
    """What every event carries."""

    lease: str
    """The name of the Lease."""
    namespace: str
    """The namespace of the Lease."""
    identity: str
    """The elector that reports the event; not necessarily the leader."""


class LeadershipAcquired(_Payload):
    """
    A term began: this elector leads. There is exactly one for each term (G4).

    A handler whose turn comes after the Lease was lost is not called (G2).
    """

    name: ClassVar = EVENTS.LEADERSHIP_ACQUIRED
    term: int
    """Counts the terms of this elector from 1."""
    token_if_any: int | None
    """The fencing token; None: there is none, see ``token``."""
    assumed: bool = False
    """Whether there is no cluster, so that leadership is only assumed."""
    crash_proof: str = ""
    """How the end of the previous holder was proved (``crash_takeover``), as a clause for
    people; empty: it released the Lease, or its duration was over."""
    no_proof: str = ""
    """Why the end of the previous holder could never be proved (``crash_takeover``), as a
    clause for people; empty: it was proved, or nothing is known, as where that holder left
    no note or its pod must not be read."""
    gap_sec: float | None = None
    """For how long nobody led before this term, in seconds of this elector's own clocks:
    since the release or deletion that it saw, else since the last renewal that it saw.
    None: it did not see that, as a replica that came later, or nobody led before."""
    why: GapReason | None = None
    """Why so long, in one word that programs may compare. None: it saw no holder before."""

    @property
    def token(self) -> int | None:
        """
        The fencing token (G3). None: leadership is assumed, outside any cluster.

        Raises:
            NoFencingTokenError: the resourceVersions of the server are not numbers.

        """
        if self.token_if_any is None and not self.assumed:
            where = f"Lease {self.namespace}/{self.lease}"
            raise NoFencingTokenError.of(where, self.term)
        return self.token_if_any


class LeadershipLost(_Payload):
    """
    A term ended. There is exactly one for each term, after its acquisition (G4).

    Every handler is called, also one whose turn was too late for the acquisition.
    """

    name: ClassVar = EVENTS.LEADERSHIP_LOST
    term: int
    """Which term of this elector it was, counted from 1."""
    token: int | None
    """The fencing token of the term; None where it had none."""
    reason: LossReason
    """Why, in one word that programs may compare."""
    detail: str = ""
    """Why, in a sentence for people; may be empty."""


class LeaseRenewed(_Payload):
    """A renewal is known to be applied."""

    name: ClassVar = EVENTS.LEASE_RENEWED
    term: int
    """Which term of this elector it is, counted from 1."""
    token: int | None
    """The fencing token of the term; None where it has none."""
    renew_time: datetime
    """The time that was written, aware, UTC, to the microsecond."""


class LeaderChanged(_Payload):
    """The Lease names another holder than the last one seen."""

    name: ClassVar = EVENTS.LEADER_CHANGED
    holder_identity: str | None
    """Who holds it now; None: nobody. Written by anybody: escape it where shown."""


class ErrorOccurred(_Payload):
    """Something failed and is tried again. There is nothing to do, but perhaps to read."""

    name: ClassVar = EVENTS.ERROR
    error: LeaderElectionError
    """What failed."""


ElectorEvent = (
    LeadershipAcquired | LeadershipLost | LeaseRenewed | LeaderChanged | ErrorOccurred
)


# Handlers ---------------------------------------------------------------------

Handler = Callable[..., object]
"""Called with one event; a plain function, or a coroutine function."""
