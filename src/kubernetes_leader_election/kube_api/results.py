"""
What a request to the Lease API came to: one class for each result.

Results are values, never exceptions. Every result but the good ones is a
:class:`Failed` and carries a :class:`~kubernetes_leader_election.errors.LeaseApiError`
that says what happened to which Lease and what to do; ``error.outcome`` says what is
known of a write. Only :class:`Unknown` leaves that open: read again, then decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.values import Value

__all__ = [
    "AlreadyExists",
    "Answered",
    "Conflict",
    "Failed",
    "Failure",
    "Forbidden",
    "Gone",
    "Invalid",
    "LeaseObject",
    "Listed",
    "NamespaceMissing",
    "NotFound",
    "NotSent",
    "Ok",
    "Throttled",
    "Unauthorised",
    "Unknown",
]

LeaseObject = Mapping[str, Any]
"""A Lease as JSON has it."""


class Ok(Value):
    """The request was applied; this is the Lease now."""

    lease: LeaseObject


class Answered(Value):
    """A request about something else than one Lease was applied; the JSON answered."""

    body: Mapping[str, Any]
    date: str = ""
    """The server's Date header: for people, never for a decision."""


class Listed(Value):
    """One page of a list of Leases."""

    items: Sequence[LeaseObject]
    resource_version: str
    continue_token: str
    """Asks for the next page; empty on the last one."""


class Failed(Value):
    """Be the base of every result that is not the one asked for."""

    error: LeaseApiError


class NotFound(Failed):
    """There is no such Lease (said by the Lease API itself, about this Lease)."""


class NamespaceMissing(Failed):
    """The namespace does not exist or is being deleted: never "free" (rule 4)."""


class Conflict(Failed):
    """The Lease is not the one the write was based on."""


class AlreadyExists(Failed):
    """The Lease to be created by POST is there."""


class Gone(Failed):
    """The resourceVersion or continue token is older than the server remembers."""


class Throttled(Failed):
    """The server is busy; ``error.retry_after`` seconds were asked for, if any."""


class Unauthorised(Failed):
    """The server does not know who is asking, also after the token was read again."""


class Forbidden(Failed):
    """The server knows who is asking and says no."""


class Invalid(Failed):
    """The server does not accept the request as it is, or has no Lease API."""


class NotSent(Failed):
    """Not a byte of the request was sent: it cannot have been applied."""


class Unknown(Failed):
    """The request was sent, at least in part, and whether it was applied is open."""


Failure = (
    NotFound
    | NamespaceMissing
    | Conflict
    | AlreadyExists
    | Gone
    | Throttled
    | Unauthorised
    | Forbidden
    | Invalid
    | NotSent
    | Unknown
)
"""Every :class:`Failed` there is, for ``match`` statements that must be complete."""
